use super::GivenId;
use crate::{
    args::{IdArgs, RuleCheckArgs},
    context::{Context, principal},
    exit::Exit,
    failure::Failure,
    output::{
        explain,
        json::{CheckJson, ExplanationJson},
    },
    spec,
};

pub(crate) async fn run(context: &Context, args: IdArgs) -> Result<Exit, Failure> {
    let (client, person) = context.connect_to_ask().await?;
    let who = person.as_ref().map_or("you", |person| person.principal.as_str()).to_owned();
    let explanation = client.explain(GivenId::new(&args.id).0, person).await?;
    if context.json() {
        context.out.print_json(&ExplanationJson::from(&explanation))?;
    } else {
        context.out.print(&explain::page(&explanation, &who, context.out.style))?;
    }
    Ok(Exit::Ok)
}

pub(crate) async fn check(context: &Context, args: RuleCheckArgs) -> Result<Exit, Failure> {
    let rule = spec::read_rule(&args.file)?;
    let (client, person) = context.connect_to_ask().await?;
    let who = person.as_ref().map_or("somebody", |person| person.principal.as_str()).to_owned();
    let requester = args.requester.as_deref().map(principal).unwrap_or_default();
    let check = client.check_rule(rule, requester, person).await?;
    if context.json() {
        context.out.print_json(&CheckJson::from(&check))?;
    } else {
        context.out.print(&explain::check(&check, &who, context.out.style))?;
    }
    Ok(if check.problems.is_empty() { Exit::Ok } else { Exit::InvalidInput })
}
