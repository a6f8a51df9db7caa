//! What commands take for all objects under a prefix in a store.

use clap::value_parser;

/// Options of commands that work on all objects under a prefix.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "All objects under a prefix")]
pub(crate) struct PrefixArgs {
    /// Work on all objects in the bucket or under the prefix that the one input names: s3://BUCKET/PREFIX/, gs://... or
    /// az://...
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Work on this many objects at a time [default: 8]
    #[arg(long, value_name = "N", requires = "recursive", value_parser = value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Skip objects up to this key, the last one that an interrupted run reported
    #[arg(long, value_name = "KEY", requires = "recursive", allow_hyphen_values = true)]
    pub(crate) start_after: Option<String>,
    /// The name of the pair that binds each object to its key in the bucket, which is not stored with it
    #[arg(long, value_name = "NAME", requires = "recursive")]
    pub(crate) path_context: Option<String>,
}

/// The same for commands that write.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "All objects under a prefix")]
pub(crate) struct WritePrefixArgs {
    /// Which objects, and how.
    #[command(flatten)]
    pub(crate) prefix: PrefixArgs,
    /// Replace objects over 64 MiB too; if another program changes one of them meanwhile, its change is lost
    #[arg(long, requires = "recursive")]
    pub(crate) unconditional: bool,
}
