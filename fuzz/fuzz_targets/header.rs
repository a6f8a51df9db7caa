//! A header is either refused, or is the only encoding of its content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealstone::Header;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::from_detached(bytes) {
        assert_eq!(header.to_detached().expect("it was one"), bytes);
    }
});
