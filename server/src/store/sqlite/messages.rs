//! Messages: how far targets were told, and what could not be sent.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::{
    connection::failed,
    rows::{self, parse_id, text},
};
use crate::store::{
    Due, Revision, StoreError,
    due::millis_up,
    messages::{Revived, Told, Unsent, UnsentQuery},
};

fn run(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)
}

/// How far a target was told; one that is not known begins at `head`.
pub(super) fn take(connection: &Connection, target: &str, head: Revision) -> Result<Revision, StoreError> {
    run(
        connection,
        "INSERT INTO told (target, revision) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![target, head],
    )?;
    let mut told = connection.prepare_cached("SELECT revision FROM told WHERE target = ?1").map_err(failed)?;
    told.query_row([target], |row| row.get(0)).map_err(failed)
}

/// How far a target was told, if it is known.
pub(super) fn place(connection: &Connection, target: &str) -> Result<Option<Revision>, StoreError> {
    let mut told = connection.prepare_cached("SELECT revision FROM told WHERE target = ?1").map_err(failed)?;
    told.query_row([target], |row| row.get(0)).optional().map_err(failed)
}

pub(super) fn note(connection: &Connection, target: &str, told: &Told) -> Result<(), StoreError> {
    let further = "UPDATE told SET revision = max(revision, ?2) WHERE target = ?1";
    run(connection, further, params![target, told.revision])?;
    for id in &told.sent {
        run(connection, "DELETE FROM unsent WHERE id = ?1", [id])?;
    }
    for message in &told.unsent {
        run(
            connection,
            "INSERT OR REPLACE INTO unsent (id, target, approval, notice, attempts, error, created, due)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                message.id,
                message.target,
                message.approval.as_str(),
                message.notice,
                message.attempts,
                message.error,
                message.created.as_millisecond(),
                message.due.map(millis_up),
            ],
        )?;
    }
    Ok(())
}

macro_rules! unsent {
    ($which:literal) => {
        concat!("SELECT id, target, approval, notice, attempts, error, created, due FROM unsent WHERE ", $which)
    };
}

pub(super) const DUE: &str = unsent!("target = ?1 AND due IS NOT NULL ORDER BY due LIMIT ?2");

pub(super) fn due(
    connection: &Connection,
    target: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Due<Unsent>, StoreError> {
    let mut items = select(connection, DUE, params![target, rows::limit(limit.saturating_add(1))])?;
    let is_due = |message: &Unsent| message.due.is_some_and(|due| due <= now);
    let count = items.iter().take(limit).take_while(|message| is_due(message)).count();
    let next = items.get(count).and_then(|message| message.due);
    items.truncate(count);
    Ok(Due { items, next })
}

pub(super) const LIST: &str =
    unsent!("id > ?1 AND (?2 IS NULL OR target = ?2) AND (NOT ?3 OR due IS NULL) ORDER BY id LIMIT ?4");

pub(super) fn list(connection: &Connection, query: &UnsentQuery) -> Result<Vec<Unsent>, StoreError> {
    let after = query.after.as_deref().unwrap_or("");
    select(connection, LIST, params![after, query.target, query.dead, rows::limit(query.limit)])
}

/// Makes dead letters due; how many.
pub(super) fn revive(connection: &Connection, which: &Revived, at: Timestamp) -> Result<u64, StoreError> {
    let at = at.as_millisecond();
    let revived = match which {
        Revived::Ids(ids) => {
            let mut revived = 0;
            for id in ids {
                revived +=
                    run(connection, "UPDATE unsent SET due = ?2 WHERE id = ?1 AND due IS NULL", params![id, at])?;
            }
            revived
        }
        Revived::Target(target) => {
            run(connection, "UPDATE unsent SET due = ?2 WHERE target = ?1 AND due IS NULL", params![target, at])?
        }
        Revived::All => run(connection, "UPDATE unsent SET due = ?1 WHERE due IS NULL", [at])?,
    };
    Ok(revived as u64)
}

/// Forgets what is older than `before`, and dead letters beyond the newest `most` of each target; how many.
pub(super) fn forget(connection: &Connection, before: Timestamp, most: u32) -> Result<u64, StoreError> {
    let forgotten = run(
        connection,
        "DELETE FROM unsent WHERE created < ?1 OR id IN (
             SELECT id FROM (
                 SELECT id, row_number() OVER (PARTITION BY target ORDER BY created DESC, id DESC) AS place
                 FROM unsent WHERE due IS NULL
             ) WHERE place > ?2)",
        params![before.as_millisecond(), most],
    )?;
    Ok(forgotten as u64)
}

fn select(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Unsent>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Unsent, StoreError> {
    let time = |millis: i64| Timestamp::from_millisecond(millis).map_err(StoreError::corrupt);
    Ok(Unsent {
        id: row.get(0).map_err(failed)?,
        target: row.get(1).map_err(failed)?,
        approval: parse_id(text(row, 2)?)?,
        notice: row.get(3).map_err(failed)?,
        attempts: row.get(4).map_err(failed)?,
        error: row.get(5).map_err(failed)?,
        created: time(row.get(6).map_err(failed)?)?,
        due: row.get::<_, Option<i64>>(7).map_err(failed)?.map(time).transpose()?,
    })
}
