//! Headers stored apart from their payload: as bytes, as object metadata, as a setting of the decryptor.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{C, LENGTHS, SEALED, decryptor, encryptor, plaintext};
use sealstone::file::{AtomicFile, IfExists};
use sealstone::format::{MAX_METADATA_LEN, METADATA_IDENTIFIER, METADATA_KEY};
use sealstone::positioned::ReadAt;
use sealstone::{ChunkSize, Decryptor, EncryptionContext, Error, ExpectedContext, Header};

/// A header and its payload.
fn seal(plain: &[u8]) -> (Header, Vec<u8>) {
    let object = encryptor().begin().unwrap();
    let header = object.header().clone();
    let mut payload = vec![0; usize::try_from(header.layout().payload_len(plain.len() as u64).unwrap()).unwrap()];
    object.detach().1.seal_into(plain, &mut payload).unwrap();
    (header, payload)
}

fn header_with(context: &EncryptionContext) -> Header {
    let object = encryptor().with_context(context.clone()).begin().unwrap();
    object.header().clone()
}

#[test]
fn metadata_round_trips_among_other_pairs_and_in_any_case() {
    for size in ChunkSize::ALL {
        let object = encryptor().with_chunk_size(size).begin().unwrap();
        let header = object.header();
        let metadata = header.to_metadata().unwrap();
        assert_eq!(metadata.keys().collect::<Vec<_>>(), [METADATA_KEY]);
        assert_eq!(Header::from_metadata(&metadata).unwrap(), *header);

        let mut others: HashMap<String, String> = HashMap::from([("owner".into(), "somebody".into())]);
        others.insert("Sealstone-Header".into(), metadata[METADATA_KEY].clone());
        assert_eq!(Header::from_metadata(&others).unwrap(), *header);
        // The key of stores that have no hyphens in names.
        let identifier = [("Sealstone_header", &metadata[METADATA_KEY])];
        assert_eq!(Header::from_metadata(identifier).unwrap(), *header);
    }
}

#[test]
fn a_header_over_2048_bytes_of_metadata_says_what_it_needs() {
    let of_len = |len| header_with(&EncryptionContext::new().with("k", "v".repeat(len)));
    let metadata_len = |metadata: &BTreeMap<String, String>| -> usize {
        metadata.iter().map(|(key, value)| key.len() + value.len()).sum()
    };
    let (mut fitted, mut refused) = (0, 0);
    for len in 1200..1400 {
        match of_len(len).to_metadata() {
            Ok(metadata) => {
                fitted += 1;
                assert!(metadata_len(&metadata) <= MAX_METADATA_LEN);
                assert_eq!(refused, 0, "a longer one fits");
            }
            Err(Error::HeaderTooLarge { need, limit }) => {
                refused += 1;
                assert!(need > limit && limit == MAX_METADATA_LEN);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(fitted > 0 && refused > 0);
}

#[test]
fn metadata_that_is_no_header_is_refused() {
    let good = header_with(&EncryptionContext::new()).to_metadata().unwrap()[METADATA_KEY].clone();
    let none: [(&str, &str); 1] = [("other", &good)];
    assert!(matches!(Header::from_metadata(none), Err(Error::NotSealstone { .. })));
    let two = [(METADATA_KEY, good.as_str()), ("SEALSTONE-HEADER", &good)];
    assert!(matches!(Header::from_metadata(two), Err(Error::HeaderDamaged { .. })));
    let two = [(METADATA_KEY, good.as_str()), (METADATA_IDENTIFIER, &good)];
    assert!(matches!(Header::from_metadata(two), Err(Error::HeaderDamaged { .. })));
    let mut spellings = vec![
        format!("{good} "),
        format!("{good}="),
        format!("{good}AAAA"),
        good.trim_end_matches('=').to_owned() + "!",
        good.replacen('U', "\n", 1),
        good[..good.len() - 4].to_owned(),
    ];
    if good.ends_with('=') {
        spellings.push(good.trim_end_matches('=').to_owned());
    }
    for wrong in spellings {
        let refused = Header::from_metadata([(METADATA_KEY, &wrong)]);
        assert!(
            matches!(refused, Err(Error::HeaderDamaged { .. })),
            "{wrong}: {refused:?}"
        );
    }
    assert!(Header::from_metadata([(METADATA_KEY, "")]).is_err());
}

/// A value that decodes has only one encoding: base64 with other trailing bits is refused.
#[test]
fn metadata_has_one_spelling() {
    for len in 0..3 {
        let context = EncryptionContext::new().with("k", "v".repeat(len));
        let header = header_with(&context);
        let good = header.to_metadata().unwrap()[METADATA_KEY].clone();
        for at in good.len() - 4..good.len() {
            for char in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/', '=']) {
                let mut other = good.clone();
                other.replace_range(at..=at, &char.to_string());
                if other != good {
                    assert!(Header::from_metadata([(METADATA_KEY, &other)]).is_err(), "{other}");
                }
            }
        }
    }
}

#[test]
fn every_way_of_opening_takes_a_detached_header() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let (header, payload) = seal(&plain);
        let unlocked = decryptor().unlock(header.clone()).unwrap();
        assert!(unlocked.open(&payload).unwrap() == plain);
        let mut buffer = vec![1; len + 5];
        assert_eq!(unlocked.open_into(&payload, &mut buffer).unwrap(), len);
        assert!(buffer[..len] == plain);

        let mut reader = unlocked.reader(payload.as_slice()).unwrap();
        assert_eq!(*reader.unlocked().header(), header);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == plain);

        assert_eq!(unlocked.verify(payload.as_slice()).unwrap(), len as u64);
        let mut sink = Vec::new();
        unlocked.pipe(payload.as_slice(), &mut sink).unwrap();
        assert!(sink == plain);
        let ranges = unlocked.range_reader(payload.as_slice()).unwrap();
        assert!(ranges.read_range(..).unwrap() == plain);
    }
}

#[test]
fn files_and_streams_seal_a_payload_alone() {
    let dir = tempfile::tempdir().unwrap();
    let plain = plaintext(20 * C + 3);
    let path = dir.path().join("payload");
    let object = encryptor().begin().unwrap();
    let header = object.header().clone();
    let target = AtomicFile::create(&path, IfExists::Fail).unwrap();
    assert_eq!(
        object.detach().1.seal_at(&plain, target.file()).unwrap(),
        plain.len() as u64
    );
    target.commit().unwrap();
    let out = dir.path().join("out");
    let unlocked = decryptor().unlock(header).unwrap();
    let (source, out) = (File::open(&path).unwrap(), File::create_new(out).unwrap());
    assert_eq!(unlocked.open_at(&source, &out).unwrap(), plain.len() as u64);
    assert!(fs::read(dir.path().join("out")).unwrap() == plain);

    let object = encryptor().begin().unwrap();
    let header = object.header().clone();
    let mut payload = Vec::new();
    object.detach().1.pipe(plain.as_slice(), &mut payload).unwrap();
    let unlocked = decryptor().unlock(header).unwrap();
    assert!(unlocked.open(&payload).unwrap() == plain);
}

#[test]
fn a_header_of_another_payload_is_refused() {
    let plain = plaintext(3 * C);
    let ((header, payload), (other, _)) = (seal(&plain), seal(&plain));
    let wrong = decryptor().unlock(other.clone()).unwrap();
    let refused = |error: Error| assert!(matches!(error, Error::HeaderOfAnotherPayload), "{error}");
    refused(wrong.open(&payload).unwrap_err());
    refused(wrong.open_into(&payload, &mut vec![0; 4 * C]).unwrap_err());
    refused(wrong.reader(payload.as_slice()).unwrap_err());
    refused(wrong.verify(payload.as_slice()).unwrap_err());
    refused(
        decryptor()
            .unlock(other.clone())
            .unwrap()
            .reader(payload.as_slice())
            .unwrap_err(),
    );
    // A range does not read the first bytes, but the chunks do not belong to this header either.
    let ranges = wrong.range_reader(payload.as_slice()).unwrap();
    assert!(matches!(
        ranges.read_range(0..1),
        Err(Error::ChunkAltered { chunk: 0, offset: 56 })
    ));
    let right = decryptor().unlock(header).unwrap();
    assert!(matches!(right.open(&payload[..40]), Err(Error::Truncated { after: 0 })));
    assert!(right.open(&payload[..payload.len() - 1]).is_err());
}

#[test]
fn the_context_counts_for_a_detached_header_as_well() {
    let context = EncryptionContext::new().with("bucket", "b");
    let object = encryptor().with_context(context.clone()).begin().unwrap();
    let header = object.header().clone();
    let mut payload = Vec::new();
    object.detach().1.pipe(&b"text"[..], &mut payload).unwrap();
    let open = |decryptor: Decryptor| decryptor.unlock(header.clone())?.open(&payload);
    assert!(matches!(open(decryptor()), Err(Error::ContextMismatch(_))));
    let given = decryptor().with_context(ExpectedContext::Exact(context));
    assert_eq!(open(given).unwrap(), b"text");
}

/// Counts the fetched bytes, and records the lowest offset.
struct Counted<'a> {
    bytes: &'a [u8],
    fetched: AtomicU64,
    lowest: AtomicU64,
}

impl ReadAt for Counted<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let count = self.bytes.read_at(buffer, offset)?;
        self.fetched.fetch_add(count as u64, Ordering::Relaxed);
        self.lowest.fetch_min(offset, Ordering::Relaxed);
        Ok(count)
    }

    fn size(&self) -> std::io::Result<u64> {
        self.bytes.size()
    }
}

#[test]
fn a_range_with_a_detached_header_fetches_its_chunks_only() {
    let plain = plaintext(10 * C + 5);
    let (header, payload) = seal(&plain);
    for (range, chunks) in [
        (0..1, 1),
        (C..2 * C, 1),
        (C - 1..C + 1, 2),
        (3 * C + 5..6 * C, 3),
        (5..5, 0),
    ] {
        let source = Counted {
            bytes: &payload,
            fetched: AtomicU64::new(0),
            lowest: AtomicU64::new(u64::MAX),
        };
        let decryptor = decryptor().unlock(header.clone()).unwrap();
        let reader = decryptor.range_reader(&source).unwrap();
        let got = reader.read_range(range.start as u64..range.end as u64).unwrap();
        assert!(got == plain[range.clone()]);
        assert_eq!(
            source.fetched.load(Ordering::Relaxed),
            (chunks * SEALED) as u64,
            "{range:?}"
        );
        if chunks > 0 {
            let expected = header
                .layout()
                .ciphertext_range(range.start as u64..range.end as u64, plain.len() as u64);
            assert_eq!(source.lowest.load(Ordering::Relaxed), expected.unwrap().start);
        }
    }
}
