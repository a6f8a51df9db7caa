//! How operations on many objects run.

/// How an operation on all objects under a prefix runs. Key calls are paced by the key provider, such as
/// `max_per_second` of AWS KMS.
#[derive(Debug, Clone)]
#[must_use = "settings of an operation"]
pub struct BulkOptions {
    pub(crate) concurrency: usize,
    pub(crate) start_after: Option<String>,
    pub(crate) conditional: bool,
    pub(crate) large_unconditionally: bool,
}

impl Default for BulkOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl BulkOptions {
    /// The default number of objects that are worked on at a time.
    pub const DEFAULT_CONCURRENCY: usize = 8;

    /// From the first object on, [`BulkOptions::DEFAULT_CONCURRENCY`] at a time, and with conditional writes.
    pub const fn new() -> Self {
        Self {
            concurrency: Self::DEFAULT_CONCURRENCY,
            start_after: None,
            conditional: true,
            large_unconditionally: false,
        }
    }

    /// Sets how many objects are worked on at a time; at least 1. Each of up to 64 MiB is held in memory, and with it its
    /// sealed form if it is sealed again.
    pub const fn with_concurrency(mut self, objects: usize) -> Self {
        self.concurrency = if objects == 0 { 1 } else { objects };
        self
    }

    /// Resumes after `location`, the last one that was reported. For stores that list objects in order, as S3 does.
    pub fn with_start_after(mut self, location: impl Into<String>) -> Self {
        self.start_after = Some(location.into());
        self
    }

    /// Writes objects over 64 MiB too, which are uploaded in parts and so without a condition: an object that another writer
    /// has put there meanwhile is lost.
    pub const fn with_large_objects_unconditionally(mut self) -> Self {
        self.large_unconditionally = true;
        self
    }

    /// Writes all objects without a condition: those that another writer has put there meanwhile are lost. For stores
    /// without conditional puts, while nothing else writes.
    pub const fn without_preconditions(mut self) -> Self {
        self.conditional = false;
        self
    }
}

/// What an operation has done to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Done {
    /// The object was written again.
    Changed,
    /// There was nothing to change.
    Unchanged,
    /// The object lies under a plaintext prefix, and was neither changed nor verified.
    Skipped,
    /// All of the object was read and verified.
    Verified {
        /// The plaintext's length, in bytes.
        plaintext_len: u64,
    },
}
