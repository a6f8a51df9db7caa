//! The cases with `object_store` 0.14.

pub(crate) use ::object_store;
pub(crate) use sealstone_object_store::v0_14 as subject;

#[path = "cases/all.rs"]
pub(crate) mod cases;

/// New in 0.14: what an HTTP client adds to an answer reaches the caller.
#[tokio::test]
async fn the_extensions_of_answers_reach_the_caller() {
    use object_store::integration::{MarkerHttpConnector, response_extensions};

    let inner = || {
        let builder = cases::s3_builder().with_http_connector(MarkerHttpConnector::default());
        builder.build().unwrap()
    };
    response_extensions(&inner(), true).await;
    for capabilities in [crate::common::METADATA, crate::common::ATTACHED] {
        response_extensions(&cases::encrypted(inner(), capabilities), true).await;
    }
}
