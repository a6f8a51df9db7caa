//! How long the parts of an upload are.

const MIB: u64 = 1024 * 1024;
/// The shortest part. Stores want at least 5 MiB of all but the last.
const SHORTEST: u64 = 8 * MIB;
/// The longest part that stores take, in bytes.
const LONGEST: u64 = 5 * 1024 * MIB;
/// How many parts an upload may have.
const MOST: u64 = 10_000;
/// Of an unknown length, after how many parts they are twice as long.
const DOUBLED_AFTER: u64 = 1000;
/// How many bytes are in flight at most, if that is more than one part.
const IN_FLIGHT: u64 = 4 * SHORTEST;

/// The lengths of the parts, in order.
#[derive(Debug)]
pub(super) struct PartLengths {
    /// The length of each, if the length of the object is known.
    equal: Option<u64>,
    sent: u64,
}

impl PartLengths {
    /// Of an object of `len` bytes, if that is known.
    pub(super) fn new(len: Option<u64>) -> Self {
        let equal = len.map(|len| len.div_ceil(MOST).next_multiple_of(MIB).clamp(SHORTEST, LONGEST));
        Self { equal, sent: 0 }
    }

    /// The length of the part that is next, in bytes.
    pub(super) fn current(&self) -> usize {
        let doubled = || SHORTEST << (self.sent / DOUBLED_AFTER).min(9);
        usize::try_from(self.equal.unwrap_or_else(doubled)).unwrap_or(usize::MAX)
    }

    /// Goes on to the next part.
    pub(super) fn advance(&mut self) {
        self.sent += 1;
    }

    /// How many parts of `len` bytes may be in flight.
    #[expect(clippy::unused_self, reason = "one place decides about parts")]
    pub(super) fn in_flight(&self, len: usize) -> usize {
        usize::try_from(IN_FLIGHT / (len as u64).max(1)).map_or(1, |count| count.clamp(1, 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIB: u64 = 1024 * 1024 * MIB;

    fn total(lengths: &mut PartLengths, count: u64) -> u64 {
        let mut total = 0;
        for _ in 0..count {
            total += lengths.current() as u64;
            lengths.advance();
        }
        total
    }

    #[test]
    fn ten_thousand_parts_are_enough_for_every_known_length() {
        for (len, part) in [
            (0, 8 * MIB),
            (80_000 * MIB, 8 * MIB),
            (80_000 * MIB + 1, 9 * MIB),
            (5 * TIB, 525 * MIB),
            // Claimed by a hostile object: more than stores take, and no larger buffer.
            (u64::MAX, LONGEST),
        ] {
            let mut lengths = PartLengths::new(Some(len));
            assert_eq!(lengths.current() as u64, part, "{len}");
            if len <= 5 * TIB {
                assert!(total(&mut lengths, MOST) >= len, "{len}");
            }
        }
    }

    #[test]
    fn ten_thousand_parts_are_enough_for_an_unknown_length() {
        let mut lengths = PartLengths::new(None);
        assert_eq!(total(&mut lengths, DOUBLED_AFTER), DOUBLED_AFTER * SHORTEST);
        assert_eq!(lengths.current() as u64, 2 * SHORTEST);
        assert!(total(&mut lengths, MOST - DOUBLED_AFTER) >= 5 * TIB);
        assert!(lengths.current() as u64 <= LONGEST);
    }

    #[test]
    fn larger_parts_take_no_more_memory_than_they_must() {
        let lengths = PartLengths::new(None);
        let in_flight = |len: u64| lengths.in_flight(usize::try_from(len).unwrap());
        assert_eq!(in_flight(8 * MIB), 4);
        assert_eq!(in_flight(16 * MIB), 2);
        assert_eq!(in_flight(512 * MIB), 1);
        assert_eq!(in_flight(1), 4);
    }
}
