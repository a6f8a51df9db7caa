//! One test object as a file: lines of `key: value`, an empty line, and the object's bytes.
//!
//! ```text
//! sealstone test object
//! comment: what is wrong with it
//! expect: chunk
//! key: raw 0707..07
//! plaintext: 16384 9f86..
//!
//! <bytes>
//! ```
//!
//! `vectors/README.md` explains each line.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::common::oracle;
use crate::object::Object;

const FIRST_LINE: &str = "sealstone test object";

/// What a line may say, in the order in which they stand.
const LINES: [&str; 9] = [
    "comment",
    "expect",
    "at",
    "key",
    "context-rule",
    "context",
    "header",
    "range",
    "plaintext",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector {
    pub name: String,
    pub comment: String,
    /// `success`, or the classes of errors that are correct.
    pub expect: Vec<String>,
    /// The component and chunk that the error names, of a composite object.
    pub at: Option<String>,
    pub keys: Vec<String>,
    pub rule: String,
    pub context: BTreeMap<String, String>,
    /// A detached header; without one, the object begins with an attached one.
    pub header: Option<Vec<u8>>,
    pub range: Option<String>,
    /// The length and SHA-256 of the bytes returned: all requested bytes, or those verified before the fault.
    pub plaintext: (usize, String),
    pub body: Vec<u8>,
}

impl Vector {
    /// An object that opens.
    pub fn good(name: &str, comment: &str, object: &Object) -> Self {
        Self {
            name: name.to_owned(),
            comment: comment.to_owned(),
            expect: vec!["success".to_owned()],
            at: None,
            keys: vec![object.key()],
            rule: "exact".to_owned(),
            context: object.pairs.clone(),
            header: None,
            range: None,
            plaintext: digest(&object.plain),
            body: object.attached(),
        }
    }

    /// The same with a detached header.
    pub fn good_detached(name: &str, comment: &str, object: &Object) -> Self {
        Self {
            header: Some(object.header().detached()),
            body: object.payload(),
            ..Self::good(name, comment, object)
        }
    }

    /// An object that is refused with an error of one of these classes, before anything is returned.
    pub fn refused(mut self, classes: &str) -> Self {
        self.expect = classes.split(' ').map(str::to_owned).collect();
        self.plaintext = digest(&[]);
        self
    }

    /// The bytes that are verified and may be returned before the error.
    pub fn releases(mut self, prefix: &[u8]) -> Self {
        self.plaintext = digest(prefix);
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, header: Vec<u8>) -> Self {
        self.header = Some(header);
        self
    }

    pub fn keys(mut self, keys: &[String]) -> Self {
        self.keys = keys.to_vec();
        self
    }

    /// The reader's rule and pairs.
    pub fn context(mut self, rule: &str, pairs: &[(&str, &str)]) -> Self {
        self.rule = rule.to_owned();
        self.context = crate::object::pairs(pairs);
        self
    }

    /// Requests `range` and expects `slice`.
    pub fn range(mut self, range: &str, slice: &[u8]) -> Self {
        self.range = Some(range.to_owned());
        self.plaintext = digest(slice);
        self
    }

    pub fn succeeds(&self) -> bool {
        self.expect == ["success"]
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{FIRST_LINE}\n");
        let mut line = |key: &str, value: &str| {
            assert!(!value.contains('\n') && LINES.contains(&key), "{key}: {value}");
            writeln!(text, "{key}: {value}").expect("strings take everything");
        };
        line("comment", &self.comment);
        line("expect", &self.expect.join(" "));
        if let Some(at) = &self.at {
            line("at", at);
        }
        self.keys.iter().for_each(|key| line("key", key));
        line("context-rule", &self.rule);
        for (key, value) in &self.context {
            line("context", &format!("{key}={value}"));
        }
        if let Some(header) = &self.header {
            line("header", &hex(header));
        }
        if let Some(range) = &self.range {
            line("range", range);
        }
        line("plaintext", &format!("{} {}", self.plaintext.0, self.plaintext.1));
        [text.as_bytes(), b"\n", &self.body].concat()
    }

    /// Accepts exactly what [`to_bytes`](Self::to_bytes) returns.
    pub fn parse(name: &str, bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
        let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split('\n');
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in lines {
            let (key, value) = line.split_once(": ")?;
            fields.entry(key).or_default().push(value);
        }
        let mut take = |key: &str| fields.remove(key).unwrap_or_default();
        let one = |mut values: Vec<&str>| Some(values.pop()?.to_owned()).filter(|_| values.is_empty());
        let context = take("context").into_iter().map(|pair| pair.split_once('='));
        let (len, digest) = take("plaintext").pop()?.split_once(' ')?;
        let vector = Self {
            name: name.to_owned(),
            comment: one(take("comment"))?,
            expect: one(take("expect"))?.split(' ').map(str::to_owned).collect(),
            at: take("at").pop().map(str::to_owned),
            keys: take("key").into_iter().map(str::to_owned).collect(),
            rule: one(take("context-rule"))?,
            context: context
                .map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned())))
                .collect::<Option<_>>()?,
            header: take("header")
                .pop()
                .map(|digits| oracle::unhex(digits).expect("hexadecimal")),
            range: take("range").pop().map(str::to_owned),
            plaintext: (len.parse().ok()?, digest.to_owned()),
            body: bytes[end + 2..].to_vec(),
        };
        Some(vector).filter(|vector| vector.to_bytes() == bytes)
    }
}

pub fn digest(plain: &[u8]) -> (usize, String) {
    (plain.len(), hex(&Sha256::digest(plain)))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
