//! Lists. An index yields ids in order; what it can't tell is looked at row by row, in bounded pieces.

use std::{collections::BTreeSet, sync::Arc};

use rusqlite::{Connection, ToSql};

use super::{
    connection::failed,
    rows::{MAX_PIECE_BYTES, limit as sql_limit, parse_id, text},
    search::{self, BucketIds},
};
use crate::{
    approval::{ApprovalId, Request, Status},
    store::{
        Filter, ListQuery, Order, Page, StoreError,
        codec::{decode, decode_approval},
        search::{Driver, Drivers, Indexes, MAX_LOOKED_AT, start, trigrams},
    },
};

/// So many ids are read at a time, at least.
const MIN_PIECE: usize = 64;

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

pub(super) const BY_TERM: [&str; 2] = ids!("waiting WHERE term = ?3 AND", "approval_id");

pub(super) const LABELED: &str = "SELECT count(*) FROM (SELECT 1 FROM labels WHERE key = ?1 AND value = ?2 LIMIT ?3)";
pub(super) const WAITING: &str = "SELECT count(*) FROM (SELECT 1 FROM waiting WHERE term = ?1 LIMIT ?2)";

pub(super) const ROW: &str = "SELECT a.status, a.revision, e.state, r.request, r.input
    FROM approvals a
    JOIN events e ON e.revision = a.revision
    JOIN requests r ON r.approval = a.number
    WHERE a.id = ?1";

/// A page.
pub(super) fn list(connection: &Connection, query: &ListQuery) -> Result<Page, StoreError> {
    let statuses = query.statuses_asked();
    let driver = driver(connection, query, &statuses)?;
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
fn driver<'a>(connection: &Connection, query: &'a ListQuery, statuses: &[Status]) -> Result<Driver<'a>, StoreError> {
    let indexed = search::unindexed(connection)? == 0;
    let searched = query.filter.text.as_deref().is_some_and(|text| !trigrams(text).is_empty());
    let indexes = Indexes { waiting: indexed, text: indexed && searched, text_in_order: true };
    let Drivers { narrow, broad } = Drivers::of(query, statuses, indexes);
    let mut rarest = (MAX_LOOKED_AT + 1, broad);
    for driver in narrow {
        let count = count(connection, &driver, rarest.0)?;
        if count < rarest.0 {
            rarest = (count, driver);
        }
    }
    Ok(rarest.1)
}

/// How many an index leads to, at most `most`.
fn count(connection: &Connection, driver: &Driver<'_>, most: usize) -> Result<usize, StoreError> {
    let limit = sql_limit(most);
    let run = |sql: &str, params: &[&dyn ToSql]| -> Result<usize, StoreError> {
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let count: i64 = statement.query_row(params, |row| row.get(0)).map_err(failed)?;
        Ok(usize::try_from(count).unwrap_or(0))
    };
    match driver {
        Driver::Label(key, value) => run(LABELED, &[key, value, &limit]),
        Driver::Waiting(terms) => {
            let mut count = 0;
            for term in terms {
                count += run(WAITING, &[term, &limit])?;
            }
            Ok(count.min(most))
        }
        Driver::Text(text) => search::count(connection, &search::expression(connection, text)?, most),
        // They are asked for as they are.
        Driver::Execution(_) | Driver::Workflow(_) | Driver::Status | Driver::Id => Ok(most),
    }
}

impl Driver<'_> {
    /// The next ids, in order.
    fn ids(
        &self,
        connection: &Connection,
        statuses: &[Status],
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let after = after.unwrap_or(start(order));
        let limit_param = sql_limit(limit);
        let one = |sql: [&'static str; 2], more: &[&dyn ToSql]| {
            let mut params: Vec<&dyn ToSql> = vec![&after, &limit_param];
            params.extend(more);
            ids(connection, in_order(sql, order), &params)
        };
        // An index by status yields one status in order, one by term one term; several are merged.
        let merged = |parts: &mut dyn Iterator<Item = Result<Vec<String>, StoreError>>| {
            let mut all = BTreeSet::new();
            for part in parts {
                all.extend(part?);
            }
            let mut all: Vec<_> = all.into_iter().collect();
            if order == Order::NewestFirst {
                all.reverse();
            }
            all.truncate(limit);
            Ok(all)
        };
        let names = statuses.iter().map(|status| status.name());
        match self {
            Driver::Execution(arn) => one(BY_EXECUTION, &[arn]),
            Driver::Label(key, value) => one(BY_LABEL, &[key, value]),
            Driver::Waiting(terms) => merged(&mut terms.iter().map(|term| one(BY_TERM, &[term]))),
            Driver::Text(text) => BucketIds { connection, order, after, limit }.holding(text),
            Driver::Id => one(BY_ID, &[]),
            Driver::Status => merged(&mut names.map(|status| one(BY_STATUS, &[&status]))),
            Driver::Workflow(name) => merged(&mut names.map(|status| one(BY_WORKFLOW, &[&status, name]))),
        }
    }
}

/// The statement for an order.
pub(super) fn in_order([newest, oldest]: [&'static str; 2], order: Order) -> &'static str {
    match order {
        Order::NewestFirst => newest,
        Order::OldestFirst => oldest,
    }
}

pub(super) fn ids(connection: &Connection, sql: &str, params: &[&dyn ToSql]) -> Result<Vec<String>, StoreError> {
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
