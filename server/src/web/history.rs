//! What is over.

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
use crate::{auth::Slot, operations::OperationError, store::Order};

/// How many are shown at once.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    shell: Shell,
    search: Search,
    rows: Vec<Row>,
    next: Option<String>,
    first: bool,
}

pub(super) async fn page(State(web): State<Arc<Web>>, mut visitor: Visitor, fields: Fields) -> Response {
    if let Err(error) = visitor.take(&web, Slot::List) {
        return Problem::from(OperationError::Auth(error)).page(Some(&visitor));
    }
    let search = Search::read(&web, &visitor, &fields);
    let after = fields.get("after");
    let query = list::query(search.filter(&visitor, false), search.finished(), Order::NewestFirst, after, PAGE);
    let now = web.operations.clock.now();
    let (rows, next) = match list::collect(&web, query, |approval| Row::new(approval, now)).await {
        Ok(found) => found,
        Err(error) => return Problem::from(error).page(Some(&visitor)),
    };
    let page = HistoryPage {
        shell: Shell::new("History", "history", Some(&visitor)),
        rows,
        next: next.map(|id| format!("/history?{}", search.query(&[("after", id.as_str())]))),
        first: after.is_empty(),
        search,
    };
    render(StatusCode::OK, &page)
}
