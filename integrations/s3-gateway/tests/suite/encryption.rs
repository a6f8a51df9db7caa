//! The three modes: which key is used, what is returned, and what is refused.

use base64ct::{Base64, Encoding};
use serde_json::json;

use crate::client::{Client, borrowed, customer_headers};

const MODE: &str = "x-amz-server-side-encryption";
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CONTEXT: &str = "x-amz-server-side-encryption-context";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";

#[tokio::test]
async fn the_key_service_is_asked_with_the_context_and_the_key_is_returned() {
    let client = Client::new().await;
    let context = Base64::encode_string(json!({"team": "red"}).to_string().as_bytes());
    let put = client
        .put(
            "o",
            &[(MODE, "aws:kms"), (KMS_KEY, "alias/mine"), (CONTEXT, &context)],
            "secret",
        )
        .await
        .ok();
    let arn = put.header(KMS_KEY).unwrap().to_owned();
    assert!(arn.starts_with("arn:aws:kms:"), "{arn}");
    assert_eq!(put.header(MODE), Some("aws:kms"));
    assert_eq!(put.header(CONTEXT), Some(&*context));
    for method in ["GET", "HEAD"] {
        let read = client.send(method, "/bucket/o", &[], "").await.ok();
        assert_eq!(read.header(MODE), Some("aws:kms"));
        assert_eq!(read.header(KMS_KEY), Some(&*arn));
        assert_eq!(read.header(CONTEXT), None, "S3 never returns it");
    }
    let expected = json!({"aws:s3:arn": "arn:aws:s3:::bucket/o", "team": "red"});
    let events = client.kms.audit_events();
    let events: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["eventName"].as_str().unwrap(),
                &event["requestParameters"]["encryptionContext"],
            )
        })
        .collect();
    assert_eq!(events, [("GenerateDataKey", &expected), ("Decrypt", &expected)]);
    // Another object's ARN.
    let foreign = Base64::encode_string(json!({"aws:s3:arn": "arn:aws:s3:::bucket/p"}).to_string().as_bytes());
    let refused = client
        .put("o", &[(MODE, "aws:kms"), (CONTEXT, &foreign)], "secret")
        .await;
    assert_eq!(refused.error(), (400, "InvalidArgument".to_owned()));
}

#[tokio::test]
async fn bucket_keys_cost_one_call_for_many_objects() {
    let client = Client::new().await;
    for number in 0..20 {
        let put = client
            .put(&number.to_string(), &[(MODE, "aws:kms"), (BUCKET_KEY, "true")], "x")
            .await
            .ok();
        assert_eq!(put.header(BUCKET_KEY), Some("true"));
        client.get(&number.to_string(), &[]).await.ok();
    }
    let events = client.kms.audit_events();
    assert!(events.len() <= 2, "{} calls", events.len());
    assert_eq!(
        events[0]["requestParameters"]["encryptionContext"]["aws:s3:arn"],
        "arn:aws:s3:::bucket"
    );
}

#[tokio::test]
async fn customers_keys_are_demanded_and_compared() {
    let client = Client::new().await;
    let (right, wrong) = (customer_headers(1, ""), customer_headers(2, ""));
    let put = client.put("o", &borrowed(&right), "secret").await.ok();
    assert_eq!(
        put.header("x-amz-server-side-encryption-customer-algorithm"),
        Some("AES256")
    );
    assert_eq!(
        put.header("x-amz-server-side-encryption-customer-key-md5"),
        Some(&*right[2].1)
    );
    assert_eq!(put.header(MODE), None);
    assert_eq!(client.get("o", &borrowed(&right)).await.ok().text(), "secret");
    assert_eq!(client.get("o", &[]).await.error(), (400, "InvalidRequest".to_owned()));
    assert_eq!(
        client.get("o", &borrowed(&wrong)).await.error(),
        (403, "AccessDenied".to_owned())
    );
    assert_eq!(client.head("o", &[]).await.status, 400);
    assert_eq!(client.head("o", &borrowed(&wrong)).await.status, 403);
    client.head("o", &borrowed(&right)).await.ok();
    // After a successful read the key is still demanded.
    assert_eq!(client.get("o", &borrowed(&wrong)).await.status, 403);
    client.put("plain", &[], "x").await.ok();
    assert_eq!(
        client.get("plain", &borrowed(&right)).await.error(),
        (400, "InvalidRequest".to_owned())
    );
    client.send("DELETE", "/bucket/o", &[], "").await.ok();
}

/// Each line: what is changed in a request with a customer's key, and the error.
#[tokio::test]
async fn invalid_encryption_headers_have_s3s_errors() {
    let client = Client::new().await;
    let customer = customer_headers(1, "");
    let [algorithm, key, md5] = &customer[..] else {
        unreachable!()
    };
    let with = |changes: &[(&str, Option<&str>)]| -> Vec<(String, String)> {
        let mut headers = customer.clone();
        for (name, value) in changes {
            headers.retain(|(known, _)| known != name);
            if let Some(value) = value {
                headers.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        headers
    };
    let short = Base64::encode_string(&[1; 16]);
    let cases = [
        (
            with(&[(&algorithm.0, Some("AES128"))]),
            "InvalidEncryptionAlgorithmError",
        ),
        (with(&[(&algorithm.0, None)]), "InvalidArgument"),
        (with(&[(&key.0, None)]), "InvalidArgument"),
        (with(&[(&md5.0, None)]), "InvalidArgument"),
        (with(&[(&key.0, Some(&short))]), "InvalidArgument"),
        (with(&[(&md5.0, Some("AAAAAAAAAAAAAAAAAAAAAA=="))]), "InvalidArgument"),
        (with(&[(MODE, Some("AES256"))]), "InvalidArgument"),
        (with(&[(MODE, Some("aws:kms"))]), "InvalidArgument"),
    ];
    for (headers, code) in cases {
        let refused = client.put("o", &borrowed(&headers), "x").await;
        assert_eq!(refused.error(), (400, code.to_owned()), "{headers:?}");
    }
    for (headers, status, code) in [
        (&[(MODE, "AES128")][..], 400, "InvalidArgument"),
        (&[(MODE, "aws:kms:dsse")], 501, "NotImplemented"),
        (&[(KMS_KEY, "alias/mine")], 400, "InvalidArgument"),
        (&[(MODE, "AES256"), (KMS_KEY, "alias/mine")], 400, "InvalidArgument"),
        (
            &[(MODE, "aws:kms"), (KMS_KEY, "alias/none")],
            400,
            "KMS.NotFoundException",
        ),
        (&[(MODE, "aws:kms"), (CONTEXT, "e30")], 400, "InvalidArgument"),
    ] {
        let refused = client.put("o", headers, "x").await;
        assert_eq!(refused.error(), (status, code.to_owned()), "{headers:?}");
    }
    assert_eq!(client.head("o", &[]).await.status, 404, "nothing was stored");
    let client = client.unencrypted();
    let refused = client.put("o", &borrowed(&customer), "x").await;
    assert_eq!(refused.error(), (400, "InvalidRequest".to_owned()));
}

#[tokio::test]
async fn copies_change_the_key_and_keep_the_bytes() {
    let client = Client::new().await;
    let (one, two) = (customer_headers(1, ""), customer_headers(2, ""));
    let (from_one, from_two) = (customer_headers(1, "copy-source-"), customer_headers(2, "copy-source-"));
    client.put("s3", &[("x-amz-meta-a", "b")], "secret").await.ok();
    client.put("kms", &[(MODE, "aws:kms")], "secret").await.ok();
    client.put("one", &borrowed(&one), "secret").await.ok();
    let kms = vec![(MODE.to_owned(), "aws:kms".to_owned())];
    let bucket_key = vec![kms[0].clone(), (BUCKET_KEY.to_owned(), "true".to_owned())];
    let s3 = vec![(MODE.to_owned(), "AES256".to_owned())];
    for (source, source_key) in [("s3", &[][..]), ("kms", &[]), ("one", &from_one)] {
        for (to, headers) in [
            ("default", &vec![]),
            ("s3", &s3),
            ("kms", &kms),
            ("bucket", &bucket_key),
            ("two", &two),
        ] {
            let target = format!("copy-{source}-{to}");
            let from = format!("bucket/{source}");
            let mut request = vec![("x-amz-copy-source", &*from)];
            request.extend(borrowed(headers));
            request.extend(borrowed(source_key));
            let copied = client.put(&target, &request, "").await.ok();
            assert!(copied.element("ETag").unwrap().contains('-'));
            let key = if to == "two" { borrowed(&two) } else { vec![] };
            let read = client.get(&target, &key).await.ok();
            assert_eq!(read.text(), "secret", "{target}");
            let mode = match to {
                "default" | "s3" => Some("AES256"),
                "two" => None,
                _ => Some("aws:kms"),
            };
            assert_eq!(read.header(MODE), mode, "{target}");
            assert_eq!(read.header("x-amz-meta-a"), (source == "s3").then_some("b"));
        }
    }
    // Onto itself: only with a change.
    let refused = client.put("s3", &[("x-amz-copy-source", "bucket/s3")], "").await;
    assert_eq!(refused.error(), (400, "InvalidRequest".to_owned()));
    client
        .put("s3", &[("x-amz-copy-source", "bucket/s3"), (MODE, "aws:kms")], "")
        .await
        .ok();
    assert_eq!(client.get("s3", &[]).await.header(MODE), Some("aws:kms"));
    let replace = [
        ("x-amz-copy-source", "bucket/s3"),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-c", "d"),
        (MODE, "aws:kms"),
    ];
    client.put("s3", &replace, "").await.ok();
    let read = client.get("s3", &[]).await.ok();
    assert_eq!(
        (read.header("x-amz-meta-a"), read.header("x-amz-meta-c")),
        (None, Some("d"))
    );
    assert_eq!(read.text(), "secret");
    // With the wrong key of the source, nothing.
    let mut request = vec![("x-amz-copy-source", "bucket/one")];
    request.extend(borrowed(&from_two));
    assert_eq!(
        client.put("no", &request, "").await.error(),
        (403, "AccessDenied".to_owned())
    );
}

fn configuration(rule: &str) -> String {
    format!("<ServerSideEncryptionConfiguration><Rule>{rule}</Rule></ServerSideEncryptionConfiguration>")
}

#[tokio::test]
async fn a_buckets_default_counts_where_the_request_says_nothing() {
    let client = Client::new().await;
    let none = client.send("GET", "/bucket?encryption", &[], "").await;
    let not_found = (404, "ServerSideEncryptionConfigurationNotFoundError".to_owned());
    assert_eq!(none.error(), not_found);
    let kms = configuration(
        "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>alias/mine</KMSMasterKeyID></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled><BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>",
    );
    client.send("PUT", "/bucket?encryption", &[], &*kms).await.ok();
    // On this instance at once, and on any other.
    for client in [&client, &client.another_instance()] {
        let found = client.send("GET", "/bucket?encryption", &[], "").await.ok();
        assert_eq!(found.element("SSEAlgorithm").as_deref(), Some("aws:kms"));
        assert_eq!(found.element("KMSMasterKeyID").as_deref(), Some("alias/mine"));
        assert_eq!(found.element("BucketKeyEnabled").as_deref(), Some("true"));
        assert_eq!(found.element("EncryptionType").as_deref(), Some("SSE-C"));
        let put = client.put("o", &[], "x").await.ok();
        assert_eq!(
            (put.header(MODE), put.header(BUCKET_KEY)),
            (Some("aws:kms"), Some("true"))
        );
        let put = client.put("o", &[(BUCKET_KEY, "false")], "x").await.ok();
        assert_eq!((put.header(MODE), put.header(BUCKET_KEY)), (Some("aws:kms"), None));
        let put = client.put("o", &[(MODE, "AES256")], "x").await.ok();
        assert_eq!((put.header(MODE), put.header(KMS_KEY)), (Some("AES256"), None));
        let refused = client.put("o", &borrowed(&customer_headers(1, "")), "x").await;
        assert_eq!(refused.error(), (403, "AccessDenied".to_owned()));
        let upload = client.send("POST", "/bucket/o?uploads", &[], "").await.ok();
        assert_eq!(upload.header(MODE), Some("aws:kms"));
    }
    for invalid in [
        "".to_owned(),
        configuration(
            "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>x</SSEAlgorithm></ApplyServerSideEncryptionByDefault>",
        ),
        configuration("<Other/>"),
        kms.replace("</Rule>", "</Rule><Rule></Rule>"),
    ] {
        let refused = client.send("PUT", "/bucket?encryption", &[], invalid).await;
        assert_eq!(refused.error(), (400, "MalformedXML".to_owned()));
    }
    assert_eq!(client.send("DELETE", "/bucket?encryption", &[], "").await.status, 204);
    assert_eq!(client.put("o", &[], "x").await.ok().header(MODE), Some("AES256"));
    assert_eq!(
        client.send("GET", "/none?encryption", &[], "").await.error(),
        (404, "NoSuchBucket".to_owned())
    );
    // Nothing of it hinders the bucket's deletion.
    client.send("PUT", "/bucket?encryption", &[], &*kms).await.ok();
    client.send("DELETE", "/bucket/o", &[], "").await.ok();
    client.send("DELETE", "/bucket", &[], "").await.ok();
    client.send("PUT", "/bucket", &[], "").await.ok();
    assert_eq!(client.put("o", &[], "x").await.ok().header(MODE), Some("AES256"));
}

#[tokio::test]
async fn an_objects_key_is_changed_without_its_data() {
    let client = Client::new().await;
    let kms = [(MODE, "aws:kms"), (KMS_KEY, "alias/mine")];
    let arn = client
        .put("mine", &kms, "x")
        .await
        .ok()
        .header(KMS_KEY)
        .unwrap()
        .to_owned();
    let update = |arn: &str, bucket_key: bool| {
        format!(
            "<ObjectEncryption><SSE-KMS><KMSKeyArn>{arn}</KMSKeyArn><BucketKeyEnabled>{bucket_key}</BucketKeyEnabled></SSE-KMS></ObjectEncryption>"
        )
    };
    for (key, headers) in [("s3", &[][..]), ("kms", &[(MODE, "aws:kms")])] {
        let etag = client
            .put(key, headers, "secret")
            .await
            .ok()
            .header("etag")
            .unwrap()
            .to_owned();
        for bucket_key in [false, true] {
            let path = format!("/bucket/{key}?encryption");
            client.send("PUT", &path, &[], update(&arn, bucket_key)).await.ok();
            let read = client.get(key, &[]).await.ok();
            assert_eq!(read.text(), "secret");
            assert_eq!(read.header("etag"), Some(&*etag));
            assert_eq!(read.header(KMS_KEY), Some(&*arn));
            assert_eq!(read.header(BUCKET_KEY), bucket_key.then_some("true"));
        }
    }
    client.put("c", &borrowed(&customer_headers(1, "")), "x").await.ok();
    let refused = client
        .send("PUT", "/bucket/c?encryption", &[], update(&arn, false))
        .await;
    assert_eq!(refused.error(), (400, "InvalidRequest".to_owned()));
    let refused = client
        .send("PUT", "/bucket/s3?encryption", &[], update("alias/mine", false))
        .await;
    assert_eq!(refused.error(), (400, "InvalidArgument".to_owned()));
    let refused = client
        .send("PUT", "/bucket/none?encryption", &[], update(&arn, false))
        .await;
    assert_eq!(refused.error(), (404, "NoSuchKey".to_owned()));
    let refused = client
        .send("PUT", "/bucket/s3?encryption", &[], "<ObjectEncryption/>")
        .await;
    assert_eq!(refused.error(), (400, "MalformedXML".to_owned()));
}

#[tokio::test]
async fn policies_that_demand_encryption_are_enforced() {
    let client = Client::new().await;
    assert_eq!(
        client.send("GET", "/bucket?policy", &[], "").await.error(),
        (404, "NoSuchBucketPolicy".to_owned())
    );
    let policy = r#"{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::bucket/*", "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}}]}"#;
    client.put("before", &[], "x").await.ok();
    client.send("PUT", "/bucket?policy", &[], policy).await.ok();
    for client in [&client, &client.another_instance()] {
        assert_eq!(client.send("GET", "/bucket?policy", &[], "").await.ok().text(), policy);
        let denied = (403, "AccessDenied".to_owned());
        assert_eq!(client.put("o", &[], "x").await.error(), denied);
        assert_eq!(client.put("o", &[(MODE, "AES256")], "x").await.error(), denied);
        assert_eq!(
            client
                .put("o", &[("x-amz-copy-source", "bucket/before")], "")
                .await
                .error(),
            denied
        );
        assert_eq!(client.send("POST", "/bucket/o?uploads", &[], "").await.error(), denied);
        assert_eq!(client.head("o", &[]).await.status, 404);
        client.put("kms", &[(MODE, "aws:kms")], "x").await.ok();
        client.get("before", &[]).await.ok();
    }
    let allow = policy.replace("Deny", "Allow");
    let refused = client.send("PUT", "/bucket?policy", &[], &*allow).await;
    assert_eq!(refused.error(), (400, "MalformedPolicy".to_owned()));
    client.send("DELETE", "/bucket?policy", &[], "").await.ok();
    client.put("o", &[], "x").await.ok();
}

#[tokio::test]
async fn a_read_names_no_mode() {
    let client = Client::new().await;
    client.put("o", &[], "x").await.ok();
    assert_eq!(
        client.get("o", &[(MODE, "AES256")]).await.error(),
        (400, "InvalidArgument".to_owned())
    );
    assert_eq!(client.head("o", &[(MODE, "AES256")]).await.status, 400);
}
