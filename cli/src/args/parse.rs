//! Parses the arguments, and reports those that cannot be parsed.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Args;
use crate::exit::Failure;
use crate::io::{Descriptor, parse_name};
use crate::keys::{self, KeySpec, SlotSpec};
use crate::text::one_line;

/// Parses the arguments; on an error, reports it and ends the process. The value of a key is not repeated: it may be the
/// secret itself.
pub(crate) fn parse() -> Args {
    Args::try_parse().unwrap_or_else(|mut error| {
        let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        let is_key = |name: String| {
            ["--key", "--to", "--add", "--remove"]
                .iter()
                .any(|key| name.starts_with(key))
        };
        if error.kind() == ErrorKind::ValueValidation && argument.is_some_and(is_key) {
            let value = error.get(ContextKind::InvalidValue).map(ToString::to_string);
            if let Some(tip) = value.and_then(|value| keys::suggestion(&value)) {
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
            }
            error.insert(ContextKind::InvalidValue, ContextValue::String("...".to_owned()));
        }
        refuse(&error)
    })
}

/// Prints the help or the version and ends the process. Failing to print is an error, which clap would ignore.
fn show(text: &clap::Error) -> ! {
    let shown = Descriptor::STDOUT.writing().and_then(|_| {
        let written = text.print().and_then(|()| io::stdout().flush());
        written.map_err(|error| Failure::io("writing to standard output", &error))
    });
    let code = shown.map_or_else(
        |failure| {
            if !failure.is_quiet() {
                let _ = writeln!(io::stderr(), "sealstone: {}", failure.message);
            }
            i32::from(failure.code as u8)
        },
        |()| text.exit_code(),
    );
    std::process::exit(code)
}

/// Prints clap's error and ends the process. The text repeats arguments, which may be file names that a shell expanded.
fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        show(error)
    }
    let plain = error.render().to_string();
    if plain.lines().all(|line| matches!(one_line(line), Cow::Borrowed(_))) {
        error.exit()
    }
    let mut stderr = io::stderr().lock();
    for line in plain.lines() {
        let _ = writeln!(stderr, "{}", one_line(line));
    }
    std::process::exit(error.exit_code())
}

/// Parses the name of an input or an output: a path, which need not be UTF-8, or a URL.
pub(super) fn name() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(parse_name)
}

/// Parses a key, whose path need not be UTF-8.
pub(super) fn key_spec() -> impl TypedValueParser<Value = KeySpec> {
    OsStringValueParser::new().try_map(|text| KeySpec::parse(&text))
}

/// Parses a slot, likewise.
pub(super) fn slot_spec() -> impl TypedValueParser<Value = SlotSpec> {
    OsStringValueParser::new().try_map(|text| SlotSpec::parse(&text))
}
