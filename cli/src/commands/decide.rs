use approve_client::{
    Approval, ApprovalStatus, Client, Decide, Decided, Decision, Error, Reason,
    proto::{CommentPolicy, DeliveryState},
};
use serde::Serialize;

use super::{GivenId, prompt, start::check_json};
use crate::{
    args::DecideArgs,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{approval, delivery, json::ApprovalJson, names::Name, style::Style, text},
};

#[derive(Serialize)]
struct DecidedJson<'a> {
    approval: ApprovalJson<'a>,
    revision: i64,
    request_id: &'a str,
}

pub(crate) async fn run(context: &Context, args: DecideArgs) -> Result<Exit, Failure> {
    if let Some(response) = &args.response {
        check_json("--response", response)?;
    }
    let flag = match (args.approve, args.reject) {
        (true, _) => Some(Decision::Approve),
        (_, true) => Some(Decision::Reject),
        _ => None,
    };
    if flag.is_none() && !prompt::is_possible() {
        return Err(Failure::Usage("say --approve or --reject: there is no terminal to ask on".into()));
    }
    let client = context.connect().await?;
    match flag {
        Some(decision) => {
            let id = GivenId::new(&args.id);
            let id = if id.is_whole() { id.0 } else { client.get(id.0).await?.id };
            let decide = with_options(Decide::new(id, decision), &args);
            let sent = send(&client, decide).await?;
            report(context, &sent)
        }
        None => ask_and_decide(context, &client, &args).await,
    }
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
    match client.decide(decide).await {
        Ok(decided) => Ok(Sent { decided, request_id }),
        Err(source @ (Error::Timeout { .. } | Error::ConnectionLost { .. })) => Err(Failure::Explained {
            source,
            hint: format!("it may have been recorded; to make sure, repeat it with --request-id {request_id}"),
        }),
        Err(error) => Err(error.into()),
    }
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
        let Some(decision) = ask_decision().await? else {
            context.out.note("nothing was decided");
            return Ok(Exit::Ok);
        };
        let mut decide = with_options(Decide::new(seen.id.as_str(), decision), args);
        if args.comment.is_none() {
            match ask_comment(&seen, decision).await? {
                Some(comment) => decide = decide.comment(comment),
                None => {
                    context.out.note("nothing was decided");
                    return Ok(Exit::Ok);
                }
            }
        }
        if args.etag.is_none() {
            decide = decide.etag(seen.etag.as_str());
        }
        match send(client, decide).await {
            Ok(sent) => return report(context, &sent),
            Err(Failure::Client(error)) if error.reason() == Some(&Reason::EtagMismatch) && args.etag.is_none() => {
                context.out.note(&style.yellow("it changed while you looked; nothing was decided. As it is now:\n"));
            }
            Err(error) => return Err(error),
        }
    }
}

async fn ask_decision() -> Result<Option<Decision>, Failure> {
    loop {
        let answer = prompt::ask("Approve, reject or quit? [a/r/q] ").await?;
        match answer.as_deref().map(str::to_lowercase).as_deref() {
            Some("a" | "approve") => return Ok(Some(Decision::Approve)),
            Some("r" | "reject") => return Ok(Some(Decision::Reject)),
            Some("q" | "quit") | None => return Ok(None),
            Some(_) => {}
        }
    }
}

/// Asks for a comment until there is one where the rule needs one; `None` at the end of input.
async fn ask_comment(approval: &Approval, decision: Decision) -> Result<Option<String>, Failure> {
    let policy = approval.rule.as_ref().map(|rule| rule.comment_policy());
    let needed = match policy {
        Some(CommentPolicy::Always) => true,
        Some(CommentPolicy::OnReject) => decision == Decision::Reject,
        _ => false,
    };
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
            format!("recorded; {}", approval::progress(decided))
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
