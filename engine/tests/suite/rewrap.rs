//! Rewrapping in place: which keys open an object, and under which context. Power loss and failing calls are tested
//! inside the crate, where they can be simulated.

use std::fs::{self, File};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{C, Counting, decryptor, encryptor, key, plaintext};
use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::format::{COPY_LEN, WrappedKey};
use sealstone::keys::{BoxFuture, IntermediateKeys, KeyMatch};
use sealstone::rewrap::{LockedObject, Rewrapped, SlotChoice};
use sealstone::{
    DataKey, Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, Header, KeyProvider, KeyRing,
    ObjectHeader, Passphrase, RawKey, Rewrap,
};

type Key = Arc<dyn KeyProvider>;

fn raw(byte: u8) -> Key {
    Arc::new(RawKey::from_slice(&[byte; 32]).unwrap())
}

fn opens(object: &[u8], key: Key) -> bool {
    let decryptor = Decryptor::new(key).with_context(ExpectedContext::AcceptStored);
    decryptor.open(object).is_ok_and(|plain| plain == plaintext(C + 9))
}

fn with(key: Key) -> Rewrap {
    Rewrap::new(Decryptor::new(key))
}

/// An object for these keys, in its own file.
struct Object {
    file: tempfile::NamedTempFile,
}

impl Object {
    fn for_keys(keys: &[u8], context: EncryptionContext) -> Self {
        let encryptor = Encryptor::new(raw(keys[0])).with_context(context);
        let encryptor = keys[1..]
            .iter()
            .fold(encryptor, |encryptor, &byte| encryptor.with_key(raw(byte)));
        Self::of(&encryptor.seal(&plaintext(C + 9)).unwrap())
    }

    fn of(bytes: &[u8]) -> Self {
        let object = Self {
            file: tempfile::NamedTempFile::new().unwrap(),
        };
        object.write(bytes);
        object
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.file.path(), bytes).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.file.path()).unwrap()
    }

    fn header(&self) -> Header {
        let found = ObjectHeader::parse(&self.bytes()).unwrap();
        assert!(found.faults().iter().all(Option::is_none));
        found.header().clone()
    }

    fn rewrap(&self, rewrap: &Rewrap) -> Result<Rewrapped, Error> {
        rewrap.file(self.file.as_file())
    }

    /// Rewraps the object. Doing so again changes nothing.
    fn changes(&self, rewrap: &Rewrap) {
        let before = self.bytes();
        let generation = self.header().generation();
        let changed = self.rewrap(rewrap).unwrap();
        assert!(changed.changed);
        assert_eq!(changed.header, self.header());
        assert_eq!(changed.header.generation(), generation + 1);
        let after = self.bytes();
        assert!(after[2 * COPY_LEN..] == before[2 * COPY_LEN..]);
        assert!(!self.rewrap(rewrap).unwrap().changed);
        assert!(self.bytes() == after);
    }

    /// The keys among `keys` that open it.
    fn opened_by(&self, keys: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let bytes = self.bytes();
        keys.into_iter().filter(|&byte| opens(&bytes, raw(byte))).collect()
    }

    fn refuses(&self, rewrap: &Rewrap) -> Error {
        let before = self.bytes();
        let error = self.rewrap(rewrap).unwrap_err();
        assert!(self.bytes() == before);
        error
    }
}

fn no_context() -> EncryptionContext {
    EncryptionContext::new()
}

#[test]
fn slots_are_added_replaced_and_removed() {
    let object = Object::for_keys(&[1], no_context());
    object.changes(&with(raw(1)).add_key(raw(2)));
    assert_eq!(object.opened_by(1..5), [1, 2]);
    object.changes(&with(raw(1)).replace(SlotChoice::Key(raw(1)), raw(3)));
    assert_eq!(object.opened_by(1..5), [2, 3]);
    // The new slot takes the place of the old one.
    assert_eq!(object.header().slots()[0].provider, "raw");
    object.changes(&with(raw(2)).remove(SlotChoice::Key(raw(3))));
    assert_eq!(object.opened_by(1..5), [2]);
    object.changes(
        &with(raw(2))
            .add_key(raw(4))
            .add_key(raw(1))
            .remove(SlotChoice::Key(raw(2))),
    );
    assert_eq!(object.opened_by(1..5), [1, 4]);
}

#[test]
fn each_change_counts_the_generation_up() {
    let object = Object::for_keys(&[1], no_context());
    for byte in 2..6 {
        object.changes(&with(raw(1)).add_key(raw(byte)));
        assert_eq!(object.header().generation(), u64::from(byte) - 1);
    }
}

#[test]
fn several_slots_become_one_and_a_slot_is_removed_by_its_name() {
    let object = Object::for_keys(&[1, 2, 3], no_context());
    let names: Vec<_> = object.header().slots().iter().map(WrappedKey::name).collect();
    object.changes(&with(raw(3)).replace(SlotChoice::Named(names[..2].to_vec()), raw(4)));
    assert_eq!(object.opened_by(1..5), [3, 4]);
    assert_eq!(object.header().slots().len(), 2);
    // The slot's key is not needed.
    object.changes(&with(raw(4)).remove(SlotChoice::Named(vec![names[2].clone()])));
    assert_eq!(object.opened_by(1..5), [4]);
}

#[test]
fn choices_of_several_kinds_are_one_choice() {
    let object = Object::for_keys(&[1, 2, 3], no_context());
    let third = object.header().slots()[2].name();
    let old = vec![
        SlotChoice::Key(raw(9)),
        SlotChoice::Any(vec![SlotChoice::Key(raw(1)), SlotChoice::Named(vec![third])]),
    ];
    object.changes(&with(raw(2)).replace(SlotChoice::Any(old), raw(4)));
    assert_eq!(object.opened_by(1..5), [2, 4]);
    let nothing = with(raw(2)).replace(SlotChoice::Any(Vec::new()), raw(5));
    assert!(matches!(object.refuses(&nothing), Error::NoUsableKey { .. }));
}

#[test]
fn a_key_that_has_a_slot_is_not_added_twice() {
    let object = Object::for_keys(&[1, 2], no_context());
    let before = object.bytes();
    assert!(
        !object
            .rewrap(&with(raw(1)).add_key(raw(2)).add_key(raw(1)))
            .unwrap()
            .changed
    );
    assert!(object.bytes() == before);

    let passphrase: Key = Arc::new(Passphrase::new("correct horse".to_owned()).unwrap());
    object.changes(&with(raw(1)).add_key(passphrase.clone()));
    let other: Key = Arc::new(Passphrase::new("battery staple".to_owned()).unwrap());
    let error = object.refuses(&with(raw(1)).add_key(other.clone()));
    assert!(matches!(error, Error::TooManySlots { limit: 1, .. }), "{error}");
    object.changes(&with(raw(1)).replace(SlotChoice::Key(passphrase.clone()), other.clone()));
    assert!(opens(&object.bytes(), other) && !opens(&object.bytes(), passphrase));
}

/// A slot that names a key but holds something else does not count as its slot: the old one must not be removed for it.
#[test]
fn a_forged_slot_does_not_pass_for_the_new_one() {
    let object = Object::for_keys(&[1, 2], no_context());
    let mut bytes = object.bytes();
    let wrapped = object.header().slots()[1].ciphertext.clone();
    let at = bytes.windows(72).position(|window| window == wrapped).unwrap();
    for copy in bytes[..2 * COPY_LEN].chunks_mut(COPY_LEN) {
        use sha2::Digest;
        copy[at] ^= 1;
        let (content, checksum) = copy.split_at_mut(COPY_LEN - 32);
        checksum.copy_from_slice(&sha2::Sha256::digest(&*content));
    }
    object.write(&bytes);
    assert_eq!(object.opened_by(1..3), [1]);
    object.changes(&with(raw(1)).replace(SlotChoice::Key(raw(1)), raw(2)));
    assert_eq!(object.opened_by(1..3), [2]);
}

#[test]
fn a_rotated_key_ring_moves_slots_to_its_newest_version() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    let ring = |name| -> Key { Arc::new(KeyRing::create_or_open(&path, name).unwrap().0) };
    let (work, other) = (ring("work"), ring("other"));
    let encryptor = Encryptor::new(work).with_key(other);
    let object = Object::of(&encryptor.seal(&plaintext(C + 9)).unwrap());
    let old = object.header().slots()[0].name();
    KeyRing::rotate(&path, "work").unwrap();
    object.changes(&with(ring("work")).replace(SlotChoice::Named(vec![old.clone()]), ring("work")));
    let names: Vec<_> = object.header().slots().iter().map(WrappedKey::name).collect();
    assert!(names[0].starts_with("local:work#") && names[0] != old && names[1].starts_with("local:other#"));
    // When the context changes, each slot keeps its own key, whichever key seals.
    object.changes(&with(ring("other")).with_context(no_context().with("a", "1")));
    let again: Vec<_> = object.header().slots().iter().map(WrappedKey::name).collect();
    assert_eq!(again, names);
}

/// A change of the context does not change who has access, even if a provider with several keys wraps intermediate
/// keys.
#[test]
fn an_intermediate_keys_slot_stays_with_the_inner_key_that_it_is_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    let keys = |name| -> Key {
        let ring = Arc::new(KeyRing::create_or_open(&path, name).unwrap().0);
        Arc::new(IntermediateKeys::new(ring, ["bucket"]).unwrap())
    };
    let bucket = |name: &str| no_context().with("bucket", name);
    let encryptor = Encryptor::new(keys("work")).with_context(bucket("a"));
    let object = Object::of(&encryptor.seal(&plaintext(C + 9)).unwrap());
    let to_b = |key: Key| {
        let decryptor = Decryptor::new(key).with_context(ExpectedContext::Exact(bucket("a")));
        Rewrap::new(decryptor).with_context(bucket("b"))
    };
    // It could unwrap the slot, but would wrap it for another key of the ring.
    let error = object.refuses(&to_b(keys("other")));
    assert!(
        matches!(&error, Error::Provider(error) if error.message.contains("local:work#")),
        "{error}"
    );
    KeyRing::rotate(&path, "work").unwrap();
    assert!(object.rewrap(&to_b(keys("work"))).unwrap().changed);
    assert!(object.header().slots()[0].key_id.starts_with("local:work#"));
    assert!(opens(&object.bytes(), keys("other")));
}

#[test]
fn the_last_slot_cannot_be_removed() {
    let object = Object::for_keys(&[1, 2], no_context());
    let names = object.header().slots().iter().map(WrappedKey::name).collect();
    for rewrap in [
        with(raw(1)).remove(SlotChoice::Named(names)),
        with(raw(1))
            .remove(SlotChoice::Key(raw(2)))
            .remove(SlotChoice::Key(raw(1))),
    ] {
        assert!(matches!(object.refuses(&rewrap), Error::LastSlot));
    }
}

#[test]
fn nothing_is_written_unless_an_offered_key_opens_this_payload() {
    let object = Object::for_keys(&[1], no_context());
    let error = object.refuses(&with(raw(2)).add_key(raw(3)));
    assert!(matches!(error, Error::NoUsableKey { .. }), "{error}");
    let error = object.refuses(&with(raw(1)).replace(SlotChoice::Key(raw(8)), raw(3)));
    assert!(matches!(error, Error::NoUsableKey { .. }), "{error}");

    // The header of another object with the same key.
    let other = Object::for_keys(&[1], no_context()).bytes();
    object.write(&[&other[..2 * COPY_LEN], &object.bytes()[2 * COPY_LEN..]].concat());
    let error = object.refuses(&with(raw(1)).add_key(raw(3)));
    assert!(matches!(error, Error::HeaderOfAnotherPayload), "{error}");

    // A slot with another object's key.
    let object = Object::for_keys(&[1], no_context());
    let mut bytes = object.bytes();
    let [mine, foreign] = [bytes.as_slice(), &other].map(|bytes| {
        let header = ObjectHeader::parse(bytes).unwrap();
        header.header().slots()[0].ciphertext.clone()
    });
    let at = bytes.windows(72).position(|window| window == mine).unwrap();
    for copy in bytes[..2 * COPY_LEN].chunks_mut(COPY_LEN) {
        use sha2::Digest;
        copy[at..at + 72].copy_from_slice(&foreign);
        let (content, checksum) = copy.split_at_mut(COPY_LEN - 32);
        checksum.copy_from_slice(&sha2::Sha256::digest(&*content));
    }
    object.write(&bytes);
    let error = object.refuses(&with(raw(1)).replace(SlotChoice::Key(raw(1)), raw(3)));
    assert!(matches!(error, Error::CommitmentMismatch { .. }), "{error}");
}

#[test]
fn a_context_change_rebinds_every_slot() {
    let old = no_context().with("bucket", "a").with_supplied("path", "p");
    let new = no_context().with("bucket", "b").with_supplied("pin", "1");
    let object = Object::for_keys(&[1, 2], old.clone());
    let wrong = object.refuses(&with(raw(1)).with_context(new.clone()));
    assert!(matches!(wrong, Error::ContextMismatch(_)), "{wrong}");
    let decryptor = Decryptor::new(raw(1))
        .with_key(raw(2))
        .with_context(ExpectedContext::Exact(old));
    object.changes(&Rewrap::new(decryptor.clone()).with_context(new.clone()));
    for byte in [1, 2] {
        let decryptor = Decryptor::new(raw(byte)).with_context(ExpectedContext::Exact(new.clone()));
        assert!(decryptor.open(&object.bytes()).is_ok());
    }
    // Only a supplied value changes: the header looks the same, but the wraps differ.
    let newer = no_context().with("bucket", "b").with_supplied("pin", "2");
    let decryptor = decryptor.with_context(ExpectedContext::Exact(new));
    object.changes(&Rewrap::new(decryptor).with_context(newer.clone()));
    let decryptor = Decryptor::new(raw(2)).with_context(ExpectedContext::Exact(newer));
    assert!(decryptor.open(&object.bytes()).is_ok());
}

#[test]
fn a_slot_that_cannot_be_bound_to_the_new_context_is_named_and_nothing_is_written() {
    let object = Object::for_keys(&[1, 9], no_context());
    let recovery = object.header().slots()[1].name();
    let rewrap = with(raw(1)).with_context(no_context().with("a", "1")).add_key(raw(2));
    match object.refuses(&rewrap) {
        Error::UnreachableSlots { slots } => assert_eq!(slots, [recovery]),
        error => panic!("{error}"),
    }
    object.changes(&rewrap.drop_unreachable());
    assert_eq!(object.opened_by(1..10), [1, 2]);
}

#[test]
fn a_removed_slot_is_not_in_the_file() {
    let object = Object::for_keys(&[1, 2], no_context());
    let removed = object.header().slots()[1].ciphertext.clone();
    let name = object.header().slots()[1].key_id.clone();
    object.changes(&with(raw(1)).remove(SlotChoice::Key(raw(2))));
    let bytes = object.bytes();
    assert!(!bytes.windows(removed.len()).any(|window| window == removed));
    assert!(!bytes.windows(name.len()).any(|window| window == name.as_bytes()));
}

#[test]
fn a_damaged_or_stale_copy_is_restored() {
    let object = Object::for_keys(&[1], no_context());
    let whole = object.bytes();
    let newer = Object::of(&whole);
    newer.changes(&with(raw(1)).add_key(raw(2)));
    for copy in 0..2 {
        for stale in [false, true] {
            let mut bytes = if stale { newer.bytes() } else { whole.clone() };
            let place = copy * COPY_LEN..(copy + 1) * COPY_LEN;
            if stale {
                bytes[place.clone()].copy_from_slice(&whole[place]);
            } else {
                bytes[place].fill(0xA5);
            }
            object.write(&bytes);
            let repaired = object.rewrap(&with(raw(1))).unwrap();
            assert!(!repaired.changed && repaired.repaired[copy].is_some() && repaired.repaired[1 - copy].is_none());
            assert!(object.bytes() == if stale { newer.bytes() } else { whole.clone() });
        }
    }
    // Restoring and changing happen together.
    let mut bytes = whole;
    bytes[100] ^= 1;
    object.write(&bytes);
    assert!(object.rewrap(&with(raw(1)).add_key(raw(2))).unwrap().changed);
    assert_eq!((object.opened_by(1..4), object.header().generation()), (vec![1, 2], 1));
}

#[test]
fn a_detached_header_gives_a_new_one_and_stays_as_it_is() {
    let object = encryptor().begin().unwrap();
    let header = object.header().clone();
    let next = with(key()).add_key(raw(1)).header(&header).unwrap().unwrap();
    assert_eq!((header.slots().len(), next.slots().len(), next.generation()), (1, 2, 1));
    assert_eq!(next.payload_prefix(), header.payload_prefix());
    assert!(with(raw(1)).add_key(key()).header(&next).unwrap().is_none());
    // Larger than an attached header can be.
    let wide = with(key()).with_context(no_context().with("k", "v".repeat(5000)));
    let wide = wide.header(&header).unwrap().unwrap();
    assert!(wide.to_detached().is_ok() && matches!(wide.to_attached(), Err(Error::HeaderTooLarge { .. })));
    let too_wide = (0..2).fold(no_context(), |context, key| {
        context.with(format!("{key}"), "v".repeat(40_000))
    });
    let result = with(key()).with_context(too_wide).header(&header);
    assert!(matches!(result, Err(Error::HeaderTooLarge { .. })));
}

/// A service that rewraps without revealing the data key, as KMS's ReEncrypt does.
#[derive(Debug)]
struct ReEncrypts {
    inner: RawKey,
    calls: AtomicUsize,
}

impl KeyProvider for ReEncrypts {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.inner.matches(slot)
    }

    /// For this, it also has key 1.
    fn can_rewrap(&self, slot: &WrappedKey) -> bool {
        raw(1).matches(slot) == KeyMatch::Yes
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
        _: &'a WrappedKey,
        _: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async { Err(ProviderError::new(ProviderErrorClass::Denied, "raw", "not for you")) })
    }

    fn rewrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        from: &'a EncryptionContext,
        to: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let old = RawKey::from_slice(&[1; 32]).unwrap();
            let data_key = old.unwrap_key(wrapped, from).await?;
            self.inner.wrap_key(&data_key, to).await
        })
    }
}

#[test]
fn without_opening_no_data_key_is_asked_for() {
    let object = Object::for_keys(&[1], no_context());
    let service = Arc::new(ReEncrypts {
        inner: RawKey::from_slice(&[2; 32]).unwrap(),
        calls: AtomicUsize::new(0),
    });
    let slot = SlotChoice::Named(vec![object.header().slots()[0].name()]);
    let rewrap = with(service.clone()).replace(slot, service.clone());
    let error = object.refuses(&rewrap);
    assert!(matches!(error, Error::NoUsableKey { .. }), "{error}");
    assert!(object.rewrap(&rewrap.without_opening()).unwrap().changed);
    assert_eq!(
        (object.opened_by(1..4), service.calls.load(Ordering::SeqCst)),
        (vec![2], 1)
    );
}

#[test]
fn a_service_rewraps_slots_that_it_takes_over_and_no_others() {
    for (old, calls) in [(1, 1), (3, 0)] {
        let object = Object::for_keys(&[old], no_context());
        let service = Arc::new(ReEncrypts {
            inner: RawKey::from_slice(&[2; 32]).unwrap(),
            calls: AtomicUsize::new(0),
        });
        let rewrap = with(raw(old)).replace(SlotChoice::Key(raw(old)), service.clone());
        assert!(object.rewrap(&rewrap).unwrap().changed);
        assert_eq!(object.opened_by(1..4), [2]);
        assert_eq!(service.calls.load(Ordering::SeqCst), calls);
    }
}

#[test]
fn opening_for_a_rewrap_calls_providers_as_seldom_as_opening_does() {
    let object = Object::for_keys(&[1, 7], no_context());
    let counting = Arc::new(Counting::new(RawKey::from_slice(&[7; 32]).unwrap()));
    object
        .rewrap(&with(counting.clone()).remove(SlotChoice::Key(raw(1))))
        .unwrap();
    assert_eq!(counting.calls(), 1);
}

#[test]
fn rewraps_at_the_same_time_follow_one_another() {
    let object = Object::for_keys(&[1], no_context());
    let path = object.file.path();
    std::thread::scope(|scope| {
        for byte in 2..10 {
            scope.spawn(move || {
                let file = File::options().read(true).write(true).open(path).unwrap();
                with(raw(1)).add_key(raw(byte)).file(&file).unwrap();
            });
        }
    });
    assert_eq!(object.opened_by(1..11), (1..10).collect::<Vec<_>>());
    assert_eq!(object.header().generation(), 8);
}

/// The system's lock belongs to the open file, which these threads share, so it does not exclude them.
#[test]
fn rewraps_through_one_open_file_follow_one_another() {
    let object = Object::for_keys(&[1], no_context());
    let file = object.file.as_file();
    for round in 0..4 {
        std::thread::scope(|scope| {
            for byte in (2..8).map(|byte| byte + 10 * round) {
                let file = file.try_clone().unwrap();
                scope.spawn(move || with(raw(1)).add_key(raw(byte)).file(&file).unwrap());
            }
            scope.spawn(|| with(raw(1)).add_key(raw(10 * round + 8)).file(file).unwrap());
        });
        let added: Vec<_> = (2..9).map(|byte| byte + 10 * round).collect();
        assert_eq!(object.opened_by(added.clone()), added);
        let all: Vec<_> = added.iter().map(|&byte| SlotChoice::Key(raw(byte))).collect();
        assert!(
            object
                .rewrap(&with(raw(1)).remove(SlotChoice::Any(all)))
                .unwrap()
                .changed
        );
    }
    assert_eq!(object.header().generation(), 4 * 8);

    let held = LockedObject::lock(file, Duration::ZERO).unwrap();
    let clone = file.try_clone().unwrap();
    let refused = LockedObject::lock(&clone, Duration::from_millis(5));
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    drop(held);
    drop(LockedObject::lock(&clone, Duration::ZERO).unwrap());
}

/// Writes to such a file go to its end, whatever their offset: the object would become longer and keep its old header.
#[cfg(unix)]
#[test]
fn a_file_that_is_open_for_appending_is_refused_and_stays() {
    let object = Object::for_keys(&[1], no_context());
    let before = object.bytes();
    let file = File::options()
        .read(true)
        .append(true)
        .open(object.file.path())
        .unwrap();
    let error = with(raw(1)).add_key(raw(2)).file(&file).unwrap_err();
    assert!(
        matches!(error, Error::Io { .. }) && error.to_string().contains("appending"),
        "{error}"
    );
    assert!(object.bytes() == before);
}

const CHILD: &str = "SEALSTONE_TEST_REWRAPS";

/// Run by the next test in its own process: rewraps back and forth until it is killed.
#[test]
fn child_that_rewraps_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let file = File::options().read(true).write(true).open(path).unwrap();
    for turn in 0_u32.. {
        let (old, new) = if turn % 2 == 0 { (1, 2) } else { (2, 1) };
        let rewrap = Rewrap::new(Decryptor::new(raw(1)).with_key(raw(2)));
        rewrap.replace(SlotChoice::Key(raw(old)), raw(new)).file(&file).unwrap();
    }
}

#[test]
fn kills_at_any_time_leave_an_object_that_opens() {
    let object = Object::for_keys(&[1], no_context());
    let mut generations = Vec::new();
    for turn in 0..40 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "rewrap::child_that_rewraps_until_it_is_killed"])
            .env(CHILD, object.file.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(20_000 + turn * 1_237));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = ObjectHeader::parse(&object.bytes()).unwrap();
        // With the old key, the new one, or, between the two writes, both.
        assert!(!object.opened_by(1..3).is_empty());
        generations.push(found.header().generation());
    }
    // The children did some work.
    assert!(generations.last().unwrap() > &0, "{generations:?}");
    assert!(
        object
            .rewrap(&Rewrap::new(Decryptor::new(raw(1)).with_key(raw(2))))
            .is_ok()
    );
    object.header();
}

#[test]
fn a_lock_of_another_process_is_waited_for_up_to_a_limit() {
    let object = Object::for_keys(&[1], no_context());
    let path = object.file.path();
    let holder = File::open(path).unwrap();
    // A lock that any reader of the file can take.
    holder.lock_shared().unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let wait = Duration::from_millis(60);
    match LockedObject::lock(&file, wait) {
        Err(error @ Error::Locked { waited }) => assert!(waited >= wait && error.is_retryable()),
        other => panic!("{other:?}"),
    }
    let other = Object::for_keys(&[3], no_context()).bytes();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            object.write(&other);
            holder.unlock().unwrap();
        });
        // The header is the one present once the lock is held.
        let locked = LockedObject::lock(&file, Duration::from_secs(60)).unwrap();
        assert_eq!(locked.header().header(), &object.header());
        assert!(locked.rewrap(&with(raw(3)).add_key(raw(2))).unwrap().changed);
    });
    // The lock was released: after the rewrap, and after only reading the header.
    drop(LockedObject::lock(&file, Duration::ZERO).unwrap());
    holder.try_lock().unwrap();
}

#[test]
fn a_server_can_rewrap_on_any_of_its_threads() {
    fn sent_to_another_thread<F: Future + Send>(future: F) -> F {
        future
    }
    let object = encryptor().seal(b"it").unwrap();
    let header = Decryptor::read_header(&object).unwrap();
    let rewrap = Rewrap::new(decryptor()).add_key(key());
    let unchanged = pollster::block_on(sent_to_another_thread(rewrap.header_async(header.header())));
    assert!(unchanged.unwrap().is_none());
}
