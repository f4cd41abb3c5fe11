use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::when::When;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List events, newest first.
    Log(LogArgs),
    /// Write events to a file that can be verified anywhere.
    Export(ExportArgs),
    /// Check exported or archived files, without a server: whether any event was changed, removed or reordered. Exit
    /// code 10: one was.
    Verify(VerifyArgs),
    /// Print the newest event's hash, signed if the server has a key: an anchor for later.
    Head,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Of this approval: its id, or the beginning of it.
    #[arg(long, value_name = "ID")]
    pub approval: Option<String>,
    /// By this person or service, or on behalf of them: "ana" means user:ana.
    #[arg(long = "actor", value_name = "USER")]
    pub by: Option<String>,
    /// Of this workflow.
    #[arg(long, short, value_name = "NAME")]
    pub workflow: Option<String>,
    /// Of this type, such as voted or refused; may be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Not before then: such as 7d (ago), 2026-12-24 or 2026-12-24T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub since: Option<When>,
    /// Before then.
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub until: Option<When>,
    /// How many at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The file. It appears once it is whole.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Leave inputs and responses out: they are then in it by their digest only.
    #[arg(long)]
    pub omit_payloads: bool,
    /// From this revision. Default: the oldest kept.
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub from: Option<i64>,
    /// To this revision. Default: the newest.
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub to: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// What audit export wrote; or what the server archived, record-*.jsonl in order, with approvals-*.jsonl among
    /// them, and an export of the rest last.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A file of anchors: what audit head --output json printed, or the server's anchor file; may be repeated.
    #[arg(long = "anchor", value_name = "FILE")]
    pub anchors: Vec<PathBuf>,
    /// The public key that signed the anchors, PEM. Without it their signatures are not looked at.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
}
