//! Sealing composite objects: every form seals a component that opens, and every sealing has its own key.

use std::collections::HashSet;
use std::io::Write;

use bytes::Bytes;
use sealstone::composite::{MAX_COMPONENTS, Padding, Receipt};
use sealstone::error::CompositeError;
use sealstone::{Error, Header, hazmat};

use super::{components, composite_error, label};
use crate::common::{C, LENGTHS, decryptor, encryptor, executors, plaintext, unlocked};

/// Of one label and one plaintext: salt, commitment, chunks and receipt differ.
#[test]
fn two_sealings_of_one_part_share_no_key() {
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let mut salts = HashSet::new();
    let mut commitments = HashSet::new();
    for _ in 0..1000 {
        let sealed = object.component(b"1").unwrap().seal(b"the same").unwrap();
        assert!(salts.insert(sealed.bytes[..24].to_vec()));
        assert!(commitments.insert(sealed.bytes[24..56].to_vec()));
    }
    // A second manifest of the same components, in another process, has a salt of its own too.
    let sealed = object.component(b"1").unwrap().seal(b"it").unwrap();
    let parts = [(b"1", sealed.receipt)];
    let again = unlock(object.header()).composite(object.commitment()).unwrap();
    let ends = [object, again].map(|object| object.complete(&parts, b"").unwrap().bytes);
    assert_ne!(ends[0][..24], ends[1][..24]);
    assert_ne!(ends[0][56..], ends[1][56..]);
}

fn unlock(header: &Header) -> sealstone::Unlocked {
    decryptor().unlock(header.clone()).unwrap()
}

/// One-shot, writer, shared buffers, machine and pipe: each component opens, and its receipt has its length.
#[test]
fn every_form_of_sealing_gives_a_component_and_its_receipt() {
    for executor in executors() {
        let object = encryptor()
            .begin_composite(Padding::None)
            .unwrap()
            .with_executor(executor);
        let mut stored = object.header().to_attached().unwrap();
        let (mut expected, mut receipts) = (Vec::new(), Vec::new());
        let mut add = |bytes: &[u8], receipt: Receipt, plain: &[u8]| {
            assert_eq!(receipt.plaintext_len(), plain.len() as u64);
            assert_eq!(receipt.label(), b"1");
            stored.extend_from_slice(bytes);
            expected.extend_from_slice(plain);
            receipts.push((b"1", receipt));
        };
        for len in LENGTHS {
            let plain = plaintext(len);
            let begin = || object.component(b"1").unwrap();

            let sealed = begin().seal(&plain).unwrap();
            add(&sealed.bytes, sealed.receipt, &plain);

            let mut writer = begin().writer(Vec::new()).unwrap();
            plain.chunks(10_007).for_each(|piece| writer.write_all(piece).unwrap());
            let (bytes, receipt) = writer.finish().unwrap();
            add(&bytes, receipt, &plain);

            let mut writer = begin().writer(Vec::new()).unwrap();
            writer.write_all(&plain[..len / 2]).unwrap();
            writer.write_bytes(Bytes::copy_from_slice(&plain[len / 2..])).unwrap();
            let (bytes, receipt) = writer.finish().unwrap();
            add(&bytes, receipt, &plain);

            let mut bytes = Vec::new();
            let receipt = begin().pipe(plain.as_slice(), &mut bytes).unwrap();
            add(&bytes, receipt, &plain);

            let (bytes, receipt) = pushed(begin().sealer(), &plain);
            add(&bytes, receipt, &plain);
        }
        stored.extend_from_slice(&object.complete(&receipts, b"").unwrap().bytes);
        assert!(decryptor().open(&stored).unwrap() == expected);
    }
}

fn pushed(mut sealer: sealstone::composite::ComponentSealer, plain: &[u8]) -> (Vec<u8>, Receipt) {
    let mut bytes = Vec::new();
    for piece in plain.chunks(9_001) {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() {
            sealer.push(&mut piece).unwrap();
            if sealer.is_full() {
                bytes.extend(sealer.pull().unwrap().unwrap_or_default());
            }
        }
    }
    let mut rest = sealer.finish();
    assert!(rest.receipt().is_none(), "no receipt before the end");
    for sealed in rest.by_ref() {
        bytes.extend(sealed.unwrap());
    }
    let receipt = rest.receipt().unwrap();
    assert!(rest.receipt().is_none(), "one receipt");
    (bytes, receipt)
}

#[cfg(feature = "tokio")]
#[test]
fn components_are_sealed_by_asynchronous_programs() {
    use crate::grudging::{Grudging, Items, collect};
    use tokio::io::AsyncWriteExt;

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for executor in executors() {
        let object = encryptor()
            .begin_composite(Padding::None)
            .unwrap()
            .with_executor(executor);
        let mut stored = object.header().to_attached().unwrap();
        let mut receipts = Vec::new();
        let plain = plaintext(40 * C + 3);
        runtime.block_on(async {
            let sealed = object.component(b"1").unwrap();
            let sealed = sealed.seal_async(Bytes::copy_from_slice(&plain)).await.unwrap();
            stored.extend_from_slice(&sealed.bytes);
            receipts.push((b"1", sealed.receipt));
            let mut writer = object.component(b"2").unwrap().writer_async(Vec::new());
            writer.write_all(&plain).await.unwrap();
            writer.flush().await.unwrap();
            writer.shutdown().await.unwrap();
            let (bytes, receipt) = writer.finish().await.unwrap();
            stored.extend_from_slice(&bytes);
            receipts.push((b"2", receipt));
            let source = Grudging::new(Items::cut(&plain, &[C / 3, 0]), 1);
            let mut stream = object.component(b"3").unwrap().seal_stream(source);
            assert!(stream.receipt().is_none(), "before the end");
            let (bytes, ended) = collect(&mut stream).await;
            ended.unwrap();
            stored.extend_from_slice(&bytes);
            receipts.push((b"3", stream.receipt().unwrap()));
            assert!(stream.receipt().is_none(), "a second time");
        });
        stored.extend_from_slice(&object.complete(&receipts, b"").unwrap().bytes);
        assert!(decryptor().open(&stored).unwrap() == [plain.as_slice(), &plain, &plain].concat());
    }
}

/// A component costs less than 200 bytes beyond its chunks' tags: 72 in the payload, 32 in the manifest.
#[test]
fn a_component_costs_104_bytes() {
    let end_len = |count: usize| {
        let object = encryptor().begin_composite(Padding::None).unwrap();
        let sealed = components(&object, &vec![C / 2; count]);
        let stored: usize = sealed.iter().map(|(_, bytes, _)| bytes.len()).sum();
        let receipts: Vec<_> = sealed.into_iter().map(|(label, _, receipt)| (label, receipt)).collect();
        stored + object.complete(&receipts, b"").unwrap().bytes.len() - count * C / 2
    };
    assert_eq!(end_len(101) - end_len(100), 104);
}

#[test]
fn what_no_manifest_may_say_is_refused() {
    let new = |padding| encryptor().begin_composite(padding).unwrap();
    let object = new(Padding::None);
    let sealed = components(&object, &[3, 4]);
    let part = |number: usize| (sealed[number].0.clone(), sealed[number].2.clone());
    let refused =
        |parts: &[(Vec<u8>, Receipt)], note: &[u8]| composite_error(object.complete(parts, note).unwrap_err());
    assert_eq!(refused(&[], b""), CompositeError::ComponentCount { count: 0 });
    let too_many = vec![part(0); MAX_COMPONENTS + 1];
    assert_eq!(
        refused(&too_many, b""),
        CompositeError::ComponentCount { count: 65_537 }
    );
    assert_eq!(
        refused(&[part(0), part(1), part(0)], b""),
        CompositeError::Duplicate { component: 2 }
    );
    assert_eq!(refused(&[part(0)], &[0; 257]), CompositeError::NoteTooLong { len: 257 });
    // Nothing was completed by what was refused.
    object.complete(&[part(1), part(0)], &[1; 256]).unwrap();

    let padded = new(Padding::PlaintextLength);
    let sealed = components(&padded, &[(5 << 20) - 1, 4]);
    let parts: Vec<_> = sealed.into_iter().map(|(label, _, receipt)| (label, receipt)).collect();
    assert!(matches!(
        composite_error(padded.complete(&parts, b"").unwrap_err()),
        CompositeError::ComponentTooShort { component: 0, len } if len == (5 << 20) - 1
    ));
    padded.complete(&parts[..1], b"").unwrap();
}

#[test]
fn a_finished_object_seals_nothing_more() {
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let late = object.component(b"late").unwrap();
    let sealed = object.component(b"1").unwrap().seal(b"it").unwrap();
    let parts = [(b"1", sealed.receipt)];
    let clone = object.clone();
    object.complete(&parts, b"").unwrap();
    for object in [object, clone] {
        let begun = object.component(b"2").map(drop);
        assert_eq!(composite_error(begun.unwrap_err()), CompositeError::Completed);
        let completed = object.complete(&parts, b"").map(drop);
        assert_eq!(composite_error(completed.unwrap_err()), CompositeError::Completed);
    }
    // Nor does anything else of one unlocked header, as two requests to a server are.
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let header = object.header().clone();
    let sealed = object.component(b"1").unwrap().seal(b"it").unwrap();
    let parts = [(b"1", sealed.receipt)];
    let cache = sealstone::UnlockedCache::new(decryptor());
    let unlocked = [(); 2].map(|()| cache.unlock(header.clone()).unwrap());
    let begun = unlocked
        .each_ref()
        .map(|unlocked| unlocked.composite(header.commitment()).unwrap());
    let end = begun[0].complete(&parts, b"").unwrap();
    let again = begun[1].complete(&parts, b"").map(drop);
    assert_eq!(composite_error(again.unwrap_err()), CompositeError::Completed);
    let again = unlocked[1].composite(header.commitment()).map(drop);
    assert_eq!(composite_error(again.unwrap_err()), CompositeError::Completed);
    // Nor a header whose object is seen to be complete.
    let stored = [&sealed.bytes[..], &end.bytes].concat();
    let complete = unlock(&header).load_manifest(&stored).unwrap();
    let again = complete.composite(header.commitment()).map(drop);
    assert_eq!(composite_error(again.unwrap_err()), CompositeError::Completed);
    // What was begun before is harmless: nothing names it.
    late.seal(b"too late").unwrap();
}

/// Threads of one process that all try to complete the object: one does.
#[test]
fn one_completion_of_many_at_once_succeeds() {
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let sealed = object.component(b"1").unwrap().seal(b"it").unwrap();
    let parts = [(b"1", sealed.receipt)];
    let completed = std::thread::scope(|scope| {
        let threads = [(); 8].map(|()| scope.spawn(|| object.complete(&parts, b"").is_ok()));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(completed.into_iter().filter(|&one| one).count(), 1);
}

/// A component and the manifest are payloads of C2SP chunked encryption under their own contexts.
#[test]
fn a_standard_reader_opens_a_component() {
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let sealed = object.component(b"1").unwrap().seal(&plaintext(C + 5)).unwrap();
    // The data key, as the raw key's holder gets it.
    let slot = &object.header().slots()[0];
    let key = sealstone::RawKey::from_slice(&[7; 32]).unwrap();
    let data_key = {
        use sealstone::KeyProvider;
        let context = sealstone::EncryptionContext::new();
        answered(key.unwrap_key(slot, &context)).unwrap()
    };
    let context = [&b"sealstone/component@v1"[..], &[1, 14, 1]].concat();
    let parameters = hazmat::PayloadParameters {
        suite: sealstone::Suite::Aes256Gcm,
        chunk_size: sealstone::ChunkSize::KiB16,
        context: &context,
        backend: sealstone::Backend::default(),
    };
    assert!(hazmat::open_payload(&data_key, parameters, &sealed.bytes).unwrap() == plaintext(C + 5));
}

/// The result of a local key, which never waits.
fn answered<T>(future: sealstone::keys::BoxFuture<'_, T>) -> T {
    let mut future = future;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a local key waits for nothing"),
    }
}

#[test]
fn labels_over_65535_bytes_are_refused_and_any_shorter_one_is_not() {
    let object = encryptor().begin_composite(Padding::None).unwrap();
    for len in [0, 1, 65_535] {
        let label = vec![b'x'; len];
        let sealed = object.component(&label).unwrap().seal(b"").unwrap();
        assert_eq!(Receipt::from_bytes(&sealed.receipt.to_bytes()).unwrap(), sealed.receipt);
        assert_eq!(sealed.receipt.to_bytes().len(), 66 + len);
    }
    let refused = object.component(&vec![b'x'; 65_536]).map(drop);
    assert!(matches!(
        composite_error(refused.unwrap_err()),
        CompositeError::InvalidReceipt { .. }
    ));
}

#[test]
fn plain_objects_have_no_components() {
    let plain = encryptor().seal(b"plain").unwrap();
    let unlocked = unlocked(&decryptor(), &plain);
    assert!(!unlocked.is_composite() && unlocked.manifest().is_none());
    let commitment = *unlocked.header().commitment();
    let refused = unlocked.composite(&commitment).map(drop);
    assert_eq!(composite_error(refused.unwrap_err()), CompositeError::NotComposite);
    let refused = unlocked
        .open_manifest(plain.len() as u64, 8192, &plain[8192..])
        .map(drop);
    assert_eq!(composite_error(refused.unwrap_err()), CompositeError::NotComposite);
    assert!(unlocked.load_manifest(&plain).unwrap().open(&plain).unwrap() == b"plain");
    let mut streamed = Vec::new();
    unlocked.pipe_at(&plain, &mut streamed).unwrap();
    assert_eq!(streamed, b"plain");
}

/// An error in the middle leaves no receipt.
#[test]
fn a_component_whose_sink_fails_has_no_receipt() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if bytes.len() > 100 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let component = object.component(&label(0)).unwrap();
    assert!(matches!(
        component.pipe(plaintext(C).as_slice(), Full),
        Err(Error::Io { .. })
    ));
    let mut writer = object.component(&label(0)).unwrap().writer(Full).unwrap();
    let _ = writer.write_all(&plaintext(40 * C));
    assert!(writer.finish().is_err());
}
