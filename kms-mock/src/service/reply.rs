//! What handlers return: an answer or an error, with what the audit log records of either.

use serde::Serialize;
use serde_json::Value;

use super::output::as_logged;
use crate::audit::{AdditionalData, Findings};
use crate::error::KmsError;

pub(super) type Reply<T> = Result<Done<T>, Refused>;

/// A call that succeeded.
#[derive(Debug)]
pub(super) struct Done<T> {
    pub(super) answer: T,
    resources: Vec<String>,
    response: Option<Value>,
    additional: AdditionalData,
}

/// A call that failed.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: KmsError,
    resources: Vec<String>,
}

/// Runs `then`, and has the audit log list these ARNs as resources however it ends.
pub(super) fn about<T, const N: usize>(arns: [&str; N], then: impl FnOnce() -> Reply<T>) -> Reply<T> {
    let add = |resources: &mut Vec<String>| {
        resources.splice(0..0, arns.map(str::to_owned));
    };
    match then() {
        Ok(mut done) => {
            add(&mut done.resources);
            Ok(done)
        }
        Err(mut refused) => {
            add(&mut refused.resources);
            Err(refused)
        }
    }
}

impl<T> Done<T> {
    pub(super) fn new(answer: T) -> Self {
        Self {
            answer,
            resources: Vec::new(),
            response: None,
            additional: AdditionalData::default(),
        }
    }

    /// Lists one more ARN as a resource.
    pub(super) fn and_about(mut self, arn: String) -> Self {
        self.resources.push(arn);
        self
    }

    /// Records which key materials were used.
    pub(super) fn with_materials(self, additional: AdditionalData) -> Self {
        Self { additional, ..self }
    }

    /// Records this response.
    pub(super) fn with_response(self, response: Value) -> Self {
        Self {
            response: Some(response),
            ..self
        }
    }

    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Done<U> {
        Done {
            answer: map(self.answer),
            resources: self.resources,
            response: self.response,
            additional: self.additional,
        }
    }

    pub(super) fn split(self) -> (T, Findings) {
        let findings = Findings {
            parameters: None,
            response: self.response,
            additional: self.additional,
            resources: self.resources,
        };
        (self.answer, findings)
    }
}

impl<T: Serialize> Done<T> {
    /// Records the answer as the response.
    pub(super) fn logged(self) -> Self {
        Self {
            response: serde_json::to_value(&self.answer).ok().map(as_logged),
            ..self
        }
    }
}

impl Refused {
    pub(super) fn split(self) -> (KmsError, Findings) {
        let findings = Findings {
            resources: self.resources,
            ..Findings::default()
        };
        (self.error, findings)
    }
}

impl From<KmsError> for Refused {
    fn from(error: KmsError) -> Self {
        Self {
            error,
            resources: Vec::new(),
        }
    }
}
