//! What is read, and where the result goes.
//!
//! ```text
//! names -> Plan -> Job: Input -> Object (what is read has a header)
//!                       Place -> Destination (checked) -> Sink (open)
//! ```

mod input;
mod object;
mod output;
mod plan;

use std::path::Path;

pub(crate) use self::input::Input;
pub(crate) use self::object::{Body, Object, check_header, read_detached};
pub(crate) use self::output::{Destination, Place, Protected, Sink};
pub(crate) use self::plan::{Job, plan, try_all};

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
