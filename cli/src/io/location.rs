//! Names of objects in stores, and of files as URLs.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where objects are stored that are no files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    /// S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    /// What its URLs begin with.
    const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3://",
            Self::Gcs => "gs://",
            Self::Azure => "az://",
        }
    }
}

/// An object in a store, or a prefix of objects: `s3://BUCKET/KEY`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StoreUrl {
    /// Where it is.
    pub(crate) service: Service,
    /// The bucket, or the container.
    pub(crate) bucket: String,
    /// The key, as it is: nothing in it is escaped.
    pub(crate) key: String,
}

impl StoreUrl {
    /// The object that `name` names; `None` for everything that is no URL of a store, and so a path.
    pub(crate) fn of(name: &Path) -> Option<Self> {
        let text = name.to_str()?;
        let (service, rest) = Service::ALL
            .into_iter()
            .find_map(|service| Some((service, text.strip_prefix(service.scheme())?)))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        Some(Self {
            service,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Whether it names a bucket or a prefix, in which objects are.
    pub(crate) fn is_directory(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// The object of this name in it, if it is a bucket or a prefix.
    pub(crate) fn join(&self, name: &str) -> Self {
        Self {
            key: format!("{}{name}", self.key),
            ..self.clone()
        }
    }

    /// As a name on the command line.
    pub(crate) fn to_name(&self) -> PathBuf {
        self.to_string().into()
    }

    fn check(&self) -> Result<(), String> {
        if self.bucket.is_empty() {
            return Err(format!("an object in a store is {}BUCKET/KEY", self.service.scheme()));
        }
        if !cfg!(feature = "stores") {
            return Err(
                "sealstone was built without object stores; install it with: cargo install sealstone-cli --features cloud"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.service.scheme(), self.bucket, self.key)
    }
}

/// Parses the name of an input or an output. A `file://` URL becomes a path; any other name stays as it is.
pub(crate) fn parse_name(text: OsString) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if let Some(url) = StoreUrl::of(&path) {
        url.check()?;
        return Ok(path);
    }
    match path.to_str().and_then(|text| text.strip_prefix("file://")) {
        Some(rest) => parse_file_url(rest).ok_or_else(|| "a file as a URL is file:///PATH".to_owned()),
        None => Ok(path),
    }
}

/// The path in what follows `file://`: of this machine, absolute, with `%` and two digits for a byte.
fn parse_file_url(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    // On Windows, a drive follows the slash.
    let path = if cfg!(windows) {
        path.strip_prefix('/')?
    } else {
        path.starts_with('/').then_some(path)?
    };
    let mut bytes = Vec::with_capacity(path.len());
    let mut parts = path.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    path_of(bytes)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere not all bytes are a path")]
fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_in_a_store_is_named_by_its_bucket_and_its_key() {
        let parse = |text: &str| StoreUrl::of(Path::new(text));
        let url = parse("s3://bucket/a dir/x%20.seal").unwrap();
        assert_eq!(
            (url.service, url.bucket.as_str(), url.key.as_str()),
            (Service::S3, "bucket", "a dir/x%20.seal")
        );
        assert_eq!(url.to_name(), Path::new("s3://bucket/a dir/x%20.seal"));
        assert_eq!(parse("gs://b/k").unwrap().service, Service::Gcs);
        assert_eq!(parse("az://b/k").unwrap().service, Service::Azure);
        for path in [
            "s3:/bucket/key",
            "S3://bucket/key",
            "./s3://bucket/key",
            "http://host/x",
            "-",
            "",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_bucket_or_a_name_that_ends_in_a_slash_is_a_directory() {
        let url = |text: &str| StoreUrl::of(Path::new(text)).unwrap();
        for directory in ["s3://bucket", "s3://bucket/", "s3://bucket/a/"] {
            assert!(url(directory).is_directory(), "{directory}");
        }
        assert!(!url("s3://bucket/a").is_directory());
        assert_eq!(url("s3://bucket").join("x"), url("s3://bucket/x"));
        assert_eq!(url("s3://bucket/a/").join("x"), url("s3://bucket/a/x"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_url_is_a_path_of_this_machine() {
        let parse = |text: &str| parse_name(text.into());
        assert_eq!(parse("file:///a/b%20c%25"), Ok("/a/b c%".into()));
        assert_eq!(parse("file://localhost/a"), Ok("/a".into()));
        for wrong in [
            "file://",
            "file://a",
            "file://host/a",
            "file:///%",
            "file:///%4",
            "file:///%+1",
            "file:///%zz",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for path in ["file:/a", "a%20b", "ftp://host/a"] {
            assert_eq!(parse(path), Ok(path.into()));
        }
    }

    #[test]
    fn a_build_without_stores_says_how_to_get_them() {
        assert!(parse_name("s3://".into()).is_err() && parse_name("s3:///key".into()).is_err());
        let parsed = parse_name("s3://bucket/key".into());
        match parsed {
            Ok(name) => assert!(cfg!(feature = "stores") && name == Path::new("s3://bucket/key")),
            Err(refusal) => assert!(
                !cfg!(feature = "stores") && refusal.ends_with("--features cloud"),
                "{refusal}"
            ),
        }
    }
}
