use std::path::Path;

use approve_client::{
    Approval, ApprovalStatus, Client, Decide, Decided, Decision, Reason,
    proto::{CommentPolicy, DeliveryState, Rule},
};
use serde::Serialize;

use super::{
    GivenId,
    actions::repeat_with,
    choice::{self, Choice},
    form, prompt,
    start::check_json,
};
use crate::{
    args::DecideArgs,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{approval, delivery, json::ApprovalJson, names::Name, progress, style::Style, text},
    spec,
};

#[derive(Serialize)]
struct DecidedJson<'a> {
    approval: ApprovalJson<'a>,
    revision: i64,
    request_id: &'a str,
}

pub(crate) async fn run(context: &Context, mut args: DecideArgs) -> Result<Exit, Failure> {
    args.response = args.response.map(|response| read_response(&response)).transpose()?;
    let flag = match (args.approve, args.reject, args.outcome.take()) {
        (true, ..) => Some(Choice::Decision(Decision::Approve)),
        (_, true, _) => Some(Choice::Decision(Decision::Reject)),
        (.., Some(name)) => Some(Choice::Outcome(name)),
        _ => None,
    };
    if flag.is_none() && !prompt::is_possible() {
        let what = "say --approve, --reject or --outcome: there is no terminal to ask on";
        return Err(Failure::Usage(what.into()));
    }
    let client = context.connect().await?;
    match flag {
        Some(choice) => {
            let id = GivenId::new(&args.id).whole(&client).await?;
            let sent = send(&client, with_options(choice.on(id), &args)).await?;
            report(context, &sent)
        }
        None => ask_and_decide(context, &client, &args).await,
    }
}

/// JSON, or the file that it names.
pub(super) fn read_response(given: &str) -> Result<String, Failure> {
    let (what, text) = match given.strip_prefix('@') {
        Some(file) => (file.to_owned(), spec::read_text(Path::new(file))?),
        None => ("--response".to_owned(), given.to_owned()),
    };
    check_json(&what, &text)?;
    Ok(text)
}

fn with_options(mut decide: Decide, args: &DecideArgs) -> Decide {
    decide = decide.wait_for_delivery(!args.no_wait);
    if let Some(comment) = &args.comment {
        decide = decide.comment(comment);
    }
    if let Some(response) = &args.response {
        decide = decide.response_json(response);
    }
    if let Some(etag) = &args.etag {
        decide = decide.etag(etag);
    }
    if let Some(request_id) = &args.request_id {
        decide = decide.with_request_id(request_id);
    }
    decide
}

struct Sent {
    decided: Decided,
    request_id: String,
}

async fn send(client: &Client, decide: Decide) -> Result<Sent, Failure> {
    let request_id = decide.request_id().to_owned();
    let decided = client.decide(decide).await.map_err(|error| repeat_with(error, &request_id))?;
    Ok(Sent { decided, request_id })
}

/// Shows the facts and asks, again and again while the approval changes under the person's eyes.
async fn ask_and_decide(context: &Context, client: &Client, args: &DecideArgs) -> Result<Exit, Failure> {
    let style = Style::for_stderr();
    let id = GivenId::new(&args.id).0;
    loop {
        let seen = client.get(id.as_str()).await?;
        let page = approval::facts(&seen, &context.out.now(), style);
        context.out.note(&page);
        if seen.status() != ApprovalStatus::Pending {
            let status = ApprovalStatus::lower(seen.status);
            return Err(Failure::Precondition { what: format!("it is {status} already") });
        }
        match decide_seen(client, &seen, args).await {
            Ok(Some(sent)) => return report(context, &sent),
            Ok(None) => {
                context.out.note("nothing was decided");
                return Ok(Exit::Ok);
            }
            Err(Failure::Client(error)) if error.reason() == Some(&Reason::EtagMismatch) && args.etag.is_none() => {
                context.out.note(&style.yellow("it changed while you looked; nothing was decided. As it is now:\n"));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Asks, until the server takes the answers; `None` where the person leaves.
async fn decide_seen(client: &Client, seen: &Approval, args: &DecideArgs) -> Result<Option<Sent>, Failure> {
    loop {
        let Some(mut decide) = ask(seen, args).await? else { return Ok(None) };
        if args.etag.is_none() {
            decide = decide.etag(seen.etag.as_str());
        }
        match send(client, decide).await {
            Err(failure) if can_be_answered_better(&failure, args) => failure.report(),
            sent => return sent.map(Some),
        }
    }
}

/// Whether the server did not take an answer that was asked for here.
fn can_be_answered_better(failure: &Failure, args: &DecideArgs) -> bool {
    let Failure::Client(error) = failure else { return false };
    match error.reason() {
        Some(Reason::ResponseInvalid) => args.response.is_none(),
        Some(Reason::CommentRequired) => args.comment.is_none(),
        _ => false,
    }
}

/// Asks for a decision and what it needs; `None` where the person leaves.
async fn ask(seen: &Approval, args: &DecideArgs) -> Result<Option<Decide>, Failure> {
    let Some(choice) = choice::ask(seen).await? else { return Ok(None) };
    let decision = choice.decision(seen);
    let mut decide = with_options(choice.on(seen.id.as_str()), args);
    if args.comment.is_none() {
        let Some(comment) = ask_comment(seen, decision).await? else { return Ok(None) };
        decide = decide.comment(comment);
    }
    let schema = seen.rule.as_ref().map(|rule| rule.response_schema_json.as_str()).filter(|schema| !schema.is_empty());
    if let Some(schema) = schema.filter(|_| args.response.is_none() && decision == Decision::Approve) {
        let Some(response) = form::ask(schema).await? else { return Ok(None) };
        decide = decide.response_json(response);
    }
    Ok(Some(decide))
}

/// Whether a decision has to say why.
pub(crate) fn needs_comment(rule: Option<&Rule>, decision: Decision) -> bool {
    match rule.map(Rule::comment_policy) {
        Some(CommentPolicy::Always) => true,
        Some(CommentPolicy::OnReject) => decision == Decision::Reject,
        _ => false,
    }
}

/// Asks for a comment until there is one where the rule needs one; `None` at the end of input.
async fn ask_comment(approval: &Approval, decision: Decision) -> Result<Option<String>, Failure> {
    let needed = needs_comment(approval.rule.as_ref(), decision);
    let question = if needed { "Comment (needed): " } else { "Comment (Enter for none): " };
    loop {
        match prompt::ask(question).await? {
            Some(comment) if comment.is_empty() && needed => {}
            answer => return Ok(answer),
        }
    }
}

fn report(context: &Context, sent: &Sent) -> Result<Exit, Failure> {
    let decided = &sent.decided.approval;
    let style = context.out.style;
    if context.json() {
        context.out.print_json(&DecidedJson {
            approval: ApprovalJson::from(decided),
            revision: sent.decided.revision,
            request_id: &sent.request_id,
        })?;
    } else {
        let title = text::line(&decided.title);
        let status = approval::status(decided, style);
        let outcome = if decided.status() == ApprovalStatus::Pending {
            format!("recorded; {}", progress::line(decided))
        } else {
            delivery::line(decided, &context.out.now(), style)
        };
        let id = text::line(&decided.id);
        context.out.print(&format!("{status}  {id}  {title}\n{outcome}\n"))?;
    }
    match decided.delivery.as_ref().map(|delivery| delivery.state()) {
        Some(DeliveryState::Undeliverable) => Ok(Exit::Undeliverable),
        _ => Ok(Exit::Ok),
    }
}
