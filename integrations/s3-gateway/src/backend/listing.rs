//! What a listing returns, for backends that go through their keys in order themselves.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::{BackendError, ListPage, ListRequest, ListedObject};

/// A page that is being filled with keys, in the order of their bytes.
#[derive(Debug)]
pub(super) struct Listing<'r> {
    prefix: &'r str,
    delimiter: Option<&'r str>,
    max: usize,
    after: After,
    page: ListPage,
}

/// Where a listing is.
#[derive(Debug)]
enum After {
    Nothing,
    /// After this key.
    Key(String),
    /// After all keys of this group.
    Group(String),
}

impl<'r> Listing<'r> {
    pub(super) fn new(request: &'r ListRequest) -> Self {
        let mut listing = Self {
            prefix: &request.prefix,
            delimiter: delimiter(request),
            max: request.max,
            after: After::Nothing,
            page: ListPage::default(),
        };
        // A token is a key or a group. It is never before `start_after`.
        if let Some(after) = request.token.as_ref().or(request.start_after.as_ref()) {
            listing.after = match listing.group(after) {
                Some(group) if group == after => After::Group(after.clone()),
                _ => After::Key(after.clone()),
            };
        }
        listing
    }

    /// No key before this one is wanted.
    pub(super) fn begins_at(&self) -> &str {
        match &self.after {
            After::Key(after) | After::Group(after) if after.as_str() > self.prefix => after,
            _ => self.prefix,
        }
    }

    /// How many keys and groups the page can still take.
    pub(super) const fn room(&self) -> usize {
        self.max - (self.page.objects.len() + self.page.prefixes.len())
    }

    /// Whether the key belongs to the rest of the listing.
    pub(super) fn wants(&self, key: &str) -> bool {
        key.starts_with(self.prefix)
            && match &self.after {
                After::Nothing => true,
                After::Key(after) => key > after.as_str(),
                After::Group(group) => key > group.as_str() && !key.starts_with(group.as_str()),
            }
    }

    /// Whether a key that begins with `start` may belong to the rest of the listing.
    pub(super) fn may_want(&self, start: &str) -> bool {
        let fits = start.starts_with(self.prefix) || self.prefix.starts_with(start);
        fits && match &self.after {
            After::Nothing => true,
            After::Key(after) => start > after.as_str() || after.starts_with(start),
            After::Group(group) => {
                !start.starts_with(group.as_str()) && (start > group.as_str() || group.starts_with(start))
            }
        }
    }

    /// Whether all keys that begin with `start` belong to one group and to the rest of the listing, so that any of them
    /// stands for all.
    pub(super) fn is_one_group(&self, start: &str) -> bool {
        self.group(start).is_some()
            && match &self.after {
                After::Nothing => true,
                After::Key(after) | After::Group(after) => !after.starts_with(start) && start > after.as_str(),
            }
    }

    /// The group that the key belongs to.
    fn group<'k>(&self, key: &'k str) -> Option<&'k str> {
        group(self.prefix, self.delimiter, key)
    }

    /// Adds a wanted key, unless the page is full. `object` returns what to list; `None` if it was deleted.
    pub(super) fn push(
        &mut self,
        key: &str,
        object: impl FnOnce() -> Result<Option<ListedObject>, BackendError>,
    ) -> Result<ControlFlow<()>, BackendError> {
        if self.room() == 0 {
            self.page.next = match &self.after {
                After::Nothing => None,
                After::Key(after) | After::Group(after) => Some(after.clone()),
            };
            return Ok(ControlFlow::Break(()));
        }
        if let Some(group) = self.group(key).map(str::to_owned) {
            self.page.prefixes.push(group.clone());
            self.after = After::Group(group);
        } else if let Some(object) = object()? {
            debug_assert_eq!(object.key.as_str().cmp(key), Ordering::Equal);
            self.page.objects.push(object);
            self.after = After::Key(key.to_owned());
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn finish(self) -> ListPage {
        self.page
    }
}

/// The delimiter, if keys are grouped.
pub(super) fn delimiter(request: &ListRequest) -> Option<&str> {
    request.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())
}

/// The group that a key belongs to.
pub(super) fn group<'k>(prefix: &str, delimiter: Option<&str>, key: &'k str) -> Option<&'k str> {
    let delimiter = delimiter?;
    let end = key.strip_prefix(prefix)?.find(delimiter)? + delimiter.len();
    Some(&key[..prefix.len() + end])
}
