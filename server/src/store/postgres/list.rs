//! Lists. An index yields ids in order; what it can't tell is looked at row by row, in bounded pieces.

use std::sync::Arc;

use tokio_postgres::{Row, types::ToSql};

use super::{
    log::{Lengths, fixed},
    names::kept,
    readers::Readers,
    rows::{get, limit as sql_limit, parse_id},
};
use crate::{
    approval::{Approval, Status},
    store::{
        Filter, ListQuery, Order, Page, StoreError,
        codec::{decode, decode_approval},
    },
};

/// So many rows are looked at for one page. A label that fewer approvals have leads to them; one that more have does not.
const MAX_LOOKED_AT: usize = 2_000;
/// So many rows are read at a time, at least.
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

macro_rules! listed {
    ($ids:expr, $direction:literal) => {
        concat!(
            "SELECT a.id, a.number, a.status, a.revision, e.state, r.request, octet_length(r.input)
             FROM (",
            $ids,
            " LIMIT $2) d JOIN approvals a ON a.id = d.id JOIN events e ON e.revision = a.revision
             JOIN requests r ON r.approval = a.number ORDER BY a.id",
            $direction
        )
    };
}

macro_rules! ids {
    ($from:literal, $id:literal) => {
        [
            listed!(concat!("SELECT ", $id, " AS id FROM ", $from, " ", $id, " < $1 ORDER BY ", $id, " DESC"), " DESC"),
            listed!(concat!("SELECT ", $id, " AS id FROM ", $from, " ", $id, " > $1 ORDER BY ", $id), ""),
        ]
    };
}

/// An index by status yields one status in order; several are merged.
macro_rules! merged {
    ($where:literal) => {
        [
            listed!(
                concat!(
                    "SELECT x.id FROM unnest($3::text[]) AS u (status) CROSS JOIN LATERAL (
                     SELECT id FROM approvals WHERE ",
                    $where,
                    " status = u.status COLLATE \"C\" AND id < $1 ORDER BY id DESC LIMIT $2) x ORDER BY x.id DESC"
                ),
                " DESC"
            ),
            listed!(
                concat!(
                    "SELECT x.id FROM unnest($3::text[]) AS u (status) CROSS JOIN LATERAL (
                     SELECT id FROM approvals WHERE ",
                    $where,
                    " status = u.status COLLATE \"C\" AND id > $1 ORDER BY id LIMIT $2) x ORDER BY x.id"
                ),
                ""
            ),
        ]
    };
}

// Each newest first, then oldest first.
const BY_EXECUTION: [&str; 2] = ids!("approvals WHERE execution_arn = $3 AND", "id");
const BY_LABEL: [&str; 2] = ids!("labels WHERE key = $3 AND value = $4 AND", "approval_id");
const BY_WORKFLOW: [&str; 2] = merged!("workflow = $4 AND");
const BY_STATUS: [&str; 2] = merged!("");
const BY_ID: [&str; 2] = ids!("approvals WHERE", "id");

const LABELED: &str = "SELECT count(*) FROM (SELECT 1 FROM labels WHERE key = $1 AND value = $2 LIMIT $3) l";

/// A page.
pub(super) async fn list(readers: &Readers, query: &ListQuery) -> Result<Page, StoreError> {
    let statuses = query.statuses_asked();
    let driver = driver(readers, &query.filter, &statuses).await?;
    let wanted = query.limit.max(1);
    let mut found = Found::default();
    let mut after = query.after.as_ref().map(|id| id.as_str().to_owned());
    let mut looked_at = 0;
    loop {
        // One more than can be used tells whether there is more.
        let piece = (wanted - found.rows.len()).clamp(MIN_PIECE, MAX_LOOKED_AT);
        let rows = driver.rows(readers, &statuses, query.order, after.as_deref(), piece + 1).await?;
        let more = rows.len() > piece;
        let count = rows.len();
        for (place, row) in rows.into_iter().take(piece).enumerate() {
            let id: String = get(&row, 0)?;
            found.take(&row, &statuses, &query.filter)?;
            looked_at += 1;
            if found.rows.len() == wanted || looked_at == MAX_LOOKED_AT || found.lengths.is_full() {
                let next = if place + 1 < count { Some(parse_id(&id)?) } else { None };
                return Ok(Page { approvals: found.whole(readers).await?, next });
            }
            after = Some(id);
        }
        if !more {
            return Ok(Page { approvals: found.whole(readers).await?, next: None });
        }
    }
}

/// Those that match, without their inputs.
#[derive(Default)]
struct Found {
    rows: Vec<(i64, Approval)>,
    lengths: Lengths,
}

impl Found {
    fn take(&mut self, row: &Row, statuses: &[Status], filter: &Filter) -> Result<(), StoreError> {
        let (number, status): (i64, &str) = (get(row, 1)?, get(row, 2)?);
        if statuses.iter().all(|one| one.name() != status) {
            return Ok(());
        }
        let (id, request) = (parse_id(get(row, 0)?)?, decode(get(row, 5)?)?);
        let approval = decode_approval(id, get(row, 3)?, get(row, 4)?, request, Arc::from(""))?;
        if filter.matches(&approval) {
            // The input may be long: it is read of those alone that match.
            self.lengths.add(number, get(row, 6)?);
            self.rows.push((number, approval));
        }
        Ok(())
    }

    async fn whole(self, readers: &Readers) -> Result<Vec<Arc<Approval>>, StoreError> {
        let fixed = fixed(readers, &self.lengths).await?;
        let with_input = |(number, mut approval): (i64, Approval)| {
            // One that was archived meanwhile is left out.
            approval.input = Arc::clone(&fixed.get(&number)?.input);
            Some(Arc::new(approval))
        };
        Ok(self.rows.into_iter().filter_map(with_input).collect())
    }
}

/// The index that leads to the fewest rows, as far as that can be told cheaply.
async fn driver<'a>(readers: &Readers, filter: &'a Filter, statuses: &[Status]) -> Result<Driver<'a>, StoreError> {
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
        let row = readers.first(LABELED, &[&kept(key), &kept(value), &most]).await?;
        let count: i64 = row.map(|row| get(&row, 0)).transpose()?.unwrap_or(0);
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
    /// The next rows, in order.
    async fn rows(
        self,
        readers: &Readers,
        statuses: &[Status],
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (direction, start) = match order {
            Order::NewestFirst => (0, "{"),
            Order::OldestFirst => (1, ""),
        };
        let after = after.unwrap_or(start);
        let limit = sql_limit(limit);
        let statuses: Vec<&str> = statuses.iter().map(|status| status.name()).collect();
        let read = async |sql: [&'static str; 2], more: &[&(dyn ToSql + Sync)]| {
            let [newest, oldest] = sql;
            let mut params: Vec<&(dyn ToSql + Sync)> = vec![&after, &limit];
            params.extend(more);
            readers.read(if direction == 0 { newest } else { oldest }, &params).await
        };
        match self {
            Driver::Execution(arn) => read(BY_EXECUTION, &[&kept(arn)]).await,
            Driver::Label(key, value) => read(BY_LABEL, &[&kept(key), &kept(value)]).await,
            Driver::Id => read(BY_ID, &[]).await,
            Driver::Status => read(BY_STATUS, &[&statuses]).await,
            Driver::Workflow(name) => read(BY_WORKFLOW, &[&statuses, &kept(name)]).await,
        }
    }
}

#[cfg(test)]
pub(super) const STATEMENTS: [[&str; 2]; 5] = [BY_EXECUTION, BY_LABEL, BY_WORKFLOW, BY_STATUS, BY_ID];
