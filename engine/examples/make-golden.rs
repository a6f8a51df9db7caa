//! Makes the golden objects of the format version that this build writes: `engine/tests/golden/v<version>/`, and the
//! composite ones in `v<version>-composite/`.
//!
//! Run it when the format gains something: it creates the directories that are missing. Existing objects are never created
//! again, because every later release must open them unchanged. `tests/suite/golden.rs` opens them.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealstone::composite::Padding;
use sealstone::format::VERSION;
use sealstone::{
    ChunkSize, DataKey, EncryptionContext, Encryptor, KeyProvider, KeyRing, NewObject, Passphrase, RawKey, Suite,
    hazmat,
};
use sha2::{Digest, Sha256};

/// The settings of one golden object.
#[derive(Clone, Copy)]
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

/// A composite golden object: the recipe's length is the sum of its components'.
struct Composite {
    recipe: Recipe,
    components: Vec<usize>,
    padding: Padding,
    note: &'static [u8],
}

fn composite(recipe: Recipe, components: &[usize], padding: Padding, note: &'static [u8]) -> Composite {
    let len = components.iter().sum();
    Composite {
        recipe: Recipe { len, ..recipe },
        components: components.to_vec(),
        padding,
        note,
    }
}

fn composites() -> Vec<Composite> {
    use ChunkSize::{KiB16, KiB64, KiB256, MiB1};
    use Padding::{None, PlaintextLength};
    use Suite::{Aes256Gcm as Aes, ChaCha20Poly1305 as ChaCha};
    let named = |name| plain(name, Aes, KiB16, 0);
    let lens = [0, 1, C - 1, C, 0, C + 1, 2 * C + 100, 0];
    vec![
        composite(named("empty"), &[0], None, b""),
        composite(named("one-component"), &[100], None, b""),
        composite(named("eight-components"), &lens, None, b"a note"),
        composite(named("padded-empty"), &[0], PlaintextLength, b""),
        composite(named("padded"), &[2 * C + 100], PlaintextLength, b"a note"),
        composite(plain("aes-1m", Aes, MiB1, 0), &[100, 0, 100], None, b""),
        composite(plain("chacha-64k", ChaCha, KiB64, 0), &[1, 4 * C + 1, 0], None, b""),
        composite(
            plain("chacha-256k-padded", ChaCha, KiB256, 0),
            &[100],
            PlaintextLength,
            b"",
        ),
        composite(
            Recipe {
                full: true,
                ..named("three-slots-and-context")
            },
            &[1000, 7],
            None,
            b"",
        ),
        composite(
            Recipe {
                full: true,
                detached: true,
                ..named("detached")
            },
            &[C + 7, 0, 1],
            None,
            &[0xFF; 256],
        ),
    ]
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let made = [
        make_missing(&golden.join(format!("v{VERSION}")), &recipes(), make)?,
        make_missing(
            &golden.join(format!("v{VERSION}-composite")),
            &composites(),
            make_composite,
        )?,
    ];
    if made.contains(&true) {
        Ok(())
    } else {
        Err("all golden objects of this version exist, and must not change".into())
    }
}

/// Makes one object of each recipe and the manifest of them all; `false` if the directory exists.
fn make_missing<R>(
    directory: &Path,
    recipes: &[R],
    make: fn(&Path, &R, u8, &Arc<KeyRing>) -> Result<serde_json::Value>,
) -> Result<bool> {
    if directory.exists() {
        return Ok(false);
    }
    fs::create_dir_all(directory)?;
    let ring = Arc::new(KeyRing::create_or_open(&directory.join("keyring.json"), "golden")?.0);
    let mut entries = Vec::new();
    for (number, recipe) in recipes.iter().enumerate() {
        entries.push(make(directory, recipe, u8::try_from(number)?, &ring)?);
    }
    fs::write(
        directory.join("manifest.json"),
        serde_json::to_string_pretty(&entries)? + "\n",
    )?;
    fs::remove_file(directory.join("keyring.json.lock"))?;
    Ok(true)
}

fn make(directory: &Path, recipe: &Recipe, number: u8, ring: &Arc<KeyRing>) -> Result<serde_json::Value> {
    let data_key = DataKey::from_slice(&[0x80 + number; 32]).ok_or("32 bytes")?;
    let plaintext = plaintext(recipe.len);
    let object = hazmat::begin(&recipe.encryptor(number, ring)?, &data_key, [number; 24])?;
    let payload_context = object.header().payload_context();
    let path = recipe.path(directory);
    let header = write_object(&path, object, &plaintext, recipe.detached)?;
    Ok(recipe.entry(number, &path, header.as_deref(), &data_key, &payload_context))
}

/// Under a data key and salts that the engine draws: a composite object takes no others.
fn make_composite(directory: &Path, made: &Composite, number: u8, ring: &Arc<KeyRing>) -> Result<serde_json::Value> {
    let recipe = made.recipe;
    let object = recipe.encryptor(number, ring)?.begin_composite(made.padding)?;
    let path = recipe.path(directory);
    let mut stored = Vec::new();
    let header = recipe.detached.then(|| path.with_extension("header"));
    match &header {
        Some(header) => fs::write(header, object.header().to_detached()?)?,
        None => stored.extend(object.header().to_attached()?),
    }
    let plaintext = plaintext(recipe.len);
    let (mut receipts, mut start) = (Vec::new(), 0);
    for &len in &made.components {
        let sealed = object.component(recipe.name.as_bytes())?;
        let sealed = sealed.seal(&plaintext[start..start + len])?;
        stored.extend_from_slice(&sealed.bytes);
        receipts.push((recipe.name, sealed.receipt));
        start += len;
    }
    stored.extend(object.complete(&receipts, made.note)?.bytes);
    fs::File::create_new(&path)?.write_all(&stored)?;

    let slot = &object.header().slots()[0];
    let data_key = pollster::block_on(raw_key(number)?.unwrap_key(slot, &recipe.context()))?;
    let payload_context = object.header().payload_context();
    let mut entry = recipe.entry(number, &path, header.as_deref(), &data_key, &payload_context);
    entry["components"] = made.components.clone().into();
    entry["padded"] = (made.padding == Padding::PlaintextLength).into();
    entry["note"] = hex(made.note).into();
    Ok(entry)
}

fn raw_key(number: u8) -> Result<RawKey> {
    Ok(RawKey::from_slice(&[0x40 + number; 32]).ok_or("32 bytes")?)
}

impl Recipe {
    fn path(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.seal", self.name))
    }

    fn context(&self) -> EncryptionContext {
        let context = EncryptionContext::new();
        if !self.full {
            return context;
        }
        context.with("bucket", "golden").with_supplied("path", "a/b")
    }

    fn encryptor(&self, number: u8, ring: &Arc<KeyRing>) -> Result<Encryptor> {
        let encryptor = Encryptor::new(Arc::new(raw_key(number)?))
            .with_suite(self.suite)
            .with_chunk_size(self.chunk_size)
            .with_context(self.context());
        if !self.full {
            return Ok(encryptor);
        }
        let passphrase = Passphrase::new("golden passphrase".to_owned())?;
        Ok(encryptor.with_key(ring.clone()).with_key(Arc::new(passphrase)))
    }

    /// What the manifest says of an object.
    fn entry(
        &self,
        number: u8,
        path: &Path,
        header: Option<&Path>,
        data_key: &DataKey,
        payload_context: &[u8],
    ) -> serde_json::Value {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let context = if self.full {
            serde_json::json!({"bucket": "golden", "path": "a/b"})
        } else {
            serde_json::json!({})
        };
        serde_json::json!({
            "file": name(path),
            "header_file": header.and_then(name),
            "suite": self.suite.name(),
            "chunk_size": self.chunk_size.bytes(),
            "data_key": hex(data_key.expose()),
            "payload_context": hex(payload_context),
            "raw_key": hex(&[0x40 + number; 32]),
            "passphrase": self.full.then_some("golden passphrase"),
            "context": context,
            "plaintext_len": self.len,
            "plaintext_sha256": hex(&Sha256::digest(plaintext(self.len))),
        })
    }
}

/// Writes the object; returns the file of its header, if that is detached.
fn write_object(path: &Path, object: NewObject, plaintext: &[u8], detached: bool) -> Result<Option<PathBuf>> {
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
