use std::time::Duration;

use clap::{Args, ValueEnum};

use super::parse::label;
use crate::when::{self, When};

#[derive(Clone, Debug, Args)]
pub(crate) struct FilterArgs {
    /// Of this workflow.
    #[arg(long, short, value_name = "NAME")]
    pub workflow: Option<String>,
    /// With this label; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Of this priority; may be repeated.
    #[arg(long = "priority", value_name = "PRIORITY")]
    pub priorities: Vec<PriorityArg>,
    /// Only those that wait for you.
    #[arg(long)]
    pub mine: bool,
    /// With this text in title, description, requester or id.
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Of this execution.
    #[arg(long, value_name = "ARN")]
    pub execution: Option<String>,
}

impl FilterArgs {
    pub(crate) fn is_set(&self) -> bool {
        self.workflow.is_some()
            || !self.labels.is_empty()
            || !self.priorities.is_empty()
            || self.mine
            || self.text.is_some()
            || self.execution.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PriorityArg {
    Low,
    Normal,
    High,
    Urgent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusArg {
    Pending,
    Approved,
    Rejected,
    Expired,
    #[value(alias = "cancelled")]
    Canceled,
    Invalid,
    All,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Of this status; may be repeated.
    #[arg(long = "status", short, value_name = "STATUS", default_value = "pending")]
    pub statuses: Vec<StatusArg>,
    /// How many at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Oldest first.
    #[arg(long)]
    pub oldest_first: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
    /// A line for each change on a terminal, too.
    #[arg(long)]
    pub lines: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
    /// Approve it.
    #[arg(long, short, conflicts_with_all = ["reject", "outcome"])]
    pub approve: bool,
    /// Reject it.
    #[arg(long, short, conflicts_with = "outcome")]
    pub reject: bool,
    /// Decide with one of the rule's own outcomes.
    #[arg(long, value_name = "NAME")]
    pub outcome: Option<String>,
    /// Why.
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub comment: Option<String>,
    /// What goes to the workflow with the decision: JSON, or @FILE.
    #[arg(long, value_name = "JSON")]
    pub response: Option<String>,
    /// Only if it has not changed since it had this etag (show prints it).
    #[arg(long)]
    pub etag: Option<String>,
    /// Don't wait until the workflow has heard of it.
    #[arg(long)]
    pub no_wait: bool,
    /// Makes repeating the command safe; default: a new one each time.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
    /// Why.
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub comment: Option<String>,
    /// Makes repeating the command safe; default: a new one each time.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ClaimArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
    /// For how long; at least 1m, at most 7d. Default: 1h.
    #[arg(long = "for", value_name = "TIME", value_parser = when::some_duration)]
    pub duration: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
}

#[derive(Debug, Args)]
pub(crate) struct ReassignArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
    /// To whom: "bob" means user:bob.
    #[arg(long, value_name = "USER")]
    pub to: String,
    /// Why.
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub comment: Option<String>,
    /// For how long; at least 1m, at most 7d. Default: 1d.
    #[arg(long = "for", value_name = "TIME", value_parser = when::some_duration)]
    pub duration: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
    /// Why.
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub reason: String,
    /// Makes repeating the command safe; default: a new one each time.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
    /// Why.
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub reason: String,
    /// Until when: such as 2h (from now), 2026-12-24 or 2026-12-24T18:00:00Z. Default: until it is resumed.
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub until: Option<When>,
}
