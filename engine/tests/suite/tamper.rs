//! What is altered, moved, cut or exchanged is refused, with the right error and without releasing an unverified byte.

use std::io::Read;

use crate::common::{C, CHUNKS, SEALED, decryptor, encryptor, executors, plaintext, seal_fixed};
use sealstone::{ChunkSize, Error, Executor, ObjectHeader};

/// Reads a damaged object in every possible way. All refuse it, and what a reader returned before that is a beginning
/// of the plaintext. Returns the error, and how many bytes the reader returned.
fn refused(object: &[u8], plain: &[u8]) -> (Error, usize) {
    let mut buffer = vec![0xAA; plain.len() + object.len()];
    let error = decryptor()
        .open_into(object, &mut buffer)
        .expect_err("a damaged object");
    assert!(
        buffer.iter().all(|&byte| byte == 0xAA) || buffer[..1].iter().all(|&byte| byte == 0),
        "on an error the buffer is untouched or cleared"
    );
    assert!(decryptor().verify(object).is_err());

    let mut out = Vec::new();
    match decryptor().reader(object) {
        Err(_) => {}
        Ok(mut reader) => {
            let failure = reader.read_to_end(&mut out).expect_err("no clean end");
            assert!(plain.starts_with(&out), "only verified bytes, in order");
            let again = reader.read(&mut [0; 16]).expect_err("the error is permanent");
            assert_eq!(failure.to_string(), again.to_string());
        }
    }
    (error, out.len())
}

#[test]
fn every_flipped_bit_of_a_payload_is_refused() {
    for len in [0, 1, 100] {
        let plain = plaintext(len);
        let object = seal_fixed(&encryptor(), 1, 2, &plain);
        assert_flips_are_refused(&object, &plain, 8192 * 8..object.len() * 8);
    }
}

#[test]
fn flipped_bits_of_three_chunks_name_the_chunk_and_release_those_before() {
    let plain = plaintext(2 * C + 100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    // All bits at both chunk boundaries and of the final chunk; a sample of those in between.
    let boundary = |at: usize| (at - 20) * 8..(at + 20) * 8;
    assert_flips_are_refused(&object, &plain, boundary(CHUNKS + SEALED));
    assert_flips_are_refused(&object, &plain, (CHUNKS + 2 * SEALED - 20) * 8..object.len() * 8);
    assert_flips_are_refused(&object, &plain, (CHUNKS * 8..object.len() * 8).step_by(1013));
}

fn assert_flips_are_refused(object: &[u8], plain: &[u8], bits: impl IntoIterator<Item = usize>) {
    for bit in bits {
        let mut altered = object.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        let (error, given) = refused(&altered, plain);
        let chunk = (bit / 8).saturating_sub(CHUNKS) / SEALED;
        if bit / 8 < CHUNKS {
            assert!(matches!(error, Error::HeaderOfAnotherPayload), "{bit}: {error}");
        } else {
            let offset = CHUNKS + chunk * SEALED;
            assert!(
                matches!(error, Error::ChunkAltered { chunk: found, offset: at }
                    if found == chunk as u64 && at == offset as u64),
                "{bit}: {error}"
            );
            assert_eq!(given, chunk * C, "what was verified before was given");
        }
    }
}

#[test]
fn every_flipped_header_bit_still_opens_to_the_right_plaintext() {
    let plain = plaintext(100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for bit in (0..8192 * 8).step_by(37) {
        let mut altered = object.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decryptor().open(&altered).unwrap(), plain);
        let header = ObjectHeader::parse(&altered[..8192]).unwrap();
        assert!(header.faults()[bit / 8 / 4096].is_some());
    }
}

#[test]
fn a_cut_at_every_byte_is_refused() {
    let plain = plaintext(100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    assert_cuts_are_refused(&object, &plain, 0..object.len());
}

#[test]
fn cuts_at_and_between_chunk_boundaries_are_refused() {
    let plain = plaintext(2 * C + 100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for boundary in [CHUNKS, CHUNKS + SEALED, CHUNKS + 2 * SEALED] {
        assert_cuts_are_refused(&object, &plain, boundary - 40..boundary + 40);
    }
    assert_cuts_are_refused(&object, &plain, (0..object.len()).step_by(499));
}

fn assert_cuts_are_refused(object: &[u8], plain: &[u8], cuts: impl IntoIterator<Item = usize>) {
    for cut in cuts {
        let (error, _) = refused(&object[..cut], plain);
        let (body, rest) = (cut.saturating_sub(CHUNKS), cut.saturating_sub(CHUNKS) % SEALED);
        let right = match error {
            Error::NotSealstone { .. } => cut == 0,
            Error::HeaderTruncated { .. } => (1..8192).contains(&cut),
            Error::Truncated { after } => cut >= 8192 && rest < 16 && after == (body / SEALED * C) as u64,
            Error::ChunkAltered { chunk, .. } => rest >= 16 && chunk == (body / SEALED) as u64,
            _ => false,
        };
        assert!(right, "cut at {cut}: {error}");
    }
}

#[test]
fn trailing_bytes_are_named_with_the_offset_they_begin_at() {
    for len in [0, 1, 100, C - 1, C, 2 * C + 100] {
        let plain = plaintext(len);
        let object = seal_fixed(&encryptor(), 1, 2, &plain);
        for extra in [1, 2, 15, 16, 17, 200] {
            let altered = [object.as_slice(), &vec![0; extra]].concat();
            let (error, _) = refused(&altered, &plain);
            let end = object.len() as u64;
            let right = matches!(error, Error::TrailingData { offset } if offset == end);
            assert!(right, "{len} and {extra}: {error}");
        }
        // A valid chunk again, or a whole object, is refused too.
        let chunk = &object[object.len() - (len % C + 16)..];
        refused(&[object.as_slice(), chunk].concat(), &plain);
        refused(&[object.as_slice(), &object].concat(), &plain);
    }
}

/// The object's sealed chunks, final one included.
fn chunks(object: &[u8]) -> Vec<&[u8]> {
    object[CHUNKS..].chunks(SEALED).collect()
}

fn assemble(object: &[u8], chunks: &[&[u8]]) -> Vec<u8> {
    [&object[..CHUNKS], &chunks.concat()].concat()
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.len() <= 1 {
        return vec![items.to_vec()];
    }
    let mut all = Vec::new();
    for (place, &first) in items.iter().enumerate() {
        let rest = [&items[..place], &items[place + 1..]].concat();
        all.extend(permutations(&rest).into_iter().map(|tail| [vec![first], tail].concat()));
    }
    all
}

#[test]
fn every_order_of_five_chunks_but_the_right_one_is_refused() {
    let plain = plaintext(4 * C + 100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let original = chunks(&object);
    assert_eq!(original.len(), 5);
    for order in permutations(&[0, 1, 2, 3, 4]) {
        let moved = assemble(&object, &order.iter().map(|&i| original[i]).collect::<Vec<_>>());
        if order == [0, 1, 2, 3, 4] {
            assert_eq!(decryptor().open(&moved).unwrap(), plain);
        } else {
            let (error, _) = refused(&moved, &plain);
            assert!(matches!(error, Error::ChunkAltered { .. }), "{order:?}: {error}");
        }
    }
}

#[test]
fn every_swapped_duplicated_or_dropped_chunk_is_refused() {
    let plain = plaintext(11 * C + 100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let original = chunks(&object);
    for left in 0..original.len() {
        for right in left + 1..original.len() {
            let mut moved = original.clone();
            moved.swap(left, right);
            refused(&assemble(&object, &moved), &plain);
        }
        let mut doubled = original.clone();
        doubled.insert(left, original[left]);
        refused(&assemble(&object, &doubled), &plain);
        let mut dropped = original.clone();
        dropped.remove(left);
        refused(&assemble(&object, &dropped), &plain);
    }
}

#[test]
fn chunks_of_another_object_are_refused_even_under_one_data_key() {
    let plain = plaintext(2 * C + 100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    // Another salt under the same data key, or another data key under the same salt; everything else is equal.
    for (data, salt) in [(1, 3), (9, 2), (9, 3)] {
        let other = seal_fixed(&encryptor(), data, salt, &plain);
        for place in 0..3 {
            let mut spliced = chunks(&object);
            let foreign = chunks(&other);
            spliced[place] = foreign[place];
            let (error, given) = refused(&assemble(&object, &spliced), &plain);
            assert!(matches!(error, Error::ChunkAltered { chunk, .. } if chunk == place as u64));
            assert_eq!(given, place * C);
        }
        // Another object's header, or its payload.
        let mixed = [&other[..8192], &object[8192..]].concat();
        assert!(matches!(refused(&mixed, &plain).0, Error::HeaderOfAnotherPayload));
        let mixed = [&object[..CHUNKS], &other[CHUNKS..]].concat();
        assert!(matches!(
            refused(&mixed, &plain).0,
            Error::ChunkAltered { chunk: 0, .. }
        ));
    }
}

#[test]
fn a_chunk_of_another_chunk_size_is_refused() {
    let plain = plaintext(100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let large = seal_fixed(&encryptor().with_chunk_size(ChunkSize::KiB64), 1, 2, &plain);
    let mixed = [&object[..CHUNKS], &large[CHUNKS..]].concat();
    assert!(matches!(
        refused(&mixed, &plain).0,
        Error::ChunkAltered { chunk: 0, .. }
    ));
}

#[test]
fn with_a_pool_a_reader_returns_the_verified_beginning_and_then_the_error_forever() {
    let plain = plaintext(100 * C);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for executor in executors() {
        for chunk in [0, 1, 15, 16, 50, 99, 100] {
            let mut altered = object.clone();
            altered[CHUNKS + chunk * SEALED + 3] ^= 1;
            let mut reader = decryptor()
                .with_executor(executor.clone())
                .reader(altered.as_slice())
                .unwrap();
            let mut out = Vec::new();
            let error = reader.read_to_end(&mut out).unwrap_err();
            let error = Error::from_io("reading", error);
            assert!(matches!(error, Error::ChunkAltered { chunk: found, .. } if found == chunk as u64));
            assert!(plain.starts_with(&out));
            assert!(out.len() <= chunk * C);
            for _ in 0..3 {
                assert!(reader.read(&mut [0; 1]).is_err());
                assert!(reader.next_bytes().is_err());
            }
        }
    }
}

/// In the shares of all workers, not only of the one that failed.
#[test]
fn a_failed_open_leaves_nothing_of_what_was_opened_before() {
    let plain = plaintext(100 * C);
    let mut object = seal_fixed(&encryptor(), 1, 2, &plain);
    *object.last_mut().unwrap() ^= 1;
    for executor in executors() {
        let mut buffer = vec![0xAA; plain.len()];
        let decryptor = decryptor().with_executor(executor);
        assert!(decryptor.open_into(&object, &mut buffer).is_err());
        assert!(buffer.iter().all(|&byte| byte == 0));
    }
}

#[test]
fn a_writer_that_is_not_finished_leaves_no_object_that_opens() {
    use std::io::Write;
    for len in [0, 1, C, 3 * C, 20 * C] {
        let plain = plaintext(len);
        let mut sink = Vec::new();
        let mut writer = encryptor()
            .with_executor(crate::common::pool(2))
            .writer(&mut sink)
            .unwrap();
        writer.write_all(&plain).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let (error, _) = refused(&sink, &plain);
        assert!(matches!(error, Error::Truncated { .. }), "{len}: {error}");
    }
}

/// Random corruptions: only a verified beginning is ever returned.
#[test]
fn nothing_but_the_verified_prefix_is_released() {
    let plain = plaintext(20 * C + 77);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let pool = crate::common::pool(2);
    for round in 0..400 {
        let mut altered = object.clone();
        let at = CHUNKS + random(object.len() - CHUNKS);
        match round % 4 {
            0 => altered[at] ^= 1 << random(8),
            1 => altered.truncate(at),
            2 => altered[at..].iter_mut().take(64).for_each(|byte| *byte = 0),
            _ => altered.insert(at, 7),
        }
        if altered == object {
            continue;
        }
        let executor = if round % 2 == 0 {
            Executor::serial()
        } else {
            pool.clone()
        };
        let intact = altered
            .iter()
            .zip(&object)
            .take_while(|(left, right)| left == right)
            .count();
        let verifiable = (intact - CHUNKS) / SEALED * C;
        let mut out = Vec::new();
        let mut reader = decryptor()
            .with_executor(executor.clone())
            .reader(altered.as_slice())
            .unwrap();
        assert!(reader.read_to_end(&mut out).is_err());
        assert!(plain.starts_with(&out) && out.len() <= verifiable, "round {round}");

        let reader = decryptor().range_reader(altered.as_slice());
        let first_bad = verifiable as u64;
        if let Ok(reader) = reader {
            let mut buffer = vec![0xAA; 2 * C];
            let start = first_bad.saturating_sub(5);
            match reader.read_at(&mut buffer, start) {
                Ok(len) => assert!(len < 2 * C || buffer == plain[usize::try_from(start).unwrap()..][..2 * C]),
                Err(_) => assert!(buffer.iter().all(|&byte| byte == 0)),
            }
        }
    }
}

/// Each part of the header altered in both copies, with a corrected checksum: refused, or the same plaintext.
#[test]
fn every_altered_header_part_is_refused_or_harmless() {
    use sha2::Digest;
    let plain = plaintext(100);
    let context = sealstone::EncryptionContext::new().with("bucket", "b");
    let encryptor = encryptor().with_context(context.clone());
    let object = seal_fixed(&encryptor, 1, 2, &plain);
    let expected = sealstone::ExpectedContext::Exact(context);
    let used = object[..4096 - 32].iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let mut harmless = Vec::new();
    for offset in 8..used + 4 {
        for flip in [1u8, 0x80, 0xFF] {
            let mut copy = object[..4096 - 32].to_vec();
            copy[offset] ^= flip;
            let digest = sha2::Sha256::digest(&copy);
            copy.extend_from_slice(&digest);
            let altered = [copy.as_slice(), &copy, &object[8192..]].concat();
            if let Ok(opened) = decryptor().with_context(expected.clone()).open(&altered) {
                assert_eq!(opened, plain);
                harmless.push(offset);
            }
        }
    }
    harmless.dedup();
    // The generation says which copy is newer, and nothing else.
    assert_eq!(harmless, (12..20).collect::<Vec<_>>());
}
