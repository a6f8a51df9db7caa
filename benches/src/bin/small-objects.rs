//! What a small object costs: 10,000 of 4 KiB in memory, headers detached, under one intermediate key.
//!
//! `small-objects [OBJECTS [BYTES]]` prints microseconds for one object, the best of five rounds: sealing and opening
//! under a key of the local ring, an intermediate key of it, and one of a key service, here the mock; what the last
//! costs in parts of the first, and in calls; and the parts of sealing.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use sealstone::{
    DataKey, Decryptor, EncryptionContext, Encryptor, ExpectedContext, Header, IntermediateKeys, KeyProvider, KeyRing,
};
use sealstone_aws_kms::AwsKms;
use sealstone_kms_mock::MockKms;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let len = arguments.next().map_or(Ok(4096), |text| text.parse())?;

    let ring = Arc::new(KeyRing::in_memory("local")?);
    let of_ring = Arc::new(IntermediateKeys::new(ring.clone(), ["bucket"])?);
    let mock = MockKms::builder().alias("alias/benches").start()?;
    let of_kms = Arc::new(IntermediateKeys::new(Arc::new(kms(&mock)?), ["bucket"])?);

    let local = objects("local key", ring, count, len)?;
    objects("intermediate key of it", of_ring.clone(), count, len)?;
    let remote = objects("intermediate key of a key service", of_kms.clone(), count, len)?;
    println!(
        "of a key service, in parts of the local key: seal {:.2}, open {:.2}; {:?}",
        remote[0] / local[0],
        remote[1] / local[1],
        of_kms.stats()
    );
    parts(&of_ring, count)
}

/// A client of the service, with credentials that the mock does not look at.
fn kms(mock: &MockKms) -> Result<AwsKms> {
    let key = format!("alias/benches@{}", mock.region()).parse()?;
    Ok(AwsKms::builder(key)
        .endpoint_url(mock.endpoint())
        .static_credentials("benches", "benches")
        .build()?)
}

/// Microseconds to seal and to open an object.
fn objects(name: &str, key: Arc<dyn KeyProvider>, count: usize, len: usize) -> Result<[f64; 2]> {
    let plaintext = vec![0x5A; len];
    let encryptor = Encryptor::new(key.clone());
    let mut sealed = Vec::new();
    let seal = best(count, |number| {
        let object = seal(&encryptor, number, &plaintext)?;
        if sealed.len() < count {
            sealed.push(object);
        }
        Ok(())
    })?;
    let decryptor = Decryptor::new(key);
    let mut opened = vec![0; len];
    let open = best(count, |number| {
        let (header, payload) = &sealed[number];
        open(&decryptor, number, header, payload, &mut opened)
    })?;
    println!("{name}: seal {seal:.2} us, open {open:.2} us for each of {count} objects of {len} bytes");
    Ok([seal, open])
}

fn context(number: usize) -> EncryptionContext {
    EncryptionContext::new()
        .with("bucket", "benches")
        .with("path", number.to_string())
}

fn seal(encryptor: &Encryptor, number: usize, plaintext: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let object = encryptor.clone().with_context(context(number)).begin()?;
    let header = object.header().to_detached()?;
    let mut payload = vec![0; plaintext.len() + 56 + 16 * (plaintext.len() / (16 * 1024) + 1)];
    let written = object.seal_payload_into(plaintext, &mut payload)?;
    payload.truncate(written);
    Ok((header, payload))
}

fn open(decryptor: &Decryptor, number: usize, header: &[u8], payload: &[u8], plaintext: &mut [u8]) -> Result<()> {
    let decryptor = decryptor
        .clone()
        .with_context(ExpectedContext::Exact(context(number)))
        .with_detached_header(Header::from_detached(header)?);
    if decryptor.open_into(payload, plaintext)? != plaintext.len() {
        return Err("an object is short".into());
    }
    Ok(())
}

/// What of it is due to the wrap, to the operating system's random generator, and to the context.
fn parts(keys: &IntermediateKeys, count: usize) -> Result<()> {
    let data_key = DataKey::random()?;
    let one = context(1);
    let random = best(count, |_| Ok(DataKey::random()?))?;
    let contexts = best(count, |number| Ok(context(number)))?;
    let wrap = best(count, |_| Ok(block_on(keys.wrap(&data_key, &one))?))?;
    println!("of it: random data key {random:.2} us, context {contexts:.2} us, wrap {wrap:.2} us");
    Ok(())
}

/// Drives a future that never waits.
fn block_on<T>(mut future: std::pin::Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
    }
}

/// Microseconds for one object in the best round.
fn best<T>(count: usize, mut work: impl FnMut(usize) -> Result<T>) -> Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for number in 0..count {
            black_box(work(number)?);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of objects")]
        let each = start.elapsed().as_secs_f64() * 1e6 / count as f64;
        best = best.min(each);
    }
    Ok(best)
}
