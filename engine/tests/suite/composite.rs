//! Composite objects: what FORMAT.md's section 12 demands, and what its attacks get.

mod copies;
mod hostile;
mod reading;
mod sealing;

use sealstone::composite::{CompositeObject, Padding, Receipt};
use sealstone::error::CompositeError;
use sealstone::{Encryptor, Error};

use crate::common::{C, encryptor, plaintext};

/// A stored object, header attached, and where its components begin in it.
struct Stored {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    plain: Vec<u8>,
}

impl Stored {
    /// Seals components of these lengths, and joins them.
    fn seal(lens: &[usize]) -> Self {
        Self::seal_with(&encryptor(), lens, b"a note")
    }

    fn seal_with(encryptor: &Encryptor, lens: &[usize], note: &[u8]) -> Self {
        let object = encryptor.begin_composite(Padding::None).unwrap();
        Self::join(&object, lens, note)
    }

    fn join(object: &CompositeObject, lens: &[usize], note: &[u8]) -> Self {
        let plain = plaintext(lens.iter().sum());
        let mut bytes = object.header().to_attached().unwrap();
        let (mut starts, mut receipts) = (Vec::new(), Vec::new());
        let mut rest = plain.as_slice();
        for (number, &len) in lens.iter().enumerate() {
            let (piece, after) = rest.split_at(len);
            rest = after;
            let sealed = object.component(&label(number)).unwrap().seal(piece).unwrap();
            starts.push(bytes.len());
            bytes.extend_from_slice(&sealed.bytes);
            receipts.push((label(number), sealed.receipt));
        }
        starts.push(bytes.len());
        bytes.extend_from_slice(&object.complete(&receipts, note).unwrap().bytes);
        Self { bytes, starts, plain }
    }
}

fn label(number: usize) -> Vec<u8> {
    format!("part {number}").into_bytes()
}

fn composite_error(error: Error) -> CompositeError {
    match error {
        Error::Composite(error) => error,
        other => panic!("{other}"),
    }
}

/// Components on both sides of every boundary of chunks, and empty ones at every place.
const LENS: [usize; 11] = [0, 1, C - 1, C, 0, 0, C + 1, 2 * C, 5, 17 * C + 3, 0];

/// Components that were sealed, each as its label, its bytes and its receipt.
type Sealed = Vec<(Vec<u8>, Vec<u8>, Receipt)>;

fn components(object: &CompositeObject, lens: &[usize]) -> Sealed {
    let sealed = lens.iter().enumerate().map(|(number, &len)| {
        let sealed = object.component(&label(number)).unwrap().seal(&plaintext(len)).unwrap();
        (label(number), sealed.bytes.to_vec(), sealed.receipt)
    });
    sealed.collect()
}
