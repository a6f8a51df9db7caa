//! The N-th read or write of a stream fails, for every N: the error is the stream's and permanent, and nothing
//! unverified was returned. Harmless interruptions have no effect.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{C, CHUNKS, decryptor, encryptor, plaintext, pool};
use sealstone::positioned::ReadAt;
use sealstone::{Decryptor, Encryptor, Executor};

/// What happens at one call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Error(ErrorKind),
    /// No more bytes are there, or accepted.
    Nothing,
    /// One byte is moved.
    Short,
}

const FAULTS: [Fault; 7] = [
    Fault::Error(ErrorKind::Other),
    Fault::Error(ErrorKind::StorageFull),
    Fault::Error(ErrorKind::BrokenPipe),
    Fault::Error(ErrorKind::WouldBlock),
    Fault::Error(ErrorKind::Interrupted),
    Fault::Nothing,
    Fault::Short,
];

/// Faults that a caller must not notice.
const HARMLESS: [Fault; 2] = [Fault::Error(ErrorKind::Interrupted), Fault::Short];

/// A source or sink with a fault at call `at`; `hit` is whether that call happened.
struct Faulty<T> {
    inner: T,
    fault: Fault,
    at: usize,
    calls: usize,
    hit: Rc<Cell<bool>>,
}

impl<T> Faulty<T> {
    fn new(inner: T, fault: Fault, at: usize) -> (Self, Rc<Cell<bool>>) {
        let hit = Rc::new(Cell::new(false));
        let faulty = Self {
            inner,
            fault,
            at,
            calls: 0,
            hit: hit.clone(),
        };
        (faulty, hit)
    }

    /// How many of `len` bytes the call may move.
    fn allowed(&mut self, len: usize) -> io::Result<usize> {
        let this = self.calls == self.at;
        self.calls += 1;
        // In small steps, so that there are many calls.
        let len = len.min(20_000);
        if !this {
            return Ok(len);
        }
        self.hit.set(true);
        match self.fault {
            Fault::Error(kind) => Err(kind.into()),
            Fault::Nothing => Ok(0),
            Fault::Short => Ok(len.min(1)),
        }
    }
}

impl<T: Read> Read for Faulty<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.allowed(buf.len())?;
        self.inner.read(&mut buf[..len])
    }
}

impl<T: Write> Write for Faulty<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let len = self.allowed(buf.len())?;
        self.inner.write(&buf[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Runs `try_it` with each fault at call 0, 1, 2, and so on, until it makes fewer calls.
fn at_every_call(name: &str, mut try_it: impl FnMut(Fault, usize) -> bool) {
    let mut cases = 0;
    for fault in FAULTS {
        let calls = (0..).take_while(|&at| try_it(fault, at)).count();
        assert!(calls > 1, "{name} {fault:?}: {calls} calls");
        cases += calls;
    }
    println!("campaign: failing_{name} cases={cases}");
}

fn executors() -> [(&'static str, Executor); 2] {
    [("serial", Executor::serial()), ("pool", pool(2))]
}

#[test]
fn each_failing_write_of_a_sink_poisons_the_writer() {
    let plain = plaintext(20 * C + 5);
    for (name, executor) in executors() {
        let encryptor = encryptor().with_executor(executor);
        at_every_call(&format!("writes_{name}"), |fault, at| {
            let mut object = Vec::new();
            let (sink, hit) = Faulty::new(&mut object, fault, at);
            let result = write_all(&encryptor, &plain, sink);
            let harmless = HARMLESS.contains(&fault) || !hit.get();
            assert_eq!(result.is_ok(), harmless, "{fault:?} at {at}: {result:?}");
            let opened = decryptor().open(&object);
            assert_eq!(
                opened.is_ok_and(|opened| opened == plain),
                harmless,
                "{fault:?} at {at}"
            );
            hit.get()
        });
    }
}

fn write_all(encryptor: &Encryptor, plain: &[u8], sink: Faulty<&mut Vec<u8>>) -> io::Result<()> {
    let mut writer = encryptor.writer(sink)?;
    for piece in plain.chunks(3 * C + 1) {
        if let Err(error) = writer.write_all(piece) {
            assert!(writer.write_all(b"more").is_err(), "the error is permanent");
            assert!(writer.finish().is_err(), "and nothing is finished");
            return Err(error);
        }
    }
    writer.finish()?;
    Ok(())
}

#[test]
fn each_failing_read_of_a_source_ends_the_reader() {
    let plain = plaintext(20 * C + 5);
    let object = encryptor().seal(&plain).unwrap();
    for (name, executor) in executors() {
        let decryptor = decryptor().with_executor(executor);
        at_every_call(&format!("reads_{name}"), |fault, at| {
            let (source, hit) = Faulty::new(object.as_slice(), fault, at);
            let (given, ended) = read_all(&decryptor, source);
            assert!(plain.starts_with(&given), "{fault:?} at {at}");
            // The end of a source may be read again: reading nothing there is not a fault.
            let harmless = HARMLESS.contains(&fault) || !hit.get() || given.len() == plain.len();
            assert_eq!(ended, harmless, "{fault:?} at {at}");
            assert_eq!(given.len() == plain.len(), harmless, "{fault:?} at {at}");
            hit.get()
        });
    }
}

/// The bytes that were read, and whether they ended without an error.
fn read_all(decryptor: &Decryptor, source: Faulty<&[u8]>) -> (Vec<u8>, bool) {
    let mut given = Vec::new();
    let Ok(mut reader) = decryptor.reader(source) else {
        return (given, false);
    };
    let mut buffer = vec![0; 5000];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (given, true),
            Ok(len) => given.extend_from_slice(&buffer[..len]),
            Err(_) => {
                assert!(reader.read(&mut buffer).is_err(), "the error is permanent");
                return (given, false);
            }
        }
    }
}

/// A source of ranges that fails once, at the N-th read.
struct FaultyRanges<'a> {
    bytes: &'a [u8],
    fault: Fault,
    at: usize,
    calls: &'a AtomicUsize,
}

impl ReadAt for FaultyRanges<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let this = self.calls.fetch_add(1, Ordering::SeqCst) == self.at;
        match self.fault {
            Fault::Error(kind) if this => Err(kind.into()),
            Fault::Nothing if this => Ok(0),
            Fault::Short if this => {
                let len = buffer.len().min(1);
                self.bytes.read_at(&mut buffer[..len], offset)
            }
            _ => self.bytes.read_at(buffer, offset),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

#[test]
fn each_failing_read_of_a_range_clears_the_buffer_and_the_next_range_is_right() {
    let plain = plaintext(5 * C + 5);
    let object = encryptor().seal(&plain).unwrap();
    assert!(object.len() > CHUNKS);
    at_every_call("ranged_reads", |fault, at| {
        let calls = AtomicUsize::new(0);
        let source = FaultyRanges {
            bytes: &object,
            fault,
            at,
            calls: &calls,
        };
        let Ok(reader) = decryptor().range_reader(source) else {
            assert!(!HARMLESS.contains(&fault));
            return true;
        };
        let mut failed = 0;
        for (from, len) in [(0, 10), (C - 1, 2), (C, 3 * C), (5 * C, 5)] {
            let mut buffer = vec![0xAA; len];
            match reader.read_at(&mut buffer, from as u64) {
                Ok(read) => assert!(read == len && buffer == plain[from..from + len]),
                Err(_) => {
                    failed += 1;
                    assert!(buffer.iter().all(|&byte| byte == 0), "the buffer is cleared");
                }
            }
        }
        assert!(
            failed <= usize::from(!HARMLESS.contains(&fault)),
            "{fault:?} at {at}: {failed}"
        );
        calls.load(Ordering::SeqCst) > at
    });
}
