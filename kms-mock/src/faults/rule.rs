//! Faults: which calls they match, and what happens to those.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::KmsError;
use crate::operation::Operation;

/// AWS's message for throttled calls.
pub(super) const THROTTLED: &str =
    "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";
const LATENCY_LIMIT: u64 = 3_600_000;
const TEXT_LIMIT: usize = 2048;

/// A rule that makes matching calls fail or wait.
///
/// It has a latency, or one of `hang`, `reset_connection`, `error` and `truncate_body`, or both; the latency comes
/// first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Matches only calls of this operation, such as `Decrypt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// Matches only calls that name this key: an id, an alias, or the ARN of either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The share of matching calls that are affected, from 0 to 1.
    pub probability: f64,
    /// The number of matching calls to let through first.
    pub skip_first: u64,
    /// The number of calls to affect. Unlimited if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Delays the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Answers with this error. The call is not executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<InjectedError>,
    /// Sends no answer until the client closes its side or five minutes have passed. The call is not executed.
    pub hang: bool,
    /// Resets the connection. The call is not executed.
    pub reset_connection: bool,
    /// Executes the call, and sends only half of its answer.
    pub truncate_body: bool,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            op: None,
            key: None,
            probability: 1.0,
            skip_first: 0,
            count: None,
            latency_ms: None,
            error: None,
            hang: false,
            reset_connection: false,
            truncate_body: false,
        }
    }
}

impl Fault {
    /// # Errors
    ///
    /// The fault is invalid.
    pub(super) fn check(&self) -> Result<(), InvalidFault> {
        if let Some(name) = &self.op {
            Operation::from_name(name).map_err(|_| InvalidFault(format!("op: no operation here is named {name:?}")))?;
        }
        if self
            .key
            .as_ref()
            .is_some_and(|key| key.is_empty() || key.len() > TEXT_LIMIT)
        {
            return Err(InvalidFault("key must be an id, an alias or an ARN".to_owned()));
        }
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(InvalidFault("probability must be from 0 to 1".to_owned()));
        }
        self.latency_ms.iter().try_for_each(Latency::check)?;
        self.error.iter().try_for_each(InjectedError::check)?;
        let ends = [
            self.error.is_some(),
            self.hang,
            self.reset_connection,
            self.truncate_body,
        ];
        match ends.iter().filter(|given| **given).count() {
            0 if self.latency_ms.is_none() => Err(InvalidFault(
                "a fault needs one of latency_ms, error, hang, reset_connection and truncate_body".to_owned(),
            )),
            0 | 1 => Ok(()),
            _ => Err(InvalidFault(
                "a fault can have only one of error, hang, reset_connection and truncate_body".to_owned(),
            )),
        }
    }
}

/// An error to answer with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InjectedError {
    /// The error's name, such as `ThrottlingException`. Unknown names are allowed: clients must cope with them too.
    #[serde(rename = "type")]
    pub kind: String,
    /// The message. A default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The HTTP status, from 400 to 599. AWS's status for this error if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl InjectedError {
    fn check(&self) -> Result<(), InvalidFault> {
        let word = self
            .kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".#_".contains(&byte));
        if self.kind.is_empty() || self.kind.len() > 128 || !word {
            return Err(InvalidFault(
                "error.type must be a name such as KMSInternalException".to_owned(),
            ));
        }
        if self.message.as_ref().is_some_and(|message| message.len() > TEXT_LIMIT) {
            return Err(InvalidFault(format!("error.message: at most {TEXT_LIMIT} bytes")));
        }
        if self.status.is_some_and(|status| !(400..=599).contains(&status)) {
            return Err(InvalidFault("error.status must be from 400 to 599".to_owned()));
        }
        Ok(())
    }

    pub(super) fn to_error(&self) -> KmsError {
        let status = self.status.unwrap_or(match self.kind.as_str() {
            "KMSInternalException" | "KeyUnavailableException" | "InternalFailure" => 500,
            "DependencyTimeoutException" | "ServiceUnavailableException" => 503,
            _ => 400,
        });
        let message = self.message.clone().unwrap_or_else(|| match self.kind.as_str() {
            "ThrottlingException" => THROTTLED.to_owned(),
            _ => "This error was injected by kms-mock.".to_owned(),
        });
        KmsError {
            kind: self.kind.clone(),
            message,
            status,
        }
    }
}

/// The delay of an answer in milliseconds: random from `fixed - jitter` to `fixed + jitter`.
///
/// Parses from text such as `20ms` or `20ms+-5ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The middle.
    pub fixed: u64,
    /// The largest distance from the middle.
    #[serde(default)]
    pub jitter: u64,
}

impl Latency {
    pub(super) fn check(&self) -> Result<(), InvalidFault> {
        if self.fixed > LATENCY_LIMIT || self.jitter > LATENCY_LIMIT {
            return Err(InvalidFault("a latency must be at most an hour".to_owned()));
        }
        Ok(())
    }

    pub(super) fn draw(&self, random: &mut fastrand::Rng) -> Duration {
        // In microseconds: a jitter of 1 ms has more than three values. Both are at most an hour.
        let (fixed, jitter) = (self.fixed * 1000, self.jitter * 1000);
        Duration::from_micros(random.u64(fixed.saturating_sub(jitter)..=fixed + jitter))
    }
}

impl FromStr for Latency {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let milliseconds = |text: &str| text.strip_suffix("ms").and_then(|number| number.parse().ok());
        let latency = match text.split_once("+-") {
            Some((fixed, jitter)) => milliseconds(fixed).zip(milliseconds(jitter)),
            None => milliseconds(text).map(|fixed| (fixed, 0)),
        };
        let (fixed, jitter) =
            latency.ok_or_else(|| InvalidFault("a latency must have the form 20ms or 20ms+-5ms".to_owned()))?;
        let latency = Self { fixed, jitter };
        latency.check()?;
        Ok(latency)
    }
}

/// Why a fault or a setting is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFault(pub(crate) String);

impl fmt::Display for InvalidFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_as_text() {
        assert_eq!("20ms".parse(), Ok(Latency { fixed: 20, jitter: 0 }));
        assert_eq!("20ms+-5ms".parse(), Ok(Latency { fixed: 20, jitter: 5 }));
        for wrong in [
            "",
            "20",
            "ms",
            "20ms+-",
            "20ms+5ms",
            "-1ms",
            "99999999999999999999ms",
            "3600001ms",
        ] {
            assert!(wrong.parse::<Latency>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_latency_stays_within_its_jitter() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let drawn = Latency { fixed: 20, jitter: 5 }.draw(&mut random);
            assert!(
                (Duration::from_millis(15)..=Duration::from_millis(25)).contains(&drawn),
                "{drawn:?}"
            );
            let drawn = Latency { fixed: 1, jitter: 5 }.draw(&mut random);
            assert!(drawn <= Duration::from_millis(6), "{drawn:?}");
        }
    }

    #[test]
    fn a_fault_must_do_one_thing() {
        let two = Fault {
            hang: true,
            truncate_body: true,
            ..Fault::default()
        };
        let unlikely = Fault {
            probability: 1.5,
            hang: true,
            ..Fault::default()
        };
        let unknown = Fault {
            op: Some("Conjure".to_owned()),
            hang: true,
            ..Fault::default()
        };
        let success = InjectedError {
            kind: "X".to_owned(),
            message: None,
            status: Some(200),
        };
        let fine = Fault {
            error: Some(success),
            ..Fault::default()
        };
        for wrong in [Fault::default(), two, unlikely, unknown, fine] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
