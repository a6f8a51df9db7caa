//! Where objects are stored, as the command line says it.

use std::path::PathBuf;
use std::str::FromStr;

use super::ConfigError;

/// Where objects are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In a directory.
    Directory(PathBuf),
    /// In AWS S3, configured as for all AWS tools.
    Aws,
    /// In the S3 server with this URL.
    Endpoint(String),
    /// In memory, for tests.
    Memory,
}

impl FromStr for StoreUrl {
    type Err = ConfigError;

    fn from_str(url: &str) -> Result<Self, ConfigError> {
        let unknown = || ConfigError::Store(url.to_owned());
        if url == "memory:" {
            return Ok(Self::Memory);
        }
        match url.split_once("://") {
            None if url.is_empty() => Err(unknown()),
            None => Ok(Self::Directory(url.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Directory(path.into())),
            // Buckets are the store's own: a name here would look as if it limited the gateway to one.
            Some(("s3", "")) => Ok(Self::Aws),
            Some(("http" | "https", rest)) if !rest.is_empty() => Ok(Self::Endpoint(url.to_owned())),
            Some(_) => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_directory_or_a_url() {
        for (url, store) in [
            ("/srv/objects", StoreUrl::Directory("/srv/objects".into())),
            ("objects", StoreUrl::Directory("objects".into())),
            ("file:///srv/objects", StoreUrl::Directory("/srv/objects".into())),
            ("s3://", StoreUrl::Aws),
            (
                "https://s3.example:9000",
                StoreUrl::Endpoint("https://s3.example:9000".to_owned()),
            ),
            ("memory:", StoreUrl::Memory),
        ] {
            assert_eq!(url.parse::<StoreUrl>().unwrap(), store, "{url}");
        }
        for url in ["", "file://objects", "s3://bucket", "https://", "gs://bucket"] {
            assert!(url.parse::<StoreUrl>().is_err(), "{url}");
        }
    }
}
