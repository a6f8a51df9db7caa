//! How many requests to the store a request of a client costs.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use sealstone_s3_gateway::backend::{
    Attributes, Backend, BackendError, Body, Condition, ListPage, ListRequest, Location, MemoryBackend, StoredBytes,
    StoredObject, StoredRange, StoredUpload, Tags, UploadedPart,
};

use crate::client::{Client, plaintext};

/// A store in memory that notes the names of requests.
#[derive(Debug, Default)]
struct Counting {
    store: MemoryBackend,
    requests: Mutex<Vec<&'static str>>,
}

impl Counting {
    fn note(&self, request: &'static str) -> &MemoryBackend {
        self.requests.lock().unwrap().push(request);
        &self.store
    }

    /// The requests since it was asked last.
    fn requests(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

#[async_trait]
impl Backend for Counting {
    async fn buckets(&self) -> Result<Vec<(String, SystemTime)>, BackendError> {
        self.note("buckets").buckets().await
    }

    async fn create_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        self.note("create_bucket").create_bucket(bucket).await
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        self.note("delete_bucket").delete_bucket(bucket).await
    }

    async fn head_bucket(&self, bucket: &str) -> Result<Option<SystemTime>, BackendError> {
        self.note("head_bucket").head_bucket(bucket).await
    }

    async fn put(
        &self,
        at: &Location,
        body: Body,
        attributes: Attributes,
        tags: Tags,
        condition: Condition,
    ) -> Result<String, BackendError> {
        self.note("put").put(at, body, attributes, tags, condition).await
    }

    async fn head(&self, at: &Location) -> Result<StoredObject, BackendError> {
        self.note("head").head(at).await
    }

    async fn get(&self, at: &Location, range: StoredRange, etag: Option<&str>) -> Result<StoredBytes, BackendError> {
        self.note("get").get(at, range, etag).await
    }

    async fn delete(&self, at: &Location, condition: Condition) -> Result<(), BackendError> {
        self.note("delete").delete(at, condition).await
    }

    async fn copy(
        &self,
        from: &Location,
        etag: &str,
        to: &Location,
        attributes: Attributes,
        tags: Option<Tags>,
        condition: Condition,
    ) -> Result<String, BackendError> {
        self.note("copy")
            .copy(from, etag, to, attributes, tags, condition)
            .await
    }

    async fn list(&self, bucket: &str, request: &ListRequest) -> Result<ListPage, BackendError> {
        self.note("list").list(bucket, request).await
    }

    async fn tags(&self, at: &Location) -> Result<Tags, BackendError> {
        self.note("tags").tags(at).await
    }

    async fn set_tags(&self, at: &Location, tags: Tags) -> Result<(), BackendError> {
        self.note("set_tags").set_tags(at, tags).await
    }

    async fn create_upload(&self, at: &Location, attributes: Attributes, tags: Tags) -> Result<String, BackendError> {
        self.note("create_upload").create_upload(at, attributes, tags).await
    }

    async fn put_part(&self, at: &Location, upload: &str, number: u16, body: Body) -> Result<String, BackendError> {
        self.note("put_part").put_part(at, upload, number, body).await
    }

    async fn complete_upload(
        &self,
        at: &Location,
        upload: &str,
        parts: &[UploadedPart],
        condition: Condition,
    ) -> Result<String, BackendError> {
        self.note("complete_upload")
            .complete_upload(at, upload, parts, condition)
            .await
    }

    async fn abort_upload(&self, at: &Location, upload: &str) -> Result<(), BackendError> {
        self.note("abort_upload").abort_upload(at, upload).await
    }

    async fn uploads(&self, bucket: &str) -> Result<Vec<StoredUpload>, BackendError> {
        self.note("uploads").uploads(bucket).await
    }
}

#[tokio::test]
async fn reads_and_listings_cost_what_they_must() {
    let store = Arc::new(Counting::default());
    let client = Client::over(store.clone()).await;
    // The first one looks up the bucket's default encryption.
    client.put("small", &[], plaintext(4096)).await.ok();
    store.requests();
    client.put("small", &[], plaintext(4096)).await.ok();
    assert_eq!(store.requests(), ["put"]);
    client.put("large", &[], plaintext(1 << 20)).await.ok();
    assert_eq!(store.requests(), ["put"]);

    client.head("large", &[]).await.ok();
    assert_eq!(store.requests(), ["head"]);
    client.get("small", &[]).await.ok();
    assert_eq!(store.requests(), ["get"]);
    client.get("large", &[]).await.ok();
    assert_eq!(store.requests(), ["get", "get"]);
    // One more than a store of plaintext needs: the manifest is at the end.
    client.get("large", &[("range", "bytes=4096-8191")]).await.ok();
    assert_eq!(store.requests(), ["get", "get"]);
}

#[tokio::test]
async fn a_listing_of_1000_keys_is_one_request() {
    let store = Arc::new(Counting::default());
    let client = Client::over(store.clone()).await;
    for number in 0..1000 {
        client.put(&format!("{number:04}"), &[], vec![7; number]).await.ok();
    }
    store.requests();
    for listing in ["/bucket", "/bucket?list-type=2"] {
        let listed = client.send("GET", listing, &[], "").await.ok();
        assert_eq!(store.requests(), ["list"]);
        let sizes: Vec<usize> = listed
            .elements("Size")
            .iter()
            .map(|size| size.parse().unwrap())
            .collect();
        assert!(sizes.into_iter().eq(0..1000));
    }
}
