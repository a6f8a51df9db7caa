use super::*;
use crate::context::EncryptionContext;
use proptest::prelude::*;

fn header(context: &EncryptionContext, slots: usize) -> Header {
    Header {
        suite: Suite::Aes256Gcm,
        chunk_size: ChunkSize::KiB16,
        kind: PayloadKind::Plain,
        generation: 7,
        salt: [0xA5; SALT_LEN],
        commitment: [0x5A; COMMITMENT_LEN],
        context: context.to_stored(),
        slots: (0..slots)
            .map(|i| WrappedKey::new("local", format!("default:{i}"), vec![0xC3; 72]))
            .collect(),
    }
}

fn sample() -> Header {
    header(
        &EncryptionContext::new().with("bucket", "b").with_supplied("path", "p"),
        2,
    )
}

/// Recomputes the checksum after a field was altered.
fn reseal(bytes: &mut [u8]) {
    let end = bytes.len() - CHECKSUM_LEN;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
}

fn damage_reason(bytes: &[u8]) -> &'static str {
    match Header::from_detached(bytes) {
        Err(Error::HeaderDamaged { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_fixed_fields_stand_where_the_format_says() {
    let bytes = sample().to_detached().unwrap();
    assert_eq!(bytes[..8], MAGIC);
    assert_eq!(bytes[8], VERSION);
    assert_eq!(bytes[9..12], [1, 14, 0]);
    assert_eq!(bytes[12..20], 7u64.to_be_bytes());
    assert_eq!(bytes[20..44], [0xA5; 24]);
    assert_eq!(bytes[44..76], [0x5A; 32]);
    assert_eq!(bytes[76..78], [0, 2]);
}

#[test]
fn attached_is_two_equal_copies_of_4_kib() {
    let bytes = sample().to_attached().unwrap();
    assert_eq!(bytes.len(), 8192);
    assert_eq!(bytes[..4096], bytes[4096..]);
    let parsed = ObjectHeader::parse(&bytes).unwrap();
    assert_eq!(*parsed.header(), sample());
    assert!(parsed.faults().iter().all(Option::is_none));
}

#[test]
fn every_flipped_bit_of_one_copy_leaves_the_other() {
    let bytes = sample().to_attached().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let parsed = ObjectHeader::parse(&altered).unwrap();
        assert_eq!(*parsed.header(), sample());
        let damaged = parsed.faults().each_ref().map(Option::is_some);
        assert_eq!(damaged, [bit / 8 < 4096, bit / 8 >= 4096]);
    }
}

#[test]
fn every_flipped_bit_of_a_detached_header_is_refused() {
    let bytes = sample().to_detached().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(Header::from_detached(&altered).is_err());
    }
}

#[test]
fn every_shortened_header_is_refused() {
    let bytes = sample().to_attached().unwrap();
    assert!(matches!(
        ObjectHeader::parse(&[]),
        Err(Error::NotSealstone { hint: None })
    ));
    for len in 1..bytes.len() {
        match ObjectHeader::parse(&bytes[..len]) {
            Err(Error::HeaderTruncated { have, .. }) => assert_eq!(have, len),
            other => panic!("{len}: {other:?}"),
        }
    }
    let bytes = sample().to_detached().unwrap();
    for len in 0..bytes.len() {
        assert!(Header::from_detached(&bytes[..len]).is_err());
    }
    // Magic, version and checksum.
    for have in [9, 31] {
        match Header::from_detached(&bytes[..have]) {
            Err(Error::HeaderTruncated { have: found, need: 41 }) => assert_eq!(found, have),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn unknown_versions_suites_sizes_and_flags_are_refused() {
    let bytes = sample().to_detached().unwrap();
    for value in 0..=u8::MAX {
        let with = |offset: usize| {
            let mut altered = bytes.clone();
            altered[offset] = value;
            reseal(&mut altered);
            Header::from_detached(&altered)
        };
        match with(8) {
            Ok(_) => assert_eq!(value, VERSION),
            Err(Error::UnsupportedVersion { version }) => assert_eq!(version, value),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(with(9).is_ok(), [1, 2].contains(&value));
        assert_eq!(with(10).is_ok(), [14, 16, 18, 20].contains(&value));
        assert_eq!(with(11).is_ok(), [0b00, 0b01, 0b11].contains(&value));
    }
}

#[test]
fn padding_must_be_zero_and_nothing_may_follow_a_detached_header() {
    let mut attached = sample().to_attached().unwrap();
    attached.truncate(COPY_LEN);
    attached[COPY_LEN - CHECKSUM_LEN - 1] = 1;
    reseal(&mut attached);
    assert_eq!(damage_reason(&attached), "padding that is not zero");

    let mut detached = sample().to_detached().unwrap();
    let slots_end = detached.len() - CHECKSUM_LEN;
    detached.truncate(slots_end);
    detached.extend_from_slice(&[0; 3]);
    append_checksum(&mut detached);
    match Header::from_detached(&detached) {
        Err(Error::HeaderDamaged { reason, offset }) => {
            assert_eq!((reason, offset), ("bytes after the slots", slots_end));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn slot_tables_that_encoding_never_writes_are_refused() {
    let none = header(&EncryptionContext::new(), 0);
    assert_eq!(damage_reason(&none.to_detached().unwrap()), "no slot");
    let many = header(&EncryptionContext::new(), 17);
    assert_eq!(damage_reason(&many.to_detached().unwrap()), "more than 16 slots");

    for (provider, key_id, reason) in [
        ("", "k", "a provider id of other"),
        ("Local", "k", "a provider id of other"),
        ("a/b", "k", "a provider id of other"),
        ("a23456789012345678901234567890123", "k", "a provider id of other"),
        ("local", "a\nb", "control characters"),
    ] {
        let mut header = header(&EncryptionContext::new(), 1);
        header.slots = vec![WrappedKey::new(provider, key_id, [0; 72])];
        assert!(damage_reason(&header.to_detached().unwrap()).contains(reason));
        assert!(matches!(check_slots(&header.slots), Err(Error::Provider(_))));
    }

    let mut two = header(&EncryptionContext::new(), 2);
    two.slots
        .iter_mut()
        .for_each(|slot| slot.provider = "passphrase".into());
    assert_eq!(
        damage_reason(&two.to_detached().unwrap()),
        "more than one passphrase slot"
    );
    assert!(matches!(
        check_slots(&two.slots),
        Err(Error::TooManySlots { limit: 1, .. })
    ));
    assert!(matches!(
        check_slots(&many.slots),
        Err(Error::TooManySlots { limit: 16, .. })
    ));

    let wrapped = |len: usize| [WrappedKey::new("local", "k", vec![0; len])];
    assert!(check_slots(&wrapped(65_535)).is_ok());
    for len in [65_536, 70_000] {
        match check_slots(&wrapped(len)) {
            Err(Error::HeaderTooLarge { need, limit: 65_535 }) => assert_eq!(need, len),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_header_that_does_not_fit_says_what_it_needs() {
    let context = EncryptionContext::new().with("k", "x".repeat(5000));
    match header(&context, 1).to_attached() {
        Err(Error::HeaderTooLarge { need, limit: 4096 }) => assert!(need > 5000),
        other => panic!("{other:?}"),
    }
    assert!(header(&context, 1).to_detached().is_ok());
    let context = EncryptionContext::new().with("k", "x".repeat(65_000));
    assert!(matches!(
        header(&context, 10).to_detached(),
        Err(Error::HeaderTooLarge { limit: 65_536, .. })
    ));
    assert!(matches!(
        Header::from_detached(&vec![0; 65_537]),
        Err(Error::HeaderTooLarge { need: 65_537, .. })
    ));
}

#[test]
fn a_header_fills_its_limit_to_the_last_byte() {
    let with = |len: usize| {
        let (a, b) = ("x".repeat(len / 2), "x".repeat(len - len / 2));
        header(&EncryptionContext::new().with("a", a).with("b", b), 1)
    };
    let fixed = with(2).to_detached().unwrap().len() - 2;

    let full = with(COPY_LEN - fixed);
    assert_eq!(
        *ObjectHeader::parse(&full.to_attached().unwrap()).unwrap().header(),
        full
    );
    assert!(matches!(
        with(COPY_LEN - fixed + 1).to_attached(),
        Err(Error::HeaderTooLarge {
            need: 4097,
            limit: 4096
        })
    ));
    let full = with(MAX_DETACHED_LEN - fixed);
    assert_eq!(Header::from_detached(&full.to_detached().unwrap()).unwrap(), full);
    assert!(matches!(
        with(MAX_DETACHED_LEN - fixed + 1).to_detached(),
        Err(Error::HeaderTooLarge {
            need: 65_537,
            limit: 65_536
        })
    ));
}

#[test]
fn what_was_done_to_a_mangled_object_is_named() {
    let bytes = sample().to_attached().unwrap();
    let hint = |bytes: &[u8]| match ObjectHeader::parse(bytes) {
        Err(Error::NotSealstone { hint }) => hint,
        other => panic!("{other:?}"),
    };
    let to_lf = [&bytes[..4], &[0x0A, 0x1A, 0x0A], &bytes[8..]].concat();
    assert_eq!(hint(&to_lf), Some(TransferDamage::LineEnds));
    let to_crlf = [&bytes[..4], &[0x0D, 0x0D, 0x0A, 0x1A, 0x0D, 0x0A], &bytes[8..]].concat();
    assert_eq!(hint(&to_crlf), Some(TransferDamage::LineEnds));
    let utf16 = |mark: [u8; 2], unit: fn(u8) -> [u8; 2]| -> Vec<u8> {
        let units = bytes.iter().flat_map(|&byte| unit(byte));
        mark.into_iter().chain(units).collect()
    };
    assert_eq!(
        hint(&utf16([0xFF, 0xFE], |byte| [byte, 0])),
        Some(TransferDamage::Utf16)
    );
    assert_eq!(
        hint(&utf16([0xFE, 0xFF], |byte| [0, byte])),
        Some(TransferDamage::Utf16)
    );
    assert_eq!(hint(b"iVNTVA0KGgoAAQ4AAAAA"), Some(TransferDamage::Base64));
    assert_eq!(hint(b"\n iVNTVA0KGgoAAQ4AAAAA"), Some(TransferDamage::Base64));
    let utf8: Vec<u8> = bytes
        .iter()
        .flat_map(|&byte| char::from(byte).to_string().into_bytes())
        .collect();
    assert_eq!(hint(&utf8), Some(TransferDamage::Text));
    let seven_bits: Vec<u8> = bytes.iter().map(|byte| byte & 0x7F).collect();
    assert_eq!(hint(&seven_bits), Some(TransferDamage::Text));
    assert_eq!(hint(b"age-encryption.org/v1\n"), None);
}

#[test]
fn both_copies_damaged_says_damaged_even_if_the_first_magic_is_gone() {
    let mut bytes = sample().to_attached().unwrap();
    bytes[0] = 0;
    bytes[COPY_LEN + 100] ^= 1;
    assert!(matches!(ObjectHeader::parse(&bytes), Err(Error::HeaderDamaged { .. })));
}

/// A rewrap writes one copy, then the other: after each write, torn at any sector, a header opens.
#[test]
fn every_state_of_a_header_rewrite_opens() {
    let old = sample().to_attached().unwrap();
    let mut newer = sample();
    newer.generation += 1;
    newer.slots.truncate(1);
    let new = newer.to_attached().unwrap();
    for written in (0..=ATTACHED_LEN).step_by(512) {
        let mut torn = old.clone();
        // The second copy first, then the first.
        let second = written.min(COPY_LEN);
        torn[COPY_LEN..COPY_LEN + second].copy_from_slice(&new[..second]);
        let first = written - second;
        torn[..first].copy_from_slice(&new[..first]);
        let parsed = ObjectHeader::parse(&torn).unwrap();
        let expected = if written >= COPY_LEN { &newer } else { &sample() };
        assert_eq!(parsed.header(), expected, "{written} bytes written");
    }
}

#[test]
fn the_valid_copy_of_the_highest_generation_counts() {
    let old = sample().to_attached().unwrap();
    let mut newer = sample();
    newer.generation += 1;
    let new = newer.to_attached().unwrap();
    for (first, second, stale) in [(&old, &new, 0), (&new, &old, 1)] {
        let bytes = [&first[..COPY_LEN], &second[COPY_LEN..]].concat();
        let parsed = ObjectHeader::parse(&bytes).unwrap();
        assert_eq!(parsed.header().generation(), 8);
        assert!(matches!(parsed.faults()[stale], Some(CopyFault::Stale)));
        assert!(parsed.faults()[1 - stale].is_none());
    }
}

/// Our own writers never leave this: two of them would have to rewrite one header at the same time.
#[test]
fn of_two_valid_copies_of_one_generation_the_first_counts() {
    let mut other = sample();
    other.slots.truncate(1);
    let (first, second) = (sample().to_attached().unwrap(), other.to_attached().unwrap());
    let parsed = ObjectHeader::parse(&[&first[..COPY_LEN], &second[COPY_LEN..]].concat()).unwrap();
    assert_eq!(*parsed.header(), sample());
    assert!(matches!(parsed.faults(), [None, Some(CopyFault::Stale)]));
}

#[test]
fn another_payload_is_recognised_by_its_first_bytes() {
    let header = sample();
    let mut prefix = header.payload_prefix().unwrap();
    assert!(header.check_payload(&prefix).is_ok());
    prefix[55] ^= 1;
    assert!(matches!(
        header.check_payload(&prefix),
        Err(Error::HeaderOfAnotherPayload)
    ));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = ObjectHeader::parse(&bytes);
        // With a valid start and checksum, so that the fields are reached.
        let mut body = [&MAGIC[..], &[VERSION, 1, 14, 0]].concat();
        body.extend_from_slice(&bytes);
        append_checksum(&mut body);
        if let Ok(header) = Header::from_detached(&body) {
            prop_assert_eq!(header.to_detached().unwrap(), body);
        }
    }

    #[test]
    fn an_altered_field_is_refused_or_encodes_to_the_same_bytes(offset in 9usize..250, value in any::<u8>()) {
        let mut bytes = sample().to_detached().unwrap();
        let offset = offset % (bytes.len() - CHECKSUM_LEN);
        bytes[offset] = value;
        reseal(&mut bytes);
        if let Ok(header) = Header::from_detached(&bytes) {
            prop_assert_eq!(header.to_detached().unwrap(), bytes);
        }
    }
}
