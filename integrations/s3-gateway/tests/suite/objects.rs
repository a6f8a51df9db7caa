//! Objects: written, read in ranges, listed, copied, deleted.

use crate::client::{Client, plaintext};

const C: usize = 64 * 1024;

#[tokio::test]
async fn objects_come_back_and_every_request_has_their_plaintext_size() {
    let client = Client::new().await;
    let lens = [0, 1, 15, C - 1, C, C + 1, 3 * C + 5, 1_000_000, 6 << 20];
    for len in lens {
        let plain = plaintext(len);
        let put = client
            .put(
                &len.to_string(),
                &[("content-type", "text/x"), ("x-amz-meta-a", "b")],
                &*plain,
            )
            .await
            .ok();
        let etag = put.header("etag").unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.contains('-'), "{etag}");
        let get = client.get(&len.to_string(), &[]).await.ok();
        assert!(get.body == plain, "{len}");
        let head = client.head(&len.to_string(), &[]).await.ok();
        for response in [&get, &head] {
            assert_eq!(response.header("content-length"), Some(&*len.to_string()));
            assert_eq!(response.header("etag"), Some(&*etag));
            assert_eq!(response.header("content-type"), Some("text/x"));
            assert_eq!(response.header("x-amz-meta-a"), Some("b"));
            assert_eq!(response.header("x-amz-server-side-encryption"), Some("AES256"));
            assert_eq!(response.header("x-amz-meta-sealstone-header"), None);
        }
        let list = client
            .send("GET", &format!("/bucket?list-type=2&prefix={len}&delimiter=/"), &[], "")
            .await
            .ok();
        let at = list
            .elements("Key")
            .iter()
            .position(|key| *key == len.to_string())
            .unwrap();
        assert_eq!(list.elements("Size")[at], len.to_string());
        assert_eq!(list.elements("ETag")[at], etag);
    }
}

#[tokio::test]
async fn ranges_are_of_the_plaintext() {
    let client = Client::new().await;
    for len in [10, 3 * C + 7] {
        let plain = plaintext(len);
        client.put("o", &[], &*plain).await.ok();
        let cases = [
            ("bytes=0-0".to_owned(), 0..1),
            ("bytes=3-6".to_owned(), 3..7),
            ("bytes=5-".to_owned(), 5..len),
            ("bytes=-4".to_owned(), len - 4..len),
            (format!("bytes=-{}", 2 * len), 0..len),
            (format!("bytes=0-{}", 2 * len), 0..len),
            (format!("bytes={}-{}", len - 1, len), len - 1..len),
            (
                format!("bytes={}-{}", len / 2 - 3, len / 2 + 3),
                len / 2 - 3..len / 2 + 4,
            ),
        ];
        for (range, expected) in cases {
            for method in ["GET", "HEAD"] {
                let response = client.send(method, "/bucket/o", &[("range", &range)], "").await.ok();
                // s3s has no other status for HEAD.
                assert_eq!(
                    response.status,
                    if method == "GET" { 206 } else { 200 },
                    "{method} {range}"
                );
                let content_range = format!("bytes {}-{}/{len}", expected.start, expected.end - 1);
                assert_eq!(response.header("content-range"), Some(&*content_range));
                assert_eq!(response.header("content-length"), Some(&*expected.len().to_string()));
                if method == "GET" {
                    assert!(response.body == plain[expected.clone()], "{range}");
                }
            }
        }
        for range in [
            format!("bytes={len}-"),
            format!("bytes={}-{}", len + 5, len + 6),
            "bytes=-0".to_owned(),
        ] {
            let refused = client.get("o", &[("range", &range)]).await;
            assert_eq!(refused.error(), (416, "InvalidRange".to_owned()), "{range}");
            assert_eq!(refused.header("content-range"), Some(&*format!("bytes */{len}")));
        }
    }
    client.put("empty", &[], "").await.ok();
    for range in ["bytes=0-", "bytes=-5"] {
        assert_eq!(client.get("empty", &[("range", range)]).await.status, 416);
    }
}

#[tokio::test]
async fn checksums_are_verified_kept_and_returned() {
    let client = Client::new().await;
    // CRC-32 and CRC-32C of "123456789", from their definitions; SHA-256 and SHA-1 from FIPS 180's tools.
    let values = [
        ("crc32", "y/Q5Jg=="),
        ("crc32c", "4waSgw=="),
        ("crc64nvme", "rosUhgp5mIg="),
        ("sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
        ("sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
    ];
    for (name, value) in values {
        let header = format!("x-amz-checksum-{name}");
        let put = client.put("o", &[(&header, value)], "123456789").await;
        let put = put.ok();
        assert_eq!(put.header(&header), Some(value));
        for method in ["GET", "HEAD"] {
            let read = client
                .send(method, "/bucket/o", &[("x-amz-checksum-mode", "ENABLED")], "")
                .await
                .ok();
            assert_eq!(read.header(&header), Some(value), "{method}");
            assert_eq!(read.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
        }
        assert_eq!(client.get("o", &[]).await.header(&header), None);
        // Wrong, and of another length: the old object stays.
        let before = client.head("o", &[]).await.header("etag").unwrap().to_owned();
        let refused = client.put("o", &[(&header, value)], "12345678X").await;
        assert_eq!(refused.error(), (400, "BadDigest".to_owned()), "{name}");
        let refused = client.put("o", &[(&header, "AAA=")], "123456789").await;
        assert_eq!(refused.error(), (400, "InvalidRequest".to_owned()), "{name}");
        assert_eq!(client.head("o", &[]).await.header("etag"), Some(&*before));
    }
    let md5 = ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==");
    client.put("o", &[md5], "123456789").await.ok();
    assert_eq!(
        client.put("o", &[md5], "12345678").await.error(),
        (400, "BadDigest".to_owned())
    );
    let refused = client.put("o", &[("content-md5", "AAAA")], "123456789").await;
    assert_eq!(refused.error(), (400, "InvalidDigest".to_owned()));
    // None announced: CRC64NVME, as in S3.
    let put = client.put("o", &[], "123456789").await.ok();
    assert_eq!(put.header("x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
}

#[tokio::test]
async fn conditions_are_those_of_the_gateways_etags() {
    let client = Client::new().await;
    let etag = client
        .put("o", &[], "one")
        .await
        .ok()
        .header("etag")
        .unwrap()
        .to_owned();
    assert_eq!(client.get("o", &[("if-match", &etag)]).await.status, 200);
    assert_eq!(client.get("o", &[("if-none-match", &etag)]).await.status, 304);
    assert_eq!(client.head("o", &[("if-none-match", &etag)]).await.status, 304);
    assert_eq!(client.get("o", &[("if-match", "\"other\"")]).await.status, 412);
    assert_eq!(
        client
            .get("o", &[("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")])
            .await
            .status,
        304
    );
    assert_eq!(
        client
            .get("o", &[("if-unmodified-since", "Fri, 01 Jan 2010 00:00:00 GMT")])
            .await
            .status,
        412
    );
    // Writes.
    assert_eq!(client.put("o", &[("if-none-match", "*")], "two").await.status, 412);
    assert_eq!(client.put("o", &[("if-match", "\"other\"")], "two").await.status, 412);
    assert_eq!(client.put("new", &[("if-match", &etag)], "two").await.status, 404);
    client.put("new", &[("if-none-match", "*")], "two").await.ok();
    client.put("o", &[("if-match", &etag)], "two").await.ok();
    assert_eq!(client.put("o", &[("if-match", &etag)], "three").await.status, 412);
    assert_eq!(client.get("o", &[]).await.text(), "two");
}

#[tokio::test]
async fn listings_are_paged_and_hide_the_gateways_own_objects() {
    let client = Client::new().await;
    let keys = ["!", "a/1", "a/2", "b", "c/d/e", "~"];
    for key in keys {
        client.put(key, &[], "x").await.ok();
    }
    let own = sealstone_s3_gateway::backend::Location::new("bucket", ".sealstone/x");
    let body = sealstone_s3_gateway::backend::Body {
        len: 0,
        bytes: Box::pin(futures_util::stream::empty()),
    };
    client
        .backend
        .put(&own, body, Default::default(), Default::default(), Default::default())
        .await
        .unwrap();
    let expected = ["!", "a/1", "a/2", "b", "c/d/e", "~"];
    for max in [1, 2, 3, 1000] {
        for version in ["list-type=2&", ""] {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let list = client
                    .send("GET", &format!("/bucket?{version}max-keys={max}{after}"), &[], "")
                    .await
                    .ok();
                seen.extend(list.elements("Key"));
                if list.element("IsTruncated").unwrap() == "false" {
                    break;
                }
                after = match list.element("NextContinuationToken") {
                    Some(token) => format!("&continuation-token={}", token.replace('/', "%2F")),
                    None => format!("&marker={}", seen.last().unwrap().replace('/', "%2F")),
                };
            }
            assert_eq!(seen, expected, "{version}{max}");
        }
    }
    let list = client
        .send("GET", "/bucket?list-type=2&delimiter=/", &[], "")
        .await
        .ok();
    assert_eq!(list.elements("Key"), ["!", "b", "~"]);
    assert_eq!(list.elements("CommonPrefixes").len(), 2);
    assert_eq!(client.get(".sealstone/x", &[]).await.status, 403);
    assert_eq!(client.send("DELETE", "/bucket/.sealstone/x", &[], "").await.status, 403);
}

#[tokio::test]
async fn objects_are_deleted() {
    let client = Client::new().await;
    for key in ["a", "b", "c"] {
        client.put(key, &[], "x").await.ok();
    }
    assert_eq!(client.send("DELETE", "/bucket/a", &[], "").await.status, 204);
    assert_eq!(client.send("DELETE", "/bucket/a", &[], "").await.status, 204);
    assert_eq!(
        client.send("DELETE", "/bucket", &[], "").await.error(),
        (409, "BucketNotEmpty".to_owned())
    );
    let request = "<Delete><Object><Key>b</Key></Object><Object><Key>none</Key></Object><Object><Key>.sealstone/x</Key></Object></Delete>";
    let deleted = client.send("POST", "/bucket?delete", &[], request).await.ok();
    assert_eq!(deleted.elements("Deleted").len(), 2);
    assert_eq!(deleted.element("Code").unwrap(), "AccessDenied");
    let list = client.send("GET", "/bucket?list-type=2", &[], "").await.ok();
    assert_eq!(list.elements("Key"), ["c"]);
    client.send("DELETE", "/bucket/c", &[], "").await.ok();
    assert_eq!(client.send("DELETE", "/bucket", &[], "").await.status, 204);
    assert_eq!(client.get("c", &[]).await.error(), (404, "NoSuchBucket".to_owned()));
}

#[tokio::test]
async fn a_client_may_store_headers_of_its_own() {
    let client = Client::new().await;
    let names = [
        "sealstone-header",
        "sealstone_header",
        "of-client-sealstone-header",
        "of-client-of-client-sealstone-header",
        "of-client-other",
    ];
    let sent = names.map(|name| format!("x-amz-meta-{name}"));
    let pairs = sent.each_ref().map(|name| (name.as_str(), name.as_str()));
    client.put("o", &pairs, "plaintext").await.ok();
    client
        .send("PUT", "/bucket/copy", &[("x-amz-copy-source", "/bucket/o")], "")
        .await
        .ok();
    for key in ["o", "copy"] {
        let get = client.get(key, &[]).await.ok();
        assert_eq!(get.body, b"plaintext");
        for name in &sent {
            assert_eq!(get.header(name), Some(name.as_str()), "{key}");
        }
    }
}

#[tokio::test]
async fn tags_and_metadata_are_kept() {
    let client = Client::new().await;
    client.put("o", &[("x-amz-tagging", "a=1&b=%26")], "x").await.ok();
    let tags = client.send("GET", "/bucket/o?tagging", &[], "").await.ok();
    assert_eq!(tags.elements("Value"), ["1", "&"]);
    let tagging = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
    client.send("PUT", "/bucket/o?tagging", &[], tagging).await.ok();
    let tags = client.send("GET", "/bucket/o?tagging", &[], "").await.ok();
    assert_eq!(tags.elements("Key"), ["k"]);
    client.send("DELETE", "/bucket/o?tagging", &[], "").await.ok();
    let tags = client.send("GET", "/bucket/o?tagging", &[], "").await.ok();
    assert!(tags.elements("Key").is_empty());
    let long = "x".repeat(2048);
    let refused = client.put("o", &[("x-amz-meta-a", &long)], "x").await;
    assert_eq!(refused.error(), (400, "MetadataTooLarge".to_owned()));
}

#[tokio::test]
async fn what_is_not_done_is_refused() {
    let client = Client::new().await;
    for (name, value, status) in [
        ("x-amz-acl", "public-read", 400),
        ("x-amz-grant-read", "id=x", 400),
        ("x-amz-object-lock-mode", "GOVERNANCE", 400),
        ("x-amz-website-redirect-location", "/x", 501),
    ] {
        assert_eq!(client.put("o", &[(name, value)], "x").await.status, status, "{name}");
    }
    client.put("o", &[("x-amz-acl", "private")], "x").await.ok();
    for version in ["null", ""] {
        client
            .send("GET", &format!("/bucket/o?versionId={version}"), &[], "")
            .await
            .ok();
    }
    assert_eq!(
        client.send("GET", "/bucket/o?versionId=x", &[], "").await.error(),
        (404, "NoSuchVersion".to_owned())
    );
}

#[tokio::test]
async fn a_copy_replaces_what_its_conditions_allow() {
    let client = Client::new().await;
    let etag = client
        .put("o", &[], "old")
        .await
        .ok()
        .header("etag")
        .unwrap()
        .to_owned();
    client.put("source", &[], "new").await.ok();
    let from = ("x-amz-copy-source", "bucket/source");
    assert_eq!(client.put("o", &[from, ("if-none-match", "*")], "").await.status, 412);
    assert_eq!(
        client.put("o", &[from, ("if-match", "\"other\"")], "").await.status,
        412
    );
    assert_eq!(client.get("o", &[]).await.text(), "old");
    client.put("o", &[from, ("if-match", &etag)], "").await.ok();
    assert_eq!(client.get("o", &[]).await.text(), "new");
    client.put("absent", &[from, ("if-none-match", "*")], "").await.ok();
}
