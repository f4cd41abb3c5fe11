//! The page of an approval, and the decision that is made on it.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use http::StatusCode;

use super::{
    Web,
    answer::{Problem, Shell, render},
    decide::{self, Undecided},
    fields::{Fields, Posted},
    session::Visitor,
    view::{self, DecideForm, Facts},
};
use crate::{
    approval::{Approval, ApprovalId, Status},
    auth::Permission,
    operations::OperationError,
};

#[derive(Template)]
#[template(path = "approval.html")]
struct ApprovalPage {
    shell: Shell,
    facts: Facts,
    form: DecideForm,
    /// What the page shows, for what changes after it.
    revision: i64,
    /// Whether a decision was just made here.
    done: bool,
    may_audit: bool,
    may_decide: bool,
}

/// An approval that a visitor sees.
pub(super) async fn find(web: &Web, visitor: &Visitor, id: &str) -> Result<Arc<Approval>, Problem> {
    let id: ApprovalId = id.parse().map_err(|_| Problem::not_found())?;
    Ok(web.operations.seen(&visitor.caller, &id).await?)
}

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(id): Path<String>,
    fields: Fields,
) -> Response {
    match find(&web, &visitor, &id).await {
        Ok(approval) => {
            let form = form(&web, &visitor, &approval, &place(&approval.id));
            let done = fields.get("done") == "yes" && form.decided.is_some();
            show(&web, &visitor, &approval, StatusCode::OK, form, done)
        }
        Err(problem) => problem.page(Some(&visitor)),
    }
}

/// Where the page of an approval is.
fn place(id: &ApprovalId) -> String {
    format!("/approvals/{id}")
}

/// The form of a page, which is sent to below it.
pub(super) fn form(web: &Web, visitor: &Visitor, approval: &Approval, page: &str) -> DecideForm {
    DecideForm::new(approval, &visitor.caller.person, format!("{page}/decide"), web.operations.clock.now())
}

pub(super) fn show(
    web: &Web,
    visitor: &Visitor,
    approval: &Approval,
    status: StatusCode,
    form: DecideForm,
    done: bool,
) -> Response {
    let page = ApprovalPage {
        shell: Shell::new(view::brief(&approval.request.title, 80), "", Some(visitor)),
        facts: Facts::new(approval, web.operations.clock.now()),
        revision: approval.revision,
        may_audit: visitor.may_audit(&approval.request.source.workflow),
        may_decide: visitor.caller.may_on(Permission::Decide, approval) && approval.status == Status::Pending,
        form,
        done,
    };
    render(status, &page)
}

pub(super) async fn decide(State(web): State<Arc<Web>>, Path(id): Path<String>, posted: Posted) -> Response {
    let Posted { visitor, fields } = posted;
    let approval = match find(&web, &visitor, &id).await {
        Ok(approval) => approval,
        Err(problem) => return problem.page(Some(&visitor)),
    };
    match decide::decide(&web, &visitor.caller, &approval, &fields).await {
        Ok(_) => done(&approval.id),
        Err(undecided) => again(&web, &visitor, &approval, &fields, undecided, &place(&approval.id)).await,
    }
}

/// What follows on a decision.
pub(super) fn done(id: &ApprovalId) -> Response {
    Redirect::to(&format!("{}?done=yes", place(id))).into_response()
}

/// The page as it is now, with what was said and why it was not taken.
pub(super) async fn again(
    web: &Web,
    visitor: &Visitor,
    before: &Approval,
    said: &Fields,
    why: Undecided,
    page: &str,
) -> Response {
    let none = BTreeMap::new();
    let (status, error, errors) = match why {
        Undecided::Form(errors) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "Some of it needs another look; see below.".to_owned(), errors)
        }
        Undecided::NoChoice => (StatusCode::UNPROCESSABLE_ENTITY, "Choose what to decide.".to_owned(), none),
        Undecided::Failed(error) => {
            if !matches!(error, OperationError::Refused(_)) {
                return failed(web, visitor, before, error).await.page(Some(visitor));
            }
            let problem = Problem::from(error);
            (problem.status, problem.text, none)
        }
    };
    // As it is now: that may be what it is about.
    let approval = match web.operations.seen(&visitor.caller, &before.id).await {
        Ok(approval) => approval,
        Err(error) => return Problem::from(error).page(Some(visitor)),
    };
    let mut form = form(web, visitor, &approval, page).again(said, &errors);
    form.error = Some(error);
    show(web, visitor, &approval, status, form, false)
}

/// Keeps that somebody tried what they may not do, as the gate of calls does.
pub(super) async fn failed(web: &Web, visitor: &Visitor, approval: &Approval, error: OperationError) -> Problem {
    if let OperationError::Auth(crate::auth::AuthError::Permission(_)) = &error {
        let event = crate::audit::AdminEvent::PermissionRefused {
            method: "web/decide".to_owned(),
            reason: "PERMISSION_MISSING".to_owned(),
        };
        let operations = &web.operations;
        let origin = visitor.caller.origin.clone();
        let recorded =
            operations.store.record(origin, None, Some(approval.id.clone()), event, operations.clock.now()).await;
        if let Err(error) = recorded {
            tracing::warn!(error = &error as &dyn std::error::Error, "a refused decision was not recorded");
        }
    }
    Problem::from(error)
}
