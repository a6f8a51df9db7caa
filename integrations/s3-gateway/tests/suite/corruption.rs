//! What a store does to sealed objects is refused, and nothing but sealed bytes reaches it.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use sealstone_s3_gateway::backend::{Attributes, Backend, Body, Condition, Location, StoredRange};

use crate::client::{Client, borrowed, customer_headers, plaintext};

async fn stored(backend: &dyn Backend, key: &str) -> (Vec<u8>, Attributes) {
    let at = Location::new("bucket", key);
    let got = backend.get(&at, StoredRange::Bytes(0..u64::MAX), None).await.unwrap();
    let bytes: Vec<_> = got.bytes.try_collect().await.unwrap();
    (bytes.concat(), got.object.attributes)
}

async fn store(backend: &dyn Backend, key: &str, payload: Vec<u8>, attributes: Attributes) {
    let body = Body {
        len: payload.len() as u64,
        bytes: stream::once(async { Ok(payload.into()) }).boxed(),
    };
    let at = Location::new("bucket", key);
    backend
        .put(&at, body, attributes, BTreeMap::new(), Condition::None)
        .await
        .unwrap();
}

/// Of a small object every bit, of a longer one every byte of what is not chunks and some of what is.
#[tokio::test]
async fn every_flipped_bit_is_refused() {
    let client = Client::new().await;
    client.put("o", &[], "attack at dawn").await.ok();
    let (payload, attributes) = stored(&*client.backend, "o").await;
    for bit in 0..payload.len() * 8 {
        let mut flipped = payload.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        store(&*client.backend, "o", flipped, attributes.clone()).await;
        let got = client.get("o", &[]).await;
        assert!(got.status >= 400, "bit {bit}: {}", got.status);
        assert!(!got.text().contains("attack"));
        if bit % 8 == 0 {
            let copied = client
                .put(
                    "copy",
                    &[
                        ("x-amz-copy-source", "bucket/o"),
                        ("x-amz-server-side-encryption", "aws:kms"),
                    ],
                    "",
                )
                .await;
            assert!(copied.status >= 400, "bit {bit}: {}", copied.status);
        }
        // A range is refused, or has nothing to do with the bit.
        let ranged = client.get("o", &[("range", "bytes=0-5")]).await;
        assert!(ranged.status >= 400 || ranged.text() == "attack", "bit {bit}");
    }
    let header = attributes.metadata["sealstone-header"].clone();
    for at in 0..header.len() {
        let mut changed = header.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let mut attributes = attributes.clone();
        attributes
            .metadata
            .insert("sealstone-header".to_owned(), String::from_utf8(changed).unwrap());
        store(&*client.backend, "o", payload.clone(), attributes).await;
        let got = client.get("o", &[]).await;
        assert!(got.status >= 400, "character {at}");
    }
}

/// In the middle of a long object, after the status line: the body is aborted.
#[tokio::test]
async fn a_body_that_turns_out_altered_is_aborted() {
    let client = Client::new().await;
    client.put("o", &[], plaintext(4 << 20)).await.ok();
    let (mut payload, attributes) = stored(&*client.backend, "o").await;
    payload[3 << 20] ^= 1;
    store(&*client.backend, "o", payload, attributes).await;
    let got = client.get("o", &[]).await;
    assert!(got.aborted || got.status >= 400);
    assert!(got.body.len() < 3 << 20);
}

#[tokio::test]
async fn objects_without_a_header_moved_or_cut_are_refused() {
    let client = Client::new().await;
    client.put("o", &[], plaintext(100_000)).await.ok();
    let (payload, attributes) = stored(&*client.backend, "o").await;
    // Ciphertext is not data.
    store(&*client.backend, "bare", payload.clone(), Attributes::default()).await;
    assert_eq!(
        client.get("bare", &[]).await.error(),
        (400, "InvalidRequest".to_owned())
    );
    assert_eq!(client.head("bare", &[]).await.status, 400);
    // Its key is bound to its place.
    store(&*client.backend, "moved", payload.clone(), attributes.clone()).await;
    assert!(client.get("moved", &[]).await.status >= 400);
    // Every other length.
    for len in [0, 1, payload.len() / 2, payload.len() - 1] {
        store(&*client.backend, "o", payload[..len].to_vec(), attributes.clone()).await;
        assert!(client.get("o", &[]).await.status >= 400, "{len}");
    }
    store(&*client.backend, "o", [&payload[..], &[0]].concat(), attributes).await;
    assert!(client.get("o", &[]).await.status >= 400);
}

#[tokio::test]
async fn no_plaintext_reaches_the_store() {
    let client = Client::new().await;
    let marker = b"MARKER-OF-PLAINTEXT-0123456789";
    let plain = marker.repeat(5000);
    let customer = customer_headers(7, "");
    let kms = [("x-amz-server-side-encryption", "aws:kms")];
    for (key, headers) in [("s3", &[][..]), ("kms", &kms), ("customer", &borrowed(&customer))] {
        client.put(key, headers, &*plain).await.ok();
        let (payload, attributes) = stored(&*client.backend, key).await;
        assert!(!payload.windows(marker.len()).any(|window| window == marker), "{key}");
        assert!(!format!("{attributes:?}").contains("MARKER"));
        assert!(
            !format!("{attributes:?}").contains(&customer[1].1),
            "the customer's key"
        );
    }
}

/// Clients repeat a HEAD that failed with 500, and see nothing but the status.
#[tokio::test]
async fn no_damaged_header_makes_a_head_fail_with_500() {
    let client = Client::new().await;
    client.put("o", &[], "x").await.ok();
    let (payload, attributes) = stored(&*client.backend, "o").await;
    let header = attributes.metadata["sealstone-header"].clone();
    for at in 0..header.len() {
        let mut changed = header.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let mut attributes = attributes.clone();
        let changed = String::from_utf8(changed).unwrap();
        attributes.metadata.insert("sealstone-header".to_owned(), changed);
        store(&*client.backend, "o", payload.clone(), attributes).await;
        for headers in [&[][..], &[("x-amz-checksum-mode", "ENABLED")]] {
            let status = client.head("o", headers).await.status;
            assert!(
                status == 200 || (400..500).contains(&status) || status == 503,
                "character {at}: {status}"
            );
        }
    }
}

/// Whoever copies a damaged object is told what is wrong, and stores nothing.
#[tokio::test]
async fn a_copy_of_an_altered_object_is_refused_as_such() {
    let client = Client::new().await;
    client.put("o", &[], plaintext(4 << 20)).await.ok();
    let (mut payload, attributes) = stored(&*client.backend, "o").await;
    payload[3 << 20] ^= 1;
    store(&*client.backend, "o", payload, attributes).await;
    let kms = [
        ("x-amz-copy-source", "bucket/o"),
        ("x-amz-server-side-encryption", "aws:kms"),
    ];
    let copied = client.put("copy", &kms, "").await;
    assert_eq!(copied.error(), (500, "InternalError".to_owned()));
    assert!(copied.text().contains("cannot be opened"), "{}", copied.text());
    assert_eq!(client.head("copy", &[]).await.status, 404);
}
