//! What `keys` takes.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::examples;
use crate::complete;
use crate::keys::local::key_name;

/// What `keys` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::KEYS)]
pub(crate) struct KeysArgs {
    /// The action.
    #[command(subcommand)]
    pub(crate) action: KeysAction,
}

/// What to do with the key ring.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Create a key; never replaces one
    #[command(after_help = examples::KEYS_NEW)]
    New {
        /// The key's name
        #[arg(value_parser = key_name)]
        name: String,
    },
    /// List keys, without their secrets
    #[command(after_help = examples::KEYS_LIST)]
    List,
    /// Create a new version of a key; older versions can still decrypt
    #[command(after_help = examples::KEYS_ROTATE)]
    Rotate {
        /// The key's name
        #[arg(value_parser = key_name, add = complete::key_names())]
        name: String,
    },
    /// Write keys, including their secrets, to a new key ring file
    #[command(after_help = examples::KEYS_EXPORT)]
    Export {
        /// The keys' names
        #[arg(required = true, value_name = "NAME", value_parser = key_name, add = complete::key_names())]
        names: Vec<String>,
        /// File to create, readable by its owner only; - is standard output
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Import keys from a file that `keys export` wrote, or from another key ring; never replaces one
    #[command(after_help = examples::KEYS_IMPORT)]
    Import {
        /// The file; - is standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        input: PathBuf,
        /// Import the file's only key under this name
        #[arg(long = "as", value_name = "NAME", value_parser = key_name)]
        rename: Option<String>,
    },
    /// Delete a key, or one version of it: data encrypted only for that is lost
    #[command(after_help = examples::KEYS_DELETE)]
    Delete(DeleteArgs),
}

/// What `keys delete` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// The key's name
    #[arg(value_parser = key_name, add = complete::key_names())]
    pub(crate) name: String,
    /// Delete the version with this id, or unique prefix of an id
    #[arg(long, value_name = "ID")]
    pub(crate) version: Option<String>,
    /// Delete the key with all of its versions
    #[arg(long, conflicts_with = "version", required_unless_present = "version")]
    pub(crate) all: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
}
