//! Requests with any names and headers: each is answered or refused, and none panics.
//!
//! A panic in a service takes down other requests too.

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use proptest::prelude::*;
use sealstone::rewrap::SlotChoice;
use sealstone::{EncryptionContext, Error, Header, KeyRing, Rewrap};
use sealstone_s3_sse::{CustomerKey, ObjectName, ServerSide, context_from_header, context_to_header};

/// Texts on both sides of the limits of names, keys and contexts.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{0,3}",
        1 => any::<String>(),
        1 => prop::sample::select(vec!["sealstone:key", "aws:s3:arn", "s3:key", "\0"]).prop_map(str::to_owned),
        1 => Just("ö".repeat(32_768)),
        1 => prop::sample::select(vec![255, 256, 65_534, 65_535, 65_536, 70_000]).prop_map(|len| "x".repeat(len)),
    ]
}

fn contexts() -> impl Strategy<Value = EncryptionContext> {
    prop::collection::vec((texts(), texts(), any::<bool>()), 0..4).prop_map(|pairs| {
        let pairs = pairs.into_iter();
        pairs.fold(EncryptionContext::new(), |context, (key, value, stored)| {
            if stored {
                context.with(key, value)
            } else {
                context.with_supplied(key, value)
            }
        })
    })
}

fn s3() -> ServerSide {
    ServerSide::s3(Arc::new(KeyRing::in_memory("sse").unwrap()))
}

proptest! {
    #[test]
    fn requests_name_any_object(
        bucket in texts(), object in texts(), other in texts(), context in contexts(), header in texts(),
        json in prop_oneof![texts(), Just(r#"{"a":"b","a":"c"}"#.to_owned()), Just("[[".repeat(10_000))],
    ) {
        let _ = CustomerKey::from_headers(Some(&header), Some(&bucket), Some(&object));
        let _ = CustomerKey::from_headers(Some("AES256"), Some(&header), Some(&object));
        let (Ok(at), Ok(to)) = (ObjectName::new(bucket, object), ObjectName::new("bucket", other)) else {
            return Ok(());
        };
        let _ = context_from_header(&header, &at);
        let _ = context_from_header(&Base64::encode_string(json.as_bytes()), &at);
        let plain = s3();
        let Ok(bound) = plain.clone().with_context(context) else { return Ok(()) };
        let sealed = [plain.encryptor(&to).begin(), bound.encryptor(&at).begin()];
        for header in sealed.into_iter().flatten().map(|object| object.detach().0) {
            for (side, name) in [(&plain, &at), (&plain, &to), (&bound, &at)] {
                let unlocked = side.decryptor(name, &header).unwrap().unlock(header.clone());
                let _ = unlocked.and_then(|unlocked| unlocked.range_reader([0; 72].as_slice()).map(drop));
                for (copy_of, copy_at) in [(&plain, &at), (&bound, &to)] {
                    let _ = side.copying(name, &header, copy_of, copy_at).unwrap().header(&header);
                }
            }
            let _ = (context_to_header(&header), plain.response_headers(&header));
        }
    }
}

/// A supplied value comes from a request's object name, whose length the request decides.
#[test]
fn a_supplied_value_of_over_65535_bytes_is_an_error() {
    let sse = s3();
    let (short, long) = (
        ObjectName::new("b", "k").unwrap(),
        ObjectName::new("b", "k".repeat(70_000)).unwrap(),
    );
    let header: Header = sse.encryptor(&short).begin().unwrap().detach().0;
    let invalid = |error: Error| matches!(error, Error::InvalidContext { key, .. } if key == "aws:s3:arn");
    assert!(invalid(sse.encryptor(&long).begin().unwrap_err()));
    let decryptor = sse.decryptor(&long, &header).unwrap();
    assert!(invalid(decryptor.unlock(header.clone()).unwrap_err()));
    let copying = sse.copying(&short, &header, &sse, &long).unwrap();
    assert!(invalid(copying.header(&header).unwrap_err()));

    // Removing a slot that is absent changes nothing.
    let choice = SlotChoice::Key(Arc::new(KeyRing::in_memory("x").unwrap()));
    let removing = Rewrap::new(sse.decryptor(&short, &header).unwrap()).remove(choice);
    assert!(matches!(removing.header(&header), Ok(None)));
}
