use std::path::Path;

use approve_client::proto::Plan;

use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{json::PlanJson, plan as render},
    spec,
};

pub(super) async fn plan(context: &Context, path: &Path) -> Result<Exit, Failure> {
    let spec = spec::read(path)?;
    let plan = context.connect().await?.plan_workflow(spec).await?;
    print(context, &plan)
}

pub(super) async fn drift(context: &Context, name: String) -> Result<Exit, Failure> {
    let plan = context.connect().await?.workflow_drift(name).await?;
    print(context, &plan)
}

fn print(context: &Context, plan: &Plan) -> Result<Exit, Failure> {
    if context.json() {
        context.out.print_json(&PlanJson::from(plan))?;
    } else {
        context.out.print(&render::page(plan, context.out.style))?;
    }
    Ok(if render::is_empty(plan) { Exit::Ok } else { Exit::Changes })
}
