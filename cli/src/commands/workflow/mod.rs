//! `workflow …`, one file per command that does more than call and print.

mod apply;
mod code;
mod init;
mod plan;
mod scaffold;

use approve_client::{ApplyOptions, Client, proto::Workflow};

use crate::{
    args::WorkflowCommand,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{
        json::{StepJson, WorkflowJson},
        workflow as render,
    },
};

pub(crate) async fn run(context: &Context, command: WorkflowCommand) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::Init { file, name } => init::run(context, &file, &name),
        WorkflowCommand::Scaffold(args) => scaffold::run(context, &args),
        WorkflowCommand::Export(args) => code::export(context, args).await,
        WorkflowCommand::Attach(args) => code::attach(context, args).await,
        WorkflowCommand::Plan { spec } => plan::plan(context, &spec).await,
        WorkflowCommand::Apply { spec, adopt, replace } => {
            apply::run(context, &spec, ApplyOptions::new().adopt(adopt).replace(replace)).await
        }
        WorkflowCommand::Drift { name } => plan::drift(context, name).await,
        WorkflowCommand::Get { name } => {
            let workflow = context.connect().await?.get_workflow(name).await?;
            print(context, &workflow)?;
            Ok(Exit::Ok)
        }
        WorkflowCommand::List => list(context, context.connect().await?).await,
        WorkflowCommand::Destroy { name, force } => {
            let client = context.connect().await?;
            let steps = client.destroy_workflow(name, force).await?;
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
