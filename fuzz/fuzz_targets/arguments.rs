//! What stands on the command line is taken or refused: keys, slots, ranges, pairs, objects of S3.
#![no_main]
#![allow(dead_code, reason = "the modules are the program's own, and it uses more of them")]

use libfuzzer_sys::fuzz_target;

#[path = "../../integrations/aws-kms/src/key.rs"]
mod key;
#[path = "../../cli/src/key_spec.rs"]
mod key_spec;
#[path = "../../cli/src/args/values.rs"]
mod values;

use key_spec::{KeySpec, SlotSpec};
use values::{ByteRange, Pair, S3Object};

/// As in the provider.
const ID: &str = "aws-kms";

/// As in a program that has the provider.
mod kms {
    pub(crate) use crate::ID;
    pub(crate) use crate::key::KmsKey;

    pub(crate) fn parse(text: &str) -> Result<KmsKey, String> {
        text.parse::<KmsKey>().map_err(|error| error.message)
    }
}

fuzz_target!(|text: &str| {
    let key = text.parse::<KeySpec>();
    let slot = text.parse::<SlotSpec>();
    assert!(key.is_err() || slot.is_ok(), "whatever is a key names slots");
    if let Ok(pair) = text.parse::<Pair>() {
        assert_eq!(format!("{}={}", pair.key, pair.value), text);
    }
    if let Ok(ByteRange::From(start, Some(end))) = text.parse() {
        assert!(start <= end);
    }
    if let Ok(S3Object(pair)) = text.parse() {
        assert!(pair.value.starts_with("arn:aws:s3:::") && text.starts_with("s3://"));
    }
});
