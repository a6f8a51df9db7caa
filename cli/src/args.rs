//! The arguments, as clap parses them. The doc comments here are the help texts.

mod encrypt;
mod examples;
mod keys;
mod parse;
mod prefix;
mod reading;
mod rewrap;
mod shared;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use self::encrypt::EncryptArgs;
pub(crate) use self::keys::{DeleteArgs, KeysAction, KeysArgs};
pub(crate) use self::parse::parse;
pub(crate) use self::prefix::PrefixArgs;
pub(crate) use self::reading::{CatArgs, DecryptArgs, InspectArgs, Sparse, VerifyArgs};
pub(crate) use self::rewrap::{RekeyArgs, RewrapArgs};
pub(crate) use self::shared::{NewContextArgs, OfferArgs, ReadArgs};
pub use self::values::{ByteRange, Pair, S3Object};
use crate::keys::KeyOptions;

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
    /// Options of all commands.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of all commands.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Where keys are.
    #[command(flatten)]
    pub(crate) keys: KeyOptions,
    /// Print no result line
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Messages")]
    pub(crate) quiet: bool,
    /// Print more details
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
    /// Always; as lines if standard error is not a terminal
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encrypt files, or standard input
    Encrypt(EncryptArgs),
    /// Decrypt objects
    Decrypt(DecryptArgs),
    /// Write the plaintext of objects, one after another, or a range of one
    Cat(CatArgs),
    /// Show an object's header; needs no key, and verifies nothing
    Inspect(InspectArgs),
    /// Verify that objects are complete and unaltered, without writing anything
    Verify(VerifyArgs),
    /// Change who can decrypt objects, and their context, in place; the data is not rewritten
    Rewrap(RewrapArgs),
    /// Re-encrypt an object under a new data key, for when the old one may have leaked
    Rekey(RekeyArgs),
    /// Manage the keys of the key ring
    Keys(KeysArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages into a directory
    Man(ManArgs),
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
    /// The directory, created if missing; pages of earlier versions are replaced
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
