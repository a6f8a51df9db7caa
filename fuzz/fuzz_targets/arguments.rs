//! Every text is either parsed or refused as a key, a slot, a range, a pair or an object in S3.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealstone_cli::arguments::{ByteRange, KeySpec, Pair, S3Object, SlotSpec};

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
