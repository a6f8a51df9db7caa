//! Work on all objects under a prefix, as `EncryptedStore` does it for programs.

use std::error::Error as _;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::StreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use sealstone_object_store::v0_14::EncryptedStore;
use sealstone_object_store::{BulkOptions, Capabilities, Done, HeaderPlace, ServerCopies, StoreError as Refusal};

use super::connection::{self, Client};
use super::failure::StoreError;
use super::runtime::wait;
use super::{Bulk, BulkDone, Next, Operation};
use crate::exit::{Code, Failure};
use crate::io::location::{Service, StoreUrl};

/// Does `bulk` to every object under `url`, and passes each outcome to `next`, until that breaks.
pub(super) fn for_each(url: &StoreUrl, bulk: &Bulk, next: &mut Next<'_>) -> Result<ControlFlow<()>, Failure> {
    let failed = |error: StoreError| error.while_doing("listing the objects");
    let prefix = prefix(url).map_err(failed)?;
    let store =
        encrypted(url.service, connection::client(url).map_err(failed)?, bulk).map_err(|error| failure(url, &error))?;
    let options = options(bulk);
    let mut outcomes = match bulk.operation {
        Operation::Verify => store.verify(prefix.as_ref(), &options),
        Operation::Rewrap => store.rewrap(prefix.as_ref(), &options),
        Operation::Rekey => store.rekey(prefix.as_ref(), &options),
        Operation::Encrypt => store.encrypt_in_place(prefix.as_ref(), &options),
    };
    wait(async {
        while let Some(outcome) = outcomes.next().await {
            let outcome = outcome.map_err(|error| failed(StoreError::of(url, &error)))?;
            let object = StoreUrl {
                key: outcome.location.to_string(),
                ..url.clone()
            };
            let result = outcome.result.map(done).map_err(|error| failure(&object, &error));
            if next(&object, result).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// The keys before the slash that ends the prefix; `None` for a whole bucket.
fn prefix(url: &StoreUrl) -> Result<Option<Path>, StoreError> {
    if url.key.is_empty() {
        return Ok(None);
    }
    let prefix = Path::parse(&url.key).map_err(|error| StoreError::of(url, &error.into()))?;
    Ok(Some(prefix))
}

fn encrypted(
    service: Service,
    client: Client,
    bulk: &Bulk,
) -> object_store::Result<EncryptedStore<Arc<dyn ObjectStore>>> {
    let builder = EncryptedStore::builder(bulk.key.clone())
        .with_context(bulk.context.clone())
        .with_chunk_size(bulk.chunk_size)
        .with_suite(bulk.suite)
        .with_executor(bulk.executor.clone());
    let builder = bulk
        .sealing
        .iter()
        .cloned()
        .fold(builder, |builder, key| builder.with_key(key));
    let builder = bulk
        .opening
        .iter()
        .cloned()
        .fold(builder, |builder, key| builder.with_opening_key(key));
    let builder = match &bulk.path_context {
        Some(key) => builder.with_path_context(key),
        None => builder,
    };
    let builder = match client.replacer {
        Some(replacer) => builder.with_header_replacer(replacer),
        None => builder,
    };
    let place = match service {
        Service::Azure => HeaderPlace::MetadataIdentifier,
        Service::S3 | Service::Gcs => HeaderPlace::Metadata,
    };
    builder.build(client.objects, Capabilities::new(place, ServerCopies::None))
}

fn options(bulk: &Bulk) -> BulkOptions {
    let options = BulkOptions::new();
    let options = match bulk.jobs {
        Some(jobs) => options.with_concurrency(jobs),
        None => options,
    };
    let options = match &bulk.start_after {
        Some(key) => options.with_start_after(key),
        None => options,
    };
    if bulk.unconditional {
        options.with_large_objects_unconditionally()
    } else {
        options
    }
}

fn done(done: Done) -> BulkDone {
    match done {
        Done::Changed => BulkDone::Changed,
        Done::Verified { plaintext_len } => BulkDone::Verified(plaintext_len),
        // Nothing is skipped: no prefix is declared to be plaintext.
        _ => BulkDone::Unchanged,
    }
}

/// Why nothing was done to the object, or not all.
fn failure(object: &StoreUrl, error: &object_store::Error) -> Failure {
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(Refusal::Sealstone { error, .. }) => error.clone().into(),
        Some(Refusal::Changed { .. }) => changed(),
        Some(refusal) => {
            let text = refusal.to_string();
            let named = format!("{}: ", object.key);
            let failure = Failure::new(code(refusal), text.strip_prefix(&named).unwrap_or(&text));
            match refusal {
                Refusal::TooLargeToReplace { .. } => failure.and("--unconditional allows it"),
                _ => failure,
            }
        }
        None => match error {
            object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. } => changed(),
            error => StoreError::of(object, error).while_doing("working on the object"),
        },
    }
}

fn changed() -> Failure {
    let message = "another program has changed it meanwhile; it was left as that has made it: run the command again";
    Failure::io("working on the object", &io::Error::other(message))
}

const fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NoHeader { .. } | Refusal::AttachedHeader { .. } => Code::NotSealstone,
        Refusal::Length { .. } | Refusal::OtherBytes { .. } | Refusal::OutsidePrefix { .. } => Code::NotAuthentic,
        Refusal::Settings { .. } | Refusal::ContextConflict { .. } | Refusal::TooLargeToReplace { .. } => Code::Usage,
        _ => Code::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> StoreUrl {
        StoreUrl::of(std::path::Path::new("s3://bucket/dir/key")).unwrap()
    }

    fn refused(refusal: Refusal) -> Failure {
        let error = object_store::Error::Generic {
            store: "EncryptedStore",
            source: Box::new(refusal),
        };
        failure(&object(), &error)
    }

    #[test]
    fn what_the_wrapper_refuses_has_an_exit_code_and_names_the_object_once() {
        let location = || "dir/key".to_owned();
        let too_large = Refusal::TooLargeToReplace {
            location: location(),
            limit: 1,
        };
        for (refusal, code) in [
            (Refusal::NoHeader { location: location() }, Code::NotSealstone),
            (
                Refusal::Sealstone {
                    location: location(),
                    error: sealstone::Error::HeaderOfAnotherPayload,
                },
                Code::NotAuthentic,
            ),
            (Refusal::Changed { location: location() }, Code::Other),
            (too_large.clone(), Code::Usage),
            (Refusal::OtherBytes { location: location() }, Code::NotAuthentic),
        ] {
            let failure = refused(refusal);
            assert_eq!(failure.code, code, "{failure:?}");
            assert!(!failure.message.contains("dir/key"), "{failure:?}");
        }
        assert!(refused(too_large).message.contains("--unconditional"));
    }

    #[test]
    fn an_object_that_was_replaced_meanwhile_is_no_object_that_exists_already() {
        let error = object_store::Error::Precondition {
            path: "dir/key".to_owned(),
            source: "412".into(),
        };
        let failure = failure(&object(), &error);
        assert!(
            failure.code == Code::Other && failure.message.contains("changed"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_prefix_is_what_stands_before_its_slash() {
        let of = |name: &str| {
            let url = StoreUrl::of(std::path::Path::new(name)).unwrap();
            prefix(&url).ok().map(|prefix| prefix.map(|path| path.to_string()))
        };
        assert_eq!(of("s3://bucket"), Some(None));
        assert_eq!(of("s3://bucket/"), Some(None));
        assert_eq!(of("s3://bucket/a b/c/"), Some(Some("a b/c".to_owned())));
        assert_eq!(of("s3://bucket/a//"), None);
    }
}
