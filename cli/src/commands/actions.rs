//! What may be done with an approval beside deciding it.

use approve_client::{Approval, Cancel, Error, Hold, Reassign, Withdraw};
use serde::Serialize;

use super::GivenId;
use crate::{
    args::{CancelArgs, ClaimArgs, HoldArgs, IdArgs, ReassignArgs, WithdrawArgs},
    context::{Context, principal},
    exit::Exit,
    failure::Failure,
    output::{approval, delivery, json::ApprovalJson, progress, text},
};

#[derive(Serialize)]
struct DoneJson<'a> {
    approval: ApprovalJson<'a>,
    request_id: Option<&'a str>,
}

pub(crate) async fn withdraw(context: &Context, args: WithdrawArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let mut withdraw = Withdraw::new(GivenId::new(&args.id).whole(&client).await?);
    if let Some(comment) = args.comment {
        withdraw = withdraw.comment(comment);
    }
    if let Some(request_id) = args.request_id {
        withdraw = withdraw.with_request_id(request_id);
    }
    let request_id = withdraw.request_id().to_owned();
    let approval = client.withdraw(withdraw).await.map_err(|error| repeat_with(error, &request_id))?;
    let told = format!("your vote is withdrawn; {}", progress::line(&approval));
    report(context, &approval, Some(&request_id), &told)
}

pub(crate) async fn claim(context: &Context, args: ClaimArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let id = GivenId::new(&args.id).whole(&client).await?;
    let approval = client.claim(id, args.duration).await?;
    report_claim(context, &approval)
}

pub(crate) async fn release(context: &Context, args: IdArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let id = GivenId::new(&args.id).whole(&client).await?;
    let approval = client.release(id).await?;
    report_claim(context, &approval)
}

pub(crate) async fn reassign(context: &Context, args: ReassignArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let id = GivenId::new(&args.id).whole(&client).await?;
    let mut reassign = Reassign::new(id, principal(&args.to));
    if let Some(comment) = args.comment {
        reassign = reassign.comment(comment);
    }
    if let Some(duration) = args.duration {
        reassign = reassign.lasting(duration);
    }
    let approval = client.reassign(reassign).await?;
    report_claim(context, &approval)
}

pub(crate) async fn cancel(context: &Context, args: CancelArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let mut cancel = Cancel::new(GivenId::new(&args.id).whole(&client).await?, args.reason);
    if let Some(request_id) = args.request_id {
        cancel = cancel.with_request_id(request_id);
    }
    let request_id = cancel.request_id().to_owned();
    let approval = client.cancel(cancel).await.map_err(|error| repeat_with(error, &request_id))?;
    let told = delivery::line(&approval, &context.out.now(), context.out.style);
    report(context, &approval, Some(&request_id), &told)
}

pub(crate) async fn hold(context: &Context, args: HoldArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let mut hold = Hold::new(GivenId::new(&args.id).whole(&client).await?, args.reason);
    if let Some(until) = args.until {
        let end = until.ahead().ok_or_else(|| Failure::input("--until is too far ahead"))?;
        hold = hold.until(end);
    }
    let approval = client.hold(hold).await?;
    report_hold(context, &approval)
}

pub(crate) async fn resume(context: &Context, args: IdArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let id = GivenId::new(&args.id).whole(&client).await?;
    let approval = client.resume(id).await?;
    report_hold(context, &approval)
}

fn report_claim(context: &Context, approval: &Approval) -> Result<Exit, Failure> {
    let told = match progress::claim(approval, &context.out.now()) {
        Some(claim) => format!("claimed {claim}"),
        None => "claimed by nobody".to_owned(),
    };
    report(context, approval, None, &told)
}

fn report_hold(context: &Context, approval: &Approval) -> Result<Exit, Failure> {
    let told = match progress::hold(approval, &context.out.now()) {
        Some(hold) => format!("on hold {hold}"),
        None => "not on hold".to_owned(),
    };
    report(context, approval, None, &told)
}

fn report(context: &Context, done: &Approval, request_id: Option<&str>, told: &str) -> Result<Exit, Failure> {
    if context.json() {
        context.out.print_json(&DoneJson { approval: ApprovalJson::from(done), request_id })?;
    } else {
        let status = approval::status(done, context.out.style);
        let (id, title) = (text::line(&done.id), text::line(&done.title));
        context.out.print(&format!("{status}  {id}  {title}\n{told}\n"))?;
    }
    Ok(Exit::Ok)
}

/// A call that may have been done is safe to repeat with its request id.
pub(super) fn repeat_with(error: Error, request_id: &str) -> Failure {
    match error {
        source @ (Error::Timeout { .. } | Error::ConnectionLost { .. }) => Failure::Explained {
            source,
            hint: format!("it may have been recorded; to make sure, repeat it with --request-id {request_id}"),
        },
        error => error.into(),
    }
}
