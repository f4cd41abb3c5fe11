use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
    /// Write a spec to begin with, with every key explained.
    Init {
        /// The file to write; not one that exists.
        #[arg(default_value = "workflow.toml")]
        file: PathBuf,
        /// The workflow's name.
        #[arg(long, default_value = "my-approval")]
        name: String,
    },
    /// Add an approval step to a state machine's definition, and show what changed.
    Scaffold(ScaffoldArgs),
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
        /// With --replace: also while approvals are pending.
        #[arg(long, requires = "replace")]
        force: bool,
    },
    /// Compare a workflow's AWS resources with what was last applied. Exit code 0: all is as it was, 11: not all.
    Drift {
        /// Its name.
        name: String,
    },
    /// Print a workflow's stack as code, to provision by it; then use attach.
    Export(CodeArgs),
    /// Work for a state machine that is provisioned by code; nothing in AWS is changed.
    Attach(AttachArgs),
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
        #[arg(required_unless_present = "spec")]
        name: Option<String>,
        /// Instead of a name: the spec, as a TOML file, of one whose apply never succeeded.
        #[arg(long, value_name = "FILE", conflicts_with = "name")]
        spec: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub(crate) struct ScaffoldArgs {
    /// The definition: a JSON file in Amazon States Language.
    pub file: PathBuf,
    /// Ask before this state, whatever leads to it.
    #[arg(long, value_name = "STATE", required_unless_present = "after")]
    pub before: Option<String>,
    /// Ask after this state.
    #[arg(long, value_name = "STATE", conflicts_with = "before")]
    pub after: Option<String>,
    /// What the new state is called.
    #[arg(long, value_name = "STATE", default_value = "ApprovalStep")]
    pub state: String,
    /// What people are asked.
    #[arg(long, value_name = "TEXT", default_value = "Approval needed")]
    pub title: String,
    /// Where to go if it is rejected or expires; default: a new state that fails.
    #[arg(long, value_name = "STATE")]
    pub otherwise: Option<String>,
    /// What stands for the activity: "${activity_arn}", or that of a further one: "${activity_arn.legal}".
    #[arg(long, value_name = "ARN", default_value = "${activity_arn}")]
    pub activity: String,
    /// How long the step may take: seconds, or such as "2h" or "3d".
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = super::parse::timeout)]
    pub step_timeout: std::time::Duration,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    Cloudformation,
    Terraform,
    Pulumi,
}

#[derive(Debug, Args)]
pub(crate) struct CodeArgs {
    /// A TOML file.
    #[arg(required_unless_present = "name")]
    pub spec: Option<PathBuf>,
    /// Instead of a file: a workflow that was applied.
    #[arg(long, value_name = "NAME", conflicts_with = "spec")]
    pub name: Option<String>,
    /// What the code is for.
    #[arg(long, short, value_name = "FORMAT")]
    pub format: FormatArg,
}

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// What the workflow is called here.
    pub name: String,
    /// The state machine.
    #[arg(long, value_name = "ARN")]
    pub state_machine: String,
    /// An activity to work for; may be repeated. Default: all that the state machine's tasks name.
    #[arg(long = "activity", value_name = "ARN")]
    pub activities: Vec<String>,
    /// A TOML file with the workflow's own rule.
    #[arg(long, value_name = "FILE")]
    pub rule: Option<PathBuf>,
}
