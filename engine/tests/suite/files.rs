//! File to file: the same bytes from any number of workers, and an output that is complete or absent.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{
    C, CHUNKS, LENGTHS, SEALED, data_key, decryptor, encryptor, executors, plaintext, seal_fixed, unlocked,
};
use sealstone::file::{AtomicFile, IfExists, has_true_length};
use sealstone::positioned::{ReadAt, WriteAt};
use sealstone::{Error, hazmat};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A sink in memory that can be written at any offset.
#[derive(Default)]
struct Sink(Mutex<Vec<u8>>);

impl WriteAt for Sink {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut sink = self.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let end = offset + bytes.len();
        if sink.len() < end {
            sink.resize(end, 0);
        }
        sink[offset..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

#[test]
fn files_of_every_boundary_length_round_trip_with_every_number_of_workers() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for len in LENGTHS {
        let plain = plaintext(len);
        fs::write(path("plain"), &plain).unwrap();
        for executor in executors() {
            let encryptor = encryptor().with_executor(executor.clone());
            let sealed_len = encryptor
                .seal_path(path("plain"), path("sealed"), IfExists::Fail)
                .unwrap();
            assert_eq!(sealed_len, len as u64);
            let decryptor = decryptor().with_executor(executor);
            let opened = decryptor
                .open_path(path("sealed"), path("again"), IfExists::Fail)
                .unwrap();
            assert_eq!(opened.plaintext_len, len as u64);
            assert!(fs::read(path("again")).unwrap() == plain);
            let verified = decryptor.verify(&File::open(path("sealed")).unwrap()).unwrap();
            assert_eq!(verified.plaintext_len, len as u64);
            assert_eq!(names(directory.path()), ["again", "plain", "sealed"]);
            fs::remove_file(path("sealed")).unwrap();
            fs::remove_file(path("again")).unwrap();
        }
    }
}

#[test]
fn workers_give_the_bytes_of_the_serial_form() {
    let plain = plaintext(50 * C + 9);
    let expected = seal_fixed(&encryptor(), 1, 2, &plain);
    for executor in executors() {
        let sink = Sink::default();
        let object = hazmat::begin(&encryptor().with_executor(executor), &data_key(1), [2; 24]).unwrap();
        object.seal_at(plain.as_slice(), &sink).unwrap();
        assert!(sink.0.into_inner().unwrap()[8192..] == expected[8192..]);
    }
}

#[test]
fn an_existing_output_is_kept_or_replaced_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("plain"), b"new").unwrap();
    fs::write(path("sealed"), b"old").unwrap();
    let result = encryptor().seal_path(path("plain"), path("sealed"), IfExists::Fail);
    assert!(matches!(result, Err(Error::OutputExists(found)) if found == path("sealed")));
    assert_eq!(fs::read(path("sealed")).unwrap(), b"old");
    encryptor()
        .seal_path(path("plain"), path("sealed"), IfExists::Replace)
        .unwrap();
    assert_eq!(decryptor().open(&fs::read(path("sealed")).unwrap()).unwrap(), b"new");
    assert_eq!(names(directory.path()), ["plain", "sealed"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_length_lies_is_read_as_a_stream() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // One page long according to their length, or empty.
    for name in [
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/class/net/lo/mtu",
        "/proc/version",
    ] {
        let (Ok(content), Ok(source)) = (fs::read(name), File::open(name)) else {
            eprintln!("SKIPPED {name}: it is not there");
            continue;
        };
        assert_ne!(source.metadata().unwrap().len(), content.len() as u64, "{name}");
        assert!(!has_true_length(&source).unwrap(), "{name}");
        let len = encryptor().seal_path(name, path("sealed"), IfExists::Replace).unwrap();
        assert_eq!(len, content.len() as u64);
        assert_eq!(decryptor().open(&fs::read(path("sealed")).unwrap()).unwrap(), content);
    }
    for (content, is_true) in [(&[][..], false), (&[1][..], true), (&[0; 10_000][..], true)] {
        fs::write(path("plain"), content).unwrap();
        let source = File::open(path("plain")).unwrap();
        assert_eq!(has_true_length(&source).unwrap(), is_true, "{}", content.len());
    }
    // A hole is content.
    File::create(path("plain")).unwrap().set_len(1 << 40).unwrap();
    assert!(has_true_length(&File::open(path("plain")).unwrap()).unwrap());
}

#[test]
fn a_name_taken_meanwhile_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let file = AtomicFile::create(&target, IfExists::Fail).unwrap();
    fs::write(&target, b"somebody else's").unwrap();
    assert!(matches!(file.commit(), Err(Error::OutputExists(_))));
    assert_eq!(fs::read(&target).unwrap(), b"somebody else's");
    assert_eq!(names(directory.path()), ["target"]);
}

#[test]
fn a_failed_decryption_leaves_no_file_and_keeps_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut object = seal_fixed(&encryptor(), 1, 2, &plaintext(60 * C));
    object[CHUNKS + 30 * SEALED] ^= 1;
    fs::write(path("sealed"), &object).unwrap();
    for executor in executors() {
        let decryptor = decryptor().with_executor(executor);
        let result = decryptor.open_path(path("sealed"), path("plain"), IfExists::Fail);
        assert!(matches!(result, Err(Error::ChunkAltered { chunk: 30, .. })));
        assert_eq!(names(directory.path()), ["sealed"]);
        fs::write(path("plain"), b"old").unwrap();
        assert!(
            decryptor
                .open_path(path("sealed"), path("plain"), IfExists::Replace)
                .is_err()
        );
        assert_eq!(fs::read(path("plain")).unwrap(), b"old");
        fs::remove_file(path("plain")).unwrap();
    }
}

#[test]
fn missing_inputs_and_directories_are_errors_that_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let kind = |result: Result<u64, Error>| match result {
        Err(Error::Io { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    };
    let missing = encryptor().seal_path(path("no"), path("out"), IfExists::Fail);
    assert_eq!(kind(missing), io::ErrorKind::NotFound);
    fs::write(path("plain"), b"x").unwrap();
    let nowhere = encryptor().seal_path(path("plain"), path("no/out"), IfExists::Fail);
    assert_eq!(kind(nowhere), io::ErrorKind::NotFound);
    assert_eq!(names(directory.path()), ["plain"]);
}

#[cfg(unix)]
#[test]
fn the_outputs_mode_follows_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("plain"), b"x").unwrap();
    let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
    for existing in [IfExists::Fail, IfExists::Replace] {
        encryptor().seal_path(path("plain"), path("sealed"), existing).unwrap();
        assert_eq!(mode("sealed"), mode("plain"));
        fs::write(path("sealed"), b"").unwrap();
        if existing == IfExists::Fail {
            fs::remove_file(path("sealed")).unwrap();
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_does_not_know_its_length_is_read_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("sealed");
    let len = encryptor().seal_path("/proc/version", &target, IfExists::Fail).unwrap();
    assert!(len > 0);
    let opened = decryptor().open(&fs::read(target).unwrap()).unwrap();
    assert_eq!(opened, fs::read("/proc/version").unwrap());
}

/// A source or sink that has `fault` at call `at`.
struct Faulty<'a> {
    bytes: &'a [u8],
    sink: Sink,
    claimed: u64,
    calls: AtomicUsize,
    at: usize,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Error,
    Interrupted,
    Short,
    End,
}

impl<'a> Faulty<'a> {
    fn new(bytes: &'a [u8], at: usize, fault: Fault) -> Self {
        Self {
            bytes,
            sink: Sink::default(),
            claimed: bytes.len() as u64,
            calls: AtomicUsize::new(0),
            at,
            fault,
        }
    }

    /// How many of `len` bytes this call may move.
    fn allowed(&self, len: usize) -> io::Result<usize> {
        if self.calls.fetch_add(1, Ordering::SeqCst) != self.at {
            return Ok(len);
        }
        match self.fault {
            Fault::Error => Err(io::Error::from_raw_os_error(5)),
            Fault::Interrupted => Err(io::ErrorKind::Interrupted.into()),
            Fault::Short => Ok(len.min(1)),
            Fault::End => Ok(0),
        }
    }
}

impl ReadAt for Faulty<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.allowed(buffer.len())?;
        self.bytes.read_at(&mut buffer[..len], offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.claimed)
    }
}

impl WriteAt for Faulty<'_> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let len = self.allowed(bytes.len())?;
        self.sink.write_at(&bytes[..len], offset)
    }
}

#[test]
fn every_failing_read_and_write_is_an_error_and_every_harmless_one_is_none() {
    let plain = plaintext(70 * C + 5);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for fault in [Fault::Error, Fault::Interrupted, Fault::Short, Fault::End] {
        let harmless = matches!(fault, Fault::Interrupted | Fault::Short);
        for at in 0..8 {
            for executor in executors().into_iter().take(3) {
                let encryptor = encryptor().with_executor(executor.clone());
                let decryptor = decryptor().with_executor(executor);
                let begin = || encryptor.begin().unwrap();
                // A fault after the last call has no effect.
                let check = |calls: usize, ok: bool| assert_eq!(ok, harmless || calls <= at);

                let source = Faulty::new(&plain, at, fault);
                let ok = begin().seal_at(&source, &Sink::default()).is_ok();
                check(source.calls.into_inner(), ok);

                let sink = Faulty::new(&[], at, fault);
                let ok = begin().seal_at(plain.as_slice(), &sink).is_ok();
                check(sink.calls.into_inner(), ok);
                assert!(!ok || decryptor.open(&sink.sink.0.into_inner().unwrap()).unwrap() == plain);

                let source = Faulty::new(&object, at, fault);
                let ok = unlocked(&decryptor, &object).open_at(&source, &Sink::default()).is_ok();
                check(source.calls.into_inner(), ok);

                let sink = Faulty::new(&[], at, fault);
                let ok = unlocked(&decryptor, &object).open_at(object.as_slice(), &sink).is_ok();
                check(sink.calls.into_inner(), ok);
                assert!(!ok || sink.sink.0.into_inner().unwrap() == plain);
            }
        }
    }
}

#[test]
fn an_input_that_grows_or_shrinks_is_a_typed_error() {
    let plain = plaintext(5 * C);
    let mut source = Faulty::new(&plain, usize::MAX, Fault::End);
    source.claimed += 1;
    let result = encryptor().begin().unwrap().seal_at(&source, &Sink::default());
    assert!(matches!(result, Err(Error::SourceChanged { expected }) if expected == source.claimed));

    /// Longer when asked again.
    struct Growing(AtomicUsize);
    impl ReadAt for Growing {
        fn read_at(&self, buffer: &mut [u8], _: u64) -> io::Result<usize> {
            buffer.fill(1);
            Ok(buffer.len())
        }
        fn size(&self) -> io::Result<u64> {
            Ok(self.0.fetch_add(1, Ordering::SeqCst) as u64)
        }
    }
    let result = encryptor()
        .begin()
        .unwrap()
        .seal_at(&Growing(AtomicUsize::new(99)), &Sink::default());
    assert!(matches!(result, Err(Error::SourceChanged { expected: 99 })));
}

#[test]
fn offsets_beyond_4_gib_are_right() {
    // Sparse: only the chunks that are read exist.
    struct Sparse {
        len: u64,
        at: u64,
        bytes: Vec<u8>,
        head: Vec<u8>,
    }
    impl ReadAt for Sparse {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if offset >= self.at {
                return self.bytes.read_at(buffer, offset - self.at);
            }
            self.head.read_at(buffer, offset)
        }
        fn size(&self) -> io::Result<u64> {
            Ok(self.len)
        }
    }
    // Sealing an object of 5 GiB and 3 bytes takes too long for a test. The reader must request the final chunk at the
    // computed offset, and refuse the zeros found there.
    let object = seal_fixed(&encryptor(), 1, 2, b"abc");
    let len: u64 = 5 << 30;
    let at = 8192 + 56 + len / C as u64 * SEALED as u64;
    let source = Sparse {
        len: at + 19,
        at,
        bytes: vec![0; 19],
        head: object,
    };
    let reader = decryptor().range_reader(source).unwrap();
    match reader.verified_len() {
        Err(Error::ChunkAltered { chunk, offset }) => assert_eq!((chunk, offset), (len / C as u64, at)),
        other => panic!("{other:?}"),
    }
}
