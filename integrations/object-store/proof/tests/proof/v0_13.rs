//! The cases with `object_store` 0.13.

pub(crate) use object_store_0_13 as object_store;
pub(crate) use sealstone_object_store::v0_13 as subject;

#[path = "cases/all.rs"]
pub(crate) mod cases;
