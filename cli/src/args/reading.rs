//! What `decrypt`, `cat`, `inspect` and `verify` take.

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};

use super::examples;
use super::parse::name;
use super::prefix::PrefixArgs;
use super::shared::{OutputArgs, ReadArgs};
use super::values::ByteRange;
use crate::complete;

/// What `decrypt` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::DECRYPT)]
pub(crate) struct DecryptArgs {
    /// Objects to decrypt: files, or s3://BUCKET/KEY, gs://... or az://...; - is standard input
    #[arg(required = true, value_name = "IN", value_parser = name(), add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// The output.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Do not copy the owner, group, mode and modification time of objects to outputs; a new output is still readable
    /// by no more users than its object
    #[arg(long)]
    pub(crate) no_preserve: bool,
    /// When to write 4 KiB blocks of zeros as holes, which take no disk space
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Sparse::Auto)]
    pub(crate) sparse: Sparse,
    /// How objects are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Whether an output has holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sparse {
    /// If the output is a file that is created or replaced
    Auto,
    /// Always; fail if the output is not a file
    Always,
    /// Never
    Never,
}

/// What `cat` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::CAT)]
pub(crate) struct CatArgs {
    /// Objects: files, or s3://BUCKET/KEY, gs://... or az://...; - is standard input
    #[arg(required = true, value_name = "IN", value_parser = name(), add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// Byte range of the plaintext of one object: A..B (B excluded), A.., ..B, or --range=-N for the last N bytes;
    /// numbers may end in K, M, G or T, powers of 1024 [default: all]
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<ByteRange>,
    /// The output.
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
    /// Objects: files, or s3://BUCKET/KEY, gs://... or az://...; - is standard input
    #[arg(required_unless_present = "header", value_name = "IN", value_parser = name(), add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// A detached header; the input, if given, is its payload
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) header: Option<PathBuf>,
    /// Read only the first N bytes of the input, for devices and padded files that are longer than the object
    #[arg(long, value_name = "N")]
    pub(crate) object_length: Option<u64>,
}

/// What `verify` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::VERIFY)]
pub(crate) struct VerifyArgs {
    /// Objects: files, or s3://BUCKET/KEY, gs://... or az://...; - is standard input
    #[arg(required = true, value_name = "IN", value_parser = name(), add = complete::objects())]
    pub(crate) inputs: Vec<PathBuf>,
    /// How objects are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// All objects under a prefix.
    #[command(flatten)]
    pub(crate) prefix: PrefixArgs,
}
