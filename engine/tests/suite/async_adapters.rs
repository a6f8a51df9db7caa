//! The asynchronous adapters produce and accept the same bytes as the synchronous ones, whatever the other side does
//! and wherever they are abandoned.

use std::future::{Future, pending, poll_fn};
use std::io::{Cursor, ErrorKind, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common::{C, CHUNKS, LENGTHS, SEALED, data_key, decryptor, encryptor, key, plaintext, pool, seal_fixed};
use crate::grudging::{Grudging, Items, Shared, collect, poll_times};
use sealstone::error::ProviderError;
use sealstone::format::WrappedKey;
use sealstone::keys::{BoxFuture, KeyMatch};
use sealstone::{
    DataKey, Decryptor, EncryptionContext, Encryptor, Error, Executor, KeyProvider, NewObject, Progress, RawKey, hazmat,
};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// What one poll may seal or open.
const BATCH: usize = 256 * 1024;

fn executors() -> [Executor; 3] {
    [Executor::serial(), pool(1), pool(2)]
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// An object whose sealed bytes are those of `seal_fixed`.
fn object(executor: &Executor) -> NewObject {
    hazmat::begin(&encryptor().with_executor(executor.clone()), &data_key(1), [2; 24]).unwrap()
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    seal_fixed(&encryptor(), 1, 2, plain)
}

/// The headers differ, because their wraps have random nonces.
fn assert_same(object: &[u8], expected: &[u8], what: &str) {
    assert_eq!(object.len(), expected.len(), "{what}");
    assert!(object[8192..] == expected[8192..], "{what}");
}

fn typed(error: std::io::Error) -> Error {
    Error::from_io("not a typed error", error)
}

#[test]
fn sealed_bytes_are_the_synchronous_ones_at_every_boundary_step_and_executor() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let expected = sealed(&plain);
        for executor in executors() {
            for (step, take) in [(C + 1, usize::MAX), (300_000, 100_001)] {
                let what = format!("{len}, {step}, {take}, {executor:?}");
                let written = runtime().block_on(async {
                    let sink = Grudging::new(Vec::new(), take);
                    let mut writer = object(&executor).writer_async(sink).unwrap();
                    for piece in plain.chunks(step) {
                        writer.write_all(piece).await.unwrap();
                        writer.flush().await.unwrap();
                    }
                    writer.finish().await.unwrap().inner
                });
                assert_same(&written, &expected, &what);
                let source = Grudging::new(Items::cut(&plain, &[step, 0, 7]), 1);
                let stream = object(&executor).seal_stream(source).unwrap();
                let (streamed, end) = runtime().block_on(collect(stream));
                end.unwrap();
                assert_same(&streamed, &expected, &what);
            }
        }
    }
}

#[test]
fn plaintext_comes_back_at_every_boundary_step_and_executor() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let object = sealed(&plain);
        for executor in executors() {
            let decryptor = decryptor().with_executor(executor.clone());
            for step in [1009, SEALED, usize::MAX] {
                let what = format!("{len}, {step}, {executor:?}");
                let opened = runtime().block_on(async {
                    let source = Grudging::new(object.as_slice(), step);
                    let mut reader = decryptor.reader_async(source).await.unwrap();
                    let mut opened = Vec::new();
                    reader.read_to_end(&mut opened).await.unwrap();
                    assert_eq!(reader.position(), len as u64);
                    assert_eq!(reader.read(&mut [0; 9]).await.unwrap(), 0);
                    opened
                });
                assert!(opened == plain, "{what}");
                let source = Grudging::new(Items::cut(&object, &[step.min(1 << 20), 0, 7]), 1);
                let (streamed, end) =
                    runtime().block_on(async { collect(decryptor.open_stream(source).await.unwrap()).await });
                end.unwrap();
                assert!(streamed == plain, "{what}");
            }
        }
    }
}

#[test]
fn one_byte_at_a_time_is_enough() {
    let plain = plaintext(2 * C + 5);
    let object = sealed(&plain);
    runtime().block_on(async {
        for executor in executors() {
            let decryptor = decryptor().with_executor(executor.clone());
            let mut reader = decryptor
                .reader_async(Grudging::new(object.as_slice(), 1))
                .await
                .unwrap();
            let mut opened = vec![0; plain.len()];
            for byte in &mut opened {
                assert_eq!(reader.read(std::slice::from_mut(byte)).await.unwrap(), 1);
            }
            assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
            assert!(opened == plain);

            let mut writer = self::object(&executor)
                .writer_async(Grudging::new(Vec::new(), 1))
                .unwrap();
            for byte in &plain {
                assert_eq!(writer.write(std::slice::from_ref(byte)).await.unwrap(), 1);
            }
            writer.shutdown().await.unwrap();
            assert_same(&writer.get_ref().inner, &object, "one byte");
        }
    });
}

#[test]
fn a_payload_and_its_detached_header_go_apart() {
    let plain = plaintext(3 * C + 7);
    runtime().block_on(async {
        let object = object(&Executor::serial());
        let header = object.header().clone();
        let mut writer = object.detach().1.writer_async(Vec::new()).unwrap();
        writer.write_all(&plain).await.unwrap();
        let payload = writer.finish().await.unwrap();
        assert!(payload == sealed(&plain)[8192..]);
        let source = Items::cut(&plain, &[1000]);
        let (streamed, _) = collect(
            self::object(&Executor::serial())
                .detach()
                .1
                .seal_stream(source)
                .unwrap(),
        )
        .await;
        assert!(streamed == payload);

        let mut opened = Vec::new();
        let mut reader = decryptor()
            .unlock(header.clone())
            .unwrap()
            .reader_async(payload.as_slice())
            .await
            .unwrap();
        reader.read_to_end(&mut opened).await.unwrap();
        assert!(opened == plain && *reader.unlocked().header() == header);
        let source = Items::cut(&payload, &[1000]);
        let (streamed, _) = collect(decryptor().unlock(header).unwrap().open_stream(source).await.unwrap()).await;
        assert!(streamed == plain);
    });
}

#[test]
fn a_writer_dropped_at_any_await_leaves_a_beginning_that_does_not_open() {
    let plain = plaintext(2 * C + 100);
    let expected = sealed(&plain);
    for executor in executors() {
        for times in 0.. {
            let sink = Shared::default();
            let work = async {
                let mut writer = object(&executor)
                    .writer_async(Grudging::new(sink.clone(), 4001))
                    .unwrap();
                writer.write_all(&plain[..C + 1]).await.unwrap();
                writer.flush().await.unwrap();
                writer.write_all(&plain[C + 1..]).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let done = poll_times(work, times).is_some();
            let written = sink.bytes();
            assert!(written.len() <= expected.len());
            let begun = written.get(8192..).unwrap_or_default();
            assert!(expected[8192..].starts_with(begun), "{times} polls, {executor:?}");
            assert_eq!(decryptor().open(&written).is_ok(), written.len() == expected.len());
            if done {
                assert_same(&written, &expected, "done");
                break;
            }
        }
    }
}

#[test]
fn a_writer_that_is_not_finished_gives_no_object() {
    let plain = plaintext(33 * C);
    runtime().block_on(async {
        for executor in executors() {
            let sink = Shared::default();
            let mut writer = object(&executor).writer_async(sink.clone()).unwrap();
            writer.write_all(&plain).await.unwrap();
            writer.flush().await.unwrap();
            drop(writer);
            assert_eq!(sink.bytes().len(), CHUNKS + 33 * SEALED);
            assert!(matches!(decryptor().open(&sink.bytes()), Err(Error::Truncated { .. })));

            let source = Items::cut(&plain, &[100_000]).then_fail(ErrorKind::ConnectionReset);
            let mut stream = object(&executor).seal_stream(source).unwrap();
            let (written, end) = collect(&mut stream).await;
            assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert!(decryptor().open(&written).is_err());
            // It does not end after its error.
            let (_, end) = collect(&mut stream).await;
            assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    });
}

/// Every write, flush and shutdown is abandoned at its first pending poll and started again.
#[test]
fn operations_given_up_and_begun_again_write_every_byte_once() {
    let plain = plaintext(34 * C + 3);
    let expected = sealed(&plain);
    for executor in executors() {
        let mut writer = object(&executor)
            .writer_async(Grudging::new(Vec::new(), 10_007))
            .unwrap();
        let mut rest = plain.as_slice();
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(50_001)];
            rest = &rest[insist(&executor, || writer_step(&mut writer, piece)).unwrap()..];
        }
        while poll_times(writer.flush(), 1).is_none() {
            wait_for_jobs(&executor);
        }
        while poll_times(writer.shutdown(), 1).is_none() {
            wait_for_jobs(&executor);
        }
        assert_same(&writer.get_ref().inner, &expected, "given up");
        let after = poll_times(writer.write(b"x"), 1).unwrap().unwrap_err();
        assert_eq!(after.kind(), ErrorKind::InvalidInput);
        poll_times(writer.shutdown(), 1).unwrap().unwrap();
    }
}

fn writer_step(writer: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> Option<std::io::Result<usize>> {
    poll_times(writer.write(piece), 1)
}

fn insist<T>(executor: &Executor, mut step: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(result) = step() {
            return result;
        }
        wait_for_jobs(executor);
    }
}

/// A future that is polled once and dropped leaves no task to wake when a job ends.
fn wait_for_jobs(executor: &Executor) {
    if !format!("{executor:?}").contains("serial") {
        std::thread::sleep(Duration::from_micros(20));
    }
}

#[test]
fn reads_given_up_and_begun_again_lose_nothing() {
    let plain = plaintext(34 * C + 3);
    let object = sealed(&plain);
    for executor in executors() {
        let decryptor = decryptor().with_executor(executor.clone());
        let source = Grudging::new(object.as_slice(), 10_007);
        let mut reader = runtime().block_on(decryptor.reader_async(source)).unwrap();
        let mut opened = Vec::new();
        let mut buf = vec![0; 70_000];
        loop {
            let count = insist(&executor, || poll_times(reader.read(&mut buf), 1)).unwrap();
            opened.extend_from_slice(&buf[..count]);
            if count == 0 {
                break;
            }
        }
        assert!(opened == plain);
    }
}

#[test]
fn a_reader_dropped_at_any_await_gave_a_beginning() {
    let plain = plaintext(2 * C + 100);
    let object = sealed(&plain);
    for executor in executors() {
        let decryptor = decryptor().with_executor(executor.clone());
        for times in 0.. {
            let mut opened = Vec::new();
            let work = async {
                let source = Grudging::new(object.as_slice(), 5001);
                let mut reader = decryptor.reader_async(source).await.unwrap();
                let mut buf = vec![0; 3000];
                loop {
                    match reader.read(&mut buf).await.unwrap() {
                        0 => break,
                        count => opened.extend_from_slice(&buf[..count]),
                    }
                }
            };
            let done = poll_times(work, times).is_some();
            assert!(plain.starts_with(&opened), "{times} polls, {executor:?}");
            if done {
                assert!(opened == plain);
                break;
            }
        }
    }
}

#[test]
fn what_was_altered_cut_or_extended_is_refused_with_its_typed_error_forever() {
    let plain = plaintext(20 * C + 5);
    let object = sealed(&plain);
    let mut flipped = object.clone();
    flipped[CHUNKS + 18 * SEALED + 3] ^= 1;
    let mut longer = object.clone();
    longer.extend_from_slice(b"more");
    let cut = |len: usize| object[..len].to_vec();
    type Expected = fn(&Error) -> bool;
    let cases: [(Vec<u8>, usize, Expected); 5] = [
        (flipped, 18 * C, |e| matches!(e, Error::ChunkAltered { chunk: 18, .. })),
        (longer, 20 * C, |e| matches!(e, Error::TrailingData { .. })),
        (
            cut(CHUNKS + 19 * SEALED),
            19 * C,
            |e| matches!(e, Error::Truncated { after } if *after == 19 * C as u64),
        ),
        (cut(CHUNKS + 19 * SEALED + 9), 19 * C, |e| {
            matches!(e, Error::Truncated { .. })
        }),
        (cut(object.len() - 1), 20 * C, |e| {
            matches!(e, Error::ChunkAltered { chunk: 20, .. })
        }),
    ];
    runtime().block_on(async {
        for executor in executors() {
            let decryptor = decryptor().with_executor(executor.clone());
            for (object, verified, expected) in &cases {
                let mut reader = decryptor
                    .reader_async(Grudging::new(object.as_slice(), 90_000))
                    .await
                    .unwrap();
                let mut opened = Vec::new();
                let failed = typed(reader.read_to_end(&mut opened).await.unwrap_err());
                assert!(expected(&failed), "{failed:?}");
                assert!(opened == plain[..*verified], "{failed:?}");
                for _ in 0..2 {
                    let again = typed(reader.read(&mut [0]).await.unwrap_err());
                    assert_eq!(again.to_string(), failed.to_string());
                }
                let again = typed(
                    poll_fn(|cx| AsyncBufRead::poll_fill_buf(Pin::new(&mut reader), cx).map_ok(|_| ()))
                        .await
                        .unwrap_err(),
                );
                assert_eq!(again.to_string(), failed.to_string());

                let mut stream = decryptor.open_stream(Items::cut(object, &[40_000])).await.unwrap();
                let (opened, end) = collect(&mut stream).await;
                assert!(expected(&typed(end.unwrap_err())) && opened == plain[..*verified]);
                assert!(expected(&typed(collect(&mut stream).await.1.unwrap_err())));
            }
            for len in [100, 8191, CHUNKS - 1] {
                let refused = decryptor.reader_async(&object[..len]).await;
                assert!(
                    matches!(refused, Err(Error::HeaderTruncated { .. } | Error::Truncated { .. })),
                    "{len}"
                );
            }
        }
    });
}

#[test]
fn a_sink_that_fails_poisons_the_writer() {
    let plain = plaintext(40 * C);
    runtime().block_on(async {
        for executor in executors() {
            let mut room = vec![0; 50_000];
            let mut writer = object(&executor)
                .writer_async(Cursor::new(room.as_mut_slice()))
                .unwrap();
            let failed = match writer.write_all(&plain).await {
                Err(error) => error,
                Ok(()) => writer.flush().await.unwrap_err(),
            };
            assert_eq!(failed.kind(), ErrorKind::WriteZero);
            for _ in 0..2 {
                assert_eq!(writer.write(b"x").await.unwrap_err().to_string(), failed.to_string());
                assert_eq!(writer.flush().await.unwrap_err().to_string(), failed.to_string());
                assert_eq!(writer.shutdown().await.unwrap_err().to_string(), failed.to_string());
            }
            assert!(matches!(writer.finish().await, Err(Error::Io { .. })));
        }
    });
}

#[test]
fn seeks_go_anywhere_even_when_given_up() {
    let plain = plaintext(40 * C + 123);
    let object = sealed(&plain);
    let len = plain.len();
    runtime().block_on(async {
        for executor in executors() {
            let decryptor = decryptor().with_executor(executor.clone());
            let source = Grudging::new(Cursor::new(object.as_slice()), 30_000);
            let mut reader = decryptor.reader_async(source).await.unwrap();
            let mut buf = vec![0; 3 * C];
            for position in [5, len - 9, C, 0, 17 * C - 1, len, len + 10, 33 * C, 16 * C + 1] {
                let at = reader.seek(SeekFrom::Start(position as u64)).await.unwrap();
                assert_eq!(at, position as u64);
                let want = &plain[position.min(len)..(position + buf.len()).min(len).max(position.min(len))];
                let got = &mut buf[..want.len()];
                reader.read_exact(got).await.unwrap();
                assert!(got == want, "{position}");
            }
            assert_eq!(reader.seek(SeekFrom::End(-5)).await.unwrap(), (len - 5) as u64);
            assert_eq!(reader.seek(SeekFrom::Current(-5)).await.unwrap(), (len - 10) as u64);
            let refused = reader.seek(SeekFrom::Current(-1 << 40)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).await.unwrap();
            assert!(rest == plain[len - 10..]);

            // Abandoned after any number of polls, before and after the end was verified: the next read finishes it.
            for times in 2..20 {
                let source = Grudging::new(Cursor::new(object.as_slice()), 30_000);
                let mut reader = decryptor.reader_async(source).await.unwrap();
                for position in [20 * C + 9, 3 * C] {
                    let _ = poll_times(reader.seek(SeekFrom::Start(position as u64)), times);
                    reader.read_exact(&mut buf).await.unwrap();
                    assert!(buf == plain[position..position + buf.len()], "{times}");
                }
            }
        }
    });
}

#[test]
fn a_seek_in_an_object_cut_after_a_full_chunk_fails_whatever_stands_in_place_of_the_final_chunk() {
    let object = sealed(&plaintext(3 * C));
    let cut = [&object[..CHUNKS + SEALED], &[0; 16]].concat();
    runtime().block_on(async {
        for executor in executors() {
            let decryptor = decryptor().with_executor(executor);
            for target in [SeekFrom::Start(0), SeekFrom::Start(C as u64), SeekFrom::End(-10)] {
                let mut reader = decryptor.reader_async(Cursor::new(cut.as_slice())).await.unwrap();
                let failed = typed(reader.seek(target).await.unwrap_err());
                assert!(matches!(failed, Error::ChunkAltered { chunk: 1, .. }), "{failed:?}");
            }
        }
    });
}

#[test]
fn a_seek_in_a_cut_or_shrinking_object_fails_with_its_typed_error() {
    let plain = plaintext(20 * C + 500);
    let object = sealed(&plain);
    runtime().block_on(async {
        let cut = Cursor::new(&object[..CHUNKS + 19 * SEALED + 100]);
        let mut reader = decryptor().reader_async(cut).await.unwrap();
        let failed = typed(reader.seek(SeekFrom::Start(3)).await.unwrap_err());
        assert!(matches!(failed, Error::ChunkAltered { chunk: 19, .. }));
        assert_eq!(
            typed(reader.read(&mut [0]).await.unwrap_err()).to_string(),
            failed.to_string()
        );

        // Verified at its full length, then replaced by a shorter object with the same key and salt.
        let shorter = sealed(&plain[..20 * C + 5]);
        let mut reader = decryptor()
            .reader_async(Swapped(Cursor::new(object), Some(shorter)))
            .await
            .unwrap();
        reader.seek(SeekFrom::Start(20 * C as u64 + 400)).await.unwrap();
        let failed = typed(reader.read(&mut [0]).await.unwrap_err());
        assert!(matches!(failed, Error::SourceChanged { .. }), "{failed:?}");
    });
}

/// A source that changes to another one after its final chunk was read.
struct Swapped(Cursor<Vec<u8>>, Option<Vec<u8>>);

impl AsyncRead for Swapped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buf);
        if self.0.position() == self.0.get_ref().len() as u64
            && let Some(other) = self.1.take()
        {
            self.0 = Cursor::new(other);
        }
        read
    }
}

impl AsyncSeek for Swapped {
    fn start_seek(mut self: Pin<&mut Self>, target: SeekFrom) -> std::io::Result<()> {
        Pin::new(&mut self.0).start_seek(target)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(cx)
    }
}

/// Even for a task whose source and sink are always ready.
#[test]
fn one_poll_of_a_task_seals_or_opens_one_batch_at_most() {
    let plain = plaintext(100 * C);
    let object = sealed(&plain);
    for executor in executors() {
        let progress = Progress::new();
        let encryptor = encryptor()
            .with_executor(executor.clone())
            .with_progress(progress.clone());
        let mut writer = hazmat::begin(&encryptor, &data_key(1), [2; 24])
            .unwrap()
            .writer_async(Vec::new())
            .unwrap();
        poll_in_batches(&progress, async {
            for _ in 0..2 {
                writer.write_all(&plain).await.unwrap();
                writer.flush().await.unwrap();
            }
            writer.shutdown().await.unwrap();
        });
        let stream = hazmat::begin(&encryptor, &data_key(1), [2; 24])
            .unwrap()
            .seal_stream(Items::cut(&plain, &[1 << 20]))
            .unwrap();
        let (streamed, _) = poll_in_batches(&progress, collect(stream));
        assert_same(&streamed, &object, "in batches");

        // A pool's opened batches may be returned several at once.
        let decryptor = decryptor().with_progress(progress.clone());
        let mut opened = vec![0; plain.len()];
        poll_in_batches(&progress, async {
            let mut reader = decryptor.reader_async(object.as_slice()).await.unwrap();
            reader.read_exact(&mut opened).await.unwrap();
        });
        assert!(opened == plain);
    }
}

fn poll_in_batches<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    let mut work = std::pin::pin!(work);
    loop {
        let before = progress.bytes();
        let polled = work.as_mut().poll(&mut cx);
        let bytes = progress.bytes() - before;
        assert!(bytes <= BATCH as u64, "{bytes}");
        if let Poll::Ready(result) = polled {
            return result;
        }
    }
}

/// Never accepts anything.
struct Wall;

impl AsyncWrite for Wall {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

/// Batches in progress for each thread of a pool.
const JOBS: usize = 8;

#[test]
fn a_sink_that_takes_nothing_holds_the_writer_back() {
    let plain = plaintext(BATCH);
    for executor in executors() {
        let mut writer = object(&executor).writer_async(Wall).unwrap();
        let (mut accepted, mut refused) = (0, 0);
        while refused < 100 {
            match poll_times(writer.write(&plain), 1) {
                Some(count) => accepted += count.unwrap(),
                None => {
                    refused += 1;
                    wait_for_jobs(&executor);
                }
            }
        }
        // Batches being sealed or waiting to be written, and the batch being filled.
        assert!(
            accepted <= (JOBS * executor.thread_count() + 1) * BATCH,
            "{accepted}, {executor:?}"
        );
        assert!(poll_times(writer.flush(), 10).is_none());
        assert!(poll_times(writer.shutdown(), 10).is_none());
    }
}

#[test]
fn a_reader_reads_ahead_no_more_than_its_pool_works_on() {
    let plain = plaintext(400 * C);
    let object = sealed(&plain);
    for executor in executors() {
        let decryptor = decryptor().with_executor(executor.clone());
        let mut source = Cursor::new(object.as_slice());
        runtime().block_on(async {
            let mut reader = decryptor.reader_async(&mut source).await.unwrap();
            for _ in 0..1000 {
                reader.read_exact(&mut [0]).await.unwrap();
            }
        });
        let ahead = source.position();
        assert!(
            ahead <= (CHUNKS + (JOBS * executor.thread_count() + 2) * (BATCH + 256)) as u64,
            "{ahead}"
        );
    }
}

/// A key service that takes a while, on the runtime's timer.
#[derive(Debug)]
struct Awaiting(Arc<RawKey>);

impl KeyProvider for Awaiting {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        self.0.matches(slot)
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.0.wrap_key(data_key, context).await
        })
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.0.unwrap_key(wrapped, context).await
        })
    }
}

async fn round_trip(executor: Executor, plain: Vec<u8>) {
    let key = Arc::new(Awaiting(key()));
    let encryptor = Encryptor::new(key.clone()).with_executor(executor.clone());
    let decryptor = Decryptor::new(key).with_executor(executor);
    let mut writer = encryptor.writer_async(Vec::new()).await.unwrap();
    writer.write_all(&plain).await.unwrap();
    let object = writer.finish().await.unwrap();
    let mut opened = Vec::new();
    let mut reader = decryptor.reader_async(object.as_slice()).await.unwrap();
    reader.read_to_end(&mut opened).await.unwrap();
    assert!(opened == plain);
    let sealed = encryptor.seal_stream(Items::cut(&plain, &[12_345])).await.unwrap();
    let (opened, end) = collect(decryptor.open_stream(sealed).await.unwrap()).await;
    end.unwrap();
    assert!(opened == plain);
}

#[test]
fn keys_are_awaited_on_every_kind_of_runtime() {
    let plain = plaintext(40 * C + 5);
    let multi = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    for executor in executors() {
        runtime().block_on(round_trip(executor.clone(), plain.clone()));
        multi.block_on(async {
            let tasks: Vec<_> = (0..8)
                .map(|_| tokio::spawn(round_trip(executor.clone(), plain.clone())))
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

/// The pool's only thread waits for another task of the same runtime, so the runtime's thread must not wait for the
/// pool.
#[cfg(feature = "threads")]
#[test]
fn a_busy_pool_does_not_block_the_runtimes_thread() {
    let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
    let (release, released) = std::sync::mpsc::channel::<()>();
    pool.spawn(move || released.recv().unwrap());
    let executor = Executor::pool(pool);
    runtime().block_on(async move {
        let work = tokio::spawn(round_trip(executor, plaintext(40 * C)));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!work.is_finished());
        release.send(()).unwrap();
        work.await.unwrap();
    });
}

#[test]
fn a_source_that_pauses_does_not_hold_back_what_is_complete() {
    let plain = plaintext(5 * C);
    let object = sealed(&plain);
    for executor in executors() {
        let decryptor = decryptor().with_executor(executor);
        runtime().block_on(async {
            // Three chunks arrive, then nothing.
            let source = AsyncReadExt::chain(&object[..CHUNKS + 3 * SEALED + 10], Silent);
            let mut reader = decryptor.reader_async(source).await.unwrap();
            let mut opened = vec![0; 3 * C];
            reader.read_exact(&mut opened).await.unwrap();
            assert!(opened == plain[..3 * C]);
            let more = tokio::time::timeout(Duration::from_millis(5), reader.read(&mut [0])).await;
            assert!(more.is_err());
        });
    }
}

/// Neither returns bytes nor ends.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        std::pin::pin!(pending::<()>()).poll(cx).map(Ok)
    }
}
