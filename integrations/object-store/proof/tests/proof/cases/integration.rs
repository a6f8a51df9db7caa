//! `object_store`'s own suite over the bare store and over the wrapper: what the one passes, the other passes.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sealstone_object_store::HeaderPlace;
use tokio::sync::Mutex;

use super::super::object_store::aws::S3CopyIfNotExists;
use super::super::object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use super::super::object_store::integration as suite;
use super::super::object_store::{ClientOptions, Error, ObjectStore, Result};
use super::{builder, encrypted, s3_builder};
use crate::common::{ATTACHED, Server};

type Case = fn(Arc<dyn ObjectStore>) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($name:ident ($($more:expr),*);)*) => {
        &[$((stringify!($name), |store| {
            Box::pin(async move { suite::$name(&*store, $($more),*).await })
        }),)*]
    };
}

const CASES: &[(&str, Case)] = cases! {
    put_get_delete_list();
    put_get_attributes();
    get_opts();
    put_opts(true);
    stream_get();
    list_uses_directories_correctly();
    list_with_delimiter();
    list_with_offset_exclusivity();
    rename_and_copy();
    copy_if_not_exists();
    copy_rename_nonexistent_object();
    multipart_race_condition(true);
    multipart_out_of_order();
};

/// What the bare store fails over older releases of moto, which lose metadata with underscores in its names.
const BARE_MAY_FAIL: &[&str] = &["put_get_attributes"];

/// How often a case may fail before it counts as failed: more than once where listings are late.
fn attempts() -> usize {
    if Server::of_environment().is_garage { 5 } else { 1 }
}

/// The names of the cases that fail over stores of new buckets.
async fn failures<S: ObjectStore>(new_store: impl Fn() -> S) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let mut passed = false;
        for _ in 0..attempts() {
            // A failed case panics.
            passed = passed || tokio::spawn(case(Arc::new(new_store()))).await.is_ok();
        }
        if !passed {
            failed.push(*name);
        }
    }
    let missing = suite::get_nonexistent_object(&new_store(), None).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    failed
}

/// A connection that takes one request at a time. In one case tasks compete to update an object, and moto is not atomic:
/// two of them can win, and a reader can see a new object before its metadata.
#[derive(Debug)]
struct Serial {
    client: HttpClient,
    turn: Mutex<()>,
}

#[derive(Debug)]
struct SerialConnector;

#[async_trait]
impl HttpService for Serial {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let _turn = self.turn.lock().await;
        self.client.execute(request).await
    }
}

impl HttpConnector for SerialConnector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(Serial {
            client: ReqwestConnector::default().connect(options)?,
            turn: Mutex::default(),
        }))
    }
}

fn bare() -> super::AmazonS3 {
    let mut builder = s3_builder();
    // Garage would overwrite.
    if !Server::of_environment().is_garage {
        builder = builder.with_copy_if_not_exists(S3CopyIfNotExists::Multipart);
    }
    builder.with_http_connector(SerialConnector).build().unwrap()
}

#[tokio::test]
async fn the_bare_store_fails_no_more_than_what_is_listed() {
    let failed = failures(bare).await;
    assert!(failed.iter().all(|name| BARE_MAY_FAIL.contains(name)), "{failed:?}");
}

async fn same_failures<S: ObjectStore>(new_store: impl Fn() -> S) {
    let of_bare = failures(bare).await;
    println!("the bare store fails {of_bare:?}");
    assert_eq!(failures(new_store).await, of_bare);
}

#[tokio::test]
async fn with_headers_in_metadata_everything_passes_that_the_bare_store_passes() {
    let probed = builder().probe(bare()).await.unwrap();
    assert_eq!(probed.capabilities().header_place, HeaderPlace::Metadata);
    let store = || encrypted(bare(), probed.capabilities());
    same_failures(store).await;
}

#[tokio::test]
async fn with_attached_headers_everything_passes_that_the_bare_store_passes() {
    same_failures(|| encrypted(bare(), ATTACHED)).await;
}
