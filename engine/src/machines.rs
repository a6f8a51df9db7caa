//! Sealing and opening without I/O: the public form of the machines in `encrypt` and `decrypt`.

mod opener;
mod sealer;

pub use self::opener::{OpenedRest, StreamOpener};
pub use self::sealer::{SealedRest, StreamSealer};
