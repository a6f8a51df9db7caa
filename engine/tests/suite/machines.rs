//! The machines without I/O: the same bytes as every other way, whatever is pushed and whenever bytes are pulled.

use bytes::Bytes;
use sealstone::stream::{StreamOpener, StreamSealer};
use sealstone::{Error, Result, hazmat};

use crate::common::{
    C, CHUNKS, LENGTHS, SEALED, data_key, decryptor, encryptor, executors, plaintext, seal_fixed, unlocked,
};

/// Pushes in pieces of `step` bytes; pulls when necessary, or (`eager`) whenever possible.
fn seal(mut sealer: StreamSealer, plain: &[u8], step: usize, eager: bool) -> Result<Vec<u8>> {
    let mut object = Vec::new();
    for piece in plain.chunks(step) {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() {
            sealer.push(&mut piece)?;
            while let Some(sealed) = (eager || sealer.is_full())
                .then(|| sealer.pull())
                .transpose()?
                .flatten()
            {
                object.extend_from_slice(&sealed);
                if !eager {
                    break;
                }
            }
        }
    }
    for sealed in sealer.finish() {
        object.extend_from_slice(&sealed?);
    }
    Ok(object)
}

/// The plaintext that was returned, and how it ended.
fn open(mut opener: StreamOpener, sealed: &[u8], step: usize, eager: bool) -> (Vec<u8>, Result<()>) {
    let mut plain = Vec::new();
    let mut pushed = || -> Result<()> {
        for mut piece in sealed.chunks(step) {
            while !piece.is_empty() {
                opener.push(&mut piece)?;
                while let Some(bytes) = (eager || opener.is_full())
                    .then(|| opener.pull())
                    .transpose()?
                    .flatten()
                {
                    plain.extend_from_slice(&bytes);
                }
            }
        }
        Ok(())
    };
    if let Err(error) = pushed() {
        let again = opener.pull().unwrap_err();
        assert_eq!(again.to_string(), error.to_string(), "the error is permanent");
        return (plain, Err(error));
    }
    for bytes in opener.finish() {
        match bytes {
            Ok(bytes) => plain.extend_from_slice(&bytes),
            Err(error) => return (plain, Err(error)),
        }
    }
    (plain, Ok(()))
}

#[test]
fn the_bytes_are_those_of_every_other_way() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let object = seal_fixed(&encryptor(), 1, 2, &plain);
        for executor in executors() {
            let encryptor = encryptor().with_executor(executor.clone());
            let unlocked = unlocked(&decryptor(), &object).with_executor(executor);
            for (step, eager) in [(1000, true), (C + 1, false), (300_000, true), (usize::MAX, false)] {
                let begin = || hazmat::begin(&encryptor, &data_key(1), [2; 24]).unwrap();
                let sealed = seal(begin().sealer().unwrap(), &plain, step, eager).unwrap();
                // Headers differ, because wraps have random nonces.
                assert!(
                    sealed[CHUNKS - 56..] == object[CHUNKS - 56..],
                    "{len} in steps of {step}"
                );
                assert!(decryptor().open(&sealed).unwrap() == plain);
                let payload = seal(begin().detach().1.sealer().unwrap(), &plain, step, eager).unwrap();
                assert!(payload == object[CHUNKS - 56..]);
                let (opened, end) = open(unlocked.stream_opener(), &payload, step, eager);
                assert!(end.is_ok() && opened == plain, "{len} in steps of {step}: {end:?}");
            }
        }
    }
}

#[test]
fn what_is_altered_or_cut_is_refused_after_the_verified_beginning() {
    let plain = plaintext(20 * C + 7);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let payload = &object[CHUNKS - 56..];
    for executor in executors() {
        let unlocked = unlocked(&decryptor(), &object).with_executor(executor);
        let check = |sealed: &[u8], most: usize| {
            let (opened, end) = open(unlocked.stream_opener(), sealed, 5000, false);
            assert!(plain.starts_with(&opened) && opened.len() <= most, "{}", opened.len());
            end.unwrap_err()
        };
        let mut altered = payload.to_vec();
        altered[56 + 18 * SEALED + 3] ^= 1;
        assert!(matches!(check(&altered, 18 * C), Error::ChunkAltered { chunk: 18, .. }));
        altered[5] ^= 1;
        assert!(matches!(check(&altered, 0), Error::HeaderOfAnotherPayload));
        for cut in [0, 55, 56, 56 + SEALED, 56 + 20 * SEALED, payload.len() - 1] {
            check(&payload[..cut], 20 * C);
        }
        assert!(matches!(
            check(&payload[..56 + 3 * SEALED], 3 * C),
            Error::Truncated { .. }
        ));
        assert!(matches!(
            check(&[payload, &[0; 40]].concat(), plain.len()),
            Error::TrailingData { .. }
        ));
    }
}

#[test]
fn a_range_takes_its_chunks_and_no_more() {
    let plain = plaintext(20 * C + 7);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let unlocked = unlocked(&decryptor(), &object);
    for (start, end) in [
        (0, 1),
        (C - 1, 3 * C),
        (19 * C, 20 * C + 7),
        (5, 5),
        (20 * C + 7, 20 * C + 7),
    ] {
        let range = unlocked.range(object.len() as u64, start as u64..end as u64).unwrap();
        let fetch = range.ciphertext_range();
        let fetched = &object[usize::try_from(fetch.start).unwrap()..usize::try_from(fetch.end).unwrap()];
        let (opened, ended) = open(range.stream_opener(), fetched, 4000, true);
        assert!(
            ended.is_ok() && opened == plain[start..end],
            "{start}..{end}: {ended:?}"
        );

        assert_eq!(range.open(fetched).unwrap(), plain[start..end], "{start}..{end}");
        if let Some((_, short)) = fetched.split_last() {
            assert!(matches!(range.open(short), Err(Error::NotFetched { end, .. }) if end == fetch.end));
            let mut altered = fetched.to_vec();
            altered[fetched.len() / 2] ^= 1;
            assert!(matches!(range.open(&altered), Err(Error::ChunkAltered { .. })));
        }

        let mut opener = range.stream_opener();
        let longer = [fetched, b"more"].concat();
        let mut rest = longer.as_slice();
        while rest.len() > 4 {
            opener.push(&mut rest).unwrap();
            while rest.len() > 4 && opener.pull().unwrap().is_some() {}
        }
        opener.push(&mut rest).unwrap();
        assert_eq!(rest, b"more");
    }
}

#[test]
fn a_sealer_that_was_cancelled_says_so_from_then_on() {
    let progress = sealstone::Progress::new();
    let mut sealer = encryptor()
        .with_progress(progress.clone())
        .begin()
        .unwrap()
        .sealer()
        .unwrap();
    progress.cancel();
    let mut plain = Bytes::from(plaintext(40 * C));
    assert!(matches!(sealer.push(&mut plain), Err(Error::Cancelled)));
    assert!(matches!(sealer.pull(), Err(Error::Cancelled)));
    let mut rest = sealer.finish();
    assert!(matches!(rest.next(), Some(Err(Error::Cancelled))));
    assert!(rest.next().is_none());
}
