//! The manifest: which sealings make up an object, in which order. Every offset and length follows from it.
//!
//! ```text
//! payload   component 0 | ... | component n - 1 | padding | sealed manifest | its length[4]
//! manifest  n[4] | { salt[24] | plaintext length[8] } * n | note[0 ..= 256]
//! ```

use std::ops::Range;

use crate::error::{CompositeError, Error, Result};
use crate::header::{Core, PayloadKind};
use crate::layout::{Layout, MAX_PLAINTEXT_LEN, PREFIX_LEN, SALT_LEN, TAG_LEN};

use super::padding::{MIN_PADDED_COMPONENT_LEN, padded_len};

/// The largest number of components.
pub const MAX_COMPONENTS: usize = 1 << 16;
/// Bytes of the longest note.
pub const MAX_NOTE_LEN: usize = 256;

const COUNT_LEN: usize = 4;
const ENTRY_LEN: usize = SALT_LEN + 8;
/// Bytes of the manifest's length at the payload's end.
pub(super) const LENGTH_LEN: usize = 4;
/// Bytes of the shortest component: no plaintext.
const MIN_COMPONENT_LEN: u64 = (PREFIX_LEN + TAG_LEN) as u64;

/// The components of a composite object, as its verified manifest names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    core: Core,
    components: Vec<Component>,
    note: Vec<u8>,
    plaintext_len: u64,
    components_len: u64,
    payload_len: u64,
}

/// One component's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) salt: [u8; SALT_LEN],
    /// Where its plaintext begins in the object's, in bytes.
    pub(crate) plain_start: u64,
    pub(crate) plaintext_len: u64,
    /// Where it begins in the payload, in bytes.
    pub(crate) sealed_start: u64,
}

impl Component {
    pub(crate) const fn plain_end(&self) -> u64 {
        self.plain_start + self.plaintext_len
    }
}

impl Manifest {
    /// The manifest of these sealings, each a salt and a plaintext's length in bytes.
    ///
    /// # Errors
    /// [`CompositeError::ComponentCount`], [`CompositeError::Duplicate`], [`CompositeError::NoteTooLong`],
    /// [`CompositeError::ComponentTooShort`], [`CompositeError::NoRoomForManifest`], [`Error::ObjectTooLarge`].
    pub(super) fn new(core: Core, sealings: &[([u8; SALT_LEN], u64)], note: &[u8]) -> Result<Self> {
        check_counts(sealings.len(), note.len())?;
        check_distinct(sealings)?;
        if core.kind == PayloadKind::PaddedComposite {
            check_lengths(sealings)?;
        }
        let layout = Layout::new(core.chunk_size);
        let mut components = Vec::with_capacity(sealings.len());
        let (mut plain_start, mut sealed_start) = (0_u64, 0);
        for &(salt, plaintext_len) in sealings {
            components.push(Component {
                salt,
                plain_start,
                plaintext_len,
                sealed_start,
            });
            // Neither sum can overflow: each length is checked first, and there are at most 2^16.
            sealed_start += layout.payload_len(plaintext_len)?;
            plain_start += plaintext_len;
            if plain_start > MAX_PLAINTEXT_LEN {
                return Err(Error::ObjectTooLarge);
            }
        }
        let sealed_len = layout.payload_len(plain_len(components.len(), note.len()))?;
        Ok(Self {
            core,
            note: note.to_vec(),
            plaintext_len: plain_start,
            components_len: sealed_start,
            payload_len: payload_len(core, plain_start, sealed_start + sealed_len + LENGTH_LEN as u64)?,
            components,
        })
    }

    /// Parses a manifest's verified plaintext.
    ///
    /// # Errors
    /// [`CompositeError::InvalidManifest`].
    pub(super) fn parse(core: Core, bytes: &[u8]) -> Result<Self> {
        let short = || invalid("it ends early", None);
        let (count, rest) = bytes.split_first_chunk::<COUNT_LEN>().ok_or_else(short)?;
        let count = usize::try_from(u32::from_be_bytes(*count)).unwrap_or(usize::MAX);
        // Before anything is multiplied or allocated.
        check_counts(count, 0).map_err(as_invalid)?;
        let (entries, note) = rest.split_at_checked(count * ENTRY_LEN).ok_or_else(short)?;
        let sealings = entries.chunks_exact(ENTRY_LEN).map(|entry| {
            let (salt, len) = entry.split_first_chunk().expect("an entry begins with a salt");
            let len = len.first_chunk().expect("an entry ends with a length");
            (*salt, u64::from_be_bytes(*len))
        });
        Self::new(core, &Vec::from_iter(sealings), note).map_err(as_invalid)
    }

    /// The plaintext that is sealed as the manifest.
    pub(super) fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.components.len()).expect("at most 2^16 components");
        let mut bytes = Vec::with_capacity(COUNT_LEN + self.components.len() * ENTRY_LEN + self.note.len());
        bytes.extend_from_slice(&count.to_be_bytes());
        for component in &self.components {
            bytes.extend_from_slice(&component.salt);
            bytes.extend_from_slice(&component.plaintext_len.to_be_bytes());
        }
        bytes.extend_from_slice(&self.note);
        bytes
    }

    /// The plaintext's length, in bytes.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The payload's length, in bytes: the only one that is valid.
    #[must_use]
    pub const fn payload_len(&self) -> u64 {
        self.payload_len
    }

    /// The note that was given at completion, at most 256 bytes. Verified.
    #[must_use]
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// The number of components.
    #[must_use]
    pub fn component_count(&self) -> usize {
        self.components.len()
    }

    /// Each component's range in the object's plaintext, in order.
    pub fn plaintext_ranges(&self) -> impl ExactSizeIterator<Item = Range<u64>> {
        let components = self.components.iter();
        components.map(|component| component.plain_start..component.plain_end())
    }

    pub(crate) fn components(&self) -> &[Component] {
        &self.components
    }

    /// Where the padding is in the payload, in bytes; empty if there is none. Its bytes are zero: whoever reads a whole
    /// object in ranges checks that.
    #[must_use]
    pub fn padding(&self) -> Range<u64> {
        self.components_len..self.sealed_range().start
    }

    /// Where the sealed manifest is in the payload, in bytes.
    pub(crate) fn sealed_range(&self) -> Range<u64> {
        let end = self.payload_len - LENGTH_LEN as u64;
        let plain_len = plain_len(self.components.len(), self.note.len());
        let layout = Layout::new(self.core.chunk_size);
        let sealed_len = layout
            .payload_len(plain_len)
            .expect("checked when the manifest was made");
        end - sealed_len..end
    }

    /// The first component that has plaintext after `offset`; the number of components if none has.
    pub(crate) fn component_at(&self, offset: u64) -> usize {
        self.components
            .partition_point(|component| component.plain_end() <= offset)
    }
}

/// The greatest length of a sealed manifest in a payload of `payload_len` bytes, in bytes; `None` if the payload is too
/// short for a composite one.
pub(super) fn sealed_len_limits(layout: Layout, payload_len: u64) -> Option<Range<u64>> {
    let sealed = |plain| layout.payload_len(plain).expect("a manifest is small");
    let room = payload_len.checked_sub(MIN_COMPONENT_LEN + LENGTH_LEN as u64)?;
    let (least, most) = (sealed(plain_len(1, 0)), sealed(plain_len(MAX_COMPONENTS, MAX_NOTE_LEN)));
    (least <= room).then_some(least..room.min(most))
}

const fn plain_len(components: usize, note_len: usize) -> u64 {
    (COUNT_LEN + components * ENTRY_LEN + note_len) as u64
}

/// The length of the whole payload, of which components, manifest and its length take `need` bytes.
fn payload_len(core: Core, plaintext_len: u64, need: u64) -> Result<u64> {
    if core.kind != PayloadKind::PaddedComposite {
        return Ok(need);
    }
    let limit = padded_len(core.chunk_size, plaintext_len)?;
    if need > limit {
        return Err(CompositeError::NoRoomForManifest { need, limit }.into());
    }
    Ok(limit)
}

fn check_counts(count: usize, note_len: usize) -> Result<()> {
    if !(1..=MAX_COMPONENTS).contains(&count) {
        return Err(CompositeError::ComponentCount { count }.into());
    }
    if note_len > MAX_NOTE_LEN {
        return Err(CompositeError::NoteTooLong { len: note_len }.into());
    }
    Ok(())
}

/// No completion names one sealing twice.
fn check_distinct(sealings: &[([u8; SALT_LEN], u64)]) -> Result<()> {
    let mut salts = Vec::from_iter(sealings.iter().map(|(salt, _)| salt).zip(0..));
    salts.sort_unstable();
    let repeated = salts.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    match repeated.map(|pair| pair[1].1).min() {
        Some(component) => Err(CompositeError::Duplicate { component }.into()),
        None => Ok(()),
    }
}

/// Shorter components would take more room than [`padded_len`] has for them.
fn check_lengths(sealings: &[([u8; SALT_LEN], u64)]) -> Result<()> {
    let before_last = sealings.iter().take(sealings.len().saturating_sub(1));
    for (component, &(_, len)) in before_last.enumerate() {
        if len < MIN_PADDED_COMPONENT_LEN {
            return Err(CompositeError::ComponentTooShort { component, len }.into());
        }
    }
    Ok(())
}

fn invalid(reason: &'static str, component: Option<usize>) -> Error {
    CompositeError::InvalidManifest { reason, component }.into()
}

/// Turns the error of a completion into that of a stored manifest.
fn as_invalid(error: Error) -> Error {
    match error {
        Error::Composite(CompositeError::ComponentCount { .. }) => {
            invalid("its number of components is not 1 to 65,536", None)
        }
        Error::Composite(CompositeError::NoteTooLong { .. }) => invalid("more than 256 bytes follow its entries", None),
        Error::Composite(CompositeError::Duplicate { component }) => {
            invalid("a sealing is named twice", Some(component))
        }
        Error::Composite(CompositeError::ComponentTooShort { component, .. }) => {
            invalid("a component before the last has less than 5 MiB", Some(component))
        }
        Error::Composite(CompositeError::NoRoomForManifest { .. }) => {
            invalid("components and manifest take more room than padding leaves", None)
        }
        Error::ObjectTooLarge => invalid("its components are too large", None),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::ChunkSize;
    use crate::suite::Suite;
    use proptest::prelude::*;

    fn core(kind: PayloadKind) -> Core {
        Core {
            suite: Suite::default(),
            chunk_size: ChunkSize::KiB16,
            kind,
        }
    }

    fn sealings(lens: &[u64]) -> Vec<([u8; SALT_LEN], u64)> {
        let salt = |number: usize| {
            let mut salt = [0; SALT_LEN];
            salt[..8].copy_from_slice(&(number as u64).to_be_bytes());
            salt
        };
        lens.iter()
            .enumerate()
            .map(|(number, &len)| (salt(number), len))
            .collect()
    }

    #[test]
    fn limits_of_components_note_and_sums() {
        let core = core(PayloadKind::Composite);
        let new = |lens: &[u64], note: usize| Manifest::new(core, &sealings(lens), &vec![0; note]);
        assert!(new(&[0], 256).is_ok());
        assert!(new(&vec![1; MAX_COMPONENTS], 256).is_ok());
        for (lens, note) in [
            (vec![], 0),
            (vec![0; MAX_COMPONENTS + 1], 0),
            (vec![0], 257),
            (vec![MAX_PLAINTEXT_LEN, 1], 0),
            (vec![u64::MAX], 0),
            (vec![MAX_PLAINTEXT_LEN; MAX_COMPONENTS], 0),
        ] {
            assert!(new(&lens, note).is_err(), "{} components, {note}", lens.len());
        }
    }

    /// In a padded object everything has its place: the most components of the least size, and the longest note.
    #[test]
    fn a_padded_payload_has_room_for_ten_thousand_components() {
        let core = core(PayloadKind::PaddedComposite);
        let least = MIN_PADDED_COMPONENT_LEN;
        for count in [1, 2, 100, 9_999, 10_000] {
            let mut lens = vec![least; count];
            for last in [0, 1, least, 3 * least] {
                lens[count - 1] = last;
                let manifest = Manifest::new(core, &sealings(&lens), &[7; MAX_NOTE_LEN]).unwrap();
                let plaintext_len = lens.iter().sum();
                assert_eq!(
                    manifest.payload_len(),
                    padded_len(core.chunk_size, plaintext_len).unwrap()
                );
                assert!(manifest.padding().start <= manifest.padding().end);
            }
        }
        let short = Manifest::new(core, &sealings(&[least - 1, 5]), &[]);
        assert!(matches!(
            short,
            Err(Error::Composite(CompositeError::ComponentTooShort { component: 0, .. }))
        ));
    }

    #[test]
    fn offsets_lead_to_the_first_component_that_ends_after_them() {
        let manifest = Manifest::new(core(PayloadKind::Composite), &sealings(&[0, 3, 0, 0, 2, 0]), &[]).unwrap();
        let found = [0, 2, 3, 4, 5, 6].map(|offset| manifest.component_at(offset));
        assert_eq!(found, [1, 1, 4, 4, 6, 6]);
    }

    proptest! {
        /// What parses is what encoding writes, and nothing else.
        #[test]
        fn parsing_is_canonical(lens in prop::collection::vec(0..1_u64 << 40, 1..20), note in prop::collection::vec(any::<u8>(), 0..=256)) {
            let core = core(PayloadKind::Composite);
            let manifest = Manifest::new(core, &sealings(&lens), &note).unwrap();
            let bytes = manifest.encode();
            prop_assert_eq!(&Manifest::parse(core, &bytes).unwrap(), &manifest);
            prop_assert_eq!(Manifest::parse(core, &bytes[..bytes.len() - note.len() - 1]).is_err(), true);
        }

        #[test]
        fn arbitrary_manifests_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), count in 0_u32..14) {
            let mut bytes = bytes;
            if let Some(head) = bytes.first_chunk_mut::<4>() {
                *head = count.to_be_bytes();
            }
            if let Ok(manifest) = Manifest::parse(core(PayloadKind::Composite), &bytes) {
                prop_assert_eq!(manifest.encode(), bytes);
            }
        }
    }
}
