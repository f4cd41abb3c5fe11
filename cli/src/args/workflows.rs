use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Of this workflow; not needed where there is only one.
    #[arg(long, short, value_name = "NAME")]
    pub workflow: Option<String>,
    /// The execution's name; default: the server makes one.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Its input; "-" reads it from stdin. Default: {}.
    #[arg(long, short, value_name = "JSON", conflicts_with = "input_file")]
    pub input: Option<String>,
    /// A file that holds its input.
    #[arg(long, value_name = "FILE")]
    pub input_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExecutionArgs {
    /// Its name or ARN.
    pub execution: String,
    /// Of this workflow; not needed with an ARN, or where there is only one.
    #[arg(long, short, value_name = "NAME")]
    pub workflow: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkflowCommand {
    /// Say what apply would do, and what may be a mistake. Exit code 0: nothing to do, 11: something.
    Plan {
        /// A TOML file.
        spec: PathBuf,
    },
    /// Bring a workflow's AWS resources to what a spec says; may be repeated.
    Apply {
        /// A TOML file.
        spec: PathBuf,
        /// Take over resources of these names that are not the server's.
        #[arg(long)]
        adopt: bool,
        /// Delete and make anew what can't be changed in place; not while approvals are pending.
        #[arg(long)]
        replace: bool,
    },
    /// Compare a workflow's AWS resources with what was last applied. Exit code 0: all is as it was, 11: not all.
    Drift {
        /// Its name.
        name: String,
    },
    /// Show one workflow.
    Get {
        /// Its name.
        name: String,
    },
    /// List all workflows.
    List,
    /// Delete a workflow's AWS resources.
    Destroy {
        /// Its name.
        name: String,
        /// Also when approvals of it are pending: they become CANCELED.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// Say whether a rule would be accepted, and what a new approval of it would need. Exit code 6: it would not.
    Check(RuleCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RuleCheckArgs {
    /// A TOML file: a workflow's spec, or a rule alone.
    pub file: PathBuf,
    /// Who would ask for an approval: "ana" means user:ana.
    #[arg(long, value_name = "USER")]
    pub requester: Option<String>,
}
