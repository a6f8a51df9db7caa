//! Stand-in.

use std::io;
use std::path::Path;

#[derive(Debug, Default)]
pub(crate) struct AuditLog {}

impl AuditLog {
    pub(crate) fn to_file(path: &Path) -> io::Result<Self> {
        let _ = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self {})
    }

    pub(crate) fn to_stdout() -> Self {
        Self {}
    }

    pub(crate) fn keeping(self, events: usize) -> Self {
        let _ = events;
        self
    }

    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let Self {} = self;
        Vec::new()
    }
}
