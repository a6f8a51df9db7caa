//! Listings against an oracle.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use sealstone_s3_gateway::backend::{Backend, ListRequest};

use super::Store;

pub(crate) fn all() -> ListRequest {
    ListRequest {
        max: 1000,
        ..ListRequest::default()
    }
}

/// What a listing returns, page by page: keys and groups, in the order of their bytes.
pub(crate) async fn pages(store: &Store, request: &ListRequest) -> Vec<Vec<String>> {
    let mut request = request.clone();
    let mut pages = Vec::new();
    loop {
        let page = store.backend.list(&store.bucket, &request).await.unwrap();
        let mut names: Vec<_> = page.objects.into_iter().map(|object| object.key).collect();
        assert!(names.is_sorted() && page.prefixes.is_sorted());
        names.extend(page.prefixes);
        names.sort();
        assert!(names.len() <= request.max);
        pages.push(names);
        let Some(next) = page.next else { return pages };
        assert_ne!(Some(&next), request.token.as_ref());
        request.token = Some(next);
    }
}

/// What a listing has to return.
fn expected(keys: &BTreeSet<String>, request: &ListRequest) -> Vec<String> {
    let delimiter = request.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
    let name = |key: &str| {
        let rest = &key[request.prefix.len()..];
        let end = delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
        key[..request.prefix.len() + end.unwrap_or(rest.len())].to_owned()
    };
    let after = request.start_after.as_deref();
    let is_in_group_before = |key: &str| after.is_some_and(|after| name(key) == after);
    let wanted = keys.iter().filter(|key| key.starts_with(&request.prefix));
    let wanted = wanted.filter(|key| after.is_none_or(|after| key.as_str() > after) && !is_in_group_before(key));
    let names: BTreeSet<String> = wanted.map(|key| name(key)).collect();
    names.into_iter().collect()
}

/// Compares what the store lists with what it has to list, for pages of all sizes.
pub(crate) async fn check(store: &Store, keys: &BTreeSet<String>, request: &ListRequest) {
    let pages = pages(store, request).await;
    assert_eq!(pages.concat(), expected(keys, request), "{request:?} of {keys:?}");
    let (last, full) = pages.split_last().unwrap();
    assert!(
        full.iter().all(|page| page.len() == request.max),
        "{request:?} of {keys:?}"
    );
    assert!(!last.is_empty() || full.is_empty(), "{request:?} of {keys:?}");
}

/// Compares listings of generated keys.
pub(crate) fn property(backend: impl Fn() -> Arc<dyn Backend>, cases: u32) {
    let key = "(a|b|/|//|-|\\.|0|é|aa|%|\\.sealstone|[a-c]{210,230}){1,6}";
    let text = "(a|b|/|-|\\.|0|é){0,3}";
    let request = (
        text,
        option::of(prop_oneof!["/", "a", "aa", "/a", "\\.", ""]),
        any::<Option<Index>>(),
        any::<bool>(),
        1_usize..6,
    );
    let strategy = (btree_set(key, 0..12), vec(request, 1..8));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let ran = TestRunner::new(config).run(&strategy, |(keys, requests)| {
        runtime.block_on(async {
            let store = Store::new(backend(), "listing").await;
            for key in &keys {
                store.put(key, b"payload").await.unwrap();
            }
            for (prefix, delimiter, after, cut, max) in requests {
                let names: Vec<_> = keys.iter().collect();
                let after = after.filter(|_| !names.is_empty()).map(|index| {
                    let key = index.get(&names);
                    // Also what is between keys, and groups.
                    let end = if cut {
                        key.char_indices().last().map_or(0, |(end, _)| end)
                    } else {
                        key.len()
                    };
                    key[..end].to_owned()
                });
                let request = ListRequest {
                    prefix,
                    delimiter,
                    start_after: after,
                    token: None,
                    max,
                };
                check(&store, &keys, &request).await;
            }
        });
        Ok(())
    });
    ran.unwrap();
}
