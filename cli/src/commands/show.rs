use approve_client::ApprovalStatus;

use crate::{
    args::IdArgs,
    commands::GivenId,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{approval, json::ApprovalJson, text},
};

pub(crate) async fn run(context: &Context, args: IdArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let approval = client.get(GivenId::new(&args.id).0).await?;
    if context.json() {
        context.out.print_json(&ApprovalJson::from(&approval))?;
    } else {
        let page = approval::facts(&approval, &context.out.now(), context.out.style);
        context.out.print(&page)?;
        if approval.status() == ApprovalStatus::Pending {
            let id = text::line(&approval.id);
            context.out.advise(&format!("\ndecide it: approve-cli decide {id} [--approve | --reject]"));
        }
    }
    Ok(Exit::Ok)
}
