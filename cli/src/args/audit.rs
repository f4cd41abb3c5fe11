use clap::{Args, Subcommand};

use crate::when::When;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List events, newest first.
    Log(LogArgs),
    /// Print the newest event's hash, signed if the server has a key: an anchor for later.
    Head,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Of this approval: its id, or the beginning of it.
    #[arg(long, value_name = "ID")]
    pub approval: Option<String>,
    /// By this person or service, or on behalf of them: "ana" means user:ana.
    #[arg(long, value_name = "USER")]
    pub actor: Option<String>,
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
