//! Sinks and sources that panic: a caller that catches the panic has a failed writer or reader, and no object lacks a
//! batch.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::common::{C, decryptor, encryptor, plaintext, pool};
use sealstone::stream::EncryptWriter;
use sealstone::{Error, Executor};

fn executors() -> [Executor; 3] {
    [Executor::serial(), pool(1), pool(3)]
}

/// Panics like any code, but prints no message.
fn panic_silently() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// The result of the work, unless it panics.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn is_poisoned<T>(result: io::Result<T>) -> bool {
    matches!(result.map_err(|error| Error::from_io("", error)), Err(Error::Poisoned))
}

/// Accepts some bytes, panics once, and then accepts everything.
#[derive(Debug)]
struct PanickingSink {
    taken: Vec<u8>,
    calls_left: usize,
}

impl PanickingSink {
    fn new(calls_left: usize) -> Self {
        Self {
            taken: Vec::new(),
            calls_left,
        }
    }

    fn call(&mut self) {
        let panics = self.calls_left == 0;
        self.calls_left = self.calls_left.wrapping_sub(1);
        if panics {
            panic_silently();
        }
    }
}

impl Write for PanickingSink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.call();
        self.taken.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.call();
        Ok(())
    }
}

/// One way to write part of the plaintext.
type Step = fn(&mut EncryptWriter<PanickingSink>, &[u8]) -> io::Result<()>;

const STEPS: [Step; 3] = [
    |writer, plain| writer.write_all(plain),
    |writer, plain| writer.write_all(plain).and_then(|()| writer.flush()),
    |writer, plain| Ok(writer.write_bytes(bytes::Bytes::copy_from_slice(plain))?),
];

#[test]
fn a_sink_that_panics_leaves_a_writer_that_has_failed() {
    // More than a pool accepts before the sink is called.
    let plain = plaintext(600 * C + 5);
    for executor in executors() {
        for step in STEPS {
            let mut panicked = 0;
            for calls in (1..).step_by(7) {
                let encryptor = encryptor().with_executor(executor.clone());
                let mut writer = encryptor.writer(PanickingSink::new(calls)).unwrap();
                let written = plain
                    .chunks(200 * C)
                    .try_for_each(|part| caught(|| step(&mut writer, part).unwrap()));
                if written.is_some() {
                    // The sink was called less often before `finish`.
                    break;
                }
                panicked += 1;
                assert!(is_poisoned(writer.write(b"more")));
                assert!(is_poisoned(writer.flush()));
                assert!(matches!(writer.write_bytes(vec![0].into()), Err(Error::Poisoned)));
                assert!(matches!(writer.finish(), Err(Error::Poisoned)));
            }
            assert!(panicked > 0, "{executor:?}");
        }
    }
}

/// Yields an object, and panics once.
struct PanickingSource<'a> {
    rest: &'a [u8],
    panics_at: usize,
}

impl Read for PanickingSource<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.rest.len() <= self.panics_at {
            self.panics_at = 0;
            panic_silently();
        }
        let len = buf.len().min(1000).min(self.rest.len());
        buf[..len].copy_from_slice(&self.rest[..len]);
        self.rest = &self.rest[len..];
        Ok(len)
    }
}

#[test]
fn a_source_that_panics_leaves_a_reader_that_has_failed() {
    let plain = plaintext(30 * C + 5);
    let object = encryptor().seal(&plain).unwrap();
    for executor in executors() {
        for panics_at in [1, 7 * C, 29 * C] {
            let source = PanickingSource {
                rest: &object,
                panics_at,
            };
            let mut reader = decryptor().with_executor(executor.clone()).reader(source).unwrap();
            let mut opened = Vec::new();
            assert!(caught(|| reader.read_to_end(&mut opened)).is_none());
            assert!(plain.starts_with(&opened));
            assert!(is_poisoned(reader.read(&mut [0; 10])));
            assert!(matches!(reader.next_bytes(), Err(Error::Poisoned)));
        }
    }
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use futures_core::Stream;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    /// Polls until the result is ready.
    fn until_ready<T>(mut poll: impl FnMut() -> Poll<T>) -> T {
        loop {
            if let Poll::Ready(ready) = poll() {
                return ready;
            }
            std::thread::yield_now();
        }
    }

    impl AsyncWrite for PanickingSink {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(self.get_mut().write(buf))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.get_mut().flush())
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.get_mut().flush())
        }
    }

    #[test]
    fn a_sink_that_panics_leaves_an_asynchronous_writer_that_has_failed() {
        let plain = plaintext(100 * C + 5);
        for executor in executors() {
            let mut panicked = 0;
            for calls in 0.. {
                let object = encryptor().with_executor(executor.clone()).begin().unwrap();
                let mut writer = object.writer_async(PanickingSink::new(calls)).unwrap();
                let mut pinned = Pin::new(&mut writer);
                let mut rest = plain.as_slice();
                let written = caught(|| {
                    while !rest.is_empty() {
                        let count = until_ready(|| pinned.as_mut().poll_write(&mut context(), rest)).unwrap();
                        rest = &rest[count..];
                    }
                    until_ready(|| pinned.as_mut().poll_shutdown(&mut context())).unwrap();
                });
                if written.is_some() {
                    break;
                }
                panicked += 1;
                assert!(is_poisoned(until_ready(|| pinned
                    .as_mut()
                    .poll_write(&mut context(), b"more"))));
                assert!(is_poisoned(until_ready(|| pinned.as_mut().poll_flush(&mut context()))));
                assert!(is_poisoned(until_ready(|| pinned
                    .as_mut()
                    .poll_shutdown(&mut context()))));
            }
            assert!(panicked > 1, "{executor:?}");
        }
    }

    /// The buffers of a stream; one of them is a panic.
    struct Items(Vec<Option<Bytes>>);

    impl Stream for Items {
        type Item = io::Result<Bytes>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            let next = self.get_mut().0.pop();
            Poll::Ready(next.map(|item| Ok(item.unwrap_or_else(|| panic_silently()))))
        }
    }

    #[test]
    fn a_source_that_panics_leaves_streams_that_have_failed() {
        let plain = plaintext(60 * C);
        let items = |bytes: &[u8]| {
            let mut items: Vec<_> = bytes
                .chunks(10 * C)
                .map(|item| Some(Bytes::copy_from_slice(item)))
                .collect();
            items.insert(3, None);
            items.reverse();
            Items(items)
        };
        for executor in executors() {
            let object = encryptor().with_executor(executor.clone()).begin().unwrap();
            drain(object.seal_stream(items(&plain)).unwrap());

            let object = encryptor().seal(&plain).unwrap();
            let opening = decryptor().with_executor(executor);
            drain(pollster::block_on(opening.open_stream(items(&object))).unwrap());
        }
    }

    /// Polls the stream until it panics, and then a few times more.
    fn drain(mut stream: impl Stream<Item = io::Result<Bytes>> + Unpin) {
        let mut next = || until_ready(|| Pin::new(&mut stream).poll_next(&mut context()));
        while let Some(item) = caught(&mut next) {
            item.expect("no end before the panic").unwrap();
        }
        for _ in 0..3 {
            assert!(is_poisoned(next().expect("no end after the panic")));
        }
    }

    impl AsyncRead for PanickingSource<'_> {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let count = self.get_mut().read(buf.initialize_unfilled())?;
            buf.advance(count);
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_source_that_panics_leaves_an_asynchronous_reader_that_has_failed() {
        let plain = plaintext(30 * C + 5);
        let object = encryptor().seal(&plain).unwrap();
        for executor in executors() {
            let source = PanickingSource {
                rest: &object,
                panics_at: 7 * C,
            };
            let opening = decryptor().with_executor(executor);
            let mut reader = pollster::block_on(opening.reader_async(source)).unwrap();
            let mut buffer = vec![0; 100_000];
            let mut read = || {
                let mut buf = ReadBuf::new(&mut buffer);
                until_ready(|| Pin::new(&mut reader).poll_read(&mut context(), &mut buf))
            };
            while let Some(read) = caught(&mut read) {
                read.unwrap();
            }
            assert!(is_poisoned(read()) && is_poisoned(read()));
        }
    }
}
