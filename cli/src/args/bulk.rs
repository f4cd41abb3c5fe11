use clap::{Args, ValueEnum};

use super::FilterArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  approve-cli bulk approve --mine --label team=infra --comment \"checked\"\n  \
    approve-cli list -o json | jq -r '.[].id' | approve-cli bulk reject - --yes --comment \"frozen\"")]
pub(crate) struct BulkArgs {
    /// What to do.
    pub decision: BulkDecision,
    /// Their ids, or the beginnings of them; "-" reads ids from stdin, separated by white space. Without any: those
    /// that the filter matches, which has to have something in it.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Why; the same for all.
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub comment: Option<String>,
    /// What goes to each workflow with the decision: JSON, or @FILE.
    #[arg(long, value_name = "JSON")]
    pub response: Option<String>,
    /// Don't ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Only show what would happen.
    #[arg(long)]
    pub dry_run: bool,
    /// How many to decide at once; 1 to 64.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub at_once: u16,
    /// Refuse to begin where there are more than this.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Don't wait until the workflows have heard of it.
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BulkDecision {
    Approve,
    Reject,
}
