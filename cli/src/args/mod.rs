mod approvals;
mod audit;
mod bulk;
mod login;
mod parse;
mod token;
mod workflows;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, parser::ValueSource};

use crate::exit::Exit;

pub(crate) use self::{
    approvals::{
        CancelArgs, ClaimArgs, DecideArgs, FilterArgs, HoldArgs, IdArgs, ListArgs, PriorityArg, ReassignArgs,
        StatusArg, WatchArgs, WithdrawArgs,
    },
    audit::{AuditCommand, ExportArgs, LogArgs, VerifyArgs},
    bulk::{BulkArgs, BulkDecision},
    login::LoginArgs,
    parse::timeout,
    token::{CreateTokenArgs, PermissionArg, TokenCommand},
    workflows::{
        AttachArgs, CodeArgs, ExecutionArgs, FormatArg, RuleCheckArgs, RuleCommand, ScaffoldArgs, StartArgs,
        WorkflowCommand,
    },
};

/// See, watch and decide approvals of AWS Step Functions workflows.
#[derive(Debug, Parser)]
#[command(name = "approve-cli", version, after_help = after_help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line; ends the program where it is wrong, or asks for help.
    pub(crate) fn from_command_line() -> Self {
        let matches = Self::command().get_matches();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.global.flags = given_as_flags(&matches);
        cli
    }
}

/// The ids of the global options that are on the command line, not only in the environment.
fn given_as_flags(matches: &ArgMatches) -> BTreeSet<String> {
    // A global argument is known to the innermost command too.
    let innermost = std::iter::successors(Some(matches), |matches| matches.subcommand().map(|(_, matches)| matches));
    let Some(innermost) = innermost.last() else { return BTreeSet::new() };
    let flag = |id: &&clap::Id| innermost.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    innermost.ids().filter(flag).map(ToString::to_string).collect()
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Which profile of the config file. Default: the file's default_profile, else the one called default.
    #[arg(long, global = true, env = "APPROVE_PROFILE", value_name = "NAME", hide_env_values = true)]
    pub profile: Option<String>,
    /// The config file. Default: approve/config.toml in $XDG_CONFIG_HOME, else in ~/.config.
    #[arg(long = "config", global = true, env = "APPROVE_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub config_file: Option<PathBuf>,
    /// The server: a URL, or host:port. Several that share a database are separated by commas. Default:
    /// http://127.0.0.1:50051.
    #[arg(long, global = true, env = "APPROVE_SERVER", value_name = "URL", hide_env_values = true)]
    pub server: Option<String>,
    /// Who you are, where the server takes your word: "ana" means user:ana. Default: your name on this computer. With
    /// explain and rule check: whom to ask about.
    #[arg(long = "as", global = true, env = "APPROVE_ACTOR", value_name = "USER", hide_env_values = true)]
    pub actor: Option<String>,
    /// A group that you, or those you act for or ask about, are in; may be repeated, or separated by commas.
    #[arg(
        long = "group",
        global = true,
        env = "APPROVE_GROUPS",
        value_name = "GROUP",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub groups: Vec<String>,
    /// The person that you, a service, act for: "ana" means user:ana.
    #[arg(long, global = true, env = "APPROVE_ON_BEHALF_OF", value_name = "USER", hide_env_values = true)]
    pub on_behalf_of: Option<String>,
    /// A file that holds your API token or JWT. APPROVE_TOKEN may hold the token itself.
    #[arg(long, global = true, env = "APPROVE_TOKEN_FILE", value_name = "FILE", hide_env_values = true)]
    pub token_file: Option<PathBuf>,
    /// The certificates of the authorities to trust, PEM. Default: those that this computer trusts.
    #[arg(long, global = true, env = "APPROVE_CA", value_name = "FILE", hide_env_values = true)]
    pub ca: Option<PathBuf>,
    /// Your certificate, PEM.
    #[arg(long, global = true, env = "APPROVE_CERT", value_name = "FILE", hide_env_values = true)]
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, global = true, env = "APPROVE_KEY", value_name = "FILE", hide_env_values = true)]
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must be of. Default: the URL's host.
    #[arg(long, global = true, env = "APPROVE_SERVER_NAME", value_name = "NAME", hide_env_values = true)]
    pub server_name: Option<String>,
    /// How results are printed. Default: table.
    #[arg(long, short, global = true, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
    /// How long a call may take: seconds, or such as "90s" or "2m". Default: 30s, and 5m for provisioning.
    #[arg(long, global = true, value_name = "TIME", value_parser = parse::timeout)]
    pub timeout: Option<Duration>,
    /// The ids of these options that are on the command line, not only in the environment.
    #[arg(skip)]
    pub flags: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Stay and show pending approvals as they change: a table in which they can be decided, on a terminal; elsewhere
    /// a line for each change, until Ctrl-C (exit code 130).
    Watch(WatchArgs),
    /// Show everything about one approval.
    Show(IdArgs),
    /// Say what an approval still needs, who could give it, and what your decision would do, without doing it.
    Explain(IdArgs),
    /// Approve, reject or decide with an outcome; asks if no flag says which.
    Decide(DecideArgs),
    /// Approve or reject several approvals: shows what would happen, asks, and tells each result. Exit code 12: not all
    /// were decided. Safe to run again.
    Bulk(BulkArgs),
    /// Take your vote back, while the approval is pending.
    Withdraw(WithdrawArgs),
    /// Take an approval for yourself: nobody else may vote on it until you release it.
    Claim(ClaimArgs),
    /// Let go of a claim.
    Release(IdArgs),
    /// Give an approval to another person, who has to be allowed to decide it.
    Reassign(ReassignArgs),
    /// End an approval without a decision: your own request, or any for operators. Its task fails.
    Cancel(CancelArgs),
    /// Let nobody vote for a time. For operators.
    Hold(HoldArgs),
    /// End a hold. For operators.
    Resume(IdArgs),
    /// Start an execution of a workflow.
    Start(StartArgs),
    /// Show an execution: its status, states and result.
    Execution(ExecutionArgs),
    /// Provision workflows.
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Try rules before they are applied.
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Read, export and verify the record of everything that happened.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make and revoke API tokens of services.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Say who the server takes you for, and what you may do.
    Whoami,
    /// Sign in at an OpenID provider, for the profile's server. What comes of it is kept in a file that only you may
    /// read, and renewed by itself.
    Login(LoginArgs),
    /// Forget what login got, and give it back to the provider where it takes that.
    Logout,
    /// Show which settings hold, and where each comes from. Secrets are not shown.
    Config,
    /// Look for what is wrong: settings, connection, TLS, identity, clock, server. Each line is ok, warn, fail or skip,
    /// and says what to do. The exit code is that of the first failure.
    Doctor,
    /// Print completions for a shell, to be sourced or installed.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a folder.
    Man {
        /// The folder; made if there is none.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

fn after_help() -> String {
    format!("{}\n\nColours are off where NO_COLOR is set and where the output is not a terminal.", Exit::help())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Two arguments of one id would share what the environment says.
    #[test]
    fn no_command_has_an_argument_of_a_global_ones_id() {
        fn check(command: &clap::Command, global: &[&clap::Id]) {
            for argument in command.get_arguments() {
                assert!(!global.contains(&argument.get_id()), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(|command| check(command, global));
        }
        let command = Cli::command();
        let global: Vec<_> = command.get_arguments().map(clap::Arg::get_id).collect();
        assert!(global.len() > 10);
        command.get_subcommands().for_each(|command| check(command, &global));
    }

    #[test]
    fn a_flag_is_told_from_the_environment() {
        let given = |args: &[&str]| given_as_flags(&Cli::command().get_matches_from(args)).contains("actor");
        assert!(given(&["approve-cli", "--as", "ana", "token", "list"]));
        assert!(given(&["approve-cli", "token", "list", "--as", "ana"]));
        assert!(!given(&["approve-cli", "token", "list"]));
    }
}
