//! Lists. An index yields ids in order; what it can't tell is looked at row by row, in bounded pieces.

use std::{borrow::Cow, sync::Arc};

use tokio_postgres::{Row, types::ToSql};

use super::{
    log::{Lengths, fixed},
    names::kept,
    readers::Readers,
    rows::{get, limit as sql_limit, parse_id},
    search::{indexes, pattern},
};
use crate::{
    approval::{Approval, Status},
    store::{
        Filter, ListQuery, Order, Page, StoreError,
        codec::{decode, decode_approval},
        search::{Driver, Drivers, MAX_LOOKED_AT, start},
    },
};

/// So many rows are read at a time, at least.
const MIN_PIECE: usize = 64;
/// So many rows are looked at before a text is looked for in the index, which tells of all that hold it: mostly they fill
/// a page.
const FIRST_LOOK: usize = if cfg!(test) { 3 } else { 200 };

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

/// An index by status, or by term, yields one of them in order; several are merged.
macro_rules! merged {
    ($id:literal, $from:literal) => {
        [
            listed!(
                concat!(
                    "SELECT DISTINCT x.id FROM unnest($3::text[]) AS u (one) CROSS JOIN LATERAL (SELECT ",
                    $id,
                    " AS id FROM ",
                    $from,
                    " = u.one COLLATE \"C\" AND ",
                    $id,
                    " < $1 ORDER BY ",
                    $id,
                    " DESC LIMIT $2) x ORDER BY x.id DESC"
                ),
                " DESC"
            ),
            listed!(
                concat!(
                    "SELECT DISTINCT x.id FROM unnest($3::text[]) AS u (one) CROSS JOIN LATERAL (SELECT ",
                    $id,
                    " AS id FROM ",
                    $from,
                    " = u.one COLLATE \"C\" AND ",
                    $id,
                    " > $1 ORDER BY ",
                    $id,
                    " LIMIT $2) x ORDER BY x.id"
                ),
                ""
            ),
        ]
    };
}

// Each newest first, then oldest first.
const BY_EXECUTION: [&str; 2] = ids!("approvals WHERE execution_arn = $3 AND", "id");
const BY_LABEL: [&str; 2] = ids!("labels WHERE key = $3 AND value = $4 AND", "approval_id");
const BY_WORKFLOW: [&str; 2] = merged!("id", "approvals WHERE workflow = $4 AND status");
const BY_STATUS: [&str; 2] = merged!("id", "approvals WHERE status");
const BY_TERM: [&str; 2] = merged!("approval_id", "waiting WHERE term");
// All that the index finds are few, and are sorted. The planner would rather walk all ids.
const BY_TEXT: [&str; 2] = [
    listed!(
        "WITH found AS MATERIALIZED (SELECT approval_id AS id FROM texts WHERE text LIKE $3)
         SELECT id FROM found WHERE id < $1 ORDER BY id DESC",
        " DESC"
    ),
    listed!(
        "WITH found AS MATERIALIZED (SELECT approval_id AS id FROM texts WHERE text LIKE $3)
         SELECT id FROM found WHERE id > $1 ORDER BY id",
        ""
    ),
];
const BY_ID: [&str; 2] = ids!("approvals WHERE", "id");

const LABELED: &str = "SELECT count(*) FROM (SELECT 1 FROM labels WHERE key = $1 AND value = $2 LIMIT $3) l";
const WAITING: &str = "SELECT count(*) FROM unnest($1::text[]) AS u (one)
    CROSS JOIN LATERAL (SELECT 1 FROM waiting WHERE term = u.one COLLATE \"C\" LIMIT $2) l";
const HOLDING: &str = "WITH found AS MATERIALIZED (SELECT 1 FROM texts WHERE text LIKE $1)
    SELECT count(*) FROM (SELECT 1 FROM found LIMIT $2) l";

/// A page.
pub(super) async fn list(readers: &Readers, query: &ListQuery) -> Result<Page, StoreError> {
    let statuses = query.statuses_asked();
    let indexes = indexes(readers, query.filter.text.as_deref()).await?;
    let drivers = Drivers::of(query, &statuses, indexes);
    if indexes.text {
        let page = page(readers, query, &statuses, &drivers.broad, FIRST_LOOK).await?;
        if page.next.is_none() || page.approvals.len() >= query.limit {
            return Ok(page);
        }
    }
    let driver = rarest(readers, drivers).await?;
    page(readers, query, &statuses, &driver, MAX_LOOKED_AT).await
}

/// What the first so many rows hold that a driver leads to.
async fn page(
    readers: &Readers,
    query: &ListQuery,
    statuses: &[Status],
    driver: &Driver<'_>,
    most: usize,
) -> Result<Page, StoreError> {
    let wanted = query.limit.max(1);
    let mut found = Found::default();
    let mut after = query.after.as_ref().map(|id| id.as_str().to_owned());
    let mut looked_at = 0;
    loop {
        // One more than can be used tells whether there is more.
        let piece = (wanted - found.rows.len()).clamp(MIN_PIECE, MAX_LOOKED_AT);
        let rows = driver.rows(readers, statuses, query.order, after.as_deref(), piece + 1).await?;
        let more = rows.len() > piece;
        let count = rows.len();
        for (place, row) in rows.into_iter().take(piece).enumerate() {
            let id: String = get(&row, 0)?;
            found.take(&row, statuses, &query.filter)?;
            looked_at += 1;
            if found.rows.len() == wanted || looked_at == most || found.lengths.is_full() {
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
async fn rarest<'a>(readers: &Readers, drivers: Drivers<'a>) -> Result<Driver<'a>, StoreError> {
    let Drivers { narrow, broad } = drivers;
    let most = sql_limit(MAX_LOOKED_AT + 1);
    let mut rarest = (most, broad);
    for driver in narrow {
        let row = match &driver {
            Driver::Label(key, value) => readers.first(LABELED, &[&kept(key), &kept(value), &most]).await?,
            Driver::Waiting(terms) => readers.first(WAITING, &[&all_kept(terms), &most]).await?,
            Driver::Text(text) => readers.first(HOLDING, &[&pattern(text), &most]).await?,
            // They are asked for as they are.
            Driver::Execution(_) | Driver::Workflow(_) | Driver::Status | Driver::Id => None,
        };
        let count: i64 = row.map_or(Ok(most), |row| get(&row, 0))?;
        if count < rarest.0 {
            rarest = (count, driver);
        }
    }
    Ok(rarest.1)
}

fn all_kept(texts: &[String]) -> Vec<Cow<'_, str>> {
    texts.iter().map(|text| kept(text)).collect()
}

impl Driver<'_> {
    /// The next rows, in order.
    async fn rows(
        &self,
        readers: &Readers,
        statuses: &[Status],
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let after = after.unwrap_or(start(order));
        let limit = sql_limit(limit);
        let statuses: Vec<&str> = statuses.iter().map(|status| status.name()).collect();
        let read = async |[newest, oldest]: [&'static str; 2], more: &[&(dyn ToSql + Sync)]| {
            let mut params: Vec<&(dyn ToSql + Sync)> = vec![&after, &limit];
            params.extend(more);
            readers.read(if order == Order::NewestFirst { newest } else { oldest }, &params).await
        };
        match self {
            Driver::Execution(arn) => read(BY_EXECUTION, &[&kept(arn)]).await,
            Driver::Label(key, value) => read(BY_LABEL, &[&kept(key), &kept(value)]).await,
            Driver::Waiting(terms) => read(BY_TERM, &[&all_kept(terms)]).await,
            Driver::Text(text) => read(BY_TEXT, &[&pattern(text)]).await,
            Driver::Id => read(BY_ID, &[]).await,
            Driver::Status => read(BY_STATUS, &[&statuses]).await,
            Driver::Workflow(name) => read(BY_WORKFLOW, &[&statuses, &kept(name)]).await,
        }
    }
}

#[cfg(test)]
pub(super) const STATEMENTS: [[&str; 2]; 8] =
    [BY_EXECUTION, BY_LABEL, BY_TERM, BY_TEXT, BY_WORKFLOW, BY_STATUS, BY_ID, [LABELED, WAITING]];
