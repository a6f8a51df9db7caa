//! After sealing and opening, the data key is nowhere in the process's memory. This test therefore has its own process.
//!
//! ```text
//! provider -> data key XOR mask, kept     /proc/self/mem[i..i + 16] XOR mask[16..] == kept[16..] ?
//! ```
//!
//! The second half is enough: an allocator writes links over the first bytes of freed memory, so a key that was not
//! wiped may not be whole. The search covers the key itself and what reveals it: the pads that HMAC derives from it
//! (key XOR 0x36 and 0x5c), as bytes and as the words, in the processor's byte order, that the hash loads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use sealstone::composite::Padding;
use sealstone::error::ProviderError;
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, DATA_KEY_LEN, GeneratedKey, KeyMatch};
use sealstone::{Backend, DataKey, Decryptor, EncryptionContext, Encryptor, KeyProvider, KeyRing, RawKey, Suite};
use zeroize::{Zeroize, Zeroizing};

const PAGES: usize = 64 * 1024;
const LEN: usize = 100_000;

/// One test, because anything that runs beside it would be searched too.
#[test]
fn no_data_key_outlives_the_making_of_its_cipher() {
    planted_keys_are_found();
    let providers: [Arc<dyn KeyProvider>; 2] = [
        Arc::new(RawKey::from_slice(DataKey::random().unwrap().expose()).unwrap()),
        Arc::new(KeyRing::in_memory("default").unwrap()),
    ];
    for provider in providers {
        for &backend in Backend::ALL {
            for suite in Suite::ALL {
                let recording = Arc::new(Recording::new(Arc::clone(&provider)));
                let case = format!("{}, {}, {}", provider.id(), backend.name(), suite.name());
                let encryptor = Encryptor::new(Arc::clone(&recording) as _)
                    .with_backend(backend)
                    .with_suite(suite)
                    .with_verify_writes(true);
                let decryptor = Decryptor::new(Arc::clone(&recording) as _).with_backend(backend);
                sealing_leaves_nothing(&case, &recording, &encryptor);
                opening_leaves_nothing(&case, &recording, &encryptor, &decryptor);
                a_composite_object_leaves_nothing(&case, &recording, &encryptor, &decryptor);
            }
        }
    }
}

/// A search that finds nothing must be able to find something: on the heap, and in a stack frame.
fn planted_keys_are_found() {
    let key = DataKey::random().unwrap();
    let masked = Masked::new(&key);
    assert!(masked.found().iter().any(|found| found.starts_with("key ")), "alive");
    drop(key);
    assert_eq!(masked.found(), [""; 0]);

    let mut heap = vec![0; 3 * PAGES];
    // Also across the boundary between two reads.
    for offset in [5, PAGES - 7] {
        masked.unmask_into(&mut heap[offset..][..DATA_KEY_LEN], 0);
        assert_eq!(black_box(masked.found()).len(), 1);
        heap.as_mut_slice().zeroize();
    }
    for pad in [0x36, 0x5c] {
        masked.unmask_into(&mut heap[..DATA_KEY_LEN], pad);
        assert_eq!(black_box(masked.found()).len(), 1);
        heap.as_mut_slice().zeroize();
    }
    let mut frame = [0; DATA_KEY_LEN];
    masked.unmask_into(&mut frame, 0);
    assert_eq!(black_box(masked.found()).len(), 1);
    frame.zeroize();
    assert_eq!(masked.found(), [""; 0]);

    // Also in the frame of a call that has returned.
    below(|| {
        let mut left = [0; DATA_KEY_LEN];
        masked.unmask_into(&mut left, 0);
        black_box(&left);
    });
    assert_eq!(masked.found().len(), 1);
}

fn sealing_leaves_nothing(case: &str, recording: &Recording, encryptor: &Encryptor) {
    let object = below(|| encryptor.seal(&[1; LEN]).unwrap());
    recording.assert_gone(&format!("{case}: sealed"));

    let begun = below(|| encryptor.begin().unwrap());
    recording.assert_gone(&format!("{case}: begun"));
    let mut writer = below(|| begun.writer(Vec::new()).unwrap());
    below(|| writer.write_all(&[2; LEN]).unwrap());
    recording.assert_gone(&format!("{case}: writing"));
    below(|| writer.finish().unwrap());
    recording.assert_gone(&format!("{case}: written"));
    drop(object);
}

/// While components are sealed or opened, the data key is needed; with the last that needs it, it is gone.
fn a_composite_object_leaves_nothing(case: &str, recording: &Recording, encryptor: &Encryptor, decryptor: &Decryptor) {
    let object = below(|| encryptor.begin_composite(Padding::None).unwrap());
    let sealed = below(|| object.component(b"1").unwrap().seal(&[3; LEN]).unwrap());
    let parts = [(b"1", sealed.receipt)];
    let end = below(|| object.complete(&parts, b"").unwrap());
    let stored = [&object.header().to_attached().unwrap()[..], &sealed.bytes, &end.bytes].concat();
    below(|| drop(object));
    recording.assert_gone(&format!("{case}: composite object sealed"));

    let header = Decryptor::read_header(&stored).unwrap();
    let unlocked = below(|| decryptor.unlock_at(header, &stored).unwrap());
    let ranges = below(|| unlocked.range_reader(stored.as_slice()).unwrap());
    assert_eq!(below(|| ranges.read_range(7..9).unwrap()), [3; 2][..]);
    assert_eq!(below(|| unlocked.open(&stored).unwrap()), [3; LEN]);
    below(|| drop((unlocked, ranges)));
    recording.assert_gone(&format!("{case}: composite object opened"));
}

fn opening_leaves_nothing(case: &str, recording: &Recording, encryptor: &Encryptor, decryptor: &Decryptor) {
    let object = below(|| encryptor.seal(&[1; LEN]).unwrap());
    let plain = below(|| decryptor.open(&object).unwrap());
    assert_eq!(plain, [1; LEN]);
    recording.assert_gone(&format!("{case}: opened"));

    let mut reader = below(|| decryptor.reader(object.as_slice()).unwrap());
    let mut half = vec![0; LEN / 2];
    below(|| reader.read_exact(&mut half).unwrap());
    recording.assert_gone(&format!("{case}: half read"));

    let ranges = below(|| decryptor.range_reader(object.as_slice()).unwrap());
    below(|| ranges.read_range(30_000..70_000).unwrap());
    recording.assert_gone(&format!("{case}: a range read"));
    drop(reader);
}

/// Runs `work` so far down the stack that the search does not overwrite what it leaves there.
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    // If inlined, its variables could be above the reserved space.
    #[inline(never)]
    fn run<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    let room = [0_u8; PAGES];
    black_box(&room);
    let result = run(work);
    black_box(&room);
    result
}

/// Remembers, masked, each data key that its provider generates.
#[derive(Debug)]
struct Recording {
    inner: Arc<dyn KeyProvider>,
    seen: Mutex<Vec<Masked>>,
}

impl Recording {
    fn new(inner: Arc<dyn KeyProvider>) -> Self {
        Self {
            inner,
            seen: Mutex::new(Vec::new()),
        }
    }

    #[track_caller]
    fn assert_gone(&self, when: &str) {
        let seen = self.seen.lock().unwrap();
        let found = seen.last().unwrap().found();
        assert_eq!(found, [""; 0], "{when}");
    }
}

impl KeyProvider for Recording {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.inner.matches(slot)
    }

    fn generate_key<'a>(
        &'a self,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        Box::pin(async move {
            let generated = self.inner.generate_key(context).await?;
            self.seen.lock().unwrap().push(Masked::new(&generated.data_key));
            Ok(generated)
        })
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.inner.wrap_key(data_key, context)
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        self.inner.unwrap_key(wrapped, context)
    }
}

/// A data key that is never in the clear: its bytes XOR a random mask, and the mask.
#[derive(Debug)]
struct Masked {
    bytes: Box<[u8; DATA_KEY_LEN]>,
    mask: DataKey,
}

impl Masked {
    fn new(key: &DataKey) -> Self {
        let mask = DataKey::random().unwrap();
        let mut bytes = Box::new([0; DATA_KEY_LEN]);
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = key.expose()[i] ^ mask.expose()[i];
        }
        Self { bytes, mask }
    }

    /// A byte of the key in the clear.
    fn byte(&self, i: usize) -> u8 {
        self.bytes[i] ^ self.mask.expose()[i]
    }

    fn unmask_into(&self, out: &mut [u8], pad: u8) {
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = self.byte(i) ^ pad;
        }
    }

    /// Where the key is in this process's writable memory, and in what form.
    fn found(&self) -> Vec<String> {
        let memory = File::open("/proc/self/mem").unwrap();
        let mut buffer = Zeroizing::new(vec![0; PAGES + DATA_KEY_LEN - 1]);
        let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
        let mut found = Vec::new();
        for (start, end, name) in writable_regions() {
            for piece in (start..end).step_by(PAGES) {
                // Wiped before each read: otherwise the buffer, when it is searched itself, shows what was read before.
                buffer.as_mut_slice().zeroize();
                let len = buffer.len().min(end - piece);
                memory.read_exact_at(&mut buffer[..len], piece as u64).unwrap();
                for (offset, form) in self.found_in(&buffer[..len]) {
                    let address = piece + offset;
                    if offset < PAGES && !own.contains(&address) {
                        found.push(format!("{form} at {address:#x} in {name}"));
                    }
                }
            }
        }
        found
    }

    fn found_in<'a>(&'a self, memory: &'a [u8]) -> impl Iterator<Item = (usize, &'static str)> + 'a {
        // Byte i of a form is key[i XOR swap] XOR pad: 7 reverses words of 8 bytes.
        const FORMS: [(&str, usize, u8); 5] = [
            ("key", 0, 0),
            ("inner pad", 0, 0x36),
            ("outer pad", 0, 0x5c),
            ("inner pad in words", 7, 0x36),
            ("outer pad in words", 7, 0x5c),
        ];
        FORMS.iter().flat_map(move |&(form, swap, pad)| {
            const HALF: usize = DATA_KEY_LEN / 2;
            let byte = move |i: usize| self.byte((HALF + i) ^ swap) ^ pad;
            let first = byte(0);
            memory
                .windows(HALF)
                .enumerate()
                .filter(move |(_, window)| window[0] == first && (1..HALF).all(|i| window[i] == byte(i)))
                .map(move |(offset, _)| (offset, form))
        })
    }
}

/// Start, end and name of the regions that are mapped readable and writable.
fn writable_regions() -> Vec<(usize, usize, String)> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let address = |text| usize::from_str_radix(text, 16).unwrap();
            let name = fields.nth(4).unwrap_or("anonymous memory");
            let writable = line.split_whitespace().nth(1)?.starts_with("rw");
            writable.then(|| (address(start), address(end), name.to_owned()))
        })
        .collect()
}
