//! What `encrypt` takes.

use std::path::PathBuf;

use clap::ValueHint;

use super::examples;
use super::parse::{key_spec, name};
use super::prefix::WritePrefixArgs;
use super::shared::OutputArgs;
use super::values::{Chunk, Cipher, Pair, S3Object};
use crate::complete;
use crate::keys::{self, KeySpec};

/// What `encrypt` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::ENCRYPT)]
pub(crate) struct EncryptArgs {
    /// Files to encrypt, or objects in stores: s3://BUCKET/KEY, gs://... or az://...; - is standard input
    #[arg(required = true, value_name = "IN", value_parser = name(), value_hint = ValueHint::FilePath)]
    pub(crate) inputs: Vec<PathBuf>,
    /// The output.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Keys that can decrypt.
    #[arg(short, long = "key", help = sealing_help(), value_name = "KEY", value_parser = key_spec(), add = complete::key(), help_heading = "Keys")]
    pub(crate) keys: Vec<KeySpec>,
    /// Bind the object to this pair, which is stored in its header in the clear; repeatable
    #[arg(long = "context", value_name = "KEY=VALUE", help_heading = "Context")]
    pub(crate) context: Vec<Pair>,
    /// Bind the object to this pair, whose value is not stored: it must be supplied to decrypt; repeatable
    #[arg(long = "context-supplied", value_name = "KEY=VALUE", help_heading = "Context")]
    pub(crate) context_supplied: Vec<Pair>,
    /// Bind the object to its location in S3, as SSE-KMS does: --context-supplied aws:s3:arn=arn:aws:s3:::BUCKET/KEY
    #[arg(long, value_name = "s3://BUCKET/KEY", help_heading = "Context")]
    pub(crate) s3_object: Option<S3Object>,
    /// Bytes of plaintext in a chunk
    #[arg(long, value_enum, value_name = "SIZE", default_value_t = Chunk::K16, help_heading = "Sealing")]
    pub(crate) chunk_size: Chunk,
    /// The cipher
    #[arg(long, value_enum, default_value_t = Cipher::Aes256Gcm, help_heading = "Sealing")]
    pub(crate) suite: Cipher,
    /// Decrypt every chunk again before it is written, and compare
    #[arg(long, help_heading = "Sealing")]
    pub(crate) verify_writes: bool,
    /// Write the header to this file, which must not exist, and only the payload to the output
    #[arg(long, value_name = "FILE", help_heading = "Output", value_hint = ValueHint::FilePath)]
    pub(crate) header: Option<PathBuf>,
    /// Do not copy the owner, group, mode and modification time of inputs to outputs
    #[arg(long)]
    pub(crate) no_preserve: bool,
    /// Number of threads; 0 means one per core
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Sealing")]
    pub(crate) threads: usize,
    /// All objects under a prefix.
    #[command(flatten)]
    pub(crate) all: WritePrefixArgs,
    /// With --recursive: encrypt each object where it is, unless it is encrypted already
    #[arg(
        long,
        requires = "recursive",
        conflicts_with = "output",
        help_heading = "All objects under a prefix"
    )]
    pub(crate) in_place: bool,
}

fn sealing_help() -> String {
    format!(
        "A key that can decrypt: {}; repeatable [default: local:default]",
        keys::forms()
    )
}
