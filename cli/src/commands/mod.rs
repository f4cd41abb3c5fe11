//! One file per command.

mod completions;
mod decide;
mod execution;
mod list;
mod prompt;
mod show;
mod start;
mod watch;
mod workflow;

use approve_client::{Filter, proto::Priority};

use crate::{
    args::{Cli, Command, FilterArgs, PriorityArg},
    context::Context,
    exit::Exit,
    failure::Failure,
};

pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let context = Context::new(cli.global);
    match cli.command {
        Command::List(args) => list::run(&context, args).await,
        Command::Watch(args) => watch::run(&context, args).await,
        Command::Show(args) => show::run(&context, args).await,
        Command::Decide(args) => decide::run(&context, args).await,
        Command::Start(args) => start::run(&context, args).await,
        Command::Execution(args) => execution::run(&context, args).await,
        Command::Workflow(command) => workflow::run(&context, command).await,
        Command::Completions { shell } => completions::run(&context, shell),
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
}
