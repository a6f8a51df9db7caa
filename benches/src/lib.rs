//! Shared by the benches: their setup, and the small objects that two of them measure.

pub mod setup;
pub mod small;
