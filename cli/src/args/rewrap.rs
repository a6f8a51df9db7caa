//! What `rewrap` and `rekey` take.

use std::path::PathBuf;

use clap::ValueHint;

use super::examples;
use super::parse::{key_spec, name, slot_spec};
use super::prefix::WritePrefixArgs;
use super::shared::{NewContextArgs, OfferArgs, ReadArgs};
use crate::complete;
use crate::keys::{KeySpec, SlotSpec};

/// What `rewrap` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::REWRAP)]
pub(crate) struct RewrapArgs {
    /// Objects: files, or s3://BUCKET/KEY, gs://... or az://...; damaged header copies are repaired
    #[arg(required = true, value_name = "FILE", value_parser = name(), add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// The present keys and context.
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    /// Replace the slots of the keys given with --key by one of this key
    #[arg(long, value_name = "KEY", requires = "keys", value_parser = key_spec(), add = complete::key(), help_heading = "Changes")]
    pub(crate) to: Option<KeySpec>,
    /// Add a slot for this key; repeatable
    #[arg(long, value_name = "KEY", value_parser = key_spec(), add = complete::key(), help_heading = "Changes")]
    pub(crate) add: Vec<KeySpec>,
    /// Remove the slots of this key, or the slot with this name in `inspect`; repeatable
    #[arg(long, value_name = "KEY", value_parser = slot_spec(), add = complete::key(), help_heading = "Changes")]
    pub(crate) remove: Vec<SlotSpec>,
    /// The new context.
    #[command(flatten)]
    pub(crate) context: NewContextArgs,
    /// When the context changes, remove slots whose keys are not given, instead of failing
    #[arg(long, help_heading = "Changes")]
    pub(crate) drop_unreachable: bool,
    /// Do not open the object first if a key service can rewrap its key: for users that may rewrap but not decrypt
    #[arg(long, help_heading = "Changes")]
    pub(crate) without_opening: bool,
    /// All objects under a prefix.
    #[command(flatten)]
    pub(crate) all: WritePrefixArgs,
}

/// What `rekey` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::REKEY)]
pub(crate) struct RekeyArgs {
    /// The object; - is standard input
    #[arg(value_name = "IN", value_parser = name(), add = complete::objects())]
    pub(crate) input: PathBuf,
    /// The new object, which is a plain one also if the old one is composite; - is standard output
    #[arg(
        short,
        long,
        value_name = "OUT",
        required_unless_present = "recursive",
        value_parser = name(),
        help_heading = "Output",
        value_hint = ValueHint::FilePath
    )]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite an existing output
    #[arg(short, long, help_heading = "Output")]
    pub(crate) force: bool,
    /// How the object is read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// A key that can decrypt the new object; repeatable
    #[arg(long, value_name = "KEY", required = true, value_parser = key_spec(), add = complete::key(), help_heading = "Keys")]
    pub(crate) to: Vec<KeySpec>,
    /// The new context.
    #[command(flatten)]
    pub(crate) context: NewContextArgs,
    /// All objects under a prefix.
    #[command(flatten)]
    pub(crate) all: WritePrefixArgs,
    /// With --recursive: replace each object by the new one
    #[arg(
        long,
        requires = "recursive",
        conflicts_with = "output",
        help_heading = "All objects under a prefix"
    )]
    pub(crate) in_place: bool,
}
