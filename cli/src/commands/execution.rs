use crate::{
    args::ExecutionArgs,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{execution, json::ExecutionJson},
};

pub(crate) async fn run(context: &Context, args: ExecutionArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let execution = client.get_execution(args.execution, args.workflow.unwrap_or_default()).await?;
    if context.json() {
        context.out.print_json(&ExecutionJson::from(&execution))?;
    } else {
        let page = execution::facts(&execution, &context.out.now(), context.out.style);
        context.out.print(&page)?;
    }
    Ok(Exit::Ok)
}
