//! What is read of single approvals, of due work and of workflows.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    connection::failed,
    rows::{self, BY_DELIVERY_DUE, BY_DETACHED, parse_id, text},
};
use crate::{
    approval::{Approval, ApprovalId},
    store::{
        Due, HeartbeatDue, StoreError, WorkflowRecord,
        codec::{decode, decode_task},
    },
};

pub(super) const PREFIX: &str = "SELECT id FROM approvals WHERE id >= ?1 AND id < ?1 || '{' ORDER BY id LIMIT ?2";

/// The ids that begin with `prefix`. '{' sorts after every character of an id.
pub(super) fn find_prefix(connection: &Connection, prefix: &str, limit: usize) -> Result<Vec<ApprovalId>, StoreError> {
    let mut statement = connection.prepare_cached(PREFIX).map_err(failed)?;
    let mut rows = statement.query(params![prefix, rows::limit(limit)]).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(parse_id(text(row, 0)?)?);
    }
    Ok(found)
}

pub(super) const DUE_HEARTBEATS: &str = "SELECT a.heartbeat_due, a.id, e.state
    FROM approvals a JOIN events e ON e.revision = a.revision
    WHERE a.heartbeat_due IS NOT NULL ORDER BY a.heartbeat_due LIMIT ?1";

pub(super) fn due_heartbeats(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Due<HeartbeatDue>, StoreError> {
    let mut statement = connection.prepare_cached(DUE_HEARTBEATS).map_err(failed)?;
    let mut rows = statement.query([rows::limit(limit.saturating_add(1))]).map_err(failed)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let due = time(row.get(0).map_err(failed)?)?;
        if due > now || items.len() == limit {
            return Ok(Due { items, next: Some(due) });
        }
        let task = decode_task(text(row, 2)?)?;
        items.push(HeartbeatDue { id: parse_id(text(row, 1)?)?, token: task.token, due, heartbeat: task.heartbeat });
    }
    Ok(Due { items, next: None })
}

pub(super) const DUE_TIMERS: &str = "SELECT timer_due, id FROM approvals
    WHERE timer_due IS NOT NULL ORDER BY timer_due LIMIT ?1";

pub(super) fn due_timers(connection: &Connection, now: Timestamp, limit: usize) -> Result<Due<ApprovalId>, StoreError> {
    let mut statement = connection.prepare_cached(DUE_TIMERS).map_err(failed)?;
    let mut rows = statement.query([rows::limit(limit.saturating_add(1))]).map_err(failed)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let due = time(row.get(0).map_err(failed)?)?;
        if due > now || items.len() == limit {
            return Ok(Due { items, next: Some(due) });
        }
        items.push(parse_id(text(row, 1)?)?);
    }
    Ok(Due { items, next: None })
}

pub(super) const NEXT_DELIVERY: &str = "SELECT delivery_due FROM approvals
    WHERE delivery_due IS NOT NULL ORDER BY delivery_due LIMIT 1 OFFSET ?1";
pub(super) const NEXT_DETACHED: &str = "SELECT detached_due FROM approvals
    WHERE detached_due IS NOT NULL ORDER BY detached_due LIMIT 1 OFFSET ?1";

pub(super) fn due_deliveries(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Due<Arc<Approval>>, StoreError> {
    due_approvals(connection, [BY_DELIVERY_DUE, NEXT_DELIVERY], now, limit)
}

pub(super) fn due_detached(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Due<Arc<Approval>>, StoreError> {
    due_approvals(connection, [BY_DETACHED, NEXT_DETACHED], now, limit)
}

/// The approvals that the first statement finds, and the time that the second one does behind them.
fn due_approvals(
    connection: &Connection,
    [items, next]: [&'static str; 2],
    now: Timestamp,
    limit: usize,
) -> Result<Due<Arc<Approval>>, StoreError> {
    let due = rows::find_all(connection, items, params![now.as_millisecond(), rows::limit(limit)])?;
    let items: Vec<_> = due.into_iter().map(|stored| stored.approval).collect();
    let next: Option<i64> = connection
        .prepare_cached(next)
        .and_then(|mut statement| statement.query_row([rows::limit(items.len())], |row| row.get(0)).optional())
        .map_err(failed)?;
    Ok(Due { items, next: next.map(time).transpose()? })
}

pub(super) const COUNT_ALL: &str = "SELECT coalesce(sum(pending), 0) FROM pending_counts";
pub(super) const COUNT_WORKFLOW: &str = "SELECT coalesce(sum(pending), 0) FROM pending_counts WHERE workflow = ?1";

pub(super) fn count_pending(connection: &Connection, workflow: Option<&str>) -> Result<u64, StoreError> {
    let count: i64 = match workflow {
        None => connection.query_row(COUNT_ALL, [], |row| row.get(0)),
        Some(name) => connection.query_row(COUNT_WORKFLOW, [name], |row| row.get(0)),
    }
    .map_err(failed)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn workflows(connection: &Connection) -> Result<Vec<WorkflowRecord>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT record FROM workflows ORDER BY name").map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(decode(text(row, 0)?)?);
    }
    Ok(found)
}

fn time(millis: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(millis).map_err(|error| StoreError::Corrupt(error.into()))
}
