//! Options that several commands share.

use std::path::PathBuf;

use clap::ValueHint;

use super::parse::{key_spec, name};
use super::values::{Pair, S3Object};
use crate::complete;
use crate::keys::{self, KeySpec};

/// Options for the output.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Output file or s3://BUCKET/KEY, gs://... or az://..., or a directory for several inputs; - is standard output
    #[arg(short, long, value_name = "OUT", value_parser = name(), value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite existing outputs
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// Options of commands that read with keys.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct ReadArgs {
    /// The keys and the context.
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    /// Header file of the input, which is a payload without a header
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) header: Option<PathBuf>,
    /// Read only the first N bytes of the input, for devices and padded files that are longer than the object
    #[arg(long, value_name = "N")]
    pub(crate) object_length: Option<u64>,
    /// Number of threads; 0 means one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
}

impl ReadArgs {
    /// Options for one object, and whether they are given.
    pub(crate) fn single(&self) -> [(&'static str, bool); 4] {
        let [accept, place] = self.offer.single();
        [
            ("--header", self.header.is_some()),
            ("--object-length", self.object_length.is_some()),
            accept,
            place,
        ]
    }
}

/// The keys and the context that objects are opened with.
#[derive(Debug, clap::Args)]
pub(crate) struct OfferArgs {
    /// Keys to try.
    #[arg(short, long = "key", help = opening_help(), value_name = "KEY", value_parser = key_spec(), add = complete::key(), help_heading = "Keys")]
    pub(crate) keys: Vec<KeySpec>,
    /// A pair that the object must be bound to; repeatable
    #[arg(long = "context", value_name = "KEY=VALUE", help_heading = "Context")]
    pub(crate) context: Vec<Pair>,
    /// A pair that the object must be bound to and whose value it does not store; repeatable
    #[arg(long = "context-supplied", value_name = "KEY=VALUE", help_heading = "Context")]
    pub(crate) context_supplied: Vec<Pair>,
    /// The location in S3 that the object must be bound to: --context-supplied aws:s3:arn=arn:aws:s3:::BUCKET/KEY
    #[arg(long, value_name = "s3://BUCKET/KEY", help_heading = "Context")]
    pub(crate) s3_object: Option<S3Object>,
    /// Accept any other pairs stored in the object
    #[arg(long, help_heading = "Context")]
    pub(crate) accept_context: bool,
}

impl OfferArgs {
    /// Options for one object, and whether they are given.
    pub(crate) const fn single(&self) -> [(&'static str, bool); 2] {
        [
            ("--accept-context", self.accept_context),
            ("--s3-object", self.s3_object.is_some()),
        ]
    }
}

fn opening_help() -> String {
    format!(
        "A key to try: {}; repeatable [default: the key ring, then a passphrase if the object has one]",
        keys::forms()
    )
}

/// A context to replace the one that an object has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Context")]
pub(crate) struct NewContextArgs {
    /// Bind to this pair; the pairs given replace all pairs of the object; repeatable
    #[arg(long = "set-context", value_name = "KEY=VALUE")]
    pub(crate) stored: Vec<Pair>,
    /// Bind to this pair, whose value is not stored: it must be supplied to decrypt; repeatable
    #[arg(long = "set-context-supplied", value_name = "KEY=VALUE")]
    pub(crate) supplied: Vec<Pair>,
    /// Remove all pairs
    #[arg(long, conflicts_with_all = ["stored", "supplied"])]
    pub(crate) clear_context: bool,
}
