//! Lists. An index yields ids in order; what it can't tell is looked at row by row, in bounded pieces.

use std::{collections::BTreeSet, sync::Arc};

use rusqlite::{Connection, ToSql, params};

use super::{
    connection::failed,
    rows::{MAX_PIECE_BYTES, limit as sql_limit, parse_id, text},
};
use crate::{
    approval::{ApprovalId, Request, Status},
    store::{
        Filter, ListQuery, Order, Page, StoreError,
        codec::{decode, decode_approval},
    },
};

/// So many rows are looked at for one page. A label that fewer approvals have leads to them; one that more have does not.
const MAX_LOOKED_AT: usize = 2_000;
/// So many ids are read at a time, at least.
const MIN_PIECE: usize = 64;

/// An index that yields ids, and what to look for in it.
#[derive(Debug, Clone, Copy)]
enum Driver<'a> {
    Execution(&'a str),
    Label(&'a str, &'a str),
    Workflow(&'a str),
    Status,
    Id,
}

macro_rules! ids {
    ($from:literal, $id:literal) => {
        [
            concat!("SELECT ", $id, " FROM ", $from, " ", $id, " < ?1 ORDER BY ", $id, " DESC LIMIT ?2"),
            concat!("SELECT ", $id, " FROM ", $from, " ", $id, " > ?1 ORDER BY ", $id, " LIMIT ?2"),
        ]
    };
}

// Each newest first, then oldest first.
pub(super) const BY_EXECUTION: [&str; 2] = ids!("approvals WHERE execution_arn = ?3 AND", "id");
pub(super) const BY_LABEL: [&str; 2] = ids!("labels WHERE key = ?3 AND value = ?4 AND", "approval_id");
pub(super) const BY_WORKFLOW: [&str; 2] = ids!("approvals WHERE workflow = ?4 AND status = ?3 AND", "id");
pub(super) const BY_STATUS: [&str; 2] = ids!("approvals WHERE status = ?3 AND", "id");
pub(super) const BY_ID: [&str; 2] = ids!("approvals WHERE", "id");

pub(super) const LABELED: &str = "SELECT count(*) FROM (SELECT 1 FROM labels WHERE key = ?1 AND value = ?2 LIMIT ?3)";

pub(super) const ROW: &str = "SELECT a.status, a.revision, e.state, r.request, r.input
    FROM approvals a
    JOIN events e ON e.revision = a.revision
    JOIN requests r ON r.approval = a.number
    WHERE a.id = ?1";

/// A page.
pub(super) fn list(connection: &Connection, query: &ListQuery) -> Result<Page, StoreError> {
    let statuses = query.statuses_asked();
    let driver = driver(connection, &query.filter, &statuses)?;
    let wanted = query.limit.max(1);
    let mut page = Page { approvals: Vec::new(), next: None };
    let mut after = query.after.as_ref().map(|id| id.as_str().to_owned());
    let (mut looked_at, mut bytes) = (0, 0);
    loop {
        // One more than can be used tells whether there is more.
        let piece = (wanted - page.approvals.len()).clamp(MIN_PIECE, MAX_LOOKED_AT);
        let ids = driver.ids(connection, &statuses, query.order, after.as_deref(), piece + 1)?;
        let more = ids.len() > piece;
        for (place, id) in ids.iter().take(piece).enumerate() {
            let found = matching(connection, id, &statuses, &query.filter)?;
            looked_at += 1;
            bytes += found.as_ref().map_or(0, |approval| approval.input.len());
            page.approvals.extend(found);
            if page.approvals.len() == wanted || looked_at == MAX_LOOKED_AT || bytes > MAX_PIECE_BYTES {
                page.next = if place + 1 < ids.len() { Some(parse_id(id)?) } else { None };
                return Ok(page);
            }
        }
        if !more {
            return Ok(page);
        }
        after = ids.into_iter().nth(piece - 1);
    }
}

/// The index that leads to the fewest rows, as far as that can be told cheaply.
fn driver<'a>(connection: &Connection, filter: &'a Filter, statuses: &[Status]) -> Result<Driver<'a>, StoreError> {
    if let Some(arn) = &filter.execution_arn {
        return Ok(Driver::Execution(arn));
    }
    let all_statuses = statuses.len() == Status::ALL.len();
    let mut labels = filter.labels.iter();
    if filter.workflow.is_none()
        && all_statuses
        && let (Some((key, value)), None) = (labels.next(), labels.next())
    {
        return Ok(Driver::Label(key, value));
    }
    let mut rarest: Option<(i64, Driver<'a>)> = None;
    for (key, value) in &filter.labels {
        let most = sql_limit(MAX_LOOKED_AT + 1);
        let count: i64 = connection
            .prepare_cached(LABELED)
            .and_then(|mut statement| statement.query_row(params![key, value, most], |row| row.get(0)))
            .map_err(failed)?;
        if count < most && rarest.is_none_or(|(least, _)| count < least) {
            rarest = Some((count, Driver::Label(key, value)));
        }
    }
    Ok(match (rarest, &filter.workflow) {
        (Some((_, label)), _) => label,
        (None, Some(name)) => Driver::Workflow(name),
        (None, None) if all_statuses => Driver::Id,
        (None, None) => Driver::Status,
    })
}

impl Driver<'_> {
    /// The next ids, in order.
    fn ids(
        self,
        connection: &Connection,
        statuses: &[Status],
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (direction, start) = match order {
            Order::NewestFirst => (0, "{"),
            Order::OldestFirst => (1, ""),
        };
        let after = after.unwrap_or(start);
        let limit_param = sql_limit(limit);
        let one = |sql: [&'static str; 2], more: &[&dyn ToSql]| {
            let [newest, oldest] = sql;
            let sql = if direction == 0 { newest } else { oldest };
            let mut params: Vec<&dyn ToSql> = vec![&after, &limit_param];
            params.extend(more);
            ids(connection, sql, &params)
        };
        // An index by status yields one status in order; several are merged.
        let merged = |of: &dyn Fn(Status) -> Result<Vec<String>, StoreError>| {
            let mut all = BTreeSet::new();
            for status in statuses {
                all.extend(of(*status)?);
            }
            let mut all: Vec<_> = all.into_iter().collect();
            if order == Order::NewestFirst {
                all.reverse();
            }
            all.truncate(limit);
            Ok(all)
        };
        match self {
            Driver::Execution(arn) => one(BY_EXECUTION, &[&arn]),
            Driver::Label(key, value) => one(BY_LABEL, &[&key, &value]),
            Driver::Id => one(BY_ID, &[]),
            Driver::Status => merged(&|status| one(BY_STATUS, &[&status.name()])),
            Driver::Workflow(name) => merged(&|status| one(BY_WORKFLOW, &[&status.name(), &name])),
        }
    }
}

fn ids(connection: &Connection, sql: &str, params: &[&dyn ToSql]) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement.query_map(params, |row| row.get(0)).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

/// The approval, if it is one of those that are asked for.
fn matching(
    connection: &Connection,
    id: &str,
    statuses: &[Status],
    filter: &Filter,
) -> Result<Option<Arc<crate::approval::Approval>>, StoreError> {
    let mut statement = connection.prepare_cached(ROW).map_err(failed)?;
    let mut found = statement.query([id]).map_err(failed)?;
    let Some(row) = found.next().map_err(failed)? else { return Ok(None) };
    let status = text(row, 0)?;
    if statuses.iter().all(|one| one.name() != status) {
        return Ok(None);
    }
    let id: ApprovalId = parse_id(id)?;
    let revision = row.get(1).map_err(failed)?;
    // Most of what is looked at for a rare match is told by its request alone.
    let request: Arc<Request> = decode(text(row, 3)?)?;
    if !filter.may_match(&id, &request) {
        return Ok(None);
    }
    // The input may be long: it is read of those alone that match.
    let mut approval = decode_approval(id, revision, text(row, 2)?, request, Arc::from(""))?;
    if !filter.matches(&approval) {
        return Ok(None);
    }
    approval.input = row.get(4).map_err(failed)?;
    Ok(Some(Arc::new(approval)))
}
