//! The record of an approval: every event, with who was behind it and how that is known.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Web,
    answer::{Problem, Shell, render},
    approval::{failed, find},
    fields::Fields,
    session::Visitor,
    view::{self, When},
};
use crate::{
    approval::Principal,
    auth::{AuthError, Permission},
    operations::OperationError,
    store::{EventQuery, Recorded, Revision},
};

/// How many are shown at once.
const PAGE: usize = 100;

/// A record, as it is read to be shown.
#[derive(Deserialize)]
struct Record<'a> {
    at: Timestamp,
    by: Principal,
    #[serde(default)]
    on_behalf_of: Option<Principal>,
    via: String,
    #[serde(default)]
    address: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
}

struct Line {
    revision: Revision,
    hash: String,
    when: When,
    what: String,
    by: String,
    on_behalf_of: Option<String>,
    via: &'static str,
    address: Option<String>,
    detail: Option<view::Fields>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    id: String,
    title: String,
    lines: Vec<Line>,
    next: Option<String>,
}

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(id): Path<String>,
    fields: Fields,
) -> Response {
    match try_page(&web, &visitor, &id, &fields).await {
        Ok(answer) => answer,
        Err(problem) => problem.page(Some(&visitor)),
    }
}

async fn try_page(web: &Web, visitor: &Visitor, id: &str, fields: &Fields) -> Result<Response, Problem> {
    let approval = find(web, visitor, id).await?;
    if !visitor.may_audit(&approval.request.source.workflow) {
        let error = OperationError::Auth(AuthError::Permission(Permission::Audit));
        return Err(failed(web, visitor, &approval, error).await);
    }
    let before = fields.some("before").and_then(|before| before.parse().ok());
    let query = EventQuery { approval: Some(approval.id.clone()), before, limit: PAGE, ..EventQuery::default() };
    let page = web.operations.store.events(query).await?;
    let page = AuditPage {
        shell: Shell::new("Record", "", Some(visitor)),
        id: approval.id.to_string(),
        title: view::brief(&approval.request.title, 160),
        lines: page.events.iter().filter_map(line).collect(),
        next: page.next.map(|before| format!("/approvals/{}/audit?before={before}", approval.id)),
    };
    Ok(render(StatusCode::OK, &page))
}

fn line(event: &Recorded) -> Option<Line> {
    let record: Record<'_> = serde_json::from_str(&event.record).ok()?;
    Some(Line {
        revision: event.revision,
        hash: event.hash.to_string(),
        when: When::at(record.at),
        what: view::sentence(&record.kind),
        by: view::name(&record.by),
        on_behalf_of: record.on_behalf_of.as_ref().map(view::name),
        via: via(&record.via),
        address: record.address.as_deref().map(view::visible),
        detail: record.detail.map(|detail| view::payload(detail.get())).filter(|fields| !fields.entries.is_empty()),
    })
}

/// How it is known who was behind it.
fn via(via: &str) -> &'static str {
    match via {
        "system" => "of itself",
        "asserted" => "known by their own word",
        "certificate" => "known by a client certificate",
        "jwt" => "known by a token of the identity provider",
        "api_token" => "known by an API token",
        "web" => "in this inbox",
        _ => "known in another way",
    }
}
