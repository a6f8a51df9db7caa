//! `sealstone inspect`: what a header says. No key is needed, and nothing of it is proved.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sealstone::ObjectHeader;
use sealstone::format::{CopyFault, PayloadKind, VERSION};
use serde::{Serialize, Serializer};

use crate::args::InspectArgs;
use crate::exit::Failure;
use crate::io::{self, Input, Object, Roles, check_header, check_object_length, read_detached};
use crate::keys::slot_name;
use crate::report::{InputName, Report, describe};
use crate::text::{self, one_line};

const COMMAND: &str = "inspect";
/// Keys that the first line names at most; all are further down.
const MOST_KEYS: usize = 4;

/// Shows the headers of the inputs; returns the exit code.
pub(crate) fn run(args: &InspectArgs, report: &Report) -> u8 {
    let checked = check_header(args.header.as_deref(), args.inputs.len());
    let checked = checked.and_then(|()| check_object_length(args.object_length, args.inputs.len()));
    let roles = Roles::new(&args.inputs, args.header.as_deref());
    if let Err(failure) = checked.and_then(|()| roles.check(true)) {
        return super::finish(report, COMMAND, Err(failure));
    }
    // A header can be shown without its payload.
    if let (Some(header), []) = (&args.header, args.inputs.as_slice()) {
        let alone = vec![header.clone()];
        return io::try_all(report, COMMAND, false, alone, PathBuf::as_path, |header| {
            show(
                &Facts::of(&header, &read_detached(&header)?, Payload::default()),
                report,
            )
        });
    }
    io::try_all(report, COMMAND, false, args.inputs.clone(), PathBuf::as_path, |input| {
        inspect(&input, args, report)
    })
}

fn inspect(input: &Path, args: &InspectArgs, report: &Report) -> Result<(), Failure> {
    let object = Object::read(Input::open(input)?, args.header.as_deref(), args.object_length)?;
    let payload = Payload::of(&object);
    show(&Facts::of(input, &object.header, payload), report)
}

/// What the object's length, which anybody may have changed, says of its payload.
#[derive(Debug, Default, Serialize)]
struct Payload {
    /// As the object's length claims it; `None` if that is not known, fits no object, or does not tell.
    claimed_plaintext_len: Option<u64>,
    /// Where in the input the final chunk begins, if so.
    claimed_final_chunk_offset: Option<u64>,
    /// Whether the input plainly ends with other bytes than the object, and its length says nothing.
    padded: bool,
}

impl Payload {
    fn of(object: &Object) -> Self {
        let padded = object.is_padded();
        let claimed_len = object.claimed_len().filter(|_| !padded);
        let layout = object.header.header().layout();
        let start = object.header.payload_start();
        // The components of a composite object have one each.
        let of_plain = claimed_len.filter(|_| !object.header.header().payload_kind().is_composite());
        let chunk = of_plain.and_then(|len| layout.chunk_at(len).ok());
        Self {
            claimed_plaintext_len: claimed_len,
            claimed_final_chunk_offset: chunk.map(|chunk| start + layout.sealed_offset(chunk)),
            padded,
        }
    }
}

fn show(facts: &Facts, report: &Report) -> Result<(), Failure> {
    if report.is_json() {
        return report.json(facts, false);
    }
    report.print(facts.to_text().as_bytes())
}

/// What a header says.
#[derive(Debug, Serialize)]
struct Facts {
    #[serde(flatten)]
    input: InputName,
    version: u8,
    suite: &'static str,
    chunk_size: usize,
    #[serde(serialize_with = "serialize_kind")]
    payload_kind: PayloadKind,
    #[serde(flatten)]
    payload: Payload,
    generation: u64,
    /// The first and the second; none if the header is stored apart.
    header_copies: Vec<String>,
    context: Vec<Pair>,
    slots: Vec<Slot>,
    /// Where the C2SP chunked encryption begins.
    payload_offset: u64,
    payload_context: String,
    salt: String,
    commitment: String,
}

/// One pair of the context.
#[derive(Debug, Serialize)]
struct Pair {
    key: String,
    /// `None` if it is to be supplied.
    value: Option<String>,
    supplied: bool,
}

/// One slot.
#[derive(Debug, Serialize)]
struct Slot {
    provider: String,
    key_id: String,
}

impl Facts {
    fn of(input: &Path, read: &ObjectHeader, payload: Payload) -> Self {
        let detached = read.payload_start() == 0;
        let header = read.header();
        let copies = read.faults().iter().filter(|_| !detached);
        let pairs = header.context().iter().map(|(key, value)| Pair {
            key: key.to_owned(),
            value: value.map(ToOwned::to_owned),
            supplied: value.is_none(),
        });
        let slots = header.slots().iter().map(|slot| Slot {
            provider: slot.provider.clone(),
            key_id: slot.key_id.clone(),
        });
        Self {
            input: InputName::of(input),
            version: VERSION,
            suite: header.suite().name(),
            chunk_size: header.chunk_size().bytes(),
            payload_kind: header.payload_kind(),
            payload,
            generation: header.generation(),
            header_copies: copies.map(|fault| copy_state(fault.as_ref())).collect(),
            context: pairs.collect(),
            slots: slots.collect(),
            payload_offset: read.payload_start(),
            payload_context: hex(&header.payload_context()),
            salt: hex(header.salt()),
            commitment: hex(header.commitment()),
        }
    }

    fn to_text(&self) -> String {
        let mut lines = vec![
            ("format version", self.version.to_string()),
            ("suite", self.suite.to_owned()),
            ("chunk size", text::size(self.chunk_size as u64).to_string()),
            ("payload kind", kind_name(self.payload_kind).to_owned()),
            ("generation", self.generation.to_string()),
        ];
        lines.extend(match self.header_copies.as_slice() {
            [first, second] => vec![
                ("first header copy", first.clone()),
                ("second header copy", second.clone()),
            ],
            _ => vec![("header", "stored apart".to_owned())],
        });
        lines.extend(self.context.iter().map(|pair| match &pair.value {
            Some(value) => ("context", format!("{}={value}", pair.key)),
            None => ("context", format!("{} (its value must be supplied)", pair.key)),
        }));
        let slots = self.slots.iter();
        lines.extend(slots.map(|slot| ("sealed for", format!("{}:{}", slot.provider, slot.key_id))));
        lines.push(("payload offset", self.payload_offset.to_string()));
        if !self.payload_kind.is_composite() {
            lines.push(("final chunk", self.final_chunk()));
        }
        lines.extend([
            ("payload context", self.payload_context.clone()),
            ("salt", self.salt.clone()),
            ("commitment", self.commitment.clone()),
        ]);
        let mut text = self.summary();
        for (name, value) in lines {
            text.push_str(&format!("  {name:<19}{}\n", one_line(&value)));
        }
        text
    }
}

impl Facts {
    /// Who can open it, how large it is, what it is bound to: a line for each.
    fn summary(&self) -> String {
        let mut keys: Vec<_> = self.slots.iter().map(Slot::for_people).collect();
        let more = keys.len().saturating_sub(MOST_KEYS);
        keys.truncate(MOST_KEYS);
        if more > 0 {
            keys.push(format!("{more} more"));
        }
        let pairs = self.context.iter().map(|pair| match &pair.value {
            Some(value) => format!("{}={value}", pair.key),
            None => format!("{} (its value must be supplied)", pair.key),
        });
        let pairs: Vec<_> = pairs.collect();
        let bound = if pairs.is_empty() {
            "nothing".to_owned()
        } else {
            pairs.join(", ")
        };
        format!(
            "{}: opens with {}\n  plaintext          {}\n  bound to           {}\n  verified           no: nothing here is \
             verified\n",
            one_line(&self.input.input),
            one_line(&keys.join(", ")),
            self.plaintext_len(),
            one_line(&bound)
        )
    }

    fn plaintext_len(&self) -> String {
        match self.payload.claimed_plaintext_len {
            Some(len) => format!("{} ({len} bytes), as the object's length claims", text::size(len)),
            None if self.payload.padded && self.payload_kind.is_composite() => {
                "unknown: padding follows the object, whose end cannot be searched for".to_owned()
            }
            None if self.payload.padded => {
                "unknown: padding follows the object, and `sealstone verify` finds its end".to_owned()
            }
            None if self.payload_kind == PayloadKind::Composite => {
                "unknown: its manifest is sealed, and `sealstone verify` opens it".to_owned()
            }
            None => "unknown: its length is not known, or is not that of an object".to_owned(),
        }
    }

    fn final_chunk(&self) -> String {
        self.payload.claimed_final_chunk_offset.map_or_else(
            || "unknown".to_owned(),
            |offset| format!("at offset {offset}, as the object's length claims"),
        )
    }
}

impl Slot {
    /// The key without what tells versions and recipes apart.
    fn for_people(&self) -> String {
        slot_name(&self.provider, &self.key_id)
    }
}

fn kind_name(kind: PayloadKind) -> &'static str {
    match kind {
        PayloadKind::Plain => "plain",
        PayloadKind::Composite => "composite",
        PayloadKind::PaddedComposite => "padded composite",
        _ => "unknown",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn serialize_kind<S: Serializer>(kind: &PayloadKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind_name(*kind))
}

fn copy_state(fault: Option<&CopyFault>) -> String {
    fault.map_or_else(
        || "whole".to_owned(),
        |fault| describe(fault).trim_start_matches("is ").to_owned(),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
