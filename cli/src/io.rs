//! What is read, and where the result goes.
//!
//! ```text
//! names -> Plan -> Job: Input -> Object (what is read has a header)
//!                       Place -> Destination (checked) -> Sink (open)
//! stores: the same for objects in stores
//! Roles: what is read, and may be neither read for something else nor written
//! ```

mod access;
mod descriptor;
mod extent;
mod input;
mod kind;
mod location;
mod object;
mod output;
mod place;
mod plan;
mod reader;
mod roles;
mod stores;
mod stream;

use std::path::Path;

pub(crate) use self::access::{Keep, access};
pub(crate) use self::descriptor::Descriptor;
pub(crate) use self::extent::{Extent, is_block_device};
pub(crate) use self::input::Input;
pub(crate) use self::location::{StoreUrl, parse_name};
pub(crate) use self::object::{Body, Object, check_header, check_object_length, read_detached};
pub(crate) use self::output::{Destination, Sink, create_file};
pub(crate) use self::place::Place;
pub(crate) use self::plan::{Job, plan, try_all};
pub(crate) use self::roles::{Roles, Source};
pub(crate) use self::stores::{Bulk, BulkDone, Content, Operation, StoredObject, for_each_stored};
pub(crate) use self::stream::Stream;

/// The name that stands for standard input and output.
const STANDARD: &str = "-";

/// Whether a path stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new(STANDARD)
}

/// A path as messages show it.
pub(crate) fn display(path: &Path) -> String {
    if is_standard(path) {
        return "standard input".to_owned();
    }
    crate::text::path(path)
}
