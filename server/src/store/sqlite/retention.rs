//! What leaves the store: the beginning of the log, and finished approvals.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    connection::failed,
    log::OLDEST,
    rows::{self, RETIRED, limit as sql_limit, text},
    search,
};
use crate::{
    approval::{Approval, ApprovalId},
    store::{
        Revision, StoreError,
        retention::{self, OldEvents},
    },
};

pub(super) const TIMES: &str = "SELECT revision, at FROM events
    WHERE revision > ?1 AND revision < (SELECT max(revision) FROM events) ORDER BY revision LIMIT ?2";

/// The oldest events, `limit` at most, as long as they are of before `before`. The newest of all stays: it is the head.
pub(super) fn old_events(connection: &Connection, before: i64, limit: usize) -> Result<Option<OldEvents>, StoreError> {
    let oldest = oldest(connection)?;
    let mut statement = connection.prepare_cached(TIMES).map_err(failed)?;
    let mut rows = statement.query(params![oldest, sql_limit(limit)]).map_err(failed)?;
    let mut last = oldest;
    while let Some(row) = rows.next().map_err(failed)? {
        if row.get::<_, i64>(1).map_err(failed)? >= before {
            break;
        }
        last = row.get(0).map_err(failed)?;
    }
    Ok((last > oldest).then_some(OldEvents { first: oldest + 1, last }))
}

/// Cuts events off, if the log still begins with them. Those of approvals that are kept are kept beside.
pub(super) fn cut(connection: &Connection, events: OldEvents) -> Result<bool, StoreError> {
    let OldEvents { first, last } = events;
    if oldest(connection)? + 1 != first || last >= rows::head(connection)? {
        return Ok(false);
    }
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)
    };
    run("INSERT OR REPLACE INTO meta SELECT 'oldest_hash', hash FROM events WHERE revision = ?1", &[&last])?;
    run("INSERT OR REPLACE INTO meta VALUES ('oldest_revision', ?1)", &[&last])?;
    run("DELETE FROM events WHERE revision BETWEEN ?1 AND ?2 AND approval IS NULL", &[&first, &last])?;
    Ok(true)
}

/// Finished approvals whose events are all cut off, the oldest first.
pub(super) fn retired(connection: &Connection, limit: usize) -> Result<Vec<Arc<Approval>>, StoreError> {
    let found = rows::find_all(connection, RETIRED, params![oldest(connection)?, sql_limit(limit)])?;
    Ok(found.into_iter().map(|stored| stored.approval).collect())
}

pub(super) const IS_RETIRED: &str = "SELECT a.number FROM approvals a
    WHERE a.id = ?2 AND a.status <> 'PENDING' AND a.revision <= ?1
        AND a.heartbeat_due IS NULL AND a.delivery_due IS NULL AND a.detached_due IS NULL
        AND NOT EXISTS (SELECT 1 FROM events x WHERE x.approval = a.number AND x.revision > ?1)
        AND a.number < (SELECT max(number) FROM approvals)";

/// Forgets approvals, unless something happened to them since they were found; how many it forgot. What they were
/// answered by request key is found by joins with them, and dies of age.
pub(super) fn prune(connection: &Connection, ids: &[ApprovalId]) -> Result<u64, StoreError> {
    let oldest = oldest(connection)?;
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)
    };
    let mut pruned = 0;
    for id in ids {
        let number: Option<i64> = connection
            .prepare_cached(IS_RETIRED)
            .and_then(|mut statement| statement.query_row(params![oldest, id.as_str()], |row| row.get(0)).optional())
            .map_err(failed)?;
        let Some(number) = number else { continue };
        let request = rows::Fixed::of(connection, number)?.request;
        for digest in retention::tokens(states(connection, number)?.iter().map(String::as_str))? {
            run("DELETE FROM tokens WHERE digest = ?1 AND approval = ?2", &[&digest, &number])?;
        }
        for (key, value) in &request.labels {
            let labels = "DELETE FROM labels WHERE key = ?1 AND value = ?2 AND approval_id = ?3";
            run(labels, &[key, value, &id.as_str()])?;
        }
        run("DELETE FROM events WHERE approval = ?1", &[&number])?;
        run("DELETE FROM requests WHERE approval = ?1", &[&number])?;
        run("DELETE FROM approvals WHERE number = ?1", &[&number])?;
        search::forget(connection, id, &request)?;
        pruned += 1;
    }
    Ok(pruned)
}

fn states(connection: &Connection, number: i64) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT state FROM events WHERE approval = ?1 AND state IS NOT NULL";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query([number]).map_err(failed)?;
    let mut states = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        states.push(text(row, 0)?.to_owned());
    }
    Ok(states)
}

fn oldest(connection: &Connection) -> Result<Revision, StoreError> {
    let oldest: Option<Revision> = connection.query_row(OLDEST, [], |row| row.get(0)).optional().map_err(failed)?;
    Ok(oldest.unwrap_or(0))
}
