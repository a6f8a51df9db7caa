//! The cases with `object_store` 0.14.

use object_store_0_14 as object_store;
use sealstone_object_store::v0_14 as subject;

#[path = "cases/all.rs"]
mod cases;
