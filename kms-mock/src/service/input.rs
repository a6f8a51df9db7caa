//! Parsing requests and checking their constraints.
//!
//! ```text
//! JSON -> types        SerializationException   not JSON, another type, not base64, a duplicate context key
//!      -> constraints  ValidationException      all violations, in AWS's words
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use base64ct::{Base64, Encoding as _};
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::blob::ContextPairs;
use crate::error::KmsError;

/// A request. Deserialized from AWS's member names; serialized without secrets for the audit log.
pub(super) trait Input: DeserializeOwned + Serialize {
    /// Fills in defaults that the audit log shows.
    fn complete(&mut self) {}

    /// Reports the constraints that are violated.
    fn check(&self, checks: &mut Checks);
}

/// # Errors
/// `SerializationException`. It names the place and never the value, which may be a secret.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    // serde would accept a list and assign members by position.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(KmsError::serialization("The request is not a JSON object."));
    }
    serde_json::from_slice(body).map_err(|error| {
        let what = if error.is_data() {
            "A member is of the wrong type, or is there twice"
        } else {
            "The request is not JSON"
        };
        KmsError::serialization(format!("{what}: line {} column {}.", error.line(), error.column()))
    })
}

/// # Errors
/// `ValidationException` naming the constraints that the request breaks.
pub(super) fn check(input: &impl Input, max_context_bytes: usize) -> Result<(), KmsError> {
    let mut checks = Checks::new(max_context_bytes);
    input.check(&mut checks);
    checks.finish()
}

/// Collects violated constraints.
#[derive(Debug)]
pub(super) struct Checks {
    max_context_bytes: usize,
    broken: Vec<String>,
    count: usize,
}

/// How many violations are spelled out: there may be as many as the request is long.
const SHOWN: usize = 10;

impl Checks {
    pub(super) fn new(max_context_bytes: usize) -> Self {
        Self {
            max_context_bytes,
            broken: Vec::new(),
            count: 0,
        }
    }

    /// # Errors
    /// `ValidationException`.
    pub(super) fn finish(self) -> Result<(), KmsError> {
        let errors = match self.count {
            0 => return Ok(()),
            1 => "1 validation error".to_owned(),
            count => format!("{count} validation errors"),
        };
        Err(KmsError::validation(format!(
            "{errors} detected: {}",
            self.broken.join("; ")
        )))
    }

    /// A required member.
    pub(super) fn required<T>(&mut self, member: &str, value: Option<&T>) {
        if value.is_none() {
            self.add("null ", member, "Member must not be null");
        }
    }

    /// A string of 1 to `max` characters.
    pub(super) fn text(&mut self, member: &str, value: Option<&str>, max: usize) {
        let Some(value) = value else { return };
        if value.is_empty() {
            self.add_value(value, member, "Member must have length greater than or equal to 1");
        }
        self.at_most(member, value, max);
    }

    pub(super) fn at_most(&mut self, member: &str, value: &str, max: usize) {
        if value.chars().count() > max {
            self.add_value(
                value,
                member,
                format_args!("Member must have length less than or equal to {max}"),
            );
        }
    }

    /// `KeyId`, in any form.
    pub(super) fn key_id(&mut self, member: &str, value: Option<&str>) {
        self.required(member, value.as_ref());
        self.text(member, value, 2048);
    }

    /// A string of the characters that alias and grant names may have.
    pub(super) fn name(&mut self, member: &str, value: Option<&str>) {
        self.text(member, value, 256);
        let of_name = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
        self.pattern(member, value, of_name, "^[a-zA-Z0-9:/_-]+$");
    }

    /// The text of a key policy, in Latin-1.
    pub(super) fn policy(&mut self, value: Option<&str>) {
        let Some(value) = value else { return };
        let of_policy = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}');
        let pattern = "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+";
        self.text("policy", Some(value), 131_072);
        self.pattern("policy", Some(value), of_policy, pattern);
    }

    pub(super) fn policy_name(&mut self, value: Option<&str>) {
        self.text("policyName", value, 128);
        let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.pattern("policyName", value, of_word, "[\\w]+");
    }

    /// A required region.
    pub(super) fn region(&mut self, member: &str, value: Option<&str>) {
        self.required(member, value.as_ref());
        self.text(member, value, 32);
        let Some(value) = value else { return };
        let words: Vec<&str> = value.split('-').collect();
        let (last, first) = words.split_last().unwrap_or((&"", &[]));
        let is_region = matches!(first.len(), 2 | 3)
            && first
                .iter()
                .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
            && !last.is_empty()
            && last.bytes().all(|byte| byte.is_ascii_digit());
        if !is_region {
            let rule = "Member must satisfy regular expression pattern: ^([a-z]+-){2,3}\\d+$";
            self.add_value(value, member, rule);
        }
    }

    /// An ARN of IAM.
    pub(super) fn principal(&mut self, member: &str, value: Option<&str>) {
        self.text(member, value, 256);
        let of_arn = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
        self.pattern(member, value, of_arn, "^[\\w+=,.@:/-]+$");
    }

    pub(super) fn range(&mut self, member: &str, value: Option<i64>, min: i64, max: i64) {
        match value {
            Some(value) if value < min => {
                let rule = format_args!("Member must have value greater than or equal to {min}");
                self.add_value(value, member, rule);
            }
            Some(value) if value > max => {
                let rule = format_args!("Member must have value less than or equal to {max}");
                self.add_value(value, member, rule);
            }
            _ => (),
        }
    }

    /// One of these words.
    pub(super) fn one_of(&mut self, member: &str, value: Option<&str>, words: &[&str]) {
        if let Some(value) = value.filter(|value| !words.contains(value)) {
            let rule = format_args!("Member must satisfy enum value set: [{}]", words.join(", "));
            self.add_value(value, member, rule);
        }
    }

    /// A list of such words.
    pub(super) fn each_one_of(&mut self, member: &str, values: &[String], words: &[&str]) {
        if values.iter().any(|value| !words.contains(&value.as_str())) {
            let shown = format!("[{}]", values.join(", "));
            let words = words.join(", ");
            let rule = format_args!("Member must satisfy constraint: [Member must satisfy enum value set: [{words}]]");
            self.add_value(shown, member, rule);
        }
    }

    /// Bytes, which are not shown.
    pub(super) fn bytes(&mut self, member: &str, value: Option<&Bytes>, max: usize) {
        let Some(value) = value else { return };
        if value.0.is_empty() {
            self.add("", member, "Member must have length greater than or equal to 1");
        }
        if value.0.len() > max {
            self.add(
                "",
                member,
                format_args!("Member must have length less than or equal to {max}"),
            );
        }
    }

    pub(super) fn context(&mut self, member: &str, value: &Context) {
        let len: usize = value.0.iter().map(|(key, value)| key.len() + value.len()).sum();
        let max = self.max_context_bytes;
        if len > max {
            self.add(
                "",
                member,
                format_args!("Member must have at most {max} bytes of keys and values"),
            );
        }
    }

    /// The pairs of a grant's constraint: at most 8, with values of 384 characters in all.
    pub(super) fn constraint(&mut self, member: &str, pairs: &BTreeMap<String, String>) {
        if pairs.len() > 8 {
            self.add("", member, "Member must have at most 8 pairs");
        }
        if pairs.values().map(|value| value.chars().count()).sum::<usize>() > 384 {
            self.add("", member, "Member must have at most 384 characters of values");
        }
    }

    pub(super) fn grant_tokens(&mut self, tokens: &[String]) {
        if tokens.len() > 10 {
            self.add("", "grantTokens", "Member must have length less than or equal to 10");
        } else {
            for token in tokens {
                self.text("grantTokens", Some(token), 8192);
            }
        }
    }

    /// The members of paginated requests.
    pub(super) fn page(&mut self, limit: Option<i64>, max: i64, marker: Option<&str>) {
        self.range("limit", limit, 1, max);
        self.text("marker", marker, 1024);
    }

    fn pattern(&mut self, member: &str, value: Option<&str>, allowed: impl Fn(char) -> bool, pattern: &str) {
        if let Some(value) = value.filter(|value| !value.chars().all(allowed)) {
            let rule = format_args!("Member must satisfy regular expression pattern: {pattern}");
            self.add_value(value, member, rule);
        }
    }

    fn add_value(&mut self, value: impl Display, member: &str, rule: impl Display) {
        // The message repeats what the caller sent, but not megabytes of it.
        let shown: String = value.to_string().chars().take(512).collect();
        self.add(&format!("'{shown}' "), member, rule);
    }

    fn add(&mut self, value: &str, member: &str, rule: impl Display) {
        self.count += 1;
        if self.count > SHOWN {
            return;
        }
        self.broken.push(format!(
            "Value {value}at '{member}' failed to satisfy constraint: {rule}"
        ));
    }
}

/// Bytes sent as base64. Wiped on drop.
pub(super) struct Bytes(pub(super) Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64Text;

        impl Visitor<'_> for Base64Text {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes in base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                let bytes = Base64::decode_vec(text).map_err(|_| E::custom("not base64"))?;
                Ok(Bytes(Zeroizing::new(bytes)))
            }
        }

        deserializer.deserialize_str(Base64Text)
    }
}

/// An encryption context, in the order in which it was sent.
#[derive(Debug, Default, Clone)]
pub(super) struct Context(Vec<(String, String)>);

impl Context {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, sorted by key.
    pub(super) fn to_pairs(&self) -> ContextPairs {
        self.0.iter().cloned().collect()
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Context;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Context, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<String, String>()? {
                    pairs.push(pair);
                }
                let keys: BTreeSet<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
                if keys.len() < pairs.len() {
                    return Err(de::Error::custom("a key is there twice"));
                }
                Ok(Context(pairs))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Context, E> {
                Ok(Context::default())
            }
        }

        deserializer.deserialize_any(Pairs)
    }
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// A list that may be absent or `null`.
pub(super) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
