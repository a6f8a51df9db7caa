//! Buckets in host names.

use std::io;

/// The domains whose subdomains are buckets. Every other host is taken for path style: the gateway may have names that
/// its configuration does not know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Domains(Vec<String>);

impl Domains {
    pub(crate) fn new(domains: &[String]) -> io::Result<Self> {
        let valid = |domain: &&String| {
            let label = |label: &str| {
                !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            domain.split('.').all(label)
        };
        match domains.iter().find(|domain| !valid(domain)) {
            Some(wrong) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("--domain {wrong:?} is not a domain: no port and no scheme belong to it"),
            )),
            None => Ok(Self(domains.iter().map(|domain| domain.to_ascii_lowercase()).collect())),
        }
    }

    /// The bucket that a host names; `None` in path style.
    pub(crate) fn bucket(&self, host: &str) -> Option<String> {
        let without_port = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = without_port.to_ascii_lowercase();
        if self.0.contains(&name) {
            return None;
        }
        let buckets = self
            .0
            .iter()
            .filter_map(|domain| name.strip_suffix(domain.as_str())?.strip_suffix('.'));
        // Of a.example and b.a.example, the longer one.
        buckets.min_by_key(|bucket| bucket.len()).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_subdomain_of_a_known_domain() {
        let domains = ["s3.example".to_owned(), "eu.s3.example".to_owned()];
        let domains = Domains::new(&domains).unwrap();
        for (host, bucket) in [
            ("s3.example", None),
            ("s3.example:9000", None),
            ("b.s3.example", Some("b")),
            ("B.S3.Example:9000", Some("b")),
            ("with.dots.s3.example", Some("with.dots")),
            ("eu.s3.example", None),
            ("eu.s3.example:1", None),
            ("b.eu.s3.example", Some("b")),
            ("localhost:9000", None),
            ("xs3.example", None),
            ("other.example", None),
        ] {
            assert_eq!(domains.bucket(host).as_deref(), bucket, "{host}");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for wrong in ["", "s3.example:9000", "https://s3.example", "s3..example", "*.example"] {
            assert!(Domains::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
