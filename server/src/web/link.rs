//! Links of messages: each for one approval and one person, signed, and at an end after a while.
//!
//! A link is no key: whoever opens one signs in as everywhere, and has to be the one it was made for. To open it, as mail
//! scanners do again and again, shows a page; only its form decides, and that is sent by whoever is signed in, with
//! their session's token.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;

use super::{
    Web,
    answer::Problem,
    approval::{again, done, find, form, show},
    decide,
    fields::Posted,
    session::Visitor,
    view::name,
};
use crate::{approval::Approval, notify::BadLink};

/// The approval that a link is for, if it is this visitor's.
async fn follow(web: &Web, visitor: &Visitor, token: &str) -> Result<Arc<Approval>, Problem> {
    let read = match &web.links {
        Some(links) => links.read(token, web.operations.clock.now()),
        None => Err(BadLink::Forged),
    };
    let link = read.map_err(|bad| match bad {
        BadLink::Forged => {
            Problem::new(StatusCode::NOT_FOUND, "This link is not known", "It may be incomplete: copy all of it.")
        }
        BadLink::Expired => Problem::new(
            StatusCode::GONE,
            "This link has ended",
            "Nothing was decided by it. What waits for you is in the inbox.",
        ),
    })?;
    if link.person != visitor.caller.person.principal {
        let (own, theirs) = (name(&link.person), name(&visitor.caller.person.principal));
        let text = format!("It was sent to {own}, and you are signed in as {theirs}. Nothing was decided.");
        return Err(Problem::new(StatusCode::FORBIDDEN, "This link is for somebody else", text));
    }
    find(web, visitor, link.approval.as_str()).await
}

fn place(token: &str) -> String {
    format!("/link/{token}")
}

pub(super) async fn page(State(web): State<Arc<Web>>, visitor: Visitor, Path(token): Path<String>) -> Response {
    match follow(&web, &visitor, &token).await {
        Ok(approval) => {
            let form = form(&web, &visitor, &approval, &place(&token));
            show(&web, &visitor, &approval, StatusCode::OK, form, false)
        }
        Err(problem) => problem.page(Some(&visitor)),
    }
}

pub(super) async fn decide(State(web): State<Arc<Web>>, Path(token): Path<String>, posted: Posted) -> Response {
    let Posted { visitor, fields } = posted;
    let approval = match follow(&web, &visitor, &token).await {
        Ok(approval) => approval,
        Err(problem) => return problem.page(Some(&visitor)),
    };
    match decide::decide(&web, &visitor.caller, &approval, &fields).await {
        Ok(_) => done(&approval.id),
        Err(undecided) => again(&web, &visitor, &approval, &fields, undecided, &place(&token)).await,
    }
}
