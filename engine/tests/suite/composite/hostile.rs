//! What hostile storage can do to readers and to writers of composite objects, and what it gets.

use sealstone::composite::{Padding, Receipt};
use sealstone::error::CompositeError;
use sealstone::{Encryptor, Error, Header};

use super::{Stored, components, composite_error, label};
use crate::common::{C, decryptor, encryptor, key, plaintext, unlocked};

/// Read whole, from memory and in order: the same error, and no byte that was not verified.
fn refused(bytes: &[u8], plain: &[u8]) -> Error {
    let header = sealstone::Decryptor::read_header(bytes);
    let opened = decryptor().open(bytes).map(drop);
    let error = opened.expect_err("what was altered does not open");
    if let Ok(unlocked) = header.and_then(|header| decryptor().unlock(header)) {
        let mut streamed = Vec::new();
        unlocked.pipe_at(bytes, &mut streamed).expect_err("nor as a stream");
        assert!(plain.starts_with(&streamed));
        assert!(unlocked.verify(bytes).is_err());
    }
    error
}

/// Every bit of the payload of small objects, padded and not; of an attached header one copy is enough.
#[test]
fn every_flipped_bit_of_a_composite_is_refused() {
    let padded = encryptor().begin_composite(Padding::PlaintextLength).unwrap();
    for stored in [Stored::seal(&[5, 0, 9]), Stored::join(&padded, &[40], b"n")] {
        for bit in 8192 * 8..stored.bytes.len() * 8 {
            let mut bytes = stored.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            refused(&bytes, &stored.plain);
        }
    }
}

#[test]
fn a_damaged_chunk_is_named_with_its_component() {
    let stored = Stored::seal(&[5, 3 * C, 9]);
    let at = stored.starts[1] + 56 + 2 * (C + 16) + 100;
    let mut bytes = stored.bytes.clone();
    bytes[at] ^= 1;
    let expected = CompositeError::ChunkAltered {
        component: 1,
        chunk: 2,
        offset: (stored.starts[1] + 56 + 2 * (C + 16)) as u64,
    };
    assert_eq!(composite_error(refused(&bytes, &stored.plain)), expected);
    let ranges = decryptor().range_reader(bytes.as_slice()).unwrap();
    let read = ranges.read_range(5 + 2 * C as u64..6 + 2 * C as u64);
    assert_eq!(composite_error(read.unwrap_err()), expected);
    assert!(ranges.read_range(..5 + 2 * C as u64).is_ok());
}

#[test]
fn every_other_length_is_refused() {
    let stored = Stored::seal(&[5, C, 9]);
    for len in (8192..stored.bytes.len()).step_by(97).chain([stored.bytes.len() - 1]) {
        refused(&stored.bytes[..len], &stored.plain);
    }
    for (at, more) in [
        (stored.bytes.len(), 1),
        (stored.bytes.len(), 16),
        (stored.starts[3], 72),
        (8192, 72),
    ] {
        let mut bytes = stored.bytes.clone();
        bytes.splice(at..at, vec![0; more]);
        refused(&bytes, &stored.plain);
    }
    // One component less, with a manifest that names it.
    let mut bytes = stored.bytes.clone();
    bytes.drain(stored.starts[2]..stored.starts[3]);
    let error = composite_error(refused(&bytes, &stored.plain));
    assert!(matches!(error, CompositeError::PayloadLength { .. }), "{error}");
}

#[test]
fn every_manifest_length_but_one_is_refused() {
    let stored = Stored::seal(&[5, C, 9]);
    let end = stored.bytes.len() - 4;
    let right = u32::from_be_bytes(stored.bytes[end..].try_into().unwrap());
    let others = (0..right * 3).chain((0..32).map(|bit| 1 << bit)).chain([u32::MAX]);
    for length in others.filter(|&length| length != right) {
        let mut bytes = stored.bytes.clone();
        bytes[end..].copy_from_slice(&length.to_be_bytes());
        let error = decryptor().open(&bytes).unwrap_err();
        let manifest = matches!(
            composite_error(error),
            CompositeError::ManifestLength { .. } | CompositeError::ManifestAltered
        );
        assert!(manifest, "{length}");
    }
}

/// A component is cut to whole chunks and an empty final chunk is put there: only the manifest and the seam can tell.
#[test]
fn a_shortened_component_is_refused_at_its_seam() {
    let stored = Stored::seal(&[2 * C, C, 3]);
    // The final chunk of component 0, which holds nothing, is altered: who reads over the seam must open it.
    let seam = stored.starts[1] - 16;
    let mut bytes = stored.bytes.clone();
    bytes[seam] ^= 1;
    refused(&bytes, &stored.plain);
    let ranges = decryptor().range_reader(bytes.as_slice()).unwrap();
    let expected = CompositeError::ChunkAltered {
        component: 0,
        chunk: 2,
        offset: seam as u64,
    };
    let (before, over) = (C as u64..2 * C as u64 - 1, 2 * C as u64 - 1..2 * C as u64 + 1);
    assert!(ranges.read_range(before).is_ok());
    assert_eq!(composite_error(ranges.read_range(over).unwrap_err()), expected);
    assert_eq!(composite_error(ranges.read_range(..).unwrap_err()), expected);
    assert!(
        ranges.read_range(2 * C as u64..).is_ok(),
        "what begins after the seam does not pass it"
    );
    // What ends at the seam opens the final chunk too, in every form of reading.
    let end = 2 * C as u64;
    assert_eq!(composite_error(ranges.read_range(..end).unwrap_err()), expected);
    let known = unlocked(&decryptor(), &bytes).load_manifest(&bytes).unwrap();
    for range in [C as u64..end, C as u64..end + 1] {
        let opener = known.range(bytes.len() as u64, range).unwrap();
        let fetch = opener.ciphertext_range();
        let fetched = &bytes[usize::try_from(fetch.start).unwrap()..usize::try_from(fetch.end).unwrap()];
        let read = std::io::Read::read_to_end(&mut opener.reader(fetched), &mut Vec::new());
        let error = Error::from_io("reading", read.unwrap_err());
        assert_eq!(composite_error(error), expected);
        let mut machine = opener.stream_opener();
        let mut rest = fetched;
        let pushed = machine.push(&mut rest);
        let pushed = pushed.and_then(|()| machine.finish().try_for_each(|plain| plain.map(drop)));
        assert_eq!(composite_error(pushed.unwrap_err()), expected);
    }

    // An empty component inside a range has a final chunk as well.
    let stored = Stored::seal(&[10, 0, 10]);
    let mut bytes = stored.bytes.clone();
    bytes[stored.starts[2] - 1] ^= 1;
    let ranges = decryptor().range_reader(bytes.as_slice()).unwrap();
    assert!(ranges.read_range(..10).is_ok() && ranges.read_range(10..).is_ok());
    assert!(matches!(
        composite_error(ranges.read_range(9..11).unwrap_err()),
        CompositeError::ChunkAltered {
            component: 1,
            chunk: 0,
            ..
        }
    ));
}

/// Components are swapped, repeated, replaced by older sealings of the same part, or taken from another object.
#[test]
fn a_component_in_anothers_place_is_refused() {
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let sealed = components(&object, &[100, 100]);
    let older = object.component(&label(0)).unwrap().seal(&plaintext(100)).unwrap();
    let foreign = components(&encryptor().begin_composite(Padding::None).unwrap(), &[100]);
    let receipts: Vec<_> = sealed
        .iter()
        .map(|(label, _, receipt)| (label.clone(), receipt.clone()))
        .collect();
    let end = object.complete(&receipts, b"").unwrap().bytes;
    let header = object.header().to_attached().unwrap();
    let join = |first: &[u8], second: &[u8]| [&header, first, second, &end].concat();
    let (first, second) = (sealed[0].1.as_slice(), sealed[1].1.as_slice());
    assert!(decryptor().open(&join(first, second)).is_ok());
    for (first, second, component) in [
        (second, first, 0),
        (first, first, 1),
        (older.bytes.as_ref(), second, 0),
        (first, foreign[0].1.as_slice(), 1),
    ] {
        let error = composite_error(refused(&join(first, second), &plaintext(100)));
        assert!(
            matches!(error, CompositeError::ComponentExchanged { component: found, .. } if found == component),
            "{error}"
        );
    }
}

/// The same bytes sealed under one data key and one salt as each kind: no reader of another kind takes them.
#[test]
fn the_labels_separate_the_kinds() {
    use sealstone::hazmat::{PayloadParameters, open_payload, seal_payload};
    use sealstone::{Backend, ChunkSize, DataKey, Suite};

    let data_key = || DataKey::from_slice(&[3; 32]).unwrap();
    let labels = ["object", "component", "manifest", "receipt"];
    let contexts = labels.map(|label| [format!("sealstone/{label}@v1").as_bytes(), &[1, 14, 1]].concat());
    let parameters = |context| PayloadParameters {
        suite: Suite::Aes256Gcm,
        chunk_size: ChunkSize::KiB16,
        context,
        backend: Backend::default(),
    };
    let payloads = contexts
        .each_ref()
        .map(|context| seal_payload(&data_key(), [9; 24], parameters(context), &[0; 36]).unwrap());
    for (sealed_as, payload) in payloads.iter().enumerate() {
        for (opened_as, context) in contexts.iter().enumerate() {
            let opened = open_payload(&data_key(), parameters(context), payload);
            if sealed_as == opened_as {
                opened.unwrap();
            } else {
                assert!(matches!(opened, Err(Error::CommitmentMismatch { .. })));
            }
        }
    }
}

/// A plain payload, a component and a manifest under one data key: none passes for another.
#[test]
fn each_kind_is_refused_as_each_other() {
    let stored = Stored::seal(&[100]);
    let (start, end) = (stored.starts[0], stored.starts[1]);
    let component = &stored.bytes[start..end];
    let manifest = &stored.bytes[end..stored.bytes.len() - 4];
    let claim = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_be_bytes();
    // A component where the manifest should be, and a manifest where the component should be.
    for (body, last) in [(component, component), (manifest, manifest), (manifest, component)] {
        let bytes = [&stored.bytes[..start], body, last, &claim(last)].concat();
        let error = composite_error(refused(&bytes, &stored.plain));
        if last == component {
            assert_eq!(error, CompositeError::ManifestAltered);
        } else {
            // The manifest opens; what stands in the component's place is not what it names.
            assert!(matches!(error, CompositeError::PayloadLength { .. }), "{error}");
        }
    }
    // Header and payload of different kinds.
    let plain = encryptor().seal(&stored.plain).unwrap();
    refused(&[&plain[..8192], &stored.bytes[8192..]].concat(), &[]);
    refused(&[&stored.bytes[..8192], &plain[8192..]].concat(), &[]);
    // A component alone, after the header of its object.
    refused(&stored.bytes[..end], &[]);
}

/// The flags are in the core: whoever changes them changes every key.
#[test]
fn a_stripped_flag_is_refused() {
    use sha2::{Digest, Sha256};
    let with_flags = |detached: &[u8], flags: u8| {
        let mut header = detached[..detached.len() - 32].to_vec();
        header[11] = flags;
        let checksum = Sha256::digest(&header);
        header.extend_from_slice(&checksum);
        header
    };
    let kinds = [
        encryptor().begin().unwrap().detach().0,
        encryptor().begin_composite(Padding::None).unwrap().header().clone(),
        encryptor()
            .begin_composite(Padding::PlaintextLength)
            .unwrap()
            .header()
            .clone(),
    ];
    for header in kinds {
        let own = header.payload_kind().flags();
        let detached = header.to_detached().unwrap();
        for flags in [0b00, 0b01, 0b11] {
            let parsed = Header::from_detached(&with_flags(&detached, flags)).unwrap();
            let unlocked = decryptor().unlock(parsed).map(drop);
            if flags == own {
                unlocked.unwrap();
            } else {
                assert!(
                    matches!(unlocked, Err(Error::CommitmentMismatch { .. })),
                    "{own} as {flags}"
                );
            }
        }
        for unknown in [0b10, 0b100, 0b101, 0b1000_0001, 0xFF] {
            let refused = Header::from_detached(&with_flags(&detached, unknown));
            assert!(matches!(refused, Err(Error::HeaderDamaged { .. })), "{unknown}");
        }
    }
}

/// Storage puts a header of its own where a worker takes the object's from. It wraps a data key that storage knows, is
/// consistent in itself, and opens with the worker's key.
#[test]
fn an_exchanged_header_seals_nothing() {
    let begun = encryptor().begin_composite(Padding::None).unwrap();
    let theirs = Encryptor::new(key()).begin_composite(Padding::None).unwrap();
    // The worker received this over a channel that storage cannot write to.
    let commitment = *begun.commitment();
    let stored_header = Header::from_detached(&theirs.header().to_detached().unwrap()).unwrap();
    let unlocked = decryptor().unlock(stored_header).unwrap();
    let refused = unlocked.composite(&commitment).map(drop);
    assert_eq!(composite_error(refused.unwrap_err()), CompositeError::HeaderExchanged);

    let own = Header::from_detached(&begun.header().to_detached().unwrap()).unwrap();
    let worker = decryptor().unlock(own).unwrap().composite(&commitment).unwrap();
    let sealed = worker.component(b"1").unwrap().seal(b"by the worker").unwrap();
    let end = begun.complete(&[(b"1", sealed.receipt)], b"").unwrap();
    let stored = [&begun.header().to_attached().unwrap()[..], &sealed.bytes, &end.bytes].concat();
    assert_eq!(decryptor().open(&stored).unwrap(), b"by the worker");
}

#[test]
fn a_receipt_of_another_part_or_object_is_refused() {
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let other = encryptor().begin_composite(Padding::None).unwrap();
    let receipt = |object: &sealstone::composite::CompositeObject, part: &[u8]| {
        object.component(part).unwrap().seal(b"some bytes").unwrap().receipt
    };
    let (first, second) = (receipt(&object, b"1"), receipt(&object, b"2"));
    let refused = |parts: &[(&[u8], Receipt)]| composite_error(object.complete(parts, b"").unwrap_err());
    assert_eq!(
        refused(&[(b"1", first.clone()), (b"2", receipt(&other, b"2"))]),
        CompositeError::ReceiptAltered { component: 1 }
    );
    // Reordered, as hostile storage of receipts would.
    assert_eq!(
        refused(&[(b"1", second.clone()), (b"2", first.clone())]),
        CompositeError::ReceiptOfAnotherPart { component: 0 }
    );
    // Every flipped bit: it does not parse, or its MAC does not verify.
    let bytes = first.to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        match Receipt::from_bytes(&altered) {
            Ok(receipt) => {
                assert_eq!(receipt.to_bytes(), altered);
                let error = refused(&[(b"1", receipt)]);
                assert_eq!(error, CompositeError::ReceiptAltered { component: 0 });
            }
            Err(error) => assert!(matches!(composite_error(error), CompositeError::InvalidReceipt { .. })),
        }
    }
    for len in 0..bytes.len() {
        assert!(Receipt::from_bytes(&bytes[..len]).is_err());
    }
    object.complete(&[(b"1", first), (b"2", second)], b"").unwrap();
}

/// A store that understates a part's length would have the next part's bytes at other offsets, if anybody believed it.
#[test]
fn a_store_that_lies_about_part_sizes() {
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let sealed = components(&object, &[1000, 1000]);
    // The store's listing is never asked: lengths are in receipts. A receipt that says what the store says is no receipt.
    let mut forged = sealed[0].2.to_bytes();
    forged[24..32].copy_from_slice(&900_u64.to_be_bytes());
    let forged = Receipt::from_bytes(&forged).unwrap();
    assert_eq!(forged.plaintext_len(), 900);
    let parts = [(label(0), forged), (label(1), sealed[1].2.clone())];
    assert_eq!(
        composite_error(object.complete(&parts, b"").unwrap_err()),
        CompositeError::ReceiptAltered { component: 0 }
    );
    // And if the store joins other bytes than it was sent, the object does not open.
    let parts = [(label(0), sealed[0].2.clone()), (label(1), sealed[1].2.clone())];
    let end = object.complete(&parts, b"").unwrap().bytes;
    let header = object.header().to_attached().unwrap();
    let lied = [&header, &sealed[0].1[..972], &sealed[1].1, &end].concat();
    refused(&lied, &plaintext(1000));
}

#[test]
fn manifests_and_receipts_parse_canonically() {
    // Bytes after the entries are the note; no other form of the same manifest exists. Both are proved for arbitrary bytes
    // beside the parsers; here through the whole object.
    for note_len in [0, 1, 31, 32, 255, 256] {
        let note = plaintext(note_len);
        let stored = Stored::seal_with(&encryptor(), &[3, 4], &note);
        let known = unlocked(&decryptor(), &stored.bytes)
            .load_manifest(&stored.bytes)
            .unwrap();
        assert_eq!(known.manifest().unwrap().note(), note);
        assert_eq!(known.manifest().unwrap().component_count(), 2);
    }
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let receipt = object.component(b"label").unwrap().seal(b"x").unwrap().receipt;
    let bytes = receipt.to_bytes();
    let longer = [&bytes[..], &[0]].concat();
    assert!(Receipt::from_bytes(&longer).is_err());
}
