//! The field GF(2^128) as GCM writes its elements: the highest bit is the coefficient of x^0.
#![allow(dead_code)]

/// The element 1.
pub const ONE: u128 = 1 << 127;

pub fn multiply(left: u128, right: u128) -> u128 {
    const REDUCTION: u128 = 0xE1 << 120;
    let (mut product, mut power) = (0, right);
    for bit in (0..128).rev() {
        if left >> bit & 1 == 1 {
            product ^= power;
        }
        power = power >> 1 ^ if power & 1 == 1 { REDUCTION } else { 0 };
    }
    product
}

pub fn square(element: u128) -> u128 {
    multiply(element, element)
}

/// The inverse is the power 2^128 - 2: the product of the powers 2, 4, 8, ... 2^127.
pub fn invert(element: u128) -> u128 {
    assert_ne!(element, 0, "zero has no inverse");
    let mut inverse = ONE;
    let mut power = element;
    for _ in 1..128 {
        power = square(power);
        inverse = multiply(inverse, power);
    }
    assert_eq!(multiply(element, inverse), ONE);
    inverse
}

/// Solves as many linear equations as unknowns: each row has its factors and their sum.
pub fn solve<const N: usize>(mut rows: [([u128; N], u128); N]) -> [u128; N] {
    for column in 0..N {
        let pivot = (column..N).find(|&row| rows[row].0[column] != 0).expect("one solution");
        rows.swap(column, pivot);
        let inverse = invert(rows[column].0[column]);
        let scaled = (
            rows[column].0.map(|factor| multiply(factor, inverse)),
            multiply(rows[column].1, inverse),
        );
        for (row, (factors, sum)) in rows.iter_mut().enumerate() {
            let factor = factors[column];
            if row == column {
                (*factors, *sum) = scaled;
            } else {
                for (own, of_pivot) in factors.iter_mut().zip(scaled.0) {
                    *own ^= multiply(factor, of_pivot);
                }
                *sum ^= multiply(factor, scaled.1);
            }
        }
    }
    rows.map(|(_, sum)| sum)
}

/// GCM's hash of these blocks under the hash key `h`.
pub fn ghash(h: u128, blocks: impl IntoIterator<Item = u128>) -> u128 {
    blocks.into_iter().fold(0, |hash, block| multiply(hash ^ block, h))
}
