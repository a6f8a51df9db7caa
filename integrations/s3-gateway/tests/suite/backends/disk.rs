//! The store in a directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use sealstone::rewrap::SlotChoice;
use sealstone::{Decryptor, RawKey, Rewrap};
use sealstone_s3_gateway::backend::{
    Attributes, Backend, BackendError, Condition, DiskBackend, ListRequest, Location, Tags, UploadedPart,
};
use tempfile::TempDir;

use super::conformance::refuses;
use super::{Store, conformance, encryptor, failing_body, header, listing, pairs, payload, sealed};

fn open(root: &Path) -> Arc<dyn Backend> {
    Arc::new(DiskBackend::open(root).unwrap())
}

async fn store(root: &Path) -> Store {
    Store::new(open(root), "bucket").await
}

/// All files and directories, but locks and the directories of records.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let is_shared = directory.ends_with("records");
        if path.is_dir() && !path.ends_with("locks") {
            paths.extend(tree(&path));
        }
        if !is_shared {
            paths.push(path);
        }
    }
    paths
}

fn files(directory: &Path) -> Vec<PathBuf> {
    tree(directory).into_iter().filter(|path| path.is_file()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_conforms() {
    let root = TempDir::new().unwrap();
    conformance::all(open(&root.path().join("new/directory"))).await;
    conformance::local(open(&root.path().join("local"))).await;
    let is_temporary = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().iter().any(|name| name == "tmp");
    assert_eq!(files(root.path()).into_iter().filter(is_temporary).count(), 0);
}

#[test]
fn disk_lists_as_the_oracle() {
    let roots = std::cell::RefCell::new(Vec::new());
    let backend = || {
        let root = TempDir::new().unwrap();
        let backend = open(root.path());
        roots.borrow_mut().push(root);
        backend
    };
    listing::property(backend, 60);
}

/// Two programs on one directory see one store.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_a_directory() {
    let root = TempDir::new().unwrap();
    let one = store(root.path()).await;
    let other = Store {
        backend: open(root.path()),
        ..one.clone()
    };
    for round in 0..20 {
        let key = format!("key-{round}");
        let put = |store: Store| {
            let key = key.clone();
            tokio::spawn(async move {
                store
                    .put_if(&key, b"payload", Attributes::default(), Condition::Absent)
                    .await
            })
        };
        let (first, second) = (put(one.clone()), put(other.clone()));
        let results = [first.await.unwrap(), second.await.unwrap()];
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert_eq!(one.head(&key).await.unwrap(), other.head(&key).await.unwrap());
    }
}

#[tokio::test]
async fn sealed_objects_are_files_that_sealstone_opens() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    let object = encryptor().seal(b"plaintext").unwrap();
    let decryptor = || Decryptor::new(Arc::new(RawKey::from_slice(&[7; 32]).unwrap()));
    let found = Decryptor::read_header(object.as_slice()).unwrap();
    let stored = &object[usize::try_from(found.payload_start()).unwrap()..];
    store
        .put_if("photos/cat.jpg", stored, sealed(found.header()), Condition::None)
        .await
        .unwrap();
    let path = root.path().join("bucket/photos/cat.jpg.sealstone");
    assert_eq!(decryptor().open(&fs::read(&path).unwrap()).unwrap(), b"plaintext");

    // A copy of the object onto itself changes the header in the file as well.
    let new = Arc::new(RawKey::from_slice(&[8; 32]).unwrap());
    let old = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
    let rewrap = Rewrap::new(decryptor()).add_key(new.clone());
    let header = rewrap.header(found.header()).unwrap().unwrap();
    let before = store.head("photos/cat.jpg").await.unwrap();
    let at = store.at("photos/cat.jpg");
    let copy = store
        .backend
        .copy(&at, &before.etag, &at, sealed(&header), None, Condition::None);
    assert_eq!(copy.await.unwrap(), before.etag);
    assert_eq!(store.head("photos/cat.jpg").await.unwrap().attributes, sealed(&header));
    assert_eq!(
        Decryptor::new(new.clone()).open(&fs::read(&path).unwrap()).unwrap(),
        b"plaintext"
    );

    // A rewrap of the file changes the object's header, and nothing else.
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let removed = Rewrap::new(Decryptor::new(new))
        .remove(SlotChoice::Key(old))
        .file(&file)
        .unwrap();
    let after = store.head("photos/cat.jpg").await.unwrap();
    assert_eq!(after.attributes, sealed(&removed.header));
    assert_eq!((after.etag, after.len), (before.etag, before.len));
}

#[tokio::test]
async fn sealed_files_without_a_record_are_objects() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    let object = encryptor().seal(b"plaintext").unwrap();
    let header = Decryptor::read_header(object.as_slice()).unwrap().header().clone();
    fs::create_dir(root.path().join("bucket/dir")).unwrap();
    fs::write(root.path().join("bucket/dir/found.sealstone"), &object).unwrap();
    fs::write(root.path().join("bucket/dir/other.txt"), b"other").unwrap();
    assert_eq!(store.keys().await, ["dir/found"]);
    let found = store.head("dir/found").await.unwrap();
    assert_eq!(found.attributes.metadata, header.to_metadata().unwrap());
    store
        .backend
        .set_tags(&store.at("dir/found"), pairs(&[("a", "1")]))
        .await
        .unwrap();
    assert_eq!(store.head("dir/found").await.unwrap().etag, found.etag);
    // What is not ours is not deleted with the bucket.
    store
        .backend
        .delete(&store.at("dir/found"), Condition::None)
        .await
        .unwrap();
    refuses!(
        store.backend.delete_bucket("bucket").await,
        BackendError::BucketNotEmpty
    );
    assert!(root.path().join("bucket/dir/other.txt").exists());
}

#[tokio::test]
async fn a_damaged_file_is_no_object() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    store
        .put_if("sealed", &payload(1000, 1), sealed(&header()), Condition::None)
        .await
        .unwrap();
    store.put("plain", &payload(1000, 1)).await.unwrap();
    for key in ["sealed", "plain"] {
        let path = root.path().join(format!("bucket/{key}.sealstone"));
        let whole = fs::read(&path).unwrap();
        for end in [0, 1, 11, 12, 100, 1011, 8191] {
            fs::write(&path, &whole[..end.min(whole.len() - 1)]).unwrap();
            refuses!(store.head(key).await, BackendError::Other(_));
        }
        fs::write(&path, &whole).unwrap();
        store.head(key).await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_file_is_listed_replaced_and_deleted() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    let records = root.path().join("bucket/.sealstone-gateway/records");
    let damage = async |key: &str, attributes: Attributes| {
        let path = root.path().join(format!("bucket/{key}.sealstone"));
        store
            .put_if(key, &payload(1000, 1), attributes, Condition::None)
            .await
            .unwrap();
        let mut bytes = fs::read(&path).unwrap();
        // Both copies of a sealed object's header; the record of another. What names the record stays.
        for at in [12, 4096 + 12] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
        }
        fs::write(&path, &bytes).unwrap();
        bytes.len() as u64
    };
    store.put("intact", b"payload").await.unwrap();
    for attributes in [sealed(&header()), Attributes::default()] {
        let len = damage("key", attributes.clone()).await;
        refuses!(store.head("key").await, BackendError::Other(_));
        refuses!(store.get("key").await, BackendError::Other(_));
        let list = async || store.backend.list("bucket", &listing::all()).await.unwrap().objects;
        let listed = list().await;
        let found: Vec<_> = listed.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(found, ["intact", "key"]);
        // The record of a sealed object is intact.
        let expected = if attributes == Attributes::default() { len } else { 1000 };
        assert_eq!((listed[1].len, listed[1].etag.len()), (expected, 32));
        assert_eq!(list().await, listed);

        // It is there, but no version is known to be.
        let at = store.at("key");
        for condition in [Condition::Absent, Condition::Match(listed[1].etag.clone())] {
            refuses!(
                store
                    .put_if("key", b"new", Attributes::default(), condition.clone())
                    .await,
                BackendError::Precondition
            );
            refuses!(store.backend.delete(&at, condition).await, BackendError::Precondition);
        }
        refuses!(store.backend.set_tags(&at, Tags::new()).await, BackendError::Other(_));
        store
            .put_if("key", b"new", attributes.clone(), Condition::None)
            .await
            .unwrap();
        assert_eq!(store.get("key").await.unwrap(), b"new");

        damage("key", attributes).await;
        store.backend.delete(&at, Condition::None).await.unwrap();
        refuses!(store.head("key").await, BackendError::NoSuchKey);
        assert_eq!(files(&records), Vec::<PathBuf>::new());
    }

    // A file that is not ours.
    let foreign = root.path().join("bucket/foreign.sealstone");
    fs::write(&foreign, b"some text").unwrap();
    assert_eq!(store.keys().await, ["foreign", "intact"]);
    refuses!(store.head("foreign").await, BackendError::Other(_));
    refuses!(
        store.backend.delete_bucket("bucket").await,
        BackendError::BucketNotEmpty
    );
    for key in ["foreign", "intact"] {
        store.backend.delete(&store.at(key), Condition::None).await.unwrap();
    }
    store.backend.delete_bucket("bucket").await.unwrap();
}

/// One that waits for the other copies nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_completion_of_an_upload_copies_its_parts() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    let at = store.at("key");
    let upload = store
        .backend
        .create_upload(&at, Attributes::default(), Tags::new())
        .await
        .unwrap();
    let etag = store
        .backend
        .put_part(&at, &upload, 1, super::body(b"payload"))
        .await
        .unwrap();
    let private = root.path().join("bucket/.sealstone-gateway");
    // Another completion, in this process or in another one.
    let other = fs::File::open(private.join("uploads").join(&upload).join("upload.json")).unwrap();
    other.lock().unwrap();
    let parts = [UploadedPart { number: 1, etag }];
    let mut completion = std::pin::pin!(store.backend.complete_upload(&at, &upload, &parts, Condition::None));
    tokio::time::timeout(Duration::from_millis(300), &mut completion)
        .await
        .unwrap_err();
    assert_eq!(files(&private.join("tmp")), Vec::<PathBuf>::new());
    other.unlock().unwrap();
    completion.await.unwrap();
    assert_eq!(store.get("key").await.unwrap(), b"payload");
}

#[tokio::test]
async fn an_open_leaves_what_is_damaged() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    store.put("intact", b"payload").await.unwrap();
    store
        .put_if("damaged", b"payload", sealed(&header()), Condition::None)
        .await
        .unwrap();
    let private = root.path().join("bucket/.sealstone-gateway");
    let [record] = &files(&private.join("records"))[..] else {
        panic!()
    };
    // An object that is damaged, and a record that is.
    fs::write(root.path().join("bucket/damaged.sealstone"), b"damaged").unwrap();
    let (dead, orphan) = ("0".repeat(32), "ab".repeat(32));
    fs::create_dir_all(private.join("records/ab")).unwrap();
    fs::write(private.join("records/ab").join(&orphan), b"{").unwrap();
    let used = record.file_name().unwrap().to_str().unwrap();
    for name in [format!("1.{orphan}"), format!("2.{used}"), "3".to_owned()] {
        fs::write(private.join("tmp").join(format!("{dead}.{name}")), b"payload").unwrap();
    }
    let other = Store {
        backend: open(root.path()),
        ..store.clone()
    };
    assert_eq!(tree(&private.join("tmp")), Vec::<PathBuf>::new());
    assert_eq!(other.get("intact").await.unwrap(), b"payload");
    assert_eq!(other.keys().await, ["damaged", "intact"]);
}

#[tokio::test]
async fn nothing_is_left_of_what_failed_or_was_deleted() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    let before = tree(root.path());
    let at = store.at("some/dir/key");
    for attributes in [sealed(&header()), Attributes::default()] {
        let failing = failing_body(&payload(3 << 20, 1), 1 << 30);
        let put = store
            .backend
            .put(&at, failing, attributes.clone(), Tags::new(), Condition::None);
        refuses!(put.await, BackendError::Body(_));
        assert_eq!(tree(root.path()), before);

        // A request that is dropped in the middle.
        let endless = super::Body {
            len: 1 << 40,
            bytes: stream::repeat_with(|| Ok(vec![0; 1 << 20].into())).boxed(),
        };
        let put = store
            .backend
            .put(&at, endless, attributes.clone(), Tags::new(), Condition::None);
        tokio::time::timeout(Duration::from_millis(200), put).await.unwrap_err();
        let is_clean = async {
            while tree(root.path()) != before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), is_clean).await.unwrap();

        for seed in 0..3 {
            store
                .put_if("some/dir/key", &payload(100, seed), sealed(&header()), Condition::None)
                .await
                .unwrap();
        }
        store
            .put_if("some/dir/key", &payload(100, 9), attributes, Condition::None)
            .await
            .unwrap();
        assert_eq!(files(&root.path().join("bucket/some")).len(), 1);
        store.backend.delete(&at, Condition::None).await.unwrap();
        assert_eq!(tree(root.path()), before);
    }
}

#[tokio::test]
async fn an_open_removes_what_dead_processes_have_left() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    store
        .put_if("key", b"old", sealed(&header()), Condition::None)
        .await
        .unwrap();
    let records = root.path().join("bucket/.sealstone-gateway/records");
    let [record] = &files(&records)[..] else { panic!() };
    // A put that was killed between record and rename; a part; a bucket; and the request of a process that runs.
    let text = fs::read_to_string(record).unwrap();
    let orphan = "ab".repeat(32);
    fs::create_dir_all(records.join("ab")).unwrap();
    fs::write(records.join("ab").join(&orphan), text).unwrap();
    let (dead, used) = ("0".repeat(32), record.file_name().unwrap().to_str().unwrap());
    let tmp = root.path().join("bucket/.sealstone-gateway/tmp");
    fs::write(tmp.join(format!("{dead}.1.{orphan}")), b"payload").unwrap();
    fs::write(tmp.join(format!("{dead}.2.{used}")), b"payload").unwrap();
    fs::write(tmp.join(format!("{dead}.3")), b"part").unwrap();
    fs::create_dir_all(tmp.join(format!("{dead}.4/dir"))).unwrap();
    fs::create_dir_all(root.path().join(format!(".sealstone-gateway/tmp/{dead}.5/dir"))).unwrap();
    fs::write(root.path().join(format!(".sealstone-gateway/instances/{dead}")), b"").unwrap();
    let hanging = super::Body {
        len: 4 << 20,
        bytes: stream::iter([Ok(vec![1; 2 << 20].into())])
            .chain(stream::pending())
            .boxed(),
    };
    let at = store.at("hanging");
    let put = store
        .backend
        .put(&at, hanging, Attributes::default(), Tags::new(), Condition::None);
    let mut put = std::pin::pin!(put);
    while files(&tmp).len() < 4 {
        assert!(futures_util::poll!(&mut put).is_pending());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let instances = files(&root.path().join(".sealstone-gateway/instances"));
    assert_eq!(instances.len(), 2);
    let other = open(root.path());
    assert_eq!(tree(&tmp).len(), 1);
    assert_eq!(files(&records), std::slice::from_ref(record));
    assert_eq!(tree(&root.path().join(".sealstone-gateway/tmp")), Vec::<PathBuf>::new());
    assert_eq!(files(&root.path().join(".sealstone-gateway/instances")).len(), 2);
    drop(other);
    assert_eq!(store.get("key").await.unwrap(), b"old");
}

#[tokio::test]
async fn clients_reach_nothing_outside_of_the_directory() {
    let root = TempDir::new().unwrap();
    let inner = root.path().join("inner");
    let store = store(&inner).await;
    fs::create_dir(root.path().join("secret")).unwrap();
    for bucket in [
        "..",
        ".",
        "",
        "../secret",
        "/etc",
        ".sealstone-gateway",
        "bucket/..",
        "UPPER",
        "a\0b",
    ] {
        refuses!(store.backend.create_bucket(bucket).await, BackendError::InvalidName(_));
        refuses!(store.backend.head_bucket(bucket).await, BackendError::NoSuchBucket);
        refuses!(store.backend.delete_bucket(bucket).await, BackendError::NoSuchBucket);
        refuses!(
            store.backend.head(&Location::new(bucket, "key")).await,
            BackendError::NoSuchBucket
        );
        refuses!(
            store.backend.list(bucket, &listing::all()).await,
            BackendError::NoSuchBucket
        );
    }
    for key in [
        "../../secret/x",
        "/etc/x",
        "..",
        "../bucket.json",
        ".sealstone-gateway/bucket.json",
    ] {
        store.put(key, b"payload").await.unwrap();
        store.backend.delete(&store.at(key), Condition::None).await.unwrap();
    }
    refuses!(store.put("", b"payload").await, BackendError::InvalidName(_));
    assert_eq!(fs::read_dir(root.path().join("secret")).unwrap().count(), 0);
    store.backend.head_bucket("bucket").await.unwrap();

    // Only another program can create links.
    let object = encryptor().seal(b"plaintext").unwrap();
    fs::write(root.path().join("secret/x.sealstone"), object).unwrap();
    std::os::unix::fs::symlink(
        root.path().join("secret/x.sealstone"),
        inner.join("bucket/link.sealstone"),
    )
    .unwrap();
    std::os::unix::fs::symlink(root.path().join("secret"), inner.join("bucket/dir")).unwrap();
    refuses!(store.head("link").await, BackendError::Denied(_));
    assert_eq!(store.keys().await, Vec::<String>::new());
}

/// The first page of a large bucket reads the directories on its way, and a group only until its first object.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_does_not_read_the_whole_bucket() {
    let root = TempDir::new().unwrap();
    let store = store(root.path()).await;
    for key in ["a/1", "a/2", "b/1"] {
        store.put(key, b"payload").await.unwrap();
    }
    // Below it is a directory whose path is too long for the system: reading it fails.
    let deep = ["d"; 12].map(|name| name.repeat(200)).join("/");
    let (upper, lower) = (root.path().join("bucket/b").join(&deep), root.path().join("lower"));
    fs::create_dir_all(&upper).unwrap();
    fs::create_dir_all(lower.join(&deep)).unwrap();
    fs::rename(&lower, upper.join("e")).unwrap();
    let request = |delimiter: Option<&str>, max| ListRequest {
        delimiter: delimiter.map(str::to_owned),
        max,
        ..ListRequest::default()
    };
    let page = store.backend.list("bucket", &request(None, 1)).await.unwrap();
    assert_eq!((page.objects.len(), page.next.as_deref()), (1, Some("a/1")));
    let page = store.backend.list("bucket", &request(Some("/"), 1000)).await.unwrap();
    assert_eq!(page.prefixes, ["a/", "b/"]);
    refuses!(
        store.backend.list("bucket", &request(None, 1000)).await,
        BackendError::InvalidName(_)
    );
}
