//! Objects sealed once, by the release that finalized the format's version. Every later release opens them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealstone::keys::IntermediateKeys;
use sealstone::{
    Decryptor, EncryptionContext, ExpectedContext, Header, KeyProvider, KeyRing, Passphrase, RawKey, hazmat,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn golden(version: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// The keys, each of which opens the object.
fn keys(entry: &Value, ring: &Arc<KeyRing>) -> Vec<Arc<dyn KeyProvider>> {
    let raw = RawKey::from_slice(&unhex(&entry["raw_key"])).unwrap();
    let mut keys: Vec<Arc<dyn KeyProvider>> = vec![Arc::new(raw)];
    if let Some(passphrase) = entry["passphrase"].as_str() {
        keys.push(Arc::new(Passphrase::new(passphrase.to_owned()).unwrap()));
        keys.push(ring.clone());
    }
    keys
}

fn open(decryptor: &Decryptor, directory: &Path, entry: &Value) -> Vec<u8> {
    let object = fs::read(directory.join(entry["file"].as_str().unwrap())).unwrap();
    let Some(header) = entry["header_file"].as_str() else {
        assert_eq!(object[8], 1, "the version byte");
        return decryptor.open(&object).unwrap();
    };
    let header = fs::read(directory.join(header)).unwrap();
    assert_eq!(header[8], 1, "the version byte");
    let header = Header::from_detached(&header).unwrap();
    let mut plaintext = Vec::new();
    let mut reader = decryptor
        .clone()
        .unlock(header)
        .unwrap()
        .reader(object.as_slice())
        .unwrap();
    std::io::Read::read_to_end(&mut reader, &mut plaintext).unwrap();
    plaintext
}

fn check(plaintext: &[u8], entry: &Value) {
    assert_eq!(plaintext.len() as u64, entry["plaintext_len"].as_u64().unwrap());
    assert_eq!(Sha256::digest(plaintext).as_slice(), unhex(&entry["plaintext_sha256"]));
}

#[test]
fn golden_objects_of_version_1_open() {
    let directory = golden(1);
    // The ring in the repository has the mode of a checkout.
    let private = tempfile::NamedTempFile::new().unwrap();
    fs::write(private.path(), fs::read(directory.join("keyring.json")).unwrap()).unwrap();
    let ring = Arc::new(KeyRing::open(private.path()).unwrap());

    let manifest: Value = serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap();
    let entries = manifest.as_array().unwrap();
    assert!(entries.len() >= 14, "golden objects are added, never taken away");
    for entry in entries {
        let pairs = entry["context"].as_object().unwrap().iter();
        let context: EncryptionContext = pairs.map(|(key, value)| (key, value.as_str().unwrap())).collect();
        for key in keys(entry, &ring) {
            let decryptor = Decryptor::new(key).with_context(ExpectedContext::Exact(context.clone()));
            check(&open(&decryptor, &directory, entry), entry);
        }
        check(&open_payload_alone(&directory, entry), entry);
    }
}

/// With only the data key and the payload's context, as another implementation would.
fn open_payload_alone(directory: &Path, entry: &Value) -> Vec<u8> {
    let object = fs::read(directory.join(entry["file"].as_str().unwrap())).unwrap();
    let start = if entry["header_file"].is_string() { 0 } else { 8192 };
    let suite = sealstone::Suite::ALL
        .into_iter()
        .find(|suite| entry["suite"] == suite.name());
    let size = sealstone::ChunkSize::ALL
        .into_iter()
        .find(|size| entry["chunk_size"] == size.bytes());
    let parameters = hazmat::PayloadParameters {
        suite: suite.unwrap(),
        chunk_size: size.unwrap(),
        context: &unhex(&entry["payload_context"]),
        backend: sealstone::Backend::RustCrypto,
    };
    let data_key = sealstone::DataKey::from_slice(&unhex(&entry["data_key"])).unwrap();
    hazmat::open_payload(&data_key, parameters, &object[start..]).unwrap()
}

/// Sealed with `IntermediateKeys::new(a raw key of 32 bytes 0x55, ["bucket"])`.
#[test]
fn a_golden_object_with_an_intermediate_key_opens() {
    let object = fs::read(golden(1).with_file_name("v1-intermediate").join("object.seal")).unwrap();
    let inner = Arc::new(RawKey::from_slice(&[0x55; 32]).unwrap());
    let keys = Arc::new(IntermediateKeys::new(inner, ["bucket"]).unwrap());
    let context = EncryptionContext::new().with("bucket", "golden").with("path", "a/b");
    let decryptor = Decryptor::new(keys).with_context(ExpectedContext::Exact(context));
    assert_eq!(decryptor.open(&object).unwrap(), b"under an intermediate key");
}
