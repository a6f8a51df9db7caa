//! The store in memory.

use std::sync::Arc;

use sealstone_s3_gateway::backend::MemoryBackend;

use super::{conformance, listing};

#[tokio::test]
async fn memory_conforms() {
    conformance::all(Arc::new(MemoryBackend::default())).await;
    conformance::local(Arc::new(MemoryBackend::default())).await;
}

#[test]
fn memory_lists_as_the_oracle() {
    listing::property(|| Arc::new(MemoryBackend::default()), 300);
}
