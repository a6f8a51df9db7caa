//! Random operations, on the wrapper and on a bare store: their results are the same.

use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt;
use proptest::prelude::*;

use super::super::object_store::memory::InMemory;
use super::super::object_store::path::Path;
use super::super::object_store::{
    Error, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, Result,
    UpdateVersion,
};
use super::{ATTACHED, METADATA};
use crate::common::{C, plaintext};

#[derive(Debug, Clone)]
enum Operation {
    Put(usize, usize),
    Create(usize, usize),
    /// Replaces the version that the store reports.
    Update(usize, usize),
    Upload(usize, Vec<usize>),
    Get(usize, Option<GetRange>),
    GetIfMatch(usize, bool),
    Ranges(usize, Vec<Range<u64>>),
    Head(usize),
    Delete(usize),
    Copy(usize, usize, bool),
    Rename(usize, usize, bool),
    List(Option<usize>),
}

const PATHS: [&str; 4] = ["a", "dir/b", "dir/c", "dir/deep/d"];

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![0..100_usize, C - 2..C + 3, 3 * C - 2..3 * C + 3, 30 * C..40 * C]
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![0..100_u64, C as u64 - 2..C as u64 + 3, 0..40 * C as u64]
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation as O;
    let path = 0..PATHS.len();
    let range = prop_oneof![
        (offset(), offset()).prop_map(|(start, end)| GetRange::Bounded(start..end)),
        offset().prop_map(GetRange::Offset),
        offset().prop_map(GetRange::Suffix),
    ];
    let ranges = proptest::collection::vec((offset(), 1..30_000_u64), 1..5);
    let ranges = ranges.prop_map(|ranges| ranges.into_iter().map(|(start, len)| start..start + len).collect());
    prop_oneof![
        (path.clone(), len()).prop_map(|(path, len)| O::Put(path, len)),
        (path.clone(), len()).prop_map(|(path, len)| O::Create(path, len)),
        (path.clone(), len()).prop_map(|(path, len)| O::Update(path, len)),
        (path.clone(), proptest::collection::vec(len(), 0..4)).prop_map(|(path, lens)| O::Upload(path, lens)),
        (path.clone(), proptest::option::of(range)).prop_map(|(path, range)| O::Get(path, range)),
        (path.clone(), any::<bool>()).prop_map(|(path, right)| O::GetIfMatch(path, right)),
        (path.clone(), ranges).prop_map(|(path, ranges)| O::Ranges(path, ranges)),
        path.clone().prop_map(O::Head),
        path.clone().prop_map(O::Delete),
        (path.clone(), path.clone(), any::<bool>()).prop_map(|(from, to, creates)| O::Copy(from, to, creates)),
        (path.clone(), path.clone(), any::<bool>()).prop_map(|(from, to, creates)| O::Rename(from, to, creates)),
        proptest::option::of(path).prop_map(O::List),
    ]
}

/// What an operation shows of a store: content, lengths and kinds of errors.
async fn run(store: &dyn ObjectStore, operation: &Operation) -> String {
    let path = |index: &usize| Path::from(PATHS[*index]);
    match operation {
        Operation::Put(at, len) => shown(store.put(&path(at), plaintext(*len).into()).await.map(drop)),
        Operation::Create(at, len) => {
            let options = PutOptions::from(PutMode::Create);
            shown(
                store
                    .put_opts(&path(at), plaintext(*len).into(), options)
                    .await
                    .map(drop),
            )
        }
        Operation::Update(at, len) => {
            let Ok(meta) = store.head(&path(at)).await else {
                return String::new();
            };
            let version = UpdateVersion {
                e_tag: meta.e_tag,
                version: meta.version,
            };
            let options = PutOptions::from(PutMode::Update(version));
            shown(
                store
                    .put_opts(&path(at), plaintext(*len).into(), options)
                    .await
                    .map(drop),
            )
        }
        Operation::Upload(at, lens) => {
            let mut upload = store.put_multipart(&path(at)).await.unwrap();
            for len in lens {
                upload.put_part(plaintext(*len).into()).await.unwrap();
            }
            shown(upload.complete().await.map(drop))
        }
        Operation::Get(at, range) => {
            let options = GetOptions {
                range: range.clone(),
                ..GetOptions::default()
            };
            got(store.get_opts(&path(at), options).await).await
        }
        Operation::GetIfMatch(at, right) => {
            let found = store.head(&path(at)).await.ok().and_then(|meta| meta.e_tag);
            let wrong = Some("\"another\"".to_owned());
            let options = GetOptions {
                if_match: if *right { found } else { wrong },
                ..GetOptions::default()
            };
            got(store.get_opts(&path(at), options).await).await
        }
        Operation::Ranges(at, ranges) => shown(store.get_ranges(&path(at), ranges).await),
        Operation::Head(at) => shown(store.head(&path(at)).await.map(|meta| meta.size)),
        Operation::Delete(at) => shown(store.delete(&path(at)).await),
        // A bare store deletes an object that is renamed to its own path.
        Operation::Rename(from, to, _) if from == to => String::new(),
        Operation::Copy(from, to, false) => shown(store.copy(&path(from), &path(to)).await),
        Operation::Copy(from, to, true) => shown(store.copy_if_not_exists(&path(from), &path(to)).await),
        Operation::Rename(from, to, false) => shown(store.rename(&path(from), &path(to)).await),
        Operation::Rename(from, to, true) => shown(store.rename_if_not_exists(&path(from), &path(to)).await),
        Operation::List(under) => {
            let under = under.as_ref().map(path);
            let mut listed: Vec<ObjectMeta> = store.list(under.as_ref()).try_collect().await.unwrap();
            listed.sort_by(|one, other| one.location.cmp(&other.location));
            format!(
                "{:?}",
                listed
                    .iter()
                    .map(|meta| (&meta.location, meta.size))
                    .collect::<Vec<_>>()
            )
        }
    }
}

async fn got(result: Result<GetResult>) -> String {
    match result {
        Ok(result) => {
            let (size, range) = (result.meta.size, result.range.clone());
            let bytes: Bytes = result.bytes().await.unwrap();
            format!("{size} {range:?} {}", digest(&bytes))
        }
        Err(error) => shown::<()>(Err(error)),
    }
}

fn digest(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(1_099_511_628_211) ^ u64::from(*byte)
    });
    format!("{} bytes, {sum:x}", bytes.len())
}

fn shown<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(Error::NotFound { .. }) => "not found".to_owned(),
        Err(Error::AlreadyExists { .. }) => "exists".to_owned(),
        Err(Error::Precondition { .. }) => "precondition".to_owned(),
        Err(Error::NotModified { .. }) => "not modified".to_owned(),
        Err(_) => "error".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_wrapper_does_what_a_bare_store_does(operations in proptest::collection::vec(operation(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let bare = InMemory::new();
            let stores = [
                super::encrypted(InMemory::new(), METADATA),
                super::encrypted(InMemory::new(), ATTACHED),
                super::builder().with_path_context("path").build(InMemory::new(), METADATA).unwrap(),
            ];
            for operation in &operations {
                let expected = run(&bare, operation).await;
                for store in &stores {
                    let found = run(store, operation).await;
                    assert_eq!(found, expected, "{operation:?} on {store:?}");
                }
            }
        });
    }
}
