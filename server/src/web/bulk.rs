//! Several decisions at once: first a page that says what would happen to each, then they are made. Each is a decision of
//! its own, on the version that was shown.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use http::StatusCode;

use super::{
    Web,
    answer::{Problem, Shell, render},
    approval::{failed, find},
    decide::{self, Undecided},
    fields::{Fields, Posted},
    session::Visitor,
    view::{self, Row},
};
use crate::{
    approval::{Approval, Decision, explain},
    operations::OperationError,
};

/// The most that are decided at once.
const MAX_PICKED: usize = 100;

/// One of those that were picked.
struct Picked {
    row: Row,
    /// As it was picked: id and version.
    pick: String,
    /// What the decision does, or did, or why it is not made.
    text: String,
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct BulkPage {
    shell: Shell,
    choice: &'static str,
    verb: &'static str,
    request_id: String,
    ready: Vec<Picked>,
    left_out: Vec<Picked>,
    comment: String,
    needs_comment: bool,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "bulk_done.html")]
struct DonePage {
    shell: Shell,
    verb: &'static str,
    done: Vec<Picked>,
    failed: Vec<Picked>,
}

/// What is to be done with all of them.
fn decision(fields: &Fields) -> Option<(Decision, &'static str, &'static str)> {
    match fields.get("choice") {
        "approve" => Some((Decision::Approve, "approve", "Approve")),
        "reject" => Some((Decision::Reject, "reject", "Reject")),
        _ => None,
    }
}

/// Each picked id with its version, once.
fn picks(fields: &Fields) -> Vec<(&str, &str)> {
    let mut picks: Vec<(&str, &str)> = Vec::new();
    for pick in fields.all("pick").filter_map(|pick| pick.split_once('@')) {
        if !picks.iter().any(|(id, _)| *id == pick.0) {
            picks.push(pick);
        }
    }
    picks
}

fn check(fields: &Fields) -> Result<(Decision, &'static str, &'static str), Problem> {
    let decision = decision(fields).ok_or_else(|| Problem::bad("Choose whether to approve or to reject."))?;
    match picks(fields).len() {
        0 => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Nothing is selected",
            "Select what you want to decide in the list, then choose again.",
        )),
        1..=MAX_PICKED => Ok(decision),
        _ => Err(Problem::bad(format!("At most {MAX_PICKED} can be decided at once."))),
    }
}

/// Says what would happen.
pub(super) async fn confirm(State(web): State<Arc<Web>>, posted: Posted) -> Response {
    let Posted { visitor, fields } = posted;
    match check(&fields) {
        Ok(_) => show(&web, &visitor, &fields, StatusCode::OK, None).await,
        Err(problem) => problem.page(Some(&visitor)),
    }
}

async fn show(web: &Web, visitor: &Visitor, fields: &Fields, status: StatusCode, error: Option<String>) -> Response {
    let Some((decision, choice, verb)) = decision(fields) else {
        return Problem::bad("Choose whether to approve or to reject.").page(Some(visitor));
    };
    let (mut ready, mut left_out, mut needs_comment) = (Vec::new(), Vec::new(), false);
    for (id, etag) in picks(fields) {
        let approval = match find(web, visitor, id).await {
            Ok(approval) => approval,
            Err(problem) if problem.status == StatusCode::NOT_FOUND => continue,
            Err(problem) => return problem.page(Some(visitor)),
        };
        let row = Row::new(&approval, web.operations.clock.now());
        let pick = format!("{id}@{etag}");
        match effect(web, visitor, &approval, etag, decision) {
            Ok(text) => {
                needs_comment |= approval.request.rule.wants_comment(decision);
                ready.push(Picked { row, pick, text });
            }
            Err(text) => left_out.push(Picked { row, pick, text }),
        }
    }
    let page = BulkPage {
        shell: Shell::new(format!("{verb} {}", ready.len()), "inbox", Some(visitor)),
        choice,
        verb,
        request_id: uuid::Uuid::new_v4().to_string(),
        ready,
        left_out,
        comment: fields.get("comment").to_owned(),
        needs_comment,
        error,
    };
    render(status, &page)
}

/// What the decision would do to one of them, or why it is left out.
fn effect(web: &Web, visitor: &Visitor, approval: &Approval, etag: &str, decision: Decision) -> Result<String, String> {
    if approval.etag() != etag {
        return Err("It has changed since you selected it: look at it again.".to_owned());
    }
    if decision == Decision::Approve && approval.request.rule.response_schema.is_some() {
        return Err("It asks for answers: decide it on its own page.".to_owned());
    }
    let explanation = explain(approval, Some(&visitor.caller.person), web.operations.clock.now());
    let plain = explanation.effects.iter().find(|effect| effect.decision == decision && effect.outcome.is_none());
    match plain {
        Some(effect) => match &effect.result {
            Ok(status) => Ok(view::consequence(&explanation, decision, status)),
            Err(refusal) => Err(view::refusal(refusal)),
        },
        None => Err("It can\u{2019}t be decided now.".to_owned()),
    }
}

/// Decides.
pub(super) async fn decide(State(web): State<Arc<Web>>, posted: Posted) -> Response {
    let Posted { visitor, fields } = posted;
    let verb = match check(&fields) {
        Ok((_, _, verb)) => verb,
        Err(problem) => return problem.page(Some(&visitor)),
    };
    let (mut done, mut not) = (Vec::new(), Vec::new());
    for (at, (id, etag)) in picks(&fields).into_iter().enumerate() {
        let approval = match find(&web, &visitor, id).await {
            Ok(approval) => approval,
            Err(problem) if problem.status == StatusCode::NOT_FOUND => continue,
            // What was decided so far holds, and the form can be sent again.
            Err(problem) => return problem.page(Some(&visitor)),
        };
        let pick = format!("{id}@{etag}");
        if let Err(error) = if at == 0 { Ok(()) } else { visitor.count(&web) } {
            return Problem::from(OperationError::Auth(error)).page(Some(&visitor));
        }
        let said = Fields::of([
            ("choice", fields.get("choice")),
            ("comment", fields.get("comment")),
            ("etag", etag),
            // For each its own, the same whenever this form is sent.
            ("request_id", &format!("{}/{at}", fields.get("request_id"))),
        ]);
        let now = web.operations.clock.now();
        match decide::decide(&web, &visitor.caller, &approval, &said).await {
            Ok(approval) => {
                let row = Row::new(&approval, now);
                let text = match row.status.text {
                    "Pending" => format!("Counted; {} so far", row.progress),
                    other => other.to_owned(),
                };
                done.push(Picked { row, pick, text });
            }
            Err(Undecided::Form(errors)) if errors.contains_key("comment") && done.is_empty() => {
                let error = errors.get("comment").cloned();
                return show(&web, &visitor, &fields, StatusCode::UNPROCESSABLE_ENTITY, error).await;
            }
            Err(undecided) => {
                let text = match undecided {
                    Undecided::Form(_) | Undecided::NoChoice => {
                        "It asks for more than this: decide it on its own page.".to_owned()
                    }
                    Undecided::Failed(error) => failed(&web, &visitor, &approval, error).await.text,
                };
                not.push(Picked { row: Row::new(&approval, now), pick, text });
            }
        }
    }
    let shell = Shell::new("What was decided", "inbox", Some(&visitor));
    render(StatusCode::OK, &DonePage { shell, verb, done, failed: not })
}
