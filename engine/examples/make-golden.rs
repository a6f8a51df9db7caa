//! Makes the golden objects of the format version that this build writes: `engine/tests/golden/v<version>/`.
//!
//! Run it once, when the format gains something. Existing objects are never created again, because every later release
//! must open them unchanged. `tests/suite/golden.rs` opens them.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealstone::format::VERSION;
use sealstone::{
    ChunkSize, DataKey, EncryptionContext, Encryptor, KeyRing, NewObject, Passphrase, RawKey, Suite, hazmat,
};
use sha2::{Digest, Sha256};

/// The settings of one golden object.
struct Recipe {
    name: &'static str,
    suite: Suite,
    chunk_size: ChunkSize,
    len: usize,
    /// Also sealed for a key ring and a passphrase, under a context with a stored and a supplied pair.
    full: bool,
    detached: bool,
}

const fn plain(name: &'static str, suite: Suite, chunk_size: ChunkSize, len: usize) -> Recipe {
    Recipe {
        name,
        suite,
        chunk_size,
        len,
        full: false,
        detached: false,
    }
}

const C: usize = 16 * 1024;

fn recipes() -> Vec<Recipe> {
    use ChunkSize::{KiB16, KiB64, KiB256, MiB1};
    use Suite::{Aes256Gcm as Aes, ChaCha20Poly1305 as ChaCha};
    vec![
        plain("empty", Aes, KiB16, 0),
        plain("one-byte", Aes, KiB16, 1),
        plain("one-chunk-less-a-byte", Aes, KiB16, C - 1),
        plain("one-chunk", Aes, KiB16, C),
        plain("three-chunks", Aes, KiB16, 2 * C + 100),
        plain("aes-64k", Aes, KiB64, 4 * C + 1),
        plain("aes-256k", Aes, KiB256, 100),
        plain("aes-1m", Aes, MiB1, 100),
        plain("chacha-16k", ChaCha, KiB16, C + 1),
        plain("chacha-64k", ChaCha, KiB64, 100),
        plain("chacha-256k", ChaCha, KiB256, 100),
        plain("chacha-1m", ChaCha, MiB1, 100),
        Recipe {
            full: true,
            ..plain("three-slots-and-context", Aes, KiB16, 1000)
        },
        Recipe {
            full: true,
            detached: true,
            ..plain("detached", Aes, KiB16, C + 7)
        },
    ]
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{VERSION}"));
    if directory.exists() {
        return Err(format!("{} already exists and must not change", directory.display()).into());
    }
    fs::create_dir_all(&directory)?;
    let ring = Arc::new(KeyRing::create_or_open(&directory.join("keyring.json"), "golden")?.0);
    let mut entries = Vec::new();
    for (number, recipe) in recipes().iter().enumerate() {
        entries.push(make(&directory, recipe, u8::try_from(number)?, &ring)?);
    }
    fs::write(
        directory.join("manifest.json"),
        serde_json::to_string_pretty(&entries)? + "\n",
    )?;
    fs::remove_file(directory.join("keyring.json.lock"))?;
    Ok(())
}

fn make(
    directory: &Path,
    recipe: &Recipe,
    number: u8,
    ring: &Arc<KeyRing>,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let raw_key = [0x40 + number; 32];
    let data_key = [0x80 + number; 32];
    let mut encryptor = Encryptor::new(Arc::new(RawKey::from_slice(&raw_key).ok_or("32 bytes")?))
        .with_suite(recipe.suite)
        .with_chunk_size(recipe.chunk_size);
    let mut context = serde_json::json!({});
    if recipe.full {
        let passphrase = Passphrase::new("golden passphrase".to_owned())?;
        let pairs = EncryptionContext::new()
            .with("bucket", "golden")
            .with_supplied("path", "a/b");
        encryptor = encryptor
            .with_key(ring.clone())
            .with_key(Arc::new(passphrase))
            .with_context(pairs);
        context = serde_json::json!({"bucket": "golden", "path": "a/b"});
    }
    let plaintext = plaintext(recipe.len);
    let object = hazmat::begin(
        &encryptor,
        &DataKey::from_slice(&data_key).ok_or("32 bytes")?,
        [number; 24],
    )?;
    let payload_context = object.header().payload_context();
    let file = PathBuf::from(format!("{}.seal", recipe.name));
    let header = write_object(&directory.join(&file), object, &plaintext, recipe.detached)?;
    Ok(serde_json::json!({
        "file": file,
        "header_file": header.map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned())),
        "suite": recipe.suite.name(),
        "chunk_size": recipe.chunk_size.bytes(),
        "data_key": hex(&data_key),
        "payload_context": hex(&payload_context),
        "raw_key": hex(&raw_key),
        "passphrase": recipe.full.then_some("golden passphrase"),
        "context": context,
        "plaintext_len": recipe.len,
        "plaintext_sha256": hex(&Sha256::digest(&plaintext)),
    }))
}

/// Writes the object; returns the file of its header, if that is detached.
fn write_object(
    path: &Path,
    object: NewObject,
    plaintext: &[u8],
    detached: bool,
) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let sink = fs::File::create_new(path)?;
    let header = path.with_extension("header");
    let mut writer = if detached {
        fs::write(&header, object.header().to_detached()?)?;
        object.detach().1.writer(sink)?
    } else {
        object.writer(sink)?
    };
    writer.write_all(plaintext)?;
    writer.finish()?;
    Ok(detached.then_some(header))
}

/// Reproducible bytes: a 64-bit counter multiplied by an odd constant.
fn plaintext(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0])
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
