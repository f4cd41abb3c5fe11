//! `workflow …`, one file per command that does more than call and print.

mod apply;
mod code;
mod init;
mod plan;
mod scaffold;

use approve_client::{ApplyOptions, Client, Error, Reason, proto::Workflow};

use crate::{
    args::WorkflowCommand,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{
        json::{StepJson, WorkflowJson},
        workflow as render,
    },
    spec,
};

pub(crate) async fn run(context: &Context, command: WorkflowCommand) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::Init { file, name } => init::run(context, &file, &name),
        WorkflowCommand::Scaffold(args) => scaffold::run(context, &args),
        WorkflowCommand::Export(args) => code::export(context, args).await,
        WorkflowCommand::Attach(args) => code::attach(context, args).await,
        WorkflowCommand::Plan { spec } => plan::plan(context, &spec).await,
        WorkflowCommand::Apply { spec, adopt, replace, force } => {
            apply::run(context, &spec, ApplyOptions::new().adopt(adopt).replace(replace).force(force)).await
        }
        WorkflowCommand::Drift { name } => plan::drift(context, name).await,
        WorkflowCommand::Get { name } => {
            let workflow = context.connect().await?.get_workflow(name).await?;
            print(context, &workflow)?;
            Ok(Exit::Ok)
        }
        WorkflowCommand::List => list(context, context.connect().await?).await,
        WorkflowCommand::Destroy { name, spec, force } => {
            let spec = spec.map(|path| spec::read(&path)).transpose()?;
            let client = context.connect().await?;
            let steps = match spec {
                Some(spec) => client.destroy_by_spec(spec, force).await?,
                None => client.destroy_workflow(name.unwrap_or_default(), force).await.map_err(unknown)?,
            };
            if context.json() {
                let steps: Vec<_> = steps.iter().map(StepJson::from).collect();
                context.out.print_json(&steps)?;
            } else {
                for step in &steps {
                    context.out.print(&render::step(step, context.out.style))?;
                }
            }
            Ok(Exit::Ok)
        }
    }
}

/// One whose apply never succeeded is not known by its name.
fn unknown(error: Error) -> Failure {
    match error.reason() {
        Some(Reason::WorkflowNotFound) => Failure::Explained {
            source: error,
            hint:
                "see workflow list; what an apply that never succeeded left behind goes by its spec, with --spec FILE"
                    .to_owned(),
        },
        _ => error.into(),
    }
}

async fn list(context: &Context, client: Client) -> Result<Exit, Failure> {
    let workflows = client.list_workflows().await?;
    if context.json() {
        let workflows: Vec<_> = workflows.iter().map(WorkflowJson::from).collect();
        context.out.print_json(&workflows)?;
    } else if workflows.is_empty() {
        context.out.note("no workflows");
    } else {
        let table = render::table(&workflows, &context.out.now(), context.out.style);
        context.out.print(&table)?;
    }
    Ok(Exit::Ok)
}

fn print(context: &Context, workflow: &Workflow) -> Result<(), Failure> {
    if context.json() {
        context.out.print_json(&WorkflowJson::from(workflow))
    } else {
        let page = render::facts(workflow, &context.out.now(), context.out.style);
        context.out.print(&page)
    }
}
