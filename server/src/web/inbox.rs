//! What waits for somebody.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use http::StatusCode;

use super::{
    Web,
    answer::{Problem, Shell, render},
    fields::Fields,
    list::{self, Search},
    session::Visitor,
    view::Row,
};
use crate::{
    approval::{Approval, Status},
    auth::{Permission, Slot},
    operations::OperationError,
    store::Order,
};

/// How many are shown at once.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    shell: Shell,
    search: Search,
    rows: Vec<Row>,
    /// Whether there are more than these.
    more: bool,
    /// Where the next ones are.
    next: String,
    first: bool,
    live: String,
    mine: String,
    all: String,
    may_decide: bool,
}

pub(super) async fn page(State(web): State<Arc<Web>>, visitor: Visitor, fields: Fields) -> Response {
    match try_page(&web, visitor, &fields).await {
        Ok(answer) => answer,
        Err((problem, visitor)) => problem.page(Some(&visitor)),
    }
}

async fn try_page(web: &Web, mut visitor: Visitor, fields: &Fields) -> Result<Response, (Problem, Visitor)> {
    if let Err(error) = visitor.take(web, Slot::List) {
        return Err((OperationError::Auth(error).into(), visitor));
    }
    let search = Search::read(web, &visitor, fields);
    // Before what is listed: what comes in between is told twice rather than not at all.
    let since = web.operations.store.head().borrow().to_string();
    let after = fields.get("after");
    let filter = search.filter(&visitor, !search.all);
    let query = list::query(filter, vec![Status::Pending], Order::OldestFirst, after, PAGE);
    let now = web.operations.clock.now();
    let kept = |approval: &Approval| {
        // Most urgent first, then what ends first. Over several pages that holds for each.
        let priority = std::cmp::Reverse(approval.request.priority);
        ((priority, approval.expires.is_none(), approval.expires, approval.id.clone()), Row::new(approval, now))
    };
    let (mut found, next) = match list::collect(web, query, kept).await {
        Ok(found) => found,
        Err(error) => return Err((error.into(), visitor)),
    };
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let next_id = next.as_ref().map_or("", |id| id.as_str());
    let page = InboxPage {
        shell: Shell::new(
            if search.all { "All pending" } else { "For you" },
            if search.all { "all" } else { "inbox" },
            Some(&visitor),
        ),
        rows: found.into_iter().map(|(_, row)| row).collect(),
        more: next.is_some(),
        next: format!("/?{}", search.query(&[("after", next_id)])),
        first: after.is_empty(),
        live: format!("/live?{}", search.query(&[("since", &since)])),
        mine: "/".to_owned(),
        all: "/?show=all".to_owned(),
        may_decide: visitor.caller.may_somewhere(Permission::Decide),
        search,
    };
    Ok(render(StatusCode::OK, &page))
}
