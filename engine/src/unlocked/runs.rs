//! The runs of chunks that hold a range of the plaintext: one in a plain payload, one for each component of a composite
//! one.
//!
//! ```text
//! plaintext    | component 0   | 1 |   component 2   |
//! range               [==================)
//! runs                [========|===|=====)              each under its own key, each seam with its final chunk
//! ```

use std::ops::Range;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::Unlocked;
use crate::chunker::{Span, Spans};
use crate::composite::Manifest;
use crate::error::{CompositeError, Error, Result};
use crate::layout::{Layout, PREFIX_LEN};
use crate::opener::Opener;

/// Consecutive chunks under one key.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The number of the component, in a composite object.
    component: Option<usize>,
    /// Where the payload or component begins in the object, in bytes.
    start: u64,
    /// Where its plaintext begins in the object's, in bytes.
    plain_start: u64,
    /// Its plaintext's length, in bytes.
    plaintext_len: u64,
    /// The part of its plaintext to read.
    range: Range<u64>,
    /// Whether its first 56 bytes are read and compared.
    with_prefix: bool,
}

impl Run {
    /// The part to read of the plaintext of its payload or component.
    pub(crate) const fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// Where its plaintext begins in the object's, in bytes.
    pub(crate) const fn plain_start(&self) -> u64 {
        self.plain_start
    }

    /// Its chunks, in bytes of the object.
    pub(crate) fn ciphertext(&self, layout: Layout) -> Result<Range<u64>> {
        let range = layout.ciphertext_range(self.range.clone(), self.plaintext_len)?;
        Ok(self.start + range.start..self.start + range.end)
    }

    /// Where reading begins in the object, in bytes.
    pub(crate) fn read_from(&self, layout: Layout) -> Result<u64> {
        if self.with_prefix {
            return Ok(self.start);
        }
        Ok(self.ciphertext(layout)?.start)
    }

    /// Plaintext bytes of its chunks.
    pub(crate) fn chunks_len(&self, layout: Layout) -> Result<u64> {
        Ok(self.spans(layout)?.map(|span| span.plain_len as u64).sum())
    }

    fn spans(&self, layout: Layout) -> Result<Spans> {
        Spans::covering(layout, self.plaintext_len, self.range.clone())
    }
}

/// The runs of a range, in order.
#[derive(Debug, Clone)]
pub(crate) struct Runs {
    range: Range<u64>,
    /// Where the payload begins in the object, in bytes.
    payload_start: u64,
    rest: Rest,
}

#[derive(Debug, Clone)]
enum Rest {
    Plain(Option<u64>),
    Composite {
        manifest: Arc<Manifest>,
        next: usize,
        whole: bool,
    },
}

impl Iterator for Runs {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        match &mut self.rest {
            Rest::Plain(plaintext_len) => plaintext_len.take().map(|plaintext_len| Run {
                component: None,
                start: self.payload_start,
                plain_start: 0,
                plaintext_len,
                range: self.range.clone(),
                with_prefix: false,
            }),
            Rest::Composite { manifest, next, whole } => {
                let component = manifest.components().get(*next)?;
                // A range that reaches the end of the plaintext also passes the empty components there.
                if component.plain_start >= self.range.end && self.range.end < manifest.plaintext_len() {
                    return None;
                }
                let number = *next;
                *next += 1;
                let inside =
                    |offset: u64| offset.clamp(component.plain_start, component.plain_end()) - component.plain_start;
                Some(Run {
                    component: Some(number),
                    start: self.payload_start + component.sealed_start,
                    plain_start: component.plain_start,
                    plaintext_len: component.plaintext_len,
                    range: inside(self.range.start)..inside(self.range.end),
                    with_prefix: *whole,
                })
            }
        }
    }
}

/// A run of chunks that is read and opened at once, with the first bytes of its component if they are compared.
pub(crate) struct Piece {
    pub(crate) opener: Arc<Opener>,
    pub(crate) span: Span,
    /// Where its plaintext begins in the object's, in bytes.
    pub(crate) plain_offset: u64,
    prefix: Option<ComponentPrefix>,
}

/// The first 56 bytes of a component, as they follow from the manifest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComponentPrefix {
    pub(crate) bytes: [u8; PREFIX_LEN],
    component: usize,
    offset: u64,
}

impl ComponentPrefix {
    /// # Errors
    /// [`CompositeError::ComponentExchanged`].
    pub(crate) fn check(&self, found: &[u8]) -> Result<()> {
        if bool::from(found.ct_eq(&self.bytes)) {
            return Ok(());
        }
        Err(Error::Composite(CompositeError::ComponentExchanged {
            component: self.component,
            offset: self.offset,
        }))
    }
}

impl Piece {
    /// Where the sealed bytes begin in the object.
    pub(crate) fn offset(&self) -> u64 {
        self.opener.payload_start() + self.span.sealed_offset
    }

    /// The length of the component prefix that is read before the chunks, in bytes; 0 if it is not compared.
    pub(crate) const fn lead(&self) -> usize {
        if self.prefix.is_some() { PREFIX_LEN } else { 0 }
    }

    /// Opens `read`, which has [`Piece::lead`] bytes and the chunks, into `plain`.
    ///
    /// # Errors
    /// [`CompositeError::ComponentExchanged`]; as [`Opener::open`].
    pub(crate) fn open(&self, read: &[u8], plain: &mut [u8]) -> Result<()> {
        let (lead, sealed) = read.split_at(self.lead());
        if let Some(prefix) = &self.prefix {
            prefix.check(lead)?;
        }
        self.opener.open(self.span.first, sealed, self.span.ends, plain)
    }
}

/// The pieces of a range, in order. Their keys are derived run by run.
#[derive(Debug)]
pub(crate) struct Pieces<'u> {
    unlocked: &'u Unlocked,
    runs: Runs,
    current: Option<CurrentRun>,
}

#[derive(Debug)]
struct CurrentRun {
    opener: Arc<Opener>,
    plain_start: u64,
    prefix: Option<ComponentPrefix>,
    spans: Spans,
}

impl Pieces<'_> {
    fn begin(&mut self, run: &Run) -> Result<()> {
        let (opener, prefix) = self.unlocked.run_opener(run);
        self.current = Some(CurrentRun {
            spans: run.spans(opener.layout())?,
            opener,
            plain_start: run.plain_start,
            prefix,
        });
        Ok(())
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(span) = current.spans.next()
            {
                return Some(Ok(Piece {
                    opener: current.opener.clone(),
                    span,
                    plain_offset: current.plain_start + span.plain_offset,
                    prefix: current.prefix.take(),
                }));
            }
            let run = self.runs.next()?;
            if let Err(error) = self.begin(&run) {
                return Some(Err(error));
            }
        }
    }
}

impl Unlocked {
    /// The runs to open for `range` of a plaintext of `plaintext_len` bytes. A range that reaches or passes the end of
    /// a component includes its final chunk, even an empty one: otherwise a truncated component would pass for a
    /// shorter one.
    ///
    /// # Errors
    /// [`Error::RangeOutOfBounds`] if the range is reversed or reaches past the end;
    /// [`CompositeError::ManifestNotLoaded`].
    pub(crate) fn runs(&self, range: Range<u64>, plaintext_len: u64) -> Result<Runs> {
        if range.start > range.end || range.end > plaintext_len {
            return Err(Error::RangeOutOfBounds {
                start: range.start,
                end: range.end,
                len: plaintext_len,
            });
        }
        let rest = if self.is_composite() {
            let manifest = self.manifest_arc()?;
            let next = if range.is_empty() {
                // The manifest has verified the end, so an empty range needs no chunk.
                manifest.component_count()
            } else {
                manifest.component_at(range.start)
            };
            Rest::Composite {
                manifest,
                next,
                whole: false,
            }
        } else {
            Rest::Plain(Some(plaintext_len))
        };
        Ok(Runs {
            range,
            payload_start: self.opener().payload_start(),
            rest,
        })
    }

    /// The runs of the whole object, including empty components. Each component's first 56 bytes are compared.
    ///
    /// # Errors
    /// [`CompositeError::ManifestNotLoaded`].
    pub(crate) fn all_runs(&self, plaintext_len: u64) -> Result<Runs> {
        let mut runs = self.runs(0..plaintext_len, plaintext_len)?;
        if let Rest::Composite { next, whole, .. } = &mut runs.rest {
            (*next, *whole) = (0, true);
        }
        Ok(runs)
    }

    pub(crate) const fn pieces(&self, runs: Runs) -> Pieces<'_> {
        Pieces {
            unlocked: self,
            runs,
            current: None,
        }
    }

    /// The opener of a run, and what its component has to begin with, if that is compared.
    pub(crate) fn run_opener(&self, run: &Run) -> (Arc<Opener>, Option<ComponentPrefix>) {
        let Some(component) = run.component else {
            return (self.opener().clone(), None);
        };
        let opener = self.component_opener(component);
        let (opener, bytes) = opener.expect("runs of components are those of the manifest that this has");
        let prefix = ComponentPrefix {
            bytes,
            component,
            offset: run.start,
        };
        (Arc::new(opener), run.with_prefix.then_some(prefix))
    }
}
