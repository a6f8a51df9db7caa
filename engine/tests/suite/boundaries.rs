//! Every boundary length, crossed with the ways to write and read bytes and with threads: always the same bytes.

use std::io::{BufRead, Cursor, Read, Seek, SeekFrom, Write};

use crate::common::{C, LENGTHS, data_key, decryptor, encryptor, executors, plaintext, seal_fixed};
use sealstone::format::Layout;
use sealstone::{Backend, ChunkSize, Error, Suite, hazmat};

/// Returns at most `step` bytes for each call.
struct Steps<R> {
    inner: R,
    step: usize,
}

impl<R: Read> Read for Steps<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = buf.len().min(self.step);
        self.inner.read(&mut buf[..len])
    }
}

#[test]
fn parallel_bytes_equal_serial_bytes_at_every_boundary_and_step() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let expected = seal_fixed(&encryptor(), 1, 2, &plain);
        for executor in executors() {
            let encryptor = encryptor().with_executor(executor.clone());
            let sealed = seal_fixed(&encryptor, 1, 2, &plain);
            // Wraps differ by their random nonces; everything sealed is equal.
            assert!(sealed[8192..] == expected[8192..], "{len}, {executor:?}");
            for step in [511, C - 1, C, C + 1, 300_000] {
                let object = hazmat::begin(&encryptor, &data_key(1), [2; 24]).unwrap();
                let mut writer = object.writer(Vec::new()).unwrap();
                for piece in plain.chunks(step) {
                    writer.write_all(piece).unwrap();
                }
                let written = writer.finish().unwrap();
                assert!(written[8192..] == expected[8192..], "{len}, step {step}, {executor:?}");
            }
        }
    }
}

#[test]
fn every_way_of_reading_gives_the_plaintext() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let object = seal_fixed(&encryptor(), 1, 2, &plain);
        for executor in executors() {
            let decryptor = decryptor().with_executor(executor.clone());
            assert!(decryptor.open(&object).unwrap() == plain);
            let mut buffer = vec![0; len + 3];
            assert_eq!(decryptor.open_into(&object, &mut buffer).unwrap(), len);
            assert!(buffer[..len] == plain);
            assert_eq!(decryptor.verify(object.as_slice()).unwrap().plaintext_len, len as u64);

            for step in [1000, C + 16, 70_000, usize::MAX] {
                let source = Steps {
                    inner: object.as_slice(),
                    step,
                };
                let mut out = Vec::new();
                decryptor.reader(source).unwrap().read_to_end(&mut out).unwrap();
                assert!(out == plain, "{len}, step {step}, {executor:?}");
            }
            let mut reader = decryptor.reader(object.as_slice()).unwrap();
            let mut out = Vec::new();
            while let Some(bytes) = reader.next_bytes().unwrap() {
                assert!(!bytes.is_empty());
                out.extend_from_slice(&bytes);
                assert_eq!(reader.position(), out.len() as u64);
            }
            assert!(out == plain);
        }
    }
}

#[test]
fn one_byte_reads_and_writes_give_the_plaintext() {
    let plain = plaintext(C + 5);
    let mut writer = encryptor().writer(Vec::new()).unwrap();
    for byte in &plain {
        writer.write_all(std::slice::from_ref(byte)).unwrap();
    }
    let object = writer.finish().unwrap();
    let source = Steps {
        inner: object.as_slice(),
        step: 1,
    };
    let read: Vec<u8> = decryptor()
        .reader(source)
        .unwrap()
        .bytes()
        .map(Result::unwrap)
        .collect();
    assert!(read == plain);
}

#[test]
fn every_suite_size_and_backend_round_trips() {
    for suite in Suite::ALL {
        for size in ChunkSize::ALL {
            for &backend in Backend::ALL {
                for len in [0, 1, size.bytes() - 1, size.bytes(), 2 * size.bytes() + 3] {
                    let plain = plaintext(len);
                    let encryptor = encryptor()
                        .with_suite(suite)
                        .with_chunk_size(size)
                        .with_backend(backend);
                    let object = encryptor.seal(&plain).unwrap();
                    assert_eq!(object.len() as u64, encryptor.object_len(len as u64).unwrap());
                    for &reader in Backend::ALL {
                        assert!(decryptor().with_backend(reader).open(&object).unwrap() == plain);
                    }
                }
            }
        }
    }
}

#[test]
fn sizes_match_what_sealing_gives() {
    for size in ChunkSize::ALL {
        let layout = Layout::new(size);
        let parameters = hazmat::PayloadParameters {
            suite: Suite::Aes256Gcm,
            chunk_size: size,
            context: b"",
            backend: Backend::default(),
        };
        for len in [0, 1, size.bytes() - 1, size.bytes(), size.bytes() + 1] {
            let payload = hazmat::seal_payload(&data_key(1), [1; 24], parameters, &plaintext(len)).unwrap();
            assert_eq!(payload.len() as u64, layout.payload_len(len as u64).unwrap());
            assert_eq!(layout.plaintext_len(payload.len() as u64).unwrap(), len as u64);
        }
    }
}

#[test]
fn flush_passes_on_complete_chunks_only_and_changes_no_byte() {
    let plain = plaintext(3 * C + 100);
    for executor in executors() {
        let encryptor = encryptor().with_executor(executor);
        let object = hazmat::begin(&encryptor, &data_key(1), [2; 24]).unwrap();
        let mut writer = object.writer(Vec::new()).unwrap();
        writer.write_all(&plain[..2 * C + 50]).unwrap();
        writer.flush().unwrap();
        assert_eq!(
            writer.get_ref().len(),
            crate::common::CHUNKS + 2 * crate::common::SEALED
        );
        writer.flush().unwrap();
        writer.write_all(&plain[2 * C + 50..]).unwrap();
        let object = writer.finish().unwrap();
        assert!(object[8192..] == seal_fixed(&encryptor, 1, 2, &plain)[8192..]);
    }
}

#[test]
fn a_short_buffer_is_an_error_that_names_both_lengths() {
    let plain = plaintext(100);
    let object = encryptor().seal(&plain).unwrap();
    let mut short = vec![0; 99];
    let result = decryptor().open_into(&object, &mut short);
    assert!(matches!(result, Err(Error::BufferTooSmall { need: 100, have: 99 })));
    let mut short = vec![0; object.len() - 1];
    let result = encryptor().begin().unwrap().seal_into(&plain, &mut short);
    assert!(matches!(result, Err(Error::BufferTooSmall { need, .. }) if need == object.len() as u64));
}

#[test]
fn seeking_gives_what_slicing_gives() {
    let plain = plaintext(40 * C + 123);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for executor in executors() {
        let mut reader = decryptor()
            .with_executor(executor)
            .reader(Cursor::new(&object))
            .unwrap();
        let mut buffer = [0; 100];
        for position in [0, 5, C - 1, C, 17 * C + 3, 40 * C, 40 * C + 23, 3, 40 * C + 122] {
            assert_eq!(reader.seek(SeekFrom::Start(position as u64)).unwrap(), position as u64);
            let len = (plain.len() - position).min(100);
            reader.read_exact(&mut buffer[..len]).unwrap();
            assert!(buffer[..len] == plain[position..position + len], "{position}");
            assert_eq!(reader.stream_position().unwrap(), (position + len) as u64);
        }
        assert_eq!(reader.seek(SeekFrom::End(-10)).unwrap(), plain.len() as u64 - 10);
        let mut tail = Vec::new();
        reader.read_to_end(&mut tail).unwrap();
        assert!(tail == plain[plain.len() - 10..]);
        assert_eq!(reader.seek(SeekFrom::End(5)).unwrap(), plain.len() as u64 + 5);
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        assert!(
            reader
                .seek(SeekFrom::End(-1 - i64::try_from(plain.len()).unwrap()))
                .is_err()
        );
        assert_eq!(reader.verified_len().unwrap(), plain.len() as u64);
        reader.rewind().unwrap();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert!(all == plain);
    }
}

#[test]
fn a_seek_refuses_an_object_whose_end_does_not_verify() {
    let plain = plaintext(3 * C + 123);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    for cut in [1, 17, 123 + 16, 200] {
        let cut_object = &object[..object.len() - cut];
        let mut reader = decryptor().reader(Cursor::new(cut_object)).unwrap();
        assert!(reader.seek(SeekFrom::Start(1)).is_err());
        assert!(reader.read(&mut [0; 10]).is_err(), "the error is permanent");
    }
}

#[test]
fn buffered_reading_gives_what_reading_gives() {
    let plain = plaintext(5 * C);
    let object = encryptor().seal(&plain).unwrap();
    let mut reader = decryptor().reader(object.as_slice()).unwrap();
    let mut out = Vec::new();
    loop {
        let available = reader.fill_buf().unwrap();
        if available.is_empty() {
            break;
        }
        let len = available.len().min(1000);
        out.extend_from_slice(&available[..len]);
        reader.consume(len);
    }
    assert!(out == plain);
}
