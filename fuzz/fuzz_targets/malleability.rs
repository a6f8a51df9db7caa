//! Whatever parses encodes to the same bytes, in each form of a header. The checksum is corrected, so that the fields
//! are reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealstone::format::{COPY_LEN, METADATA_KEY};
use sealstone::{Header, ObjectHeader};
use sealstone_fuzz::with_checksum;

fuzz_target!(|input: (u8, &[u8])| {
    let (form, bytes) = input;
    match form % 3 {
        0 => detached(&with_checksum(bytes)),
        1 => attached(bytes),
        _ => metadata(bytes),
    }
});

fn detached(bytes: &[u8]) {
    if let Ok(header) = Header::from_detached(bytes) {
        assert_eq!(header.to_detached().expect("it was one"), bytes);
    }
}

/// Two copies of these fields, padded.
fn attached(fields: &[u8]) {
    let mut fields = fields.to_vec();
    fields.resize(COPY_LEN - 32, 0);
    let both = with_checksum(&fields).repeat(2);
    if let Ok(parsed) = ObjectHeader::parse(&both) {
        assert!(parsed.faults().iter().all(Option::is_none));
        assert_eq!(parsed.header().to_attached().expect("it was one"), both);
    }
}

fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(header) = Header::from_metadata([(METADATA_KEY, text)]) {
        // A header too long for metadata can be read but not written.
        if let Ok(pairs) = header.to_metadata() {
            assert_eq!(pairs[METADATA_KEY], text);
        }
    }
}
