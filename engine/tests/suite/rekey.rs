//! Rekeying: a new object from an old one, under a new data key, complete or absent.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::common::{C, encryptor, executors, key, plaintext, pool};
use sealstone::file::IfExists;
use sealstone::format::COPY_LEN;
use sealstone::{Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, KeyProvider, RawKey, Suite};

fn raw(byte: u8) -> Arc<dyn KeyProvider> {
    Arc::new(RawKey::from_slice(&[byte; 32]).unwrap())
}

fn names(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn a_rekeyed_object_is_a_new_one_with_the_same_plaintext() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let plain = plaintext(40 * C + 9);
    for executor in executors() {
        let old = encryptor().seal(&plain).unwrap();
        fs::write(path("old"), &old).unwrap();
        let context = EncryptionContext::new().with("a", "1");
        let encryptor = Encryptor::new(raw(2))
            .with_context(context.clone())
            .with_suite(Suite::ChaCha20Poly1305)
            .with_executor(executor.clone());
        let decryptor = Decryptor::new(key()).with_executor(executor);
        let rekeyed = decryptor
            .rekey_path(path("old"), path("new"), &encryptor, IfExists::Replace)
            .unwrap();
        assert_eq!(rekeyed.plaintext_len, plain.len() as u64);
        let new = fs::read(path("new")).unwrap();
        assert!(new[2 * COPY_LEN..2 * COPY_LEN + 56] != old[2 * COPY_LEN..2 * COPY_LEN + 56]);
        let reader = Decryptor::new(raw(2)).with_context(ExpectedContext::Exact(context));
        assert!(reader.open(&new).unwrap() == plain);
        assert!(fs::read(path("old")).unwrap() == old);
        assert_eq!(names(directory.path()), 2);
    }
}

#[test]
fn a_failed_rekey_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut old = encryptor().seal(&plaintext(60 * C)).unwrap();
    *old.last_mut().unwrap() ^= 1;
    fs::write(path("old"), &old).unwrap();
    let encryptor = Encryptor::new(raw(2)).with_executor(pool(2));
    let result = Decryptor::new(key()).rekey_path(path("old"), path("new"), &encryptor, IfExists::Fail);
    assert!(matches!(result, Err(Error::ChunkAltered { .. })), "{result:?}");
    let result = Decryptor::new(raw(3)).rekey_path(path("old"), path("new"), &encryptor, IfExists::Fail);
    assert!(matches!(result, Err(Error::NoUsableKey { .. })), "{result:?}");
    assert_eq!(names(directory.path()), 1);
}
