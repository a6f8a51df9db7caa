//! Multipart uploads: parts in any order, again with other bytes, on any instance.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use futures_util::{StreamExt, TryStreamExt, stream};
use s3s::crypto::{Checksum as _, Crc32, Crc64Nvme};
use sealstone_s3_gateway::backend::{Attributes, Body, Condition, ListRequest, Location, StoredRange, Tags};
use sealstone_s3_gateway::uploads::sweep;

use crate::client::{Client, Response, borrowed, customer_headers, plaintext};

const MIB: usize = 1 << 20;

/// An upload of the object `o`.
struct Upload<'a> {
    client: &'a Client,
    id: String,
}

impl<'a> Upload<'a> {
    async fn begin(client: &'a Client, headers: &[(&str, &str)]) -> Self {
        let created = client.send("POST", "/bucket/o?uploads", headers, "").await.ok();
        let id = created.element("UploadId").unwrap();
        Self { client, id }
    }

    async fn part(&self, number: u16, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let path = format!("/bucket/o?partNumber={number}&uploadId={}", self.id);
        self.client.send("PUT", &path, headers, body).await
    }

    async fn etag(&self, number: u16, body: &[u8]) -> String {
        self.part(number, &[], body)
            .await
            .ok()
            .header("etag")
            .unwrap()
            .to_owned()
    }

    async fn complete(&self, parts: &[(u16, &str)], headers: &[(&str, &str)]) -> Response {
        let parts = parts
            .iter()
            .map(|(number, etag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
        let body = format!(
            "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
            parts.collect::<String>()
        );
        let path = format!("/bucket/o?uploadId={}", self.id);
        self.client.send("POST", &path, headers, body).await
    }
}

/// How many objects of its own the gateway has in the bucket.
async fn own_objects(client: &Client) -> usize {
    let request = ListRequest {
        prefix: ".sealstone/".to_owned(),
        max: 1000,
        ..ListRequest::default()
    };
    client.backend.list("bucket", &request).await.unwrap().objects.len()
}

#[tokio::test]
async fn parts_come_in_any_order_and_again_with_other_bytes() {
    let client = Client::new().await;
    let upload = Upload::begin(&client, &[("content-type", "text/x"), ("x-amz-meta-a", "b")]).await;
    let [one, two, three] = [5 * MIB, 6 * MIB + 3, 100].map(plaintext);
    let e7 = upload.etag(7, &three).await;
    let stale = upload.etag(2, &one).await;
    let e2 = upload.etag(2, &two).await;
    let e1 = upload.etag(1, &one).await;
    assert_ne!(stale, e2);
    let listed = client
        .send("GET", &format!("/bucket/o?uploadId={}", upload.id), &[], "")
        .await
        .ok();
    assert_eq!(listed.elements("PartNumber"), ["1", "2", "7"]);
    assert_eq!(listed.elements("ETag"), [&*e1, &*e2, &*e7]);
    assert_eq!(
        listed.elements("Size"),
        [one.len(), two.len(), three.len()].map(|len| len.to_string())
    );
    assert_eq!(client.head("o", &[]).await.status, 404);

    let completed = upload.complete(&[(1, &e1), (2, &e2), (7, &e7)], &[]).await.ok();
    let whole = [&one[..], &two, &three].concat();
    let get = client.get("o", &[("x-amz-checksum-mode", "ENABLED")]).await.ok();
    assert!(get.body == whole);
    assert_eq!(get.header("etag"), completed.element("ETag").as_deref());
    assert_eq!(get.header("content-type"), Some("text/x"));
    assert_eq!(get.header("x-amz-meta-a"), Some("b"));
    let crc = Base64::encode_string(Crc64Nvme::checksum(&whole).as_ref());
    assert_eq!(get.header("x-amz-checksum-crc64nvme"), Some(&*crc));
    assert_eq!(
        client.head("o", &[]).await.header("content-length"),
        Some(&*whole.len().to_string())
    );
    let list = client.send("GET", "/bucket?list-type=2", &[], "").await.ok();
    assert_eq!(list.elements("Size"), [whole.len().to_string()]);
    let seam = 5 * MIB - 10..5 * MIB + 10;
    let range = format!("bytes={}-{}", seam.start, seam.end - 1);
    assert!(client.get("o", &[("range", &range)]).await.ok().body == whole[seam]);
    for (number, part) in [(1, &one), (2, &two), (3, &three)] {
        let got = client
            .send("GET", &format!("/bucket/o?partNumber={number}"), &[], "")
            .await
            .ok();
        assert!(got.body == *part);
        assert_eq!((got.status, got.header("x-amz-mp-parts-count")), (206, Some("3")));
        assert_eq!(got.header("etag"), get.header("etag"), "one for all parts");
    }
    let none = client.send("GET", "/bucket/o?partNumber=4", &[], "").await;
    assert_eq!(none.error(), (416, "InvalidPartNumber".to_owned()));
    assert_eq!(own_objects(&client).await, 0);
    // The response was lost, and the client asks again; but not for something else.
    let again = upload.complete(&[(1, &e1), (2, &e2), (7, &e7)], &[]).await.ok();
    assert_eq!(again.element("ETag"), completed.element("ETag"));
    assert_eq!(
        upload.complete(&[(1, &e1)], &[]).await.error(),
        (404, "NoSuchUpload".to_owned())
    );
    assert_eq!(
        upload.part(3, &[], b"x").await.error(),
        (404, "NoSuchUpload".to_owned())
    );
}

/// The last part has every length, and every place.
#[tokio::test]
async fn the_last_part_may_be_short_or_the_only_one() {
    let client = Client::new().await;
    let five = plaintext(5 * MIB);
    for last in [0, 1, 65_535, 65_536, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1] {
        for numbers in [(1, 2), (9_999, 10_000), (3, 10_000)] {
            let last = plaintext(last);
            let upload = Upload::begin(&client, &[]).await;
            let (first, second) = (upload.etag(numbers.0, &five).await, upload.etag(numbers.1, &last).await);
            upload
                .complete(&[(numbers.0, &first), (numbers.1, &second)], &[])
                .await
                .ok();
            assert!(client.get("o", &[]).await.ok().body == [&five[..], &last].concat());
            let upload = Upload::begin(&client, &[]).await;
            let only = upload.etag(numbers.1, &last).await;
            upload.complete(&[(numbers.1, &only)], &[]).await.ok();
            assert!(client.get("o", &[]).await.ok().body == last);
        }
    }
    assert_eq!(own_objects(&client).await, 0);
}

#[tokio::test]
async fn completions_that_s3_refuses_are_refused_and_may_be_repeated() {
    let client = Client::new().await;
    let upload = Upload::begin(&client, &[]).await;
    let (small, large) = (plaintext(100), plaintext(5 * MIB));
    let (e1, e2, e3) = (
        upload.etag(1, &small).await,
        upload.etag(2, &large).await,
        upload.etag(3, &small).await,
    );
    let other = "\"00000000000000000000000000000000\"";
    let refused = [
        (vec![(1, &*e1), (2, &*e2)], 400, "EntityTooSmall"),
        (vec![(2, &*e2), (1, &*e1)], 400, "InvalidPartOrder"),
        (vec![(2, &*e2), (2, &*e2)], 400, "InvalidPartOrder"),
        (vec![(2, other)], 400, "InvalidPart"),
        (vec![(2, &*e2), (4, &*e3)], 400, "InvalidPart"),
        (vec![(3, &*e2)], 400, "InvalidPart"),
        (vec![], 400, "MalformedXML"),
    ];
    for (parts, status, code) in refused {
        assert_eq!(
            upload.complete(&parts, &[]).await.error(),
            (status, code.to_owned()),
            "{parts:?}"
        );
    }
    client.put("o", &[], "there").await.ok();
    assert_eq!(
        upload.complete(&[(2, &e2)], &[("if-none-match", "*")]).await.status,
        412
    );
    upload.complete(&[(2, &e2), (3, &e3)], &[]).await.ok();
    assert!(client.get("o", &[]).await.ok().body == [&large[..], &small].concat());
    for number in [0, 10_001] {
        assert_eq!(upload.part(number, &[], b"x").await.status, 400);
    }
    for id in ["", "x", &upload.id.to_uppercase()] {
        let upload = Upload {
            client: &client,
            id: id.to_owned(),
        };
        assert!(upload.part(1, &[], b"x").await.status >= 400);
        assert_eq!(upload.complete(&[(2, &e2)], &[]).await.status / 100, 4);
    }
}

#[tokio::test]
async fn customers_keys_are_the_same_for_all_parts() {
    let client = Client::new().await;
    let (right, wrong) = (customer_headers(1, ""), customer_headers(2, ""));
    let upload = Upload::begin(&client, &borrowed(&right)).await;
    assert_eq!(
        upload.part(1, &[], b"x").await.error(),
        (400, "InvalidRequest".to_owned())
    );
    assert_eq!(
        upload.part(1, &borrowed(&wrong), b"x").await.error(),
        (400, "InvalidArgument".to_owned())
    );
    let part = upload.part(1, &borrowed(&right), b"secret").await.ok();
    let etag = part.header("etag").unwrap();
    assert_eq!(
        upload.complete(&[(1, etag)], &[]).await.error(),
        (400, "InvalidRequest".to_owned())
    );
    upload.complete(&[(1, etag)], &borrowed(&right)).await.ok();
    assert_eq!(client.get("o", &borrowed(&right)).await.ok().text(), "secret");
    assert_eq!(client.get("o", &[]).await.status, 400);
}

/// A data key is made once and unwrapped once for the parts, once for the completion and once for the reads.
#[tokio::test]
async fn a_part_costs_no_call_to_the_key_service() {
    let client = Client::new().await;
    let upload = Upload::begin(&client, &[("x-amz-server-side-encryption", "aws:kms")]).await;
    let mut parts = Vec::new();
    for number in 1..=4 {
        parts.push((number, upload.etag(number, &plaintext(5 * MIB)).await));
    }
    let parts: Vec<_> = parts.iter().map(|(number, etag)| (*number, &**etag)).collect();
    let done = upload.complete(&parts, &[]).await.ok();
    assert_eq!(done.header("x-amz-server-side-encryption"), Some("aws:kms"));
    client.get("o", &[]).await.ok();
    client.get("o", &[("range", "bytes=0-5")]).await.ok();
    let events = client.kms.audit_events();
    let names: Vec<_> = events
        .iter()
        .map(|event| event["eventName"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["GenerateDataKey", "Decrypt", "Decrypt"]);
}

#[tokio::test]
async fn checksums_of_parts_become_the_objects() {
    let client = Client::new().await;
    let (one, two) = (plaintext(5 * MIB), plaintext(77));
    let crc = |bytes: &[u8]| Crc32::checksum(bytes);
    let whole = Base64::encode_string(&crc(&[&one[..], &two].concat()));
    let of_parts = format!("{}-2", Base64::encode_string(&crc(&[crc(&one), crc(&two)].concat())));
    for (kind, expected) in [("COMPOSITE", of_parts), ("FULL_OBJECT", whole)] {
        let upload = Upload::begin(
            &client,
            &[("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", kind)],
        )
        .await;
        let value = Base64::encode_string(&crc(&one));
        let part = upload.part(1, &[("x-amz-checksum-crc32", &value)], &one).await.ok();
        assert_eq!(part.header("x-amz-checksum-crc32"), Some(&*value));
        let e1 = part.header("etag").unwrap();
        assert_eq!(
            upload.part(1, &[("x-amz-checksum-crc32", &value)], &two).await.error(),
            (400, "BadDigest".to_owned())
        );
        assert_eq!(
            upload
                .part(
                    1,
                    &[("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE=")],
                    b"123456789"
                )
                .await
                .error(),
            (400, "InvalidRequest".to_owned())
        );
        let e2 = upload.etag(2, &two).await;
        let parts = [(1, e1), (2, &*e2)];
        assert_eq!(
            upload
                .complete(&parts, &[("x-amz-checksum-crc32", "AAAAAA==")])
                .await
                .error(),
            (400, "BadDigest".to_owned())
        );
        let done = upload
            .complete(&parts, &[("x-amz-checksum-crc32", &expected)])
            .await
            .ok();
        assert_eq!(done.element("ChecksumCRC32").as_deref(), Some(&*expected));
        let head = client.head("o", &[("x-amz-checksum-mode", "ENABLED")]).await.ok();
        assert_eq!(head.header("x-amz-checksum-crc32"), Some(&*expected));
        assert_eq!(head.header("x-amz-checksum-type"), Some(kind));
    }
    let refused = client
        .send(
            "POST",
            "/bucket/o?uploads",
            &[
                ("x-amz-checksum-algorithm", "SHA256"),
                ("x-amz-checksum-type", "FULL_OBJECT"),
            ],
            "",
        )
        .await;
    assert_eq!(refused.error(), (400, "InvalidRequest".to_owned()));
}

#[tokio::test]
async fn any_instance_continues_an_upload() {
    let client = Client::new().await;
    let other = client.another_instance();
    let upload = Upload::begin(&client, &[]).await;
    let there = Upload {
        client: &other,
        id: upload.id.clone(),
    };
    let (one, two) = (plaintext(5 * MIB), plaintext(9));
    let (e1, e2) = (upload.etag(1, &one).await, there.etag(2, &two).await);
    let parts = [(1, &*e1), (2, &*e2)];
    // Two completions at once: the object is made once, and both know it.
    let (first, second) = tokio::join!(upload.complete(&parts, &[]), there.complete(&parts, &[]));
    assert_eq!(first.ok().element("ETag"), second.ok().element("ETag"));
    assert!(other.get("o", &[]).await.ok().body == [&one[..], &two].concat());
    assert_eq!(own_objects(&client).await, 0);
}

#[tokio::test]
async fn parts_are_copied_from_objects() {
    let client = Client::new().await;
    let (one, from) = (customer_headers(1, ""), customer_headers(1, "copy-source-"));
    let source = plaintext(6 * MIB);
    client.put("source", &borrowed(&one), &*source).await.ok();
    let upload = Upload::begin(&client, &[]).await;
    let mut headers = vec![
        ("x-amz-copy-source", "bucket/source"),
        ("x-amz-copy-source-range", "bytes=10-5242889"),
    ];
    headers.extend(borrowed(&from));
    let copied = upload.part(1, &headers, b"").await.ok().element("ETag").unwrap();
    headers[1].1 = "bytes=0-4";
    let short = upload.part(2, &headers, b"").await.ok().element("ETag").unwrap();
    upload.complete(&[(1, &copied), (2, &short)], &[]).await.ok();
    assert!(client.get("o", &[]).await.ok().body == [&source[10..10 + 5 * MIB], &source[..5]].concat());
    let upload = Upload::begin(&client, &[]).await;
    headers[1].1 = "bytes=0-6291456";
    assert_eq!(
        upload.part(2, &headers, b"").await.error(),
        (416, "InvalidRange".to_owned())
    );
    headers[1].1 = "bytes=0-";
    assert_eq!(
        upload.part(2, &headers, b"").await.error(),
        (400, "InvalidArgument".to_owned())
    );
}

#[tokio::test]
async fn uploads_are_listed_aborted_and_swept() {
    let client = Client::new().await;
    let one = Upload::begin(&client, &[]).await;
    let two = Upload::begin(&client, &[("x-amz-server-side-encryption", "aws:kms")]).await;
    one.etag(1, b"short").await;
    one.etag(2, &plaintext(5 * MIB)).await;
    let listed = client.send("GET", "/bucket?uploads", &[], "").await.ok();
    let mut ids = listed.elements("UploadId");
    ids.sort();
    let mut expected = vec![one.id.clone(), two.id.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    let first = client.send("GET", "/bucket?uploads&max-uploads=1", &[], "").await.ok();
    let next = format!(
        "/bucket?uploads&key-marker={}&upload-id-marker={}",
        first.element("NextKeyMarker").unwrap(),
        first.element("NextUploadIdMarker").unwrap()
    );
    let second = client.send("GET", &next, &[], "").await.ok();
    assert_eq!(
        [first.elements("UploadId"), second.elements("UploadId")].concat(),
        expected
    );
    let abort = format!("/bucket/o?uploadId={}", one.id);
    assert_eq!(client.send("DELETE", &abort, &[], "").await.status, 204);
    assert_eq!(
        client.send("DELETE", &abort, &[], "").await.error(),
        (404, "NoSuchUpload".to_owned())
    );
    assert_eq!(own_objects(&client).await, 1);
    let ring = client.ring.clone();
    assert_eq!(
        sweep(&*client.backend, &ring, "bucket", Duration::from_secs(60))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        sweep(&*client.backend, &ring, "bucket", Duration::ZERO).await.unwrap(),
        1
    );
    assert_eq!(own_objects(&client).await, 0);
}

/// As in S3: a client that repeats a part may name either response.
#[tokio::test]
async fn the_same_bytes_have_the_same_etag_in_one_upload_only() {
    let client = Client::new().await;
    let (upload, other) = (Upload::begin(&client, &[]).await, Upload::begin(&client, &[]).await);
    let large = plaintext(5 * MIB);
    for bytes in [&large[..], b"short"] {
        let first = upload.etag(1, bytes).await;
        assert_eq!(upload.etag(1, bytes).await, first);
        assert_ne!(upload.etag(2, bytes).await, first);
        assert_ne!(other.etag(1, bytes).await, first);
        assert!(!first.contains(&Base64::encode_string(Crc64Nvme::checksum(bytes).as_ref())));
    }
    let short = upload.etag(1, b"short").await;
    upload.complete(&[(1, &short)], &[]).await.ok();
    assert_eq!(client.get("o", &[]).await.text(), "short");
}

/// Nothing that depends on the plaintext but its length is in the names that the store sees.
#[tokio::test]
async fn the_store_learns_no_checksum() {
    let client = Client::new().await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let upload = Upload::begin(&client, &[("x-amz-checksum-algorithm", "SHA256")]).await;
        upload.etag(1, b"known plaintext").await;
        let request = ListRequest {
            prefix: ".sealstone/".to_owned(),
            max: 1000,
            ..ListRequest::default()
        };
        let listed = client.backend.list("bucket", &request).await.unwrap().objects;
        let part = listed
            .into_iter()
            .find(|object| object.key.contains("/parts/") && !names.contains(&object.key));
        names.push(part.unwrap().key);
    }
    let digest = s3s::crypto::Sha256::checksum(b"known plaintext");
    let encoded = base64ct::Base64UrlUnpadded::encode_string(digest.as_ref());
    let masked: Vec<&str> = names.iter().map(|name| name.rsplit('.').next().unwrap()).collect();
    assert_eq!(masked[0].len(), encoded.len());
    assert!(masked.iter().all(|masked| *masked != encoded));
    assert_ne!(masked[0], masked[1]);
}

/// Another instance may complete an upload, or have died while it removed what is left of it.
#[tokio::test]
async fn a_completion_succeeds_again_when_the_parts_are_gone() {
    let client = Client::new().await;
    let upload = Upload::begin(&client, &[]).await;
    let etag = upload.etag(1, b"part").await;
    let request = ListRequest {
        prefix: ".sealstone/".to_owned(),
        max: 1000,
        ..ListRequest::default()
    };
    let own = client.backend.list("bucket", &request).await.unwrap().objects;
    let control = own.iter().find(|object| object.key.ends_with("/upload")).unwrap();
    let control = Location::new("bucket", &*control.key);
    let stored = client
        .backend
        .get(&control, StoredRange::Bytes(0..u64::MAX), None)
        .await
        .unwrap();
    let items: Vec<_> = stored.bytes.try_collect().await.unwrap();
    let completed = upload.complete(&[(1, &etag)], &[]).await.ok().element("ETag");
    assert_eq!(own_objects(&client).await, 0);
    let body = Body {
        len: stored.range.end,
        bytes: stream::iter(items.into_iter().map(Ok)).boxed(),
    };
    let put = client
        .backend
        .put(&control, body, Attributes::default(), Tags::new(), Condition::None);
    put.await.unwrap();
    let again = upload.complete(&[(1, &etag)], &[]).await.ok().element("ETag");
    assert_eq!(again, completed);
    let other = upload.complete(&[(2, &etag)], &[]).await;
    assert_eq!(other.error(), (400, "InvalidPart".to_owned()));
}

#[tokio::test]
async fn an_upload_of_the_store_without_a_control_object_is_swept() {
    let client = Client::new().await;
    let (at, ring) = (Location::new("bucket", "o"), client.ring.clone());
    let known = Upload::begin(&client, &[]).await;
    let created = client.backend.create_upload(&at, Attributes::default(), Tags::new());
    created.await.unwrap();
    let stored = async || client.backend.uploads("bucket").await.unwrap().len();
    assert_eq!(stored().await, 2);
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(sweep(&*client.backend, &ring, "bucket", day).await.unwrap(), 0);
    assert_eq!(stored().await, 2);
    known.etag(1, b"part").await;
    assert_eq!(
        sweep(&*client.backend, &ring, "bucket", Duration::ZERO).await.unwrap(),
        1
    );
    assert_eq!(stored().await, 0);
}
