//! The arguments, as clap reads them. The doc comments here are the help texts.

mod examples;
mod values;

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand, ValueEnum, ValueHint};

use sealstone::KeyRing;

pub use self::values::{ByteRange, Pair, S3Object};
pub(crate) use self::values::{Chunk, Cipher};

use crate::complete;
use crate::exit::Failure;
use crate::io::Descriptor;
use crate::key_spec::{KeySpec, SlotSpec};
use crate::providers::named_ring;
use crate::text::one_line;

/// Encrypts and decrypts large files: parallel, authenticated, in an open format.
#[derive(Debug, Parser)]
#[command(
    name = "sealstone",
    version,
    about,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = examples::SEALSTONE
)]
pub(crate) struct Args {
    /// What all commands take.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Reads the arguments, or ends the process with what is wrong with them. What was given for a key is not repeated:
/// it may be the secret itself.
pub(crate) fn parse() -> Args {
    Args::try_parse().unwrap_or_else(|mut error| {
        let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        let is_key = |name: String| {
            ["--key", "--to", "--add", "--remove"]
                .iter()
                .any(|key| name.starts_with(key))
        };
        if error.kind() == ErrorKind::ValueValidation && argument.is_some_and(is_key) {
            if let Some(tip) = suggested_key(&error) {
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
            }
            error.insert(ContextKind::InvalidValue, ContextValue::String("...".to_owned()));
        }
        refuse(&error)
    })
}

/// Ends the process with the help or the version, or with why it cannot be shown: clap itself would call that a success.
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

/// What was meant, if a key of the ring has this name. It may be a secret otherwise, and is not repeated.
fn suggested_key(error: &clap::Error) -> Option<String> {
    let name = error.get(ContextKind::InvalidValue)?.to_string();
    let ring = KeyRing::open(&named_ring(std::env::args_os())?).ok()?;
    let is_there = ring.entries().any(|entry| entry.name == name);
    is_there.then(|| format!("a key of the key ring is named so: local:{name}"))
}

/// Ends the process with clap's text. It repeats arguments, and those may be names of files that a shell put there.
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

/// Takes a key, whose path need not be UTF-8.
fn key_spec() -> impl TypedValueParser<Value = KeySpec> {
    OsStringValueParser::new().try_map(|text| KeySpec::parse(&text))
}

/// Takes a slot, likewise.
fn slot_spec() -> impl TypedValueParser<Value = SlotSpec> {
    OsStringValueParser::new().try_map(|text| SlotSpec::parse(&text))
}

/// What all commands take.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The key ring file [default: $SEALSTONE_KEYRING, or one in the user's configuration directory]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Keys", value_hint = ValueHint::FilePath)]
    pub(crate) keyring: Option<PathBuf>,
    /// Take passphrases from the first line that this program writes, in the place of the terminal; it is split into words
    /// as in a shell, and run without one [default: $SEALSTONE_PASSPHRASE_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND", help_heading = "Keys")]
    pub(crate) passphrase_command: Option<String>,
    /// Where AWS KMS answers [default: as for all AWS tools: $AWS_ENDPOINT_URL_KMS, profiles, the region's own]
    #[cfg(feature = "aws-kms")]
    #[arg(long, global = true, value_name = "URL", help_heading = "Keys")]
    pub(crate) kms_endpoint: Option<String>,
    /// Allow AWS KMS at an http:// URL of another machine: whoever is on the way reads the keys
    #[cfg(feature = "aws-kms")]
    #[arg(long, global = true)]
    pub(crate) kms_insecure_endpoint: bool,
    /// Print no result line
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Messages")]
    pub(crate) quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true, help_heading = "Messages")]
    pub(crate) verbose: bool,
    /// Print results as JSON: on standard output, or on standard error if that carries data
    #[arg(long, global = true, help_heading = "Messages")]
    pub(crate) json: bool,
    /// When to show progress on standard error
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = When::Auto, help_heading = "Messages")]
    pub(crate) progress: When,
}

/// When to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// If standard error is a terminal
    Auto,
    /// Always; as lines where there is no terminal
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encrypt files, or standard input
    Encrypt(EncryptArgs),
    /// Decrypt objects
    Decrypt(DecryptArgs),
    /// Write objects' plaintext, one after another, or a range of one
    Cat(CatArgs),
    /// Show what an object's header says; needs no key and proves nothing
    Inspect(InspectArgs),
    /// Check that objects are whole and unaltered; writes nothing
    Verify(VerifyArgs),
    /// Change who may decrypt objects, and their context, in place: the data stays as it is
    Rewrap(RewrapArgs),
    /// Encrypt an object anew, under a new data key: for when somebody who may have seen the old one must not read on
    Rekey(RekeyArgs),
    /// Manage the keys of the key ring
    Keys(KeysArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages into a directory
    Man(ManArgs),
}

/// What `encrypt` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::ENCRYPT)]
pub(crate) struct EncryptArgs {
    /// Files to encrypt; - is standard input
    #[arg(required = true, value_name = "IN", value_hint = ValueHint::FilePath)]
    pub(crate) inputs: Vec<PathBuf>,
    /// What is written, and how.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Who may decrypt: local:NAME, raw:file:PATH, passphrase, passphrase:file:PATH, passphrase:fd:N or
    /// aws-kms:KEY[@REGION], where KEY is an ARN, an id or alias/NAME; repeatable
    /// [default: local:default]
    #[arg(short, long = "key", value_name = "KEY", value_parser = key_spec(), add = complete::key(), help_heading = "Keys")]
    pub(crate) keys: Vec<KeySpec>,
    /// Bind the object to this pair, which its header shows; repeatable
    #[arg(long = "context", value_name = "KEY=VALUE", help_heading = "Context")]
    pub(crate) context: Vec<Pair>,
    /// Bind the object to this pair, whose value must be given again to decrypt; repeatable
    #[arg(long = "context-supplied", value_name = "KEY=VALUE", help_heading = "Context")]
    pub(crate) context_supplied: Vec<Pair>,
    /// Bind the object to its place in S3 as SSE-KMS does: --context-supplied aws:s3:arn=arn:aws:s3:::BUCKET/KEY
    #[arg(long, value_name = "s3://BUCKET/KEY", help_heading = "Context")]
    pub(crate) s3_object: Option<S3Object>,
    /// Bytes of plaintext in a chunk
    #[arg(long, value_enum, value_name = "SIZE", default_value_t = Chunk::K16, help_heading = "Sealing")]
    pub(crate) chunk_size: Chunk,
    /// The cipher
    #[arg(long, value_enum, default_value_t = Cipher::Aes256Gcm, help_heading = "Sealing")]
    pub(crate) suite: Cipher,
    /// Decrypt everything again, before it is written, and compare
    #[arg(long, help_heading = "Sealing")]
    pub(crate) verify_writes: bool,
    /// Write the header to this file, which must not exist, and the payload alone to the output
    #[arg(long, value_name = "FILE", help_heading = "Output", value_hint = ValueHint::FilePath)]
    pub(crate) header: Option<PathBuf>,
    /// Do not copy owner, group, mode and modification time of inputs to outputs
    #[arg(long)]
    pub(crate) no_preserve: bool,
    /// Threads that encrypt; 0 is one for each core
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Sealing")]
    pub(crate) threads: usize,
}

/// What is written, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// The output; - is standard output, and a directory takes the outputs of several inputs
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Replace outputs that exist
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// What commands that need keys to read take.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct ReadArgs {
    /// The keys and the context.
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    /// The header of the one input, which is a payload alone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) header: Option<PathBuf>,
    /// Read the first N bytes of the one input as the object: for devices and padded files, which hold more
    #[arg(long, value_name = "N")]
    pub(crate) object_length: Option<u64>,
    /// Threads that decrypt; 0 is one for each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
}

/// The keys and the context that objects are opened with.
#[derive(Debug, clap::Args)]
pub(crate) struct OfferArgs {
    /// A key that may fit: local:NAME, raw:file:PATH, passphrase, passphrase:file:PATH, passphrase:fd:N or
    /// aws-kms:KEY[@REGION]; repeatable
    /// [default: the key ring, then a passphrase if the object has one]
    #[arg(short, long = "key", value_name = "KEY", value_parser = key_spec(), add = complete::key(), help_heading = "Keys")]
    pub(crate) keys: Vec<KeySpec>,
    /// A pair that the object must be bound to; repeatable
    #[arg(long = "context", value_name = "KEY=VALUE", help_heading = "Context")]
    pub(crate) context: Vec<Pair>,
    /// The same, for a pair whose value the object does not show; repeatable
    #[arg(long = "context-supplied", value_name = "KEY=VALUE", help_heading = "Context")]
    pub(crate) context_supplied: Vec<Pair>,
    /// The place in S3 that the object must be bound to: --context-supplied aws:s3:arn=arn:aws:s3:::BUCKET/KEY
    #[arg(long, value_name = "s3://BUCKET/KEY", help_heading = "Context")]
    pub(crate) s3_object: Option<S3Object>,
    /// Accept whatever other pairs the object shows
    #[arg(long, help_heading = "Context")]
    pub(crate) accept_context: bool,
}

/// What `decrypt` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::DECRYPT)]
pub(crate) struct DecryptArgs {
    /// Objects to decrypt; - is standard input
    #[arg(required = true, value_name = "IN", add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// What is written, and how.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Do not copy owner, group, mode and modification time of objects to outputs; a new output is still not open to more
    /// users than its object
    #[arg(long)]
    pub(crate) no_preserve: bool,
    /// When to leave whole 4 KiB blocks of zeros out of the output, so that they take no disk space
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Sparse::Auto)]
    pub(crate) sparse: Sparse,
    /// How objects are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Whether an output has holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sparse {
    /// If the output is a new file, or replaces one
    Auto,
    /// Always; refuse an output that is no file
    Always,
    /// Never
    Never,
}

/// What `cat` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::CAT)]
pub(crate) struct CatArgs {
    /// Objects; - is standard input
    #[arg(required = true, value_name = "IN", add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// Bytes of the plaintext of one object: A..B (from A to before B), A.., ..B, or --range=-N for the last N; K, M, G
    /// and T after a number are units of 1024 [default: all]
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<ByteRange>,
    /// What is written, and how.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// How the object is read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// What `inspect` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::INSPECT)]
pub(crate) struct InspectArgs {
    /// Objects; - is standard input
    #[arg(required_unless_present = "header", value_name = "IN", add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// A header that is stored apart; the one input, if there is one, is its payload
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) header: Option<PathBuf>,
    /// Read the first N bytes of the one input as the object: for devices and padded files, which hold more
    #[arg(long, value_name = "N")]
    pub(crate) object_length: Option<u64>,
}

/// What `verify` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::VERIFY)]
pub(crate) struct VerifyArgs {
    /// Objects; - is standard input
    #[arg(required = true, value_name = "IN", add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// How objects are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// What `rewrap` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::REWRAP)]
pub(crate) struct RewrapArgs {
    /// Objects; what is damaged of their headers is repaired on the way
    #[arg(required = true, value_name = "FILE", add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// The keys and the context as they are now.
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    /// Replace the slots of the keys that --key names by one of this key
    #[arg(long, value_name = "KEY", requires = "keys", value_parser = key_spec(), add = complete::key(), help_heading = "Changes")]
    pub(crate) to: Option<KeySpec>,
    /// Let this key decrypt as well; repeatable
    #[arg(long, value_name = "KEY", value_parser = key_spec(), add = complete::key(), help_heading = "Changes")]
    pub(crate) add: Vec<KeySpec>,
    /// Remove the slots of this key, or the slot that `inspect` shows by this name; repeatable
    #[arg(long, value_name = "KEY", value_parser = slot_spec(), add = complete::key(), help_heading = "Changes")]
    pub(crate) remove: Vec<SlotSpec>,
    /// The new context.
    #[command(flatten)]
    pub(crate) context: NewContextArgs,
    /// When the context changes, remove slots whose keys are not given; without it they are an error
    #[arg(long, help_heading = "Changes")]
    pub(crate) drop_unreachable: bool,
    /// Do not open the object first where a key service can wrap its key anew: for those who may ask it for that, and
    /// may not decrypt
    #[arg(long, help_heading = "Changes")]
    pub(crate) without_opening: bool,
}

/// What `rekey` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::REKEY)]
pub(crate) struct RekeyArgs {
    /// The object; - is standard input
    #[arg(value_name = "IN", add = complete::objects())]
    pub(crate) input: PathBuf,
    /// The new object; - is standard output
    #[arg(short, long, value_name = "OUT", help_heading = "Output", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    /// Replace an output that exists
    #[arg(short, long, help_heading = "Output")]
    pub(crate) force: bool,
    /// How the object is read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Who may decrypt the new object; repeatable
    #[arg(long, value_name = "KEY", required = true, value_parser = key_spec(), add = complete::key(), help_heading = "Keys")]
    pub(crate) to: Vec<KeySpec>,
    /// The new context.
    #[command(flatten)]
    pub(crate) context: NewContextArgs,
}

/// A context in the place of the one that an object has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Context")]
pub(crate) struct NewContextArgs {
    /// Bind to this pair: all that are given replace all that the object has; repeatable
    #[arg(long = "set-context", value_name = "KEY=VALUE")]
    pub(crate) stored: Vec<Pair>,
    /// The same, for a pair whose value must be given again to decrypt; repeatable
    #[arg(long = "set-context-supplied", value_name = "KEY=VALUE")]
    pub(crate) supplied: Vec<Pair>,
    /// Bind to no pair
    #[arg(long, conflicts_with_all = ["stored", "supplied"])]
    pub(crate) clear_context: bool,
}

/// What `keys` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::KEYS)]
pub(crate) struct KeysArgs {
    /// What to do with the ring.
    #[command(subcommand)]
    pub(crate) action: KeysAction,
}

/// What to do with the key ring.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Make a key; never replaces one
    #[command(after_help = examples::KEYS_NEW)]
    New {
        /// The key's name
        #[arg(value_parser = key_name)]
        name: String,
    },
    /// List the keys, without their secrets
    #[command(after_help = examples::KEYS_LIST)]
    List,
    /// Make a new version of a key; older ones still read
    #[command(after_help = examples::KEYS_ROTATE)]
    Rotate {
        /// The key's name
        #[arg(value_parser = key_name, add = complete::key_names())]
        name: String,
    },
    /// Write keys, secrets included, to a file that is a key ring of its own
    #[command(after_help = examples::KEYS_EXPORT)]
    Export {
        /// The keys' names
        #[arg(required = true, value_name = "NAME", value_parser = key_name, add = complete::key_names())]
        names: Vec<String>,
        /// The file, which must not exist and is its owner's alone; - is standard output
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Take in the keys of a file that `keys export` wrote, or of another key ring; never replaces one
    #[command(after_help = examples::KEYS_IMPORT)]
    Import {
        /// The file; - is standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        input: PathBuf,
        /// Name the file's one key so, where the ring has another key of its name
        #[arg(long = "as", value_name = "NAME", value_parser = key_name)]
        rename: Option<String>,
    },
    /// Delete a key, or a version of it: what was encrypted for that alone is lost
    #[command(after_help = examples::KEYS_DELETE)]
    Delete(DeleteArgs),
}

/// What `keys delete` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// The key's name
    #[arg(value_parser = key_name, add = complete::key_names())]
    pub(crate) name: String,
    /// Delete the version of this id, or of the only one that begins so
    #[arg(long, value_name = "ID")]
    pub(crate) version: Option<String>,
    /// Delete the key with all its versions
    #[arg(long, conflicts_with = "version", required_unless_present = "version")]
    pub(crate) all: bool,
    /// Do not have the name typed again
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Takes the name of a key.
fn key_name(text: &str) -> Result<String, String> {
    if KeyRing::is_key_name(text) {
        return Ok(text.to_owned());
    }
    Err("a key name is 1 to 64 letters, digits, '.', '_' and '-'".to_owned())
}

/// What `completions` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// What `man` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::MAN)]
pub(crate) struct ManArgs {
    /// The directory, which is made if it is missing; pages of earlier versions are replaced
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
