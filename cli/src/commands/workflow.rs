use std::path::Path;

use approve_client::{ApplyEvent, Client, proto::Workflow};
use futures::TryStreamExt;
use serde::Serialize;

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

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum ApplyJson<'a> {
    Step { step: StepJson<'a> },
    Applied { workflow: Box<WorkflowJson<'a>> },
}

pub(crate) async fn run(context: &Context, command: WorkflowCommand) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::Apply { spec, adopt } => apply(context, &spec, adopt).await,
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

async fn apply(context: &Context, path: &Path, adopt: bool) -> Result<Exit, Failure> {
    let spec = spec::read(path)?;
    let client = context.connect().await?;
    let mut events = client.apply_workflow(spec, adopt);
    while let Some(event) = events.try_next().await? {
        match event {
            ApplyEvent::Step(step) if context.json() => {
                let step = StepJson::from(&step);
                context.out.print_json_line(&ApplyJson::Step { step })?;
            }
            ApplyEvent::Step(step) => {
                context.out.print(&render::step(&step, context.out.style))?;
            }
            ApplyEvent::Applied(workflow) if context.json() => {
                let workflow = Box::new(WorkflowJson::from(&*workflow));
                context.out.print_json_line(&ApplyJson::Applied { workflow })?;
            }
            ApplyEvent::Applied(workflow) => {
                context.out.print("\n")?;
                print(context, &workflow)?;
            }
            _ => {}
        }
    }
    Ok(Exit::Ok)
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
