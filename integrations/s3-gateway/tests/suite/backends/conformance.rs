//! What every backend promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use sealstone_s3_gateway::backend::{
    Attributes, Backend, BackendError, Condition, ListRequest, Location, StoredRange, Tags, UploadedPart,
};

use super::{Store, body, failing_body, header, listing, pairs, payload, sealed};

/// The least payload of a part that is not the last.
const PART: usize = 5 << 20;

macro_rules! refuses {
    ($call:expr, $error:pat) => {{
        let result = $call;
        assert!(matches!(result, Err($error)), "{result:?}");
    }};
}
pub(crate) use refuses;

/// Checks a backend without buckets.
pub(crate) async fn all(backend: Arc<dyn Backend>) {
    buckets(&backend).await;
    absent_buckets(&backend).await;
    let store = |name: &'static str| Store::new(backend.clone(), name);
    objects(store("objects").await).await;
    attributes(store("attributes").await).await;
    ranges(store("ranges").await).await;
    failing_bodies(store("failing-bodies").await).await;
    conditions(store("conditions").await).await;
    copies(store("copies").await).await;
    self_copies(store("self-copies").await).await;
    tags(store("tags").await).await;
    uploads(store("uploads").await).await;
    uploads_that_end(store("uploads-that-end").await).await;
    odd_keys(store("odd-keys").await).await;
}

/// What backends promise whose `ETag`s and locks are their own, which not every S3 store does.
pub(crate) async fn local(backend: Arc<dyn Backend>) {
    let store = |name: &'static str| Store::new(backend.clone(), name);
    concurrent_conditions(store("concurrent-conditions").await).await;
    concurrent_completions(store("concurrent-completions").await).await;
    readers_keep_their_version(store("readers").await).await;
    equal_payloads(store("equal-payloads").await).await;
}

async fn buckets(backend: &Arc<dyn Backend>) {
    assert_eq!(backend.buckets().await.unwrap(), []);
    for bucket in ["bucket-b", "bucket-a", "bucket.c"] {
        backend.create_bucket(bucket).await.unwrap();
    }
    refuses!(backend.create_bucket("bucket-a").await, BackendError::BucketExists);
    let names: Vec<_> = backend
        .buckets()
        .await
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["bucket-a", "bucket-b", "bucket.c"]);
    assert!(backend.head_bucket("bucket-a").await.is_ok());

    let at = Location::new("bucket-a", "key/below");
    let put = backend.put(
        &at,
        body(b"payload"),
        Attributes::default(),
        Tags::new(),
        Condition::None,
    );
    put.await.unwrap();
    refuses!(backend.create_bucket("bucket-a").await, BackendError::BucketExists);
    refuses!(backend.delete_bucket("bucket-a").await, BackendError::BucketNotEmpty);
    backend.head(&at).await.unwrap();
    backend.delete(&at, Condition::None).await.unwrap();
    for bucket in ["bucket-a", "bucket-b", "bucket.c"] {
        backend.delete_bucket(bucket).await.unwrap();
        refuses!(backend.delete_bucket(bucket).await, BackendError::NoSuchBucket);
        refuses!(backend.head_bucket(bucket).await, BackendError::NoSuchBucket);
    }
    assert_eq!(backend.buckets().await.unwrap(), []);
}

async fn absent_buckets(backend: &Arc<dyn Backend>) {
    let absent = Store {
        backend: backend.clone(),
        bucket: "absent-bucket".to_owned(),
    };
    let at = absent.at("key");
    refuses!(absent.put("key", b"").await, BackendError::NoSuchBucket);
    refuses!(absent.head("key").await, BackendError::NoSuchBucket);
    refuses!(absent.get("key").await, BackendError::NoSuchBucket);
    refuses!(backend.delete(&at, Condition::None).await, BackendError::NoSuchBucket);
    refuses!(
        backend.list("absent-bucket", &listing::all()).await,
        BackendError::NoSuchBucket
    );
    refuses!(backend.tags(&at).await, BackendError::NoSuchBucket);
    refuses!(backend.set_tags(&at, Tags::new()).await, BackendError::NoSuchBucket);
    let upload = backend.create_upload(&at, Attributes::default(), Tags::new());
    refuses!(upload.await, BackendError::NoSuchBucket);
}

pub(crate) async fn objects(store: Store) {
    refuses!(store.head("key").await, BackendError::NoSuchKey);
    refuses!(store.get("key").await, BackendError::NoSuchKey);
    store.backend.delete(&store.at("key"), Condition::None).await.unwrap();

    let mut etags = BTreeSet::new();
    for (seed, len) in [0, 1, 100_000, 3 << 20, 0].into_iter().enumerate() {
        let payload = payload(len, seed as u64);
        let etag = store.put("key", &payload).await.unwrap();
        let found = store.head("key").await.unwrap();
        assert_eq!((&found.etag, found.len), (&etag, len as u64));
        assert_eq!(store.get("key").await.unwrap(), payload);
        assert_eq!(store.keys().await, ["key"]);
        etags.insert(etag);
    }
    assert!(etags.len() >= 4, "{etags:?}");

    store.backend.delete(&store.at("key"), Condition::None).await.unwrap();
    refuses!(store.head("key").await, BackendError::NoSuchKey);
    refuses!(store.backend.tags(&store.at("key")).await, BackendError::NoSuchKey);
    refuses!(
        store.backend.set_tags(&store.at("key"), Tags::new()).await,
        BackendError::NoSuchKey
    );
    assert_eq!(store.keys().await, Vec::<String>::new());
}

pub(crate) async fn attributes(store: Store) {
    let plain = Attributes {
        metadata: pairs(&[("a", "1"), ("name-with-dashes", "x y")]),
        ..Attributes::default()
    };
    // Each replaces the one before.
    for attributes in [
        sealed(&header()),
        sealed(&header()),
        plain.clone(),
        sealed(&header()),
        Attributes::default(),
    ] {
        let payload = payload(10_000, 1);
        store
            .put_if("dir/key", &payload, attributes.clone(), Condition::None)
            .await
            .unwrap();
        assert_eq!(store.head("dir/key").await.unwrap().attributes, attributes);
        let at = store.at("dir/key");
        let got = store.backend.get(&at, StoredRange::Bytes(0..1), None).await.unwrap();
        assert_eq!(got.object, store.head("dir/key").await.unwrap());
        assert_eq!(store.get("dir/key").await.unwrap(), payload);
        let page = store.backend.list(&store.bucket, &listing::all()).await.unwrap();
        let [listed] = &page.objects[..] else {
            panic!("{page:?}")
        };
        assert_eq!(
            (&listed.key[..], &listed.etag, listed.len),
            ("dir/key", &got.object.etag, 10_000)
        );
    }
}

pub(crate) async fn ranges(store: Store) {
    let payload = payload(2_500_000, 3);
    let etag = store
        .put_if("key", &payload, sealed(&header()), Condition::None)
        .await
        .unwrap();
    let at = store.at("key");
    for (start, end) in [
        (0, 1),
        (0, 2_500_000),
        (5, 6),
        (1_000_000, 2_200_000),
        (2_499_999, 2_500_000),
        (100, 9_000_000),
    ] {
        let got = store
            .backend
            .get(&at, StoredRange::Bytes(start..end), Some(&etag))
            .await
            .unwrap();
        let end = end.min(2_500_000);
        assert_eq!(got.range, start..end);
        let bytes = got.bytes.try_collect::<Vec<_>>().await.unwrap().concat();
        assert!(bytes == payload[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
    }
    for last in [1, 1000, 2_500_000, 2_500_001, u64::MAX] {
        let start = 2_500_000_u64.saturating_sub(last);
        let got = store.range("key", StoredRange::Suffix(last)).await.unwrap();
        assert!(got == payload[usize::try_from(start).unwrap()..], "{last}");
    }
    refuses!(
        store.backend.get(&at, StoredRange::Suffix(1), Some("other")).await,
        BackendError::Precondition
    );
}

pub(crate) async fn failing_bodies(store: Store) {
    for old in [None, Some(payload(1000, 1))] {
        if let Some(old) = &old {
            store.put("key", old).await.unwrap();
        }
        for at_start in [true, false] {
            let given = if at_start { Vec::new() } else { payload(3 << 20, 2) };
            let len = given.len() as u64;
            let [shorter, longer] = [len + 1, len.saturating_sub(1)].map(|len| super::Body { len, ..body(&given) });
            let bodies = [shorter, failing_body(&given, len), failing_body(&given, len + 7)];
            for body in bodies.into_iter().chain((len > 0).then_some(longer)) {
                let at = store.at("key");
                let put = store
                    .backend
                    .put(&at, body, sealed(&header()), Tags::new(), Condition::None);
                refuses!(put.await, BackendError::Body(_));
                match &old {
                    Some(old) => assert_eq!(&store.get("key").await.unwrap(), old),
                    None => refuses!(store.head("key").await, BackendError::NoSuchKey),
                }
                assert_eq!(store.keys().await.len(), usize::from(old.is_some()));
            }
        }
    }
}

pub(crate) async fn conditions(store: Store) {
    let put = |payload: &'static [u8], condition| store.put_if("key", payload, Attributes::default(), condition);
    let matching = |etag: &str| Condition::Match(etag.to_owned());
    let at = store.at("key");
    refuses!(put(b"0", matching("none")).await, BackendError::NoSuchKey);
    let first = put(b"1", Condition::Absent).await.unwrap();
    refuses!(put(b"2", Condition::Absent).await, BackendError::Precondition);
    refuses!(put(b"2", matching("other")).await, BackendError::Precondition);
    assert_eq!(store.get("key").await.unwrap(), b"1");
    let second = put(b"2", matching(&first)).await.unwrap();
    refuses!(put(b"3", matching(&first)).await, BackendError::Precondition);
    assert_eq!(store.get("key").await.unwrap(), b"2");

    refuses!(
        store.backend.delete(&at, matching(&first)).await,
        BackendError::Precondition
    );
    store.head("key").await.unwrap();
    store.backend.delete(&at, matching(&second)).await.unwrap();
    refuses!(store.head("key").await, BackendError::NoSuchKey);
    put(b"4", Condition::Absent).await.unwrap();
}

pub(crate) async fn copies(store: Store) {
    let (old, new) = (sealed(&header()), Attributes::default());
    let bytes = payload(200_000, 4);
    let (from, to) = (store.at("from"), store.at("some/where/to"));
    let tagged = pairs(&[("a", "1")]);
    let put = store
        .backend
        .put(&from, body(&bytes), old.clone(), tagged.clone(), Condition::None);
    let etag = put.await.unwrap();
    let other_bucket = Store::new(store.backend.clone(), "copies-elsewhere").await;

    let copy = |to: &Location, etag: &str, attributes: &Attributes, tags: Option<&Tags>, condition: Condition| {
        let (backend, from, to, etag) = (store.backend.clone(), from.clone(), to.clone(), etag.to_owned());
        let (attributes, tags) = (attributes.clone(), tags.cloned());
        async move { backend.copy(&from, &etag, &to, attributes, tags, condition).await }
    };
    refuses!(
        copy(&to, "other", &old, None, Condition::None).await,
        BackendError::Precondition
    );
    let absent = Location::new("absent-bucket", "to");
    refuses!(
        copy(&absent, &etag, &old, None, Condition::None).await,
        BackendError::NoSuchBucket
    );
    refuses!(store.head("some/where/to").await, BackendError::NoSuchKey);

    let copied = copy(&to, &etag, &old, None, Condition::Absent).await.unwrap();
    assert_eq!(store.head("some/where/to").await.unwrap().attributes, old);
    assert_eq!(store.backend.tags(&to).await.unwrap(), tagged);
    refuses!(
        copy(&to, &etag, &new, None, Condition::Absent).await,
        BackendError::Precondition
    );
    let again = copy(&to, &etag, &new, Some(&Tags::new()), Condition::Match(copied))
        .await
        .unwrap();
    let found = store.head("some/where/to").await.unwrap();
    assert_eq!((found.etag, found.len, found.attributes), (again, 200_000, new));
    assert_eq!(store.backend.tags(&to).await.unwrap(), Tags::new());
    assert!(store.get("some/where/to").await.unwrap() == bytes);

    copy(&other_bucket.at("to"), &etag, &old, None, Condition::None)
        .await
        .unwrap();
    assert!(other_bucket.get("to").await.unwrap() == bytes);
    assert!(store.get("from").await.unwrap() == bytes);
    assert_eq!(store.head("from").await.unwrap().etag, etag);

    store.backend.delete(&from, Condition::None).await.unwrap();
    refuses!(
        copy(&to, &etag, &old, None, Condition::None).await,
        BackendError::NoSuchKey
    );
}

pub(crate) async fn self_copies(store: Store) {
    let bytes = payload(200_000, 5);
    let at = store.at("dir/key");
    let header = header();
    let changed = Attributes {
        content: pairs(&[("content-type", "image/png")]),
        ..sealed(&header)
    };
    let plain = Attributes::default();
    let mut etag = store
        .put_if("dir/key", &bytes, sealed(&header), Condition::None)
        .await
        .unwrap();
    let tagged = pairs(&[("a", "1")]);
    store.backend.set_tags(&at, tagged.clone()).await.unwrap();
    for attributes in [changed, plain, sealed(&header)] {
        let copy = |etag: String, condition| {
            let (backend, at, attributes) = (store.backend.clone(), at.clone(), attributes.clone());
            async move { backend.copy(&at, &etag, &at, attributes, None, condition).await }
        };
        refuses!(
            copy("other".to_owned(), Condition::None).await,
            BackendError::Precondition
        );
        etag = copy(etag.clone(), Condition::Match(etag)).await.unwrap();
        let found = store.head("dir/key").await.unwrap();
        assert_eq!(
            (&found.etag, found.len, found.attributes),
            (&etag, 200_000, attributes.clone())
        );
        assert_eq!(store.backend.tags(&at).await.unwrap(), tagged);
        assert!(store.get("dir/key").await.unwrap() == bytes);
    }
}

pub(crate) async fn tags(store: Store) {
    for (key, attributes) in [("sealed", sealed(&header())), ("plain", Attributes::default())] {
        let at = store.at(key);
        let first = pairs(&[("k", "v"), ("ключ", "значение / + =")]);
        let put = store.backend.put(
            &at,
            body(b"payload"),
            attributes.clone(),
            first.clone(),
            Condition::None,
        );
        let etag = put.await.unwrap();
        assert_eq!(store.backend.tags(&at).await.unwrap(), first);
        for tags in [pairs(&[("other", "")]), Tags::new()] {
            store.backend.set_tags(&at, tags.clone()).await.unwrap();
            assert_eq!(store.backend.tags(&at).await.unwrap(), tags);
        }
        let found = store.head(key).await.unwrap();
        assert_eq!((found.etag, found.attributes), (etag, attributes));
        assert_eq!(store.get(key).await.unwrap(), b"payload");
    }
}

async fn part(store: &Store, key: &str, upload: &str, number: u16, payload: &[u8]) -> UploadedPart {
    let at = store.at(key);
    let put = store.backend.put_part(&at, upload, number, body(payload));
    UploadedPart {
        number,
        etag: put.await.unwrap(),
    }
}

pub(crate) async fn uploads(store: Store) {
    let at = store.at("dir/key");
    let backend = &store.backend;
    let attributes = sealed(&header());
    let tagged = pairs(&[("a", "1")]);
    let upload = backend
        .create_upload(&at, attributes.clone(), tagged.clone())
        .await
        .unwrap();
    assert_eq!(store.keys().await, Vec::<String>::new());
    let [old, one, seven, last] =
        [(PART, 1), (PART, 2), (PART + 12_345, 3), (10, 4)].map(|(len, seed)| payload(len, seed));
    let last_part = part(&store, "dir/key", &upload, 9, &last).await;
    let replaced = part(&store, "dir/key", &upload, 2, &old).await;
    let seventh = part(&store, "dir/key", &upload, 7, &seven).await;
    let first = part(&store, "dir/key", &upload, 2, &one).await;
    refuses!(
        backend
            .put_part(&at, &upload, 8, failing_body(&seven, seven.len() as u64))
            .await,
        BackendError::Body(_)
    );

    let absent = UploadedPart {
        number: 8,
        ..seventh.clone()
    };
    for wrong in [&replaced, &absent] {
        let parts = [wrong.clone(), last_part.clone()];
        let completed = backend.complete_upload(&at, &upload, &parts, Condition::None).await;
        refuses!(completed, BackendError::InvalidPart);
    }
    assert_eq!(store.keys().await, Vec::<String>::new());
    let parts = [first, seventh, last_part];
    let etag = backend
        .complete_upload(&at, &upload, &parts, Condition::Absent)
        .await
        .unwrap();
    let found = store.head("dir/key").await.unwrap();
    assert_eq!((found.etag, found.attributes), (etag, attributes));
    assert_eq!(backend.tags(&at).await.unwrap(), tagged);
    assert!(store.get("dir/key").await.unwrap() == [one, seven, last].concat());
    assert_eq!(store.keys().await, ["dir/key"]);
}

pub(crate) async fn uploads_that_end(store: Store) {
    let at = store.at("key");
    let backend = &store.backend;
    let old = store.put("key", b"old").await.unwrap();
    let create = || backend.create_upload(&at, Attributes::default(), Tags::new());
    let [completed, aborted, left] = [
        create().await.unwrap(),
        create().await.unwrap(),
        create().await.unwrap(),
    ];
    let mut parts = Vec::new();
    for upload in [&completed, &aborted, &left] {
        parts.push(part(&store, "key", upload, 1, b"new").await);
    }
    let matching = |etag: &str| Condition::Match(etag.to_owned());
    let complete = |upload: &str, part: &UploadedPart, condition| {
        let (upload, parts) = (upload.to_owned(), [part.clone()]);
        let at = &at;
        async move { backend.complete_upload(at, &upload, &parts, condition).await }
    };
    refuses!(
        complete(&completed, &parts[0], matching("other")).await,
        BackendError::Precondition
    );
    refuses!(
        complete(&completed, &parts[0], Condition::Absent).await,
        BackendError::Precondition
    );
    assert_eq!(store.get("key").await.unwrap(), b"old");
    complete(&completed, &parts[0], matching(&old)).await.unwrap();
    assert_eq!(store.get("key").await.unwrap(), b"new");

    backend.abort_upload(&at, &aborted).await.unwrap();
    for (upload, part) in [(&completed, &parts[0]), (&aborted, &parts[1])] {
        refuses!(
            complete(upload, part, Condition::None).await,
            BackendError::NoSuchUpload
        );
        refuses!(
            backend.put_part(&at, upload, 1, body(b"x")).await,
            BackendError::NoSuchUpload
        );
    }
    for upload in ["absent", "", "..", "../../uploads", "a/b", &"0".repeat(32)] {
        refuses!(
            backend.put_part(&at, upload, 1, body(b"x")).await,
            BackendError::NoSuchUpload
        );
        refuses!(
            complete(upload, &parts[0], Condition::None).await,
            BackendError::NoSuchUpload
        );
    }
    let [listed] = &backend.uploads(&at.bucket).await.unwrap()[..] else {
        panic!("one is in progress");
    };
    assert_eq!((&*listed.key, &listed.id), ("key", &left));
    assert!(listed.began.elapsed().unwrap_or_default() < Duration::from_secs(600));
    // The upload of another object.
    let other = store.at("other");
    refuses!(
        backend.put_part(&other, &left, 1, body(b"x")).await,
        BackendError::NoSuchUpload
    );
    let wrong = backend
        .complete_upload(&other, &left, &parts[2..], Condition::None)
        .await;
    refuses!(wrong, BackendError::NoSuchUpload);
    backend.abort_upload(&at, &left).await.unwrap();
    assert_eq!(backend.uploads(&at.bucket).await.unwrap(), []);
    assert_eq!(store.keys().await, ["key"]);
}

/// Keys that a file system, or a client, may confuse with others.
pub(crate) fn odd() -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = [
        "a",
        "a/",
        "a//",
        "a//b",
        "a/b",
        "a/b/c",
        "a-b",
        "a.b",
        "a0",
        "A",
        ".",
        "..",
        "../x",
        "./x",
        "/",
        "/a",
        "//",
        "x/.",
        "x/..",
        "x/../y",
        "a.sealstone",
        "a.sealstone/b",
        ".sealstone/state",
        ".sealstone-gateway/tmp/x",
        "%",
        "%2F",
        "a%2Fb",
        "%~",
        " ",
        "a b",
        "\u{e9}",
        "e\u{301}",
        "\u{1f980}/\u{1f980}",
        "back\\slash",
        "star*",
        "colon:",
        "quote\"'",
        "con",
        "nul.txt",
        "line\nfeed",
        "tab\t",
        "~",
        "?query",
        "#hash",
        "a+b",
        "a&b=c",
    ]
    .map(str::to_owned)
    .into();
    keys.extend(["x", "%", "\u{e9}", "/", "\u{1}", "xyz/"].map(|text| text.repeat(1024 / text.len())));
    keys.insert(format!("{}/{}", "p".repeat(400), "q".repeat(400)));
    keys.insert(format!("{}/{}", "p".repeat(400), "q".repeat(399)));
    keys.insert("p".repeat(200));
    keys.insert("p".repeat(400));
    keys.insert(format!("{}/", "p".repeat(200)));
    keys
}

pub(crate) async fn odd_keys(store: Store) {
    let keys = odd();
    for key in &keys {
        store
            .put_if(key, key.as_bytes(), sealed(&header()), Condition::Absent)
            .await
            .unwrap();
    }
    for key in &keys {
        assert_eq!(store.get(key).await.unwrap(), key.as_bytes(), "{key:?}");
    }
    for (prefix, delimiter, max) in [
        ("", None, 1000),
        ("", Some("/"), 7),
        ("a/", Some("/"), 1),
        ("a", Some("b"), 3),
        ("p", None, 2),
    ] {
        let request = ListRequest {
            prefix: prefix.to_owned(),
            delimiter: delimiter.map(str::to_owned),
            max,
            ..ListRequest::default()
        };
        listing::check(&store, &keys, &request).await;
    }
    for key in &keys {
        store.backend.delete(&store.at(key), Condition::None).await.unwrap();
    }
    assert_eq!(store.keys().await, Vec::<String>::new());
    store.backend.delete_bucket(&store.bucket).await.unwrap();
}

async fn concurrent_conditions(store: Store) {
    let attempt = |round: usize, condition: &Condition| {
        let (store, condition) = (store.clone(), condition.clone());
        tokio::spawn(async move {
            let payload = payload(50_000, round as u64);
            (
                payload.clone(),
                store.put_if("dir/key", &payload, sealed(&header()), condition).await,
            )
        })
    };
    let mut condition = Condition::Absent;
    for round in 0..5 {
        let attempts = (0..12).map(|index| attempt(12 * round + index, &condition));
        let results = join_all(attempts).await.into_iter().map(Result::unwrap);
        let mut stored = Vec::new();
        for (payload, result) in results {
            match result {
                Ok(etag) => stored.push((payload, etag)),
                Err(error) => assert!(matches!(error, BackendError::Precondition), "{error:?}"),
            }
        }
        let [(payload, etag)] = &stored[..] else {
            panic!("{} have won", stored.len())
        };
        assert!(store.get("dir/key").await.unwrap() == *payload);
        condition = Condition::Match(etag.clone());
    }
}

async fn concurrent_completions(store: Store) {
    let at = store.at("key");
    let upload = store
        .backend
        .create_upload(&at, sealed(&header()), Tags::new())
        .await
        .unwrap();
    let parts = [part(&store, "key", &upload, 1, &payload(1 << 20, 1)).await];
    let attempts = (0..6).map(|_| {
        let (store, at, upload, parts) = (store.clone(), at.clone(), upload.clone(), parts.clone());
        tokio::spawn(async move {
            store
                .backend
                .complete_upload(&at, &upload, &parts, Condition::None)
                .await
        })
    });
    let results = join_all(attempts).await.into_iter().map(Result::unwrap);
    let (completed, refused): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
    assert_eq!(completed.len(), 1);
    assert!(
        refused
            .iter()
            .all(|error| matches!(error, Err(BackendError::NoSuchUpload))),
        "{refused:?}"
    );
    assert!(store.get("key").await.unwrap() == payload(1 << 20, 1));
}

async fn readers_keep_their_version(store: Store) {
    let old = payload(8 << 20, 1);
    for attributes in [sealed(&header()), Attributes::default()] {
        store.put_if("key", &old, attributes, Condition::None).await.unwrap();
        let mut got = store
            .backend
            .get(&store.at("key"), StoredRange::Bytes(0..u64::MAX), None)
            .await
            .unwrap();
        let mut read = got.bytes.next().await.unwrap().unwrap().to_vec();
        store
            .put_if("key", &payload(100, 2), sealed(&header()), Condition::None)
            .await
            .unwrap();
        store.backend.delete(&store.at("key"), Condition::None).await.unwrap();
        read.extend(got.bytes.try_collect::<Vec<_>>().await.unwrap().concat());
        assert!(read == old);
    }
}

/// A store that makes `ETag`s of the bytes would confuse versions that differ in their attributes.
async fn equal_payloads(store: Store) {
    let mut etags = BTreeSet::new();
    let header = header();
    for attributes in [
        sealed(&header),
        sealed(&header),
        Attributes::default(),
        Attributes::default(),
    ] {
        assert!(etags.insert(store.put_if("key", b"same", attributes, Condition::None).await.unwrap()));
    }
}
