use crate::{
    args::ShowArgs,
    commands::GivenId,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{approval, json::ApprovalJson},
};

pub(crate) async fn run(context: &Context, args: ShowArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let approval = client.get(GivenId::new(&args.id).0).await?;
    if context.json() {
        context.out.print_json(&ApprovalJson::from(&approval))?;
    } else {
        let page = approval::facts(&approval, &context.out.now(), context.out.style);
        context.out.print(&page)?;
    }
    Ok(Exit::Ok)
}
