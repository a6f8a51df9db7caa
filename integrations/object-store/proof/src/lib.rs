//! Tests of `EncryptedStore` that need more than the workspace builds: see `tests`. The wrapper's README is one of them.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
