//! Streams under pressure: small pools, calls from inside a pool, many at once, readers that are dropped.

use std::io::{Read, Write};
use std::sync::Arc;

use crate::common::{C, decryptor, encryptor, plaintext};
use sealstone::{Error, Executor, Progress};

fn pool(threads: usize) -> Arc<rayon::ThreadPool> {
    Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

fn round_trip(executor: &Executor, plain: &[u8]) {
    let mut writer = encryptor().with_executor(executor.clone()).writer(Vec::new()).unwrap();
    for piece in plain.chunks(100_000) {
        writer.write_all(piece).unwrap();
    }
    let object = writer.finish().unwrap();
    let mut out = Vec::new();
    let mut reader = decryptor()
        .with_executor(executor.clone())
        .reader(object.as_slice())
        .unwrap();
    reader.read_to_end(&mut out).unwrap();
    assert!(out == plain);
    assert!(decryptor().with_executor(executor.clone()).open(&object).unwrap() == plain);
}

#[test]
fn a_call_from_inside_a_rayon_task_ends_even_on_a_pool_of_one() {
    let plain = plaintext(100 * C + 1);
    for threads in [1, 2] {
        let pool = pool(threads);
        let executor = Executor::pool(pool.clone());
        pool.install(|| round_trip(&executor, &plain));
        // From a task of another pool, and from an ordinary thread.
        self::pool(1).install(|| round_trip(&executor, &plain));
        round_trip(&executor, &plain);
    }
}

#[test]
fn sixty_four_writers_share_one_pool() {
    let plain = plaintext(40 * C + 5);
    for pool in [pool(1), pool(2)] {
        let executor = Executor::pool(pool.clone());
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| round_trip(&executor, &plain));
            }
        });
        // All of them tasks of the same pool.
        pool.scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|_| round_trip(&executor, &plain));
            }
        });
    }
}

#[test]
fn a_reader_dropped_midway_leaves_the_pool_usable() {
    let plain = plaintext(200 * C);
    let object = encryptor().seal(&plain).unwrap();
    let executor = Executor::threads(2).unwrap();
    for _ in 0..50 {
        let mut reader = decryptor()
            .with_executor(executor.clone())
            .reader(object.as_slice())
            .unwrap();
        reader.read_exact(&mut [0; 1000]).unwrap();
        drop(reader);
        let mut writer = encryptor().with_executor(executor.clone()).writer(Vec::new()).unwrap();
        writer.write_all(&plain).unwrap();
        drop(writer);
    }
    round_trip(&executor, &plain);
}

#[test]
fn a_sink_that_fails_poisons_the_writer() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            let len = buf.len().min(self.0);
            self.0 -= len;
            if len == 0 {
                Err(std::io::ErrorKind::StorageFull.into())
            } else {
                Ok(len)
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // More than the jobs in progress hold.
    let plain = plaintext(400 * C);
    for executor in [Executor::serial(), Executor::threads(2).unwrap()] {
        assert!(encryptor().writer(Full(100)).is_err());
        let mut writer = encryptor().with_executor(executor).writer(Full(50_000)).unwrap();
        let failed = writer.write_all(&plain).unwrap_err();
        assert_eq!(failed.kind(), std::io::ErrorKind::StorageFull);
        for _ in 0..3 {
            assert_eq!(writer.write_all(b"x").unwrap_err().to_string(), failed.to_string());
            assert_eq!(writer.flush().unwrap_err().to_string(), failed.to_string());
        }
        assert!(matches!(writer.finish(), Err(Error::Io { .. })));
    }
}

#[test]
fn a_cancelled_operation_stops_with_its_own_error() {
    let plain = plaintext(100 * C);
    let object = encryptor().seal(&plain).unwrap();
    let progress = Progress::new();
    assert!(decryptor().with_progress(progress.clone()).open(&object).is_ok());
    assert_eq!(progress.bytes(), plain.len() as u64);
    progress.cancel();
    assert!(matches!(
        encryptor().with_progress(progress.clone()).seal(&plain),
        Err(Error::Cancelled)
    ));
    assert!(matches!(
        decryptor().with_progress(progress.clone()).open(&object),
        Err(Error::Cancelled)
    ));
    assert!(matches!(
        decryptor().with_progress(progress).verify(object.as_slice()),
        Err(Error::Cancelled)
    ));
}

#[test]
fn a_cancelled_stream_ends_instead_of_retrying_forever() {
    let plain = plaintext(100 * C);
    let object = encryptor().seal(&plain).unwrap();
    let progress = Progress::new();
    progress.cancel();
    let encryptor = encryptor().with_progress(progress.clone());
    let decryptor = decryptor().with_progress(progress);
    let result = encryptor.pipe(plain.as_slice(), std::io::sink());
    assert!(matches!(result, Err(Error::Cancelled)));
    let result = decryptor.pipe(object.as_slice(), std::io::sink());
    assert!(matches!(result, Err(Error::Cancelled)));
    let error = decryptor
        .reader(object.as_slice())
        .unwrap()
        .read_to_end(&mut Vec::new())
        .unwrap_err();
    assert!(matches!(Error::from_io("reading", error), Error::Cancelled));
}
