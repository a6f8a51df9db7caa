//! Keys in the order of their bytes, from directories that are in no order.
//!
//! ```text
//! directories and objects by the first key that they can contain --smallest--> a directory: add what it contains
//!                                                                              an object: the next key
//! ```
//!
//! A directory is read only if it can contain wanted keys, and of what it contains only as much is kept as fits into the
//! page. So the memory of a page is bounded, and its work by the directories that its keys are in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};

use super::bucket::Bucket;
use super::files::{failed, found};
use super::names::{self, Entry, PRIVATE};
use crate::backend::listing::Listing;
use crate::backend::{BackendError, ListPage, ListRequest};

/// What the walk has not reached yet. The order is by the first key that it can contain.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    /// The object's key, or what all keys in the directory begin with.
    start: String,
    /// Its name in its directory; empty for the bucket.
    name: String,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Object(PathBuf),
    Directory(PathBuf),
    /// The entries of this directory after the node, which was its last.
    Rest {
        directory: PathBuf,
        start: String,
    },
}

/// Lists a bucket's objects.
pub(super) fn list(bucket: &Bucket, request: &ListRequest) -> Result<ListPage, BackendError> {
    bucket.required()?;
    let mut listing = Listing::new(request);
    let root = Node {
        start: String::new(),
        name: String::new(),
        kind: Kind::Directory(bucket.dir().to_owned()),
    };
    let mut nodes = BinaryHeap::from([Reverse(root)]);
    while let Some(Reverse(Node { start, name, kind })) = nodes.pop() {
        match kind {
            Kind::Object(path) => {
                // Names that we do not write can decode to any key.
                let is_own = listing.wants(&start) && bucket.dir().join(names::path(&start)) == path;
                if is_own && listing.push(&start, || bucket.listed(&start))?.is_break() {
                    break;
                }
            }
            Kind::Directory(path) if listing.is_one_group(&start) => {
                if listing.may_want(&start) && contains_objects(&path)? && listing.push(&start, || Ok(None))?.is_break()
                {
                    break;
                }
            }
            Kind::Directory(path) if listing.may_want(&start) => {
                nodes.extend(expand(&path, &start, None, &listing)?.into_iter().map(Reverse));
            }
            Kind::Directory(_) => {}
            Kind::Rest {
                directory,
                start: prefix,
            } => {
                nodes.extend(
                    expand(&directory, &prefix, Some((&start, &name)), &listing)?
                        .into_iter()
                        .map(Reverse),
                );
            }
        }
    }
    Ok(listing.finish())
}

/// Whether the bucket has no objects, nor files that someone else has put there.
pub(super) fn is_empty(bucket: &Bucket) -> Result<bool, BackendError> {
    let mut left = vec![bucket.dir().to_owned()];
    while let Some(directory) = left.pop() {
        let Some(entries) = found(fs::read_dir(&directory), &directory)? else {
            continue;
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed(&error, &directory))?;
            if directory == bucket.dir() && entry.file_name() == PRIVATE {
                continue;
            }
            match found(entry.file_type(), &directory)? {
                Some(kind) if kind.is_dir() => left.push(entry.path()),
                Some(_) => return Ok(false),
                None => {}
            }
        }
    }
    Ok(true)
}

/// The first entries of a directory that can be wanted, after one of them, as many as the page can take.
fn expand(
    directory: &Path,
    prefix: &str,
    after: Option<(&str, &str)>,
    listing: &Listing<'_>,
) -> Result<Vec<Node>, BackendError> {
    let room = listing.room() + 1;
    let mut first = BinaryHeap::new();
    let mut is_cut = false;
    for_each(directory, |name, entry| {
        let (text, is_directory) = match entry {
            Entry::Object(text) => (text, false),
            Entry::Directory(text) => (text, true),
        };
        let start = format!("{prefix}{text}");
        let wanted = if is_directory {
            listing.may_want(&start)
        } else {
            listing.wants(&start)
        };
        let is_after = after.is_none_or(|last| (start.as_str(), name) > last);
        if wanted && is_after {
            first.push((start, name.to_owned(), is_directory));
        }
        if first.len() > room {
            first.pop();
            is_cut = true;
        }
        true
    })?;
    let rest = first.peek().filter(|_| is_cut).map(|(start, name, _)| Node {
        start: start.clone(),
        name: name.clone(),
        kind: Kind::Rest {
            directory: directory.to_owned(),
            start: prefix.to_owned(),
        },
    });
    let nodes = first.into_iter().map(|(start, name, is_directory)| Node {
        kind: if is_directory { Kind::Directory } else { Kind::Object }(directory.join(&name)),
        start,
        name,
    });
    Ok(nodes.chain(rest).collect())
}

/// Whether there is an object in the directory or in any below it.
fn contains_objects(directory: &Path) -> Result<bool, BackendError> {
    let mut below = vec![directory.to_owned()];
    while let Some(directory) = below.pop() {
        let mut contains = false;
        for_each(&directory, |name, entry| {
            match entry {
                Entry::Object(_) => contains = true,
                Entry::Directory(_) => below.push(directory.join(name)),
            }
            !contains
        })?;
        if contains {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Calls `visit` for the entries of a directory that can be ours, until it returns false. A directory that does not exist
/// has none: its last object was deleted. Symbolic links are none.
fn for_each(directory: &Path, mut visit: impl FnMut(&str, Entry) -> bool) -> Result<(), BackendError> {
    let Some(entries) = found(fs::read_dir(directory), directory)? else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error, directory))?;
        let Some(kind) = found(entry.file_type(), directory)? else {
            continue;
        };
        let name = entry.file_name();
        let Some(name) = name
            .to_str()
            .filter(|name| *name != PRIVATE && (kind.is_file() || kind.is_dir()))
        else {
            continue;
        };
        let Some(decoded) = names::entry(name, kind.is_dir()) else {
            continue;
        };
        if !visit(name, decoded) {
            break;
        }
    }
    Ok(())
}
