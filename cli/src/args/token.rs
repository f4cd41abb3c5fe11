use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::parse::label;
use crate::when;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token. Its secret, and nothing else, goes to stdout, this once.
    Create(CreateTokenArgs),
    /// List all tokens, revoked and expired ones too.
    List,
    /// End a token's life at once.
    Revoke {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateTokenArgs {
    /// Its name: the caller will be service:NAME.
    pub name: String,
    /// What it may do; may be repeated, or separated by commas.
    #[arg(long = "permission", short, value_name = "PERMISSION", required = true, value_delimiter = ',')]
    pub permissions: Vec<PermissionArg>,
    /// In this workflow only; a "*" at the end matches any rest; may be repeated.
    #[arg(long = "workflow", short, value_name = "NAME")]
    pub workflows: Vec<String>,
    /// For approvals with this label only; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// How long it lives; at least 1m, at most 366d. Default: 90d.
    #[arg(long, value_name = "TIME", value_parser = when::some_duration)]
    pub lifetime: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PermissionArg {
    /// See approvals.
    View,
    /// Vote, claim and reassign, where the rule lets it.
    Decide,
    /// Start executions.
    Start,
    /// Apply and destroy workflows.
    Provision,
    /// Cancel, hold and release approvals; make and revoke tokens.
    Operate,
    /// Read the record of events, and explain for others.
    Audit,
    /// Act for a person, whom the call names.
    ActOnBehalf,
}
