//! Bucket policies, as far as they demand encryption: statements that deny `s3:PutObject` unless its headers say how.
//!
//! Anything else in a policy is refused when it is set. A policy that is kept and not enforced would be worse than none.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::collections::BTreeMap;
use std::fmt;

/// A bucket's policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(rename = "Version", default)]
    _version: Option<String>,
    #[serde(rename = "Id", default)]
    _id: Option<String>,
    #[serde(rename = "Statement", deserialize_with = "one_or_many")]
    statements: Vec<Statement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid", default)]
    _sid: Option<String>,
    #[serde(rename = "Effect")]
    effect: String,
    #[serde(rename = "Principal")]
    principal: Principal,
    #[serde(rename = "Action", deserialize_with = "one_or_many")]
    actions: Vec<String>,
    #[serde(rename = "Resource", deserialize_with = "one_or_many")]
    resources: Vec<String>,
    /// Operator, key, values.
    #[serde(rename = "Condition", default)]
    condition: BTreeMap<String, BTreeMap<String, Values>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Principal {
    Any(String),
    Of(BTreeMap<String, Values>),
}

/// One value or several, of which one must match.
#[derive(Debug)]
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_or_many(deserializer).map(Self)
    }
}

/// What of a request a policy may ask for: the condition keys and their values.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// `s3:x-amz-server-side-encryption`.
    pub mode: Option<&'a str>,
    /// `s3:x-amz-server-side-encryption-aws-kms-key-id`.
    pub kms_key: Option<&'a str>,
    /// `s3:x-amz-server-side-encryption-customer-algorithm`.
    pub customer_algorithm: Option<&'a str>,
}

const KEYS: [&str; 3] = [
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm",
];

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError(String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Parses the policy of `bucket`.
    ///
    /// # Errors
    /// The JSON is no policy, or the policy says something that the gateway does not enforce.
    pub fn parse(json: &[u8], bucket: &str) -> Result<Self, PolicyError> {
        let policy: Self = serde_json::from_slice(json)
            .map_err(|error| PolicyError(format!("Policies must be valid JSON: {error}")))?;
        for statement in &policy.statements {
            statement.check(bucket).map_err(PolicyError)?;
        }
        Ok(policy)
    }

    /// Whether the policy denies to write the object with this ARN.
    #[must_use]
    pub fn denies(&self, arn: &str, request: &Request<'_>) -> bool {
        self.statements.iter().any(|statement| statement.applies(arn, request))
    }
}

impl Statement {
    fn check(&self, bucket: &str) -> Result<(), String> {
        if self.effect != "Deny" {
            return Err(
                "this gateway enforces statements with the effect Deny only: every access key may do everything else"
                    .to_owned(),
            );
        }
        let everyone = match &self.principal {
            Principal::Any(principal) => principal == "*",
            Principal::Of(principals) => {
                principals.len() == 1 && principals.get("AWS").is_some_and(|Values(values)| values == &["*"])
            }
        };
        if !everyone {
            return Err("this gateway enforces statements for the principal * only".to_owned());
        }
        if self.actions != ["s3:PutObject"] {
            return Err("this gateway enforces statements on the action s3:PutObject only".to_owned());
        }
        let prefix = format!("arn:aws:s3:::{bucket}/");
        if self.resources.is_empty() || !self.resources.iter().all(|resource| resource.starts_with(&prefix)) {
            return Err("Policy has invalid resource".to_owned());
        }
        if self.condition.is_empty() {
            return Err("this gateway enforces statements with a condition on encryption only".to_owned());
        }
        for (operator, keys) in &self.condition {
            let known = ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "Null"];
            if !known.contains(&operator.as_str()) {
                return Err(format!("this gateway does not enforce the operator {operator}"));
            }
            if let Some(key) = keys
                .keys()
                .find(|key| !KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)))
            {
                return Err(format!("this gateway does not enforce the condition key {key}"));
            }
        }
        Ok(())
    }

    fn applies(&self, arn: &str, request: &Request<'_>) -> bool {
        let matches = |(operator, keys): (&String, &BTreeMap<String, Values>)| {
            keys.iter()
                .all(|(key, Values(values))| holds(operator, values, request.value(key)))
        };
        self.resources.iter().any(|resource| is_like(arn, resource)) && self.condition.iter().all(matches)
    }
}

impl Request<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        let values = [self.mode, self.kms_key, self.customer_algorithm];
        let found = KEYS
            .iter()
            .zip(values)
            .find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.and_then(|(_, value)| value)
    }
}

/// As IAM evaluates it: a negated operator holds if the key is absent.
fn holds(operator: &str, values: &[String], actual: Option<&str>) -> bool {
    let any = |matches: fn(&str, &str) -> bool| {
        actual.is_some_and(|actual| values.iter().any(|value| matches(actual, value)))
    };
    match operator {
        "StringEquals" => any(|actual, value| actual == value),
        "StringNotEquals" => !any(|actual, value| actual == value),
        "StringLike" => any(is_like),
        "StringNotLike" => !any(is_like),
        _ => values.iter().any(|value| (value == "true") == actual.is_none()),
    }
}

/// Whether a text matches a pattern, in which `*` is any text and `?` any character. Linear in both, but for one restart
/// for each character of the text.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut next) = (0, 0);
    // After the last `*`: where to go on, and where its text ends so far.
    let mut star = None;
    while at < text.len() {
        match pattern.get(next) {
            Some('*') => {
                star = Some((next + 1, at));
                next += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[at] => {
                at += 1;
                next += 1;
            }
            _ => match &mut star {
                Some((after, end)) => {
                    *end += 1;
                    (at, next) = (*end, *after);
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|rest| *rest == '*')
}

fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    let many = match value {
        serde_json::Value::Array(many) => many,
        // IAM takes a boolean for its text.
        serde_json::Value::Bool(one) => vec![serde_json::Value::String(one.to_string())],
        one => vec![one],
    };
    many.into_iter()
        .map(|one| T::deserialize(one).map_err(D::Error::custom))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(condition: &str) -> String {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
               "Resource": "arn:aws:s3:::b/*", "Condition": {condition}}}}}"#
        )
    }

    #[test]
    fn conditions_are_evaluated_as_iam_does() {
        let mode = |mode| Request {
            mode,
            ..Request::default()
        };
        for (condition, denied, allowed) in [
            (
                r#"{"Null": {"s3:x-amz-server-side-encryption": "true"}}"#,
                vec![None],
                vec![Some("AES256")],
            ),
            (
                r#"{"Null": {"s3:x-amz-server-side-encryption": false}}"#,
                vec![Some("AES256")],
                vec![None],
            ),
            (
                r#"{"StringNotEquals": {"s3:x-amz-server-side-encryption": ["aws:kms", "aws:kms:dsse"]}}"#,
                vec![None, Some("AES256")],
                vec![Some("aws:kms")],
            ),
            (
                r#"{"StringEquals": {"S3:X-AMZ-server-side-encryption": "AES256"}}"#,
                vec![Some("AES256")],
                vec![None],
            ),
            (
                r#"{"StringNotLike": {"s3:x-amz-server-side-encryption": "aws:*"}}"#,
                vec![None, Some("AES256")],
                vec![Some("aws:kms")],
            ),
            (
                r#"{"StringLike": {"s3:x-amz-server-side-encryption": "A?S*6"}, "Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "true"}}"#,
                vec![Some("AES256")],
                vec![Some("aws:kms"), None],
            ),
        ] {
            let policy = Policy::parse(policy(condition).as_bytes(), "b").unwrap();
            for value in denied {
                assert!(policy.denies("arn:aws:s3:::b/o", &mode(value)), "{condition} {value:?}");
            }
            for value in allowed {
                assert!(
                    !policy.denies("arn:aws:s3:::b/o", &mode(value)),
                    "{condition} {value:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_enforced_is_refused() {
        let good = policy(r#"{"Null": {"s3:x-amz-server-side-encryption": "true"}}"#);
        Policy::parse(good.as_bytes(), "b").unwrap();
        for (from, to) in [
            ("Deny", "Allow"),
            (r#""Principal": "*""#, r#""Principal": {"AWS": "arn:aws:iam::1:root"}"#),
            ("s3:PutObject", "s3:*"),
            (r#""Resource""#, r#""NotResource""#),
            ("s3:::b/*", "s3:::c/*"),
            ("Null", "IpAddress"),
            ("s3:x-amz-server-side-encryption", "aws:SourceIp"),
            ("2012-10-17\",", "2012-10-17\""),
        ] {
            let changed = good.replace(from, to);
            assert_ne!(changed, good);
            Policy::parse(changed.as_bytes(), "b").unwrap_err();
        }
        Policy::parse(policy("{}").as_bytes(), "b").unwrap_err();
    }

    #[test]
    fn patterns_match_as_iams_do() {
        for (text, pattern, like) in [
            ("", "", true),
            ("", "*", true),
            ("abc", "a*c", true),
            ("abc", "a?c", true),
            ("abbc", "a?c", false),
            ("a/b/c", "a/*", true),
            ("ab", "abc*", false),
            ("aXbXc", "*X?", true),
            ("é", "?", true),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
        }
        assert!(!is_like(&"a".repeat(5000), &format!("{}b", "a*".repeat(500))));
    }
}
