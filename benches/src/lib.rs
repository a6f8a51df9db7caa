//! What the benches share: how they are set up, and the small objects that two of them measure.

pub mod setup;
pub mod small;
