use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

/// See, watch and decide approvals of AWS Step Functions workflows.
#[derive(Debug, Parser)]
#[command(name = "approve-cli", version, after_help = after_help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The server: a URL, or host:port.
    #[arg(
        long,
        global = true,
        env = "APPROVE_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051",
        hide_env_values = true
    )]
    pub server: String,
    /// Who you are: "ana" means user:ana. Default: your name on this computer.
    #[arg(long = "as", global = true, env = "APPROVE_ACTOR", value_name = "USER", hide_env_values = true)]
    pub actor: Option<String>,
    /// A group that you are in; may be repeated, or separated by commas.
    #[arg(
        long = "group",
        global = true,
        env = "APPROVE_GROUPS",
        value_name = "GROUP",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub groups: Vec<String>,
    /// How results are printed.
    #[arg(long, short, global = true, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
    /// How long a call may take: seconds, or such as "90s" or "2m". Default: 30s, and 5m for provisioning.
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_timeout)]
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Table,
    /// For programs: one JSON value; for streams JSON Lines.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List approvals, newest first.
    List(ListArgs),
    /// Stay and print each change of pending approvals as it happens, until Ctrl-C (exit code 130).
    Watch(WatchArgs),
    /// Show everything about one approval.
    Show(ShowArgs),
    /// Approve or reject; asks if neither flag is given.
    Decide(DecideArgs),
    /// Start an execution of a workflow.
    Start(StartArgs),
    /// Show an execution: its status, states and result.
    Execution(ExecutionArgs),
    /// Provision workflows.
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Print completions for a shell, to be sourced or installed.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FilterArgs {
    /// Of this workflow.
    #[arg(long, short, value_name = "NAME")]
    pub workflow: Option<String>,
    /// With this label; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
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
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
}

#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// The approval's id, or the beginning of it.
    pub id: String,
    /// Approve it.
    #[arg(long, short, conflicts_with = "reject")]
    pub approve: bool,
    /// Reject it.
    #[arg(long, short)]
    pub reject: bool,
    /// Why.
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub comment: Option<String>,
    /// What goes to the workflow with the decision.
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
    /// Bring a workflow's AWS resources to what a spec says; may be repeated.
    Apply {
        /// A TOML file.
        spec: PathBuf,
        /// Take over resources of these names that are not the server's.
        #[arg(long)]
        adopt: bool,
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

fn after_help() -> String {
    format!("{}\n\nColours are off where NO_COLOR is set and where the output is not a terminal.", Exit::help())
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE".to_owned()),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => crate::spec::parse_duration(text)?,
    };
    if duration.is_zero() {
        return Err("it must be more than 0".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn timeouts() {
        assert_eq!(parse_timeout("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_timeout("2m"), Ok(Duration::from_secs(120)));
        for bad in ["0", "0s", "-1s", "soon", ""] {
            assert!(parse_timeout(bad).is_err(), "{bad:?}");
        }
    }
}
