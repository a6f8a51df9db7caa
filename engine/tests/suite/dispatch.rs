//! The same bytes from every implementation of the ciphers: both backends, and AWS-LC's code paths for other
//! processors.
//!
//! AWS-LC selects its code by the processor's features, except those that `OPENSSL_ia32cap` masks. This program runs
//! itself again under each mask.

use std::process::Command;
use std::time::Instant;

use crate::common::{C, data_key, plaintext};
use sealstone::hazmat::{self, PayloadParameters};
use sealstone::{Backend, ChunkSize, Suite};
use sha2::{Digest, Sha256};

/// What each mask removes from the CPUID words of leaf 1 and leaf 7 of an x86-64 processor.
const MASKS: [(&str, &str); 4] = [
    ("nothing", "~0x0:~0x0"),
    ("VAES and VPCLMULQDQ", "~0x0:~0x60000000000"),
    ("AVX2 as well", "~0x1000000000000000:~0x60000000020"),
    ("AES-NI and PCLMULQDQ", "~0x200000200000000:~0x60000000000"),
];

/// Every length up to 4 KiB, and those on both sides of each chunk's end.
fn lengths() -> Vec<usize> {
    let edges = [C, 2 * C, 3 * C].map(|edge| edge - 17..=edge + 17);
    (0..=4096).chain(edges.into_iter().flatten()).collect()
}

/// For each suite, one digest of everything sealed.
fn digests(backend: Backend) -> Vec<String> {
    let whole = plaintext(3 * C + 17);
    let of = |suite| {
        let mut all = Sha256::new();
        for len in lengths() {
            let parameters = PayloadParameters {
                suite,
                chunk_size: ChunkSize::KiB16,
                context: b"dispatch",
                backend,
            };
            let sealed = hazmat::seal_payload(&data_key(1), [2; 24], parameters, &whole[..len]).unwrap();
            let opened = hazmat::open_payload(&data_key(1), parameters, &sealed).unwrap();
            assert!(opened == whole[..len], "{backend:?} {suite:?} {len}");
            all.update(&sealed);
        }
        all.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    Suite::ALL.into_iter().map(of).collect()
}

/// Milliseconds in which the default backend seals 32 MiB, to show whether a mask had an effect.
fn milliseconds() -> u128 {
    let plain = vec![0; 32 << 20];
    let parameters = PayloadParameters {
        suite: Suite::Aes256Gcm,
        chunk_size: ChunkSize::KiB16,
        context: b"dispatch",
        backend: Backend::default(),
    };
    let begin = Instant::now();
    hazmat::seal_payload(&data_key(1), [2; 24], parameters, &plain).unwrap();
    begin.elapsed().as_millis()
}

#[test]
fn all_backends_seal_to_the_same_bytes() {
    let first = digests(Backend::ALL[0]);
    for &backend in &Backend::ALL[1..] {
        assert_eq!(digests(backend), first, "{backend:?}");
    }
    println!(
        "campaign: dispatch_backends cases={}",
        lengths().len() * Backend::ALL.len() * 2
    );
}

/// Run by the other test.
#[test]
#[ignore = "run by `every_mask_gives_the_same_bytes`"]
fn child() {
    println!("digests {}", digests(Backend::default()).join(" "));
    println!("milliseconds {}", milliseconds());
}

#[test]
fn every_mask_gives_the_same_bytes() {
    if cfg!(not(target_arch = "x86_64")) || Backend::ALL.len() < 2 {
        println!("SKIPPED: the masks are those of AWS-LC for x86-64");
        return;
    }
    let expected = digests(Backend::RustCrypto).join(" ");
    for (what, mask) in MASKS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["dispatch::child", "--exact", "--ignored", "--nocapture"]);
        let output = command.env("OPENSSL_ia32cap", mask).output().unwrap();
        let reported = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "without {what}: {reported}");
        let line = |word: &str| {
            reported
                .lines()
                .find_map(|line| line.split_once(word)?.1.strip_prefix(' '))
        };
        assert_eq!(line("digests").unwrap(), expected, "without {what}");
        println!("without {what}: 32 MiB in {} ms", line("milliseconds").unwrap());
    }
    println!("campaign: dispatch_masks cases={}", lengths().len() * MASKS.len() * 2);
}
