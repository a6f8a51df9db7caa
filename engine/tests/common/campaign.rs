//! Campaigns: tests whose number of cases and random seed can be set from outside.
//!
//! `SEALSTONE_CASES` is the number of cases and `SEALSTONE_SEED` selects them. Without them a campaign is short and
//! always the same.

use std::sync::atomic::{AtomicUsize, Ordering};

/// SplitMix64, see <https://prng.di.unimi.it/splitmix64.c>. Used to choose cases.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of this campaign, for the configured seed.
    pub fn new(campaign: &str) -> Self {
        let seed = number("SEALSTONE_SEED").unwrap_or(0);
        let name = campaign.bytes().fold(0u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ name)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to `bound`, exclusive.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// The number of cases: `quick`, unless configured.
pub fn cases(quick: usize) -> usize {
    number("SEALSTONE_CASES").map_or(quick, |cases| usize::try_from(cases).unwrap())
}

/// Cases that something else generates. The last one prints the campaign's summary.
#[derive(Debug)]
pub struct Counted {
    name: &'static str,
    done: AtomicUsize,
}

impl Counted {
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            done: AtomicUsize::new(0),
        }
    }

    pub fn case_of(&self, cases: usize) {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == cases {
            println!("campaign: {} cases={cases}", self.name);
        }
    }
}

/// Whether the full form was requested.
pub fn full() -> bool {
    number("SEALSTONE_CASES").is_some()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}
