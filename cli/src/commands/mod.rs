//! One file per command.

mod access;
mod actions;
mod audit;
mod bulk;
mod choice;
mod completions;
mod config;
mod decide;
mod doctor;
mod execution;
mod explain;
mod form;
mod list;
mod login;
mod man;
mod prompt;
mod show;
mod start;
mod verify;
mod watch;
mod workflow;

use approve_client::{Client, Error, Filter, proto::Priority};

pub(crate) use bulk::{Fate, Planned};
pub(crate) use decide::needs_comment;

use crate::{
    args::{Cli, Command, FilterArgs, PriorityArg, RuleCommand},
    context::Context,
    exit::Exit,
    failure::Failure,
    output::Out,
};

pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    match &cli.command {
        // These work whatever the settings are.
        Command::Completions { shell } => return completions::run(&Out::new(), *shell),
        Command::Man { out } => return man::run(&Out::new(), out.as_deref()),
        Command::Doctor => return doctor::run(&cli.global).await,
        _ => {}
    }
    let context = Context::new(&cli.global)?;
    match cli.command {
        Command::List(args) => list::run(&context, args).await,
        Command::Watch(args) => watch::run(&context, args).await,
        Command::Show(args) => show::run(&context, args).await,
        Command::Explain(args) => explain::run(&context, args).await,
        Command::Decide(args) => decide::run(&context, args).await,
        Command::Bulk(args) => bulk::run(&context, args).await,
        Command::Withdraw(args) => actions::withdraw(&context, args).await,
        Command::Claim(args) => actions::claim(&context, args).await,
        Command::Release(args) => actions::release(&context, args).await,
        Command::Reassign(args) => actions::reassign(&context, args).await,
        Command::Cancel(args) => actions::cancel(&context, args).await,
        Command::Hold(args) => actions::hold(&context, args).await,
        Command::Resume(args) => actions::resume(&context, args).await,
        Command::Start(args) => start::run(&context, args).await,
        Command::Execution(args) => execution::run(&context, args).await,
        Command::Workflow(command) => workflow::run(&context, command).await,
        Command::Rule(RuleCommand::Check(args)) => explain::check(&context, args).await,
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Token(command) => access::token(&context, command).await,
        Command::Whoami => access::whoami(&context).await,
        Command::Login(args) => login::login(&context, args).await,
        Command::Logout => login::logout(&context).await,
        Command::Config => config::run(&context),
        Command::Completions { .. } | Command::Man { .. } | Command::Doctor => Ok(Exit::Ok),
    }
}

fn filter(args: FilterArgs) -> Filter {
    let mut filter = Filter::new().awaiting_me(args.mine);
    if let Some(workflow) = args.workflow {
        filter = filter.workflow(workflow);
    }
    for (key, value) in args.labels {
        filter = filter.label(key, value);
    }
    for priority in args.priorities {
        filter = filter.priority(match priority {
            PriorityArg::Low => Priority::Low,
            PriorityArg::Normal => Priority::Normal,
            PriorityArg::High => Priority::High,
            PriorityArg::Urgent => Priority::Urgent,
        });
    }
    if let Some(text) = args.text {
        filter = filter.text(text);
    }
    if let Some(execution) = args.execution {
        filter = filter.execution_arn(execution);
    }
    filter
}

/// An approval's id as a person gives it: whole or its beginning, with or without "apr_".
struct GivenId(String);

/// How long a whole id is.
const ID_LENGTH: usize = 30;

impl GivenId {
    fn new(text: &str) -> Self {
        let text = text.trim();
        if text.starts_with("apr_") { Self(text.to_owned()) } else { Self(format!("apr_{text}")) }
    }

    fn is_whole(&self) -> bool {
        self.0.len() == ID_LENGTH
    }

    /// The whole id, which the server is asked for where this is its beginning.
    async fn whole(self, client: &Client) -> Result<String, Error> {
        if self.is_whole() { Ok(self.0) } else { Ok(client.get(self.0).await?.id) }
    }
}
