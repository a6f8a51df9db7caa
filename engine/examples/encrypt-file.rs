//! Encrypts a file with a key ring, opens it again, and shows that altered and misplaced files are refused.

use std::error::Error;
use std::fs;
use std::sync::Arc;

use sealstone::file::IfExists;
use sealstone::{Decryptor, EncryptionContext, Encryptor, Error as SealError, Executor, ExpectedContext, KeyRing};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let plaintext: Vec<u8> = (0..3_000_000u32).map(|n| n.to_be_bytes()[2]).collect();
    fs::write(path("report"), &plaintext)?;

    // Keep the ring: objects sealed with its keys cannot be opened without it.
    let (ring, created) = KeyRing::create_or_open(&path("keyring.json"), "reports")?;
    assert!(created);
    let ring = Arc::new(ring);

    // The context says what the object is. It is readable in the header, and authenticated.
    let context = EncryptionContext::new().with("path", "reports/2024");
    let encryptor = Encryptor::new(ring.clone())
        .with_context(context.clone())
        .with_executor(Executor::threads(2)?);
    let len = encryptor.seal_path(path("report"), path("report.seal"), IfExists::Fail)?;
    assert_eq!(len, 3_000_000);

    // The target appears once the last chunk has verified, or not at all.
    let decryptor = Decryptor::new(ring.clone()).with_context(ExpectedContext::Exact(context));
    let opened = decryptor.open_path(path("report.seal"), path("again"), IfExists::Fail)?;
    assert_eq!(opened.plaintext_len, len);
    assert!(fs::read(path("again"))? == plaintext);

    // Another path than the one it was sealed for.
    let elsewhere = EncryptionContext::new().with("path", "reports/2023");
    let misplaced = Decryptor::new(ring).with_context(ExpectedContext::Exact(elsewhere));
    let refused = misplaced.open_path(path("report.seal"), path("misplaced"), IfExists::Fail);
    assert!(matches!(refused, Err(SealError::ContextMismatch(_))));

    // One bit, somewhere in the middle.
    let mut object = fs::read(path("report.seal"))?;
    object[1_000_000] ^= 1;
    fs::write(path("altered.seal"), object)?;
    let refused = decryptor.open_path(path("altered.seal"), path("altered"), IfExists::Fail);
    assert!(matches!(refused, Err(SealError::ChunkAltered { .. })));
    assert!(!path("misplaced").exists() && !path("altered").exists());
    println!("{len} bytes encrypted and decrypted; what was altered or misplaced was refused");
    Ok(())
}
