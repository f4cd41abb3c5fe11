//! What leaves the store: the beginning of the log, and finished approvals.

use std::sync::Arc;

use super::{
    connection::failed,
    flush::{TAKE_TERMS, by_term},
    load,
    names::kept,
    readers::Readers,
    rows::{get, limit as sql_limit, parse_id, stored, stored_from},
};
use crate::{
    approval::{Approval, ApprovalId, Request},
    store::{
        StoreError,
        codec::decode,
        retention::{self, OldEvents},
    },
};

/// One server archives, the one that is there for the longest: several would write the same.
const OTHERS: &str = "SELECT EXISTS (SELECT FROM servers WHERE until > clock_timestamp() AND server < $1)";

const TIMES: &str = "SELECT e.revision, e.at FROM events e
    WHERE e.revision > (SELECT revision FROM compacted) AND e.revision < (SELECT revision FROM head)
    ORDER BY e.revision LIMIT $1";

/// The oldest events, `limit` at most, as long as they are of before `before`. The newest of all stays: the chain goes on
/// from it.
pub(super) async fn old_events(
    readers: &Readers,
    server: i64,
    before: i64,
    limit: usize,
) -> Result<Option<OldEvents>, StoreError> {
    if is_anothers(readers, server).await? {
        return Ok(None);
    }
    let (mut first, mut last) = (None, 0);
    for row in readers.read(TIMES, &[&sql_limit(limit)]).await? {
        if get::<i64>(&row, 1)? >= before {
            break;
        }
        last = get(&row, 0)?;
        first = first.or(Some(last));
    }
    Ok(first.map(|first| OldEvents { first, last }))
}

async fn is_anothers(readers: &Readers, server: i64) -> Result<bool, StoreError> {
    let row = readers.first(OTHERS, &[&server]).await?;
    row.map_or(Ok(true), |row| get(&row, 0))
}

const CUT: &str = "UPDATE compacted c SET revision = e.revision, hash = e.hash FROM events e, head h
    WHERE c.revision = $1::bigint - 1 AND e.revision = $2 AND e.revision < h.revision";

/// Cuts events off, if the log still begins with them. Those of approvals that are kept are kept beside.
pub(super) async fn cut(readers: &Readers, events: OldEvents) -> Result<bool, StoreError> {
    let OldEvents { first, last } = events;
    let mut client = readers.client().await?;
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.query(load::HEAD, &[]).await.map_err(failed)?;
    let was_cut = transaction.execute(CUT, &[&first, &last]).await.map_err(failed)? > 0;
    if was_cut {
        let delete = "DELETE FROM events WHERE revision BETWEEN $1 AND $2 AND approval IS NULL";
        transaction.execute(delete, &[&first, &last]).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(was_cut)
}

macro_rules! retired {
    ($which:literal) => {
        concat!(
            "WHERE ",
            $which,
            " AND a.status <> 'PENDING' AND a.revision <= (SELECT revision FROM compacted)
            AND a.heartbeat_due IS NULL AND a.delivery_due IS NULL AND a.detached_due IS NULL
            AND NOT EXISTS (SELECT FROM events x
                WHERE x.approval = a.number AND x.revision > (SELECT revision FROM compacted))"
        )
    };
}

const RETIRED: &str =
    concat!(stored_from!("", "approvals a", ""), retired!("a.revision > 0"), " ORDER BY a.revision LIMIT $1");
const NUMBERS: &str = concat!("SELECT a.number, a.id FROM approvals a ", retired!("a.id = ANY($1)"));

/// Finished approvals whose events are all cut off, the oldest first.
pub(super) async fn retired(readers: &Readers, server: i64, limit: usize) -> Result<Vec<Arc<Approval>>, StoreError> {
    if is_anothers(readers, server).await? {
        return Ok(Vec::new());
    }
    let rows = readers.read(RETIRED, &[&sql_limit(limit)]).await?;
    rows.iter().map(|row| stored(row).map(|owned| owned.stored.approval)).collect()
}

/// Forgets approvals, unless something happened to them since they were found; how many it forgot. What they were
/// answered by request key is found by joins with them, and dies of age.
pub(super) async fn prune(readers: &Readers, ids: &[ApprovalId]) -> Result<u64, StoreError> {
    let ids: Vec<&str> = ids.iter().map(ApprovalId::as_str).collect();
    let mut client = readers.client().await?;
    let transaction = client.transaction().await.map_err(failed)?;
    // Nobody writes meanwhile: what is found to be over is over.
    transaction.query(load::HEAD, &[]).await.map_err(failed)?;
    let rows = transaction.query(NUMBERS, &[&ids]).await.map_err(failed)?;
    let numbers: Vec<i64> = rows.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    let states = "SELECT state FROM events WHERE approval = ANY($1) AND state IS NOT NULL";
    let states = transaction.query(states, &[&numbers]).await.map_err(failed)?;
    let states: Vec<&str> = states.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    let digests = retention::tokens(states)?;
    let requests = "SELECT a.id, r.request FROM requests r JOIN approvals a ON a.number = r.approval
        WHERE r.approval = ANY($1)";
    let (mut keys, mut values, mut of) = (Vec::new(), Vec::new(), Vec::new());
    let (mut terms, mut waited): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for row in transaction.query(requests, &[&numbers]).await.map_err(failed)? {
        let request: Request = decode(get(&row, 1)?)?;
        for (term, id) in by_term(&parse_id(get(&row, 0)?)?, &request) {
            terms.push(term);
            waited.push(id);
        }
        for (key, value) in &request.labels {
            keys.push(kept(key).into_owned());
            values.push(kept(value).into_owned());
            of.push(get::<String>(&row, 0)?);
        }
    }
    let labels = "DELETE FROM labels l USING unnest($1::text[], $2::text[], $3::text[]) AS u (key, value, id)
        WHERE l.key = u.key COLLATE \"C\" AND l.value = u.value COLLATE \"C\" AND l.approval_id = u.id COLLATE \"C\"";
    transaction.execute(labels, &[&keys, &values, &of]).await.map_err(failed)?;
    // Mostly they are gone since they were decided.
    transaction.execute(TAKE_TERMS, &[&terms, &waited]).await.map_err(failed)?;
    let tokens = "DELETE FROM tokens WHERE digest = ANY($1) AND approval = ANY($2)";
    transaction.execute(tokens, &[&digests, &numbers]).await.map_err(failed)?;
    for sql in [
        "DELETE FROM events WHERE approval = ANY($1)",
        "DELETE FROM requests WHERE approval = ANY($1)",
        "DELETE FROM texts WHERE approval_id IN (SELECT id FROM approvals WHERE number = ANY($1))",
        "DELETE FROM approvals WHERE number = ANY($1)",
    ] {
        transaction.execute(sql, &[&numbers]).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(u64::try_from(numbers.len()).unwrap_or(u64::MAX))
}
