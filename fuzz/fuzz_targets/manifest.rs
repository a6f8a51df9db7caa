//! Receipts and manifests are refused, or are the only encoding of what they say. A manifest is reached under its key only,
//! so one is sealed out of any plaintext.
#![no_main]

use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use sealstone::composite::{MAX_COMPONENTS, MAX_NOTE_LEN, Padding, Receipt, padded_len};
use sealstone::hazmat::{self, PayloadParameters};
use sealstone::{Backend, ChunkSize, DataKey, EncryptionContext, Encryptor, KeyProvider, Suite, Unlocked};
use sealstone_fuzz::{decryptor, key};

const C: u64 = 16 * 1024;
const LEAST_BEFORE_LAST: u64 = 5 << 20;
const MAX_PLAINTEXT_LEN: u64 = (1 << 52) - 1;

#[derive(Debug, arbitrary::Arbitrary)]
enum Input {
    Receipt(Vec<u8>),
    /// The end of an object of so many bytes, and where it begins.
    Tail(bool, u64, u64, Vec<u8>),
    /// A manifest's plaintext as it comes.
    Plaintext(bool, i8, Vec<u8>),
    Manifest(Manifest),
}

#[derive(Debug, arbitrary::Arbitrary)]
struct Manifest {
    padded: bool,
    /// Each component's number, in its salt, and its length.
    components: Vec<(u8, u64)>,
    /// Added to the count.
    count: i8,
    note: Vec<u8>,
    /// Added to the payload's length.
    length: i8,
}

fuzz_target!(|input: Input| match input {
    Input::Receipt(bytes) => receipt(&bytes),
    Input::Tail(padded, object_len, offset, tail) => {
        // Nothing but the key's holder makes a manifest.
        assert!(
            Composite::of(padded)
                .unlocked
                .open_manifest(object_len, offset, &tail)
                .is_err()
        );
    }
    Input::Plaintext(padded, length, plaintext) => manifest(padded, length, &plaintext),
    Input::Manifest(input) => manifest(input.padded, input.length, &input.encode()),
});

fn receipt(bytes: &[u8]) {
    if let Ok(receipt) = Receipt::from_bytes(bytes) {
        assert_eq!(receipt.to_bytes(), bytes);
        let object = decryptor().unlock(Composite::of(false).unlocked.header().clone());
        let object = object
            .expect("its key")
            .composite(Composite::of(false).unlocked.header().commitment());
        let completed = object
            .expect("its commitment")
            .complete(&[(receipt.label().to_vec(), receipt)], b"");
        assert!(completed.is_err(), "only a sealing makes a receipt");
    }
}

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let count = (self.components.len() as u32).wrapping_add_signed(i32::from(self.count));
        let mut bytes = count.to_be_bytes().to_vec();
        for (number, len) in &self.components {
            bytes.extend([*number; 24]);
            bytes.extend(len.to_be_bytes());
        }
        bytes.extend(&self.note);
        bytes
    }
}

/// Seals this plaintext as a manifest, and has it opened for a payload that is as long as it says, or longer or shorter.
fn manifest(padded: bool, length: i8, plaintext: &[u8]) {
    let object = Composite::of(padded);
    let context = [b"sealstone/manifest@v1", &object.core[..]].concat();
    let parameters = PayloadParameters {
        suite: Suite::Aes256Gcm,
        chunk_size: ChunkSize::KiB16,
        context: &context,
        backend: Backend::RustCrypto,
    };
    let mut tail = hazmat::seal_payload(&object.data_key, [7; 24], parameters, plaintext).expect("it is short");
    tail.extend((tail.len() as u32).to_be_bytes());

    let expected = expected(padded, plaintext, tail.len() as u64);
    let payload_len = expected.as_ref().map_or(tail.len() as u64 + 1000, |(_, len)| *len);
    let Some(payload_len) = payload_len.checked_add_signed(i64::from(length)) else {
        return;
    };
    let Some(offset) = payload_len.checked_sub(tail.len() as u64) else {
        return;
    };
    let opened = object.unlocked.open_manifest(payload_len, offset, &tail);
    let Some((lens, _)) = expected.filter(|_| length == 0) else {
        assert!(
            opened.is_err(),
            "what is not canonical, or of another length, is refused"
        );
        return;
    };
    let opened = opened.expect("what is canonical is not refused");
    let manifest = opened.manifest().expect("it was opened");
    assert!(
        manifest
            .plaintext_ranges()
            .map(|range| range.end - range.start)
            .eq(lens.iter().copied())
    );
    assert_eq!(manifest.note(), &plaintext[4 + 32 * lens.len()..]);
    assert_eq!(manifest.payload_len(), payload_len);
}

/// The lengths of the components and of the payload, if the manifest is one.
fn expected(padded: bool, plaintext: &[u8], tail_len: u64) -> Option<(Vec<u64>, u64)> {
    let (count, rest) = plaintext.split_first_chunk::<4>()?;
    let count = u32::from_be_bytes(*count) as usize;
    if count == 0 || count > MAX_COMPONENTS || rest.len() < 32 * count || rest.len() - 32 * count > MAX_NOTE_LEN {
        return None;
    }
    let entries: Vec<&[u8]> = rest[..32 * count].chunks(32).collect();
    let mut salts: Vec<&[u8]> = entries.iter().map(|entry| &entry[..24]).collect();
    salts.sort_unstable();
    salts.dedup();
    let lens = entries
        .iter()
        .map(|entry| u64::from_be_bytes(entry[24..].try_into().expect("8 bytes")));
    let lens: Vec<u64> = lens.collect();
    let sum = lens.iter().try_fold(0u64, |sum, &len| sum.checked_add(len))?;
    if salts.len() < count || sum > MAX_PLAINTEXT_LEN {
        return None;
    }
    let components: u64 = lens.iter().map(|len| 56 + len + 16 * (len / C + 1)).sum();
    if !padded {
        return Some((lens, components + tail_len));
    }
    let padded_len = padded_len(ChunkSize::KiB16, sum).ok()?;
    let long = lens[..count - 1].iter().all(|&len| len >= LEAST_BEFORE_LAST);
    (long && components + tail_len <= padded_len).then_some((lens, padded_len))
}

/// The header of a composite object, and its data key.
struct Composite {
    unlocked: Unlocked,
    data_key: DataKey,
    core: [u8; 3],
}

impl Composite {
    fn of(padded: bool) -> &'static Self {
        static OBJECTS: LazyLock<[Composite; 2]> =
            LazyLock::new(|| [Composite::new(Padding::None), Composite::new(Padding::PlaintextLength)]);
        &OBJECTS[usize::from(padded)]
    }

    fn new(padding: Padding) -> Self {
        let encryptor = Encryptor::new(key(0)).with_chunk_size(ChunkSize::KiB16);
        let object = encryptor.begin_composite(padding).expect("it begins");
        let header = object.header();
        let context = EncryptionContext::new();
        let key = key(0);
        let mut unwrapping = key.unwrap_key(&header.slots()[0], &context);
        let Poll::Ready(data_key) = unwrapping.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("a raw key answers at once");
        };
        let core = header.payload_context();
        Self {
            unlocked: decryptor().unlock(header.clone()).expect("its key"),
            data_key: data_key.expect("its key"),
            core: *core.last_chunk().expect("it ends with the core"),
        }
    }
}
