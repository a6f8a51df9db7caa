//! Objects sealed once, by the release that finalized the format's version. Every later release opens them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealstone::composite::plaintext_len_of_padded;
use sealstone::keys::IntermediateKeys;
use sealstone::{
    ChunkSize, Decryptor, EncryptionContext, ExpectedContext, Header, KeyProvider, KeyRing, Passphrase, RawKey, hazmat,
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
    decryptor.unlock(header).unwrap().open(&object).unwrap()
}

fn check(plaintext: &[u8], entry: &Value) {
    assert_eq!(plaintext.len() as u64, entry["plaintext_len"].as_u64().unwrap());
    assert_eq!(Sha256::digest(plaintext).as_slice(), unhex(&entry["plaintext_sha256"]));
}

/// Opens the objects that the directory's manifest lists, by every key; returns the manifest's entries.
fn open_all(directory: &Path) -> Vec<Value> {
    // The ring in the repository has the mode of a checkout.
    let private = tempfile::NamedTempFile::new().unwrap();
    fs::write(private.path(), fs::read(directory.join("keyring.json")).unwrap()).unwrap();
    let ring = Arc::new(KeyRing::open(private.path()).unwrap());

    let manifest: Value = serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap();
    let entries = manifest.as_array().unwrap();
    for entry in entries {
        for key in keys(entry, &ring) {
            check(&open(&decryptor(key, entry), directory, entry), entry);
        }
    }
    entries.clone()
}

fn decryptor(key: Arc<dyn KeyProvider>, entry: &Value) -> Decryptor {
    let pairs = entry["context"].as_object().unwrap().iter();
    let context: EncryptionContext = pairs.map(|(key, value)| (key, value.as_str().unwrap())).collect();
    Decryptor::new(key).with_context(ExpectedContext::Exact(context))
}

#[test]
fn golden_objects_of_version_1_open() {
    let directory = golden(1);
    let entries = open_all(&directory);
    assert!(entries.len() >= 14, "golden objects are added, never taken away");
    for entry in &entries {
        let payload = payload(&directory, entry);
        check(&open_payload(entry, &unhex(&entry["payload_context"]), &payload), entry);
    }
}

#[test]
fn golden_composite_objects_of_version_1_open() {
    let directory = golden(1).with_file_name("v1-composite");
    let entries = open_all(&directory);
    assert!(entries.len() >= 10, "golden objects are added, never taken away");
    for entry in &entries {
        check_components(&directory, entry);
    }
}

/// Opens each component alone, and compares what the object's manifest says.
fn check_components(directory: &Path, entry: &Value) {
    let payload = payload(directory, entry);
    let core = unhex(&entry["payload_context"])[b"sealstone/object@v1".len()..].to_vec();
    let context = [b"sealstone/component@v1", core.as_slice()].concat();
    let chunk = entry["chunk_size"].as_u64().unwrap();
    let (mut plaintext, mut rest) = (Vec::new(), payload.as_slice());
    for len in entry["components"].as_array().unwrap() {
        let len = len.as_u64().unwrap();
        let (sealed, after) = rest.split_at(usize::try_from(56 + len + 16 * (len / chunk + 1)).unwrap());
        let opened = open_payload(entry, &context, sealed);
        assert_eq!(opened.len() as u64, len);
        plaintext.extend(opened);
        rest = after;
    }
    check(&plaintext, entry);

    let key = Arc::new(RawKey::from_slice(&unhex(&entry["raw_key"])).unwrap());
    let unlocked = decryptor(key, entry).unlock(header(directory, entry)).unwrap();
    let unlocked = unlocked.load_manifest(&payload).unwrap();
    let manifest = unlocked.manifest().unwrap();
    assert_eq!(manifest.note(), unhex(&entry["note"]));
    assert_eq!(manifest.plaintext_len(), entry["plaintext_len"].as_u64().unwrap());
    let lens = manifest.plaintext_ranges().map(|range| range.end - range.start);
    assert_eq!(Value::from_iter(lens), entry["components"]);
    if entry["padded"].as_bool().unwrap() {
        let size = ChunkSize::ALL
            .into_iter()
            .find(|size| entry["chunk_size"] == size.bytes());
        let len = plaintext_len_of_padded(size.unwrap(), payload.len() as u64).unwrap();
        assert_eq!(len, manifest.plaintext_len());
    }
}

fn header(directory: &Path, entry: &Value) -> Header {
    match entry["header_file"].as_str() {
        Some(file) => Header::from_detached(&fs::read(directory.join(file)).unwrap()).unwrap(),
        None => {
            let object = fs::read(directory.join(entry["file"].as_str().unwrap())).unwrap();
            Decryptor::read_header(object.as_slice()).unwrap().header().clone()
        }
    }
}

fn payload(directory: &Path, entry: &Value) -> Vec<u8> {
    let object = fs::read(directory.join(entry["file"].as_str().unwrap())).unwrap();
    let start = if entry["header_file"].is_string() { 0 } else { 8192 };
    object[start..].to_vec()
}

/// With only the data key and the payload's context, as another implementation would.
fn open_payload(entry: &Value, context: &[u8], payload: &[u8]) -> Vec<u8> {
    let suite = sealstone::Suite::ALL
        .into_iter()
        .find(|suite| entry["suite"] == suite.name());
    let size = ChunkSize::ALL
        .into_iter()
        .find(|size| entry["chunk_size"] == size.bytes());
    let parameters = hazmat::PayloadParameters {
        suite: suite.unwrap(),
        chunk_size: size.unwrap(),
        context,
        backend: sealstone::Backend::RustCrypto,
    };
    let data_key = sealstone::DataKey::from_slice(&unhex(&entry["data_key"])).unwrap();
    hazmat::open_payload(&data_key, parameters, payload).unwrap()
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
