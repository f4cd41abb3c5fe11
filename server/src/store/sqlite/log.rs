//! What watches read: the changes after a revision, and what was pending at one.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    connection::failed,
    rows::{self, Fixed, MAX_PIECE_BYTES, limit as sql_limit, text},
};
use crate::{
    approval::{Approval, ApprovalId, Status},
    store::{Change, Changes, Revision, StoreError},
};

pub(super) const OLDEST: &str = "SELECT value FROM meta WHERE key = 'oldest_revision'";

pub(super) const CHANGES: &str = "SELECT revision, approval, state FROM events
    WHERE revision > ?1 AND state IS NOT NULL ORDER BY revision LIMIT ?2";

/// The changes after a revision, oldest first.
pub(super) fn changes_after(connection: &Connection, revision: Revision, limit: usize) -> Result<Changes, StoreError> {
    let oldest: Option<Revision> = connection.query_row(OLDEST, [], |row| row.get(0)).optional().map_err(failed)?;
    if let Some(oldest) = oldest.filter(|oldest| revision < *oldest) {
        return Ok(Changes::Compacted(oldest));
    }
    let mut statement = connection.prepare_cached(CHANGES).map_err(failed)?;
    let mut rows = statement.query([revision, sql_limit(limit)]).map_err(failed)?;
    let mut latest: BTreeMap<i64, (Fixed, Arc<Approval>)> = BTreeMap::new();
    let mut changes = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let revision: Revision = row.get(0).map_err(failed)?;
        let number: i64 = row.get(1).map_err(failed)?;
        let state = text(row, 2)?;
        let (before, after) = match latest.entry(number) {
            Entry::Occupied(mut known) => {
                let (fixed, before) = known.get_mut();
                let after = fixed.with(revision, state)?;
                (Some(std::mem::replace(before, after.clone())), after)
            }
            Entry::Vacant(unknown) => {
                let fixed = Fixed::of(connection, number)?;
                let before = rows::state_at(connection, number, revision - 1)?;
                let before = before.map(|(revision, state)| fixed.with(revision, &state)).transpose()?;
                let after = fixed.with(revision, state)?;
                bytes += after.input.len();
                unknown.insert((fixed, after.clone()));
                (before, after)
            }
        };
        changes.push(Change { revision, before, after });
        if bytes > MAX_PIECE_BYTES {
            break;
        }
    }
    Ok(Changes::Some(changes))
}

pub(super) const PENDING_NOW: &str = "SELECT id, number, revision FROM approvals
    WHERE status = 'PENDING' AND id > ?1 AND number <= ?3 ORDER BY id LIMIT ?2";

/// Few are final since a revision that is asked for: they are sorted, where the planner would rather walk all ids.
pub(super) const FINAL_SINCE: &str = "SELECT id, number, revision FROM approvals INDEXED BY approvals_final
    WHERE status <> 'PENDING' AND revision > ?4 AND id > ?1 AND number <= ?3 ORDER BY id LIMIT ?2";

pub(super) const FIRST_EVENT: &str =
    "SELECT revision FROM events WHERE approval >= ?1 ORDER BY approval, revision LIMIT 1";

pub(super) const NEWEST: &str = "SELECT coalesce(max(number), 0) FROM approvals";

/// What was pending at a revision, as it was then, by id.
pub(super) fn pending_at(
    connection: &Connection,
    as_of: Revision,
    after: Option<&ApprovalId>,
    limit: usize,
) -> Result<Vec<Arc<Approval>>, StoreError> {
    let mut found = Vec::new();
    let youngest = youngest_at(connection, as_of)?;
    let mut after = after.map_or(String::new(), |id| id.as_str().to_owned());
    while found.len() < limit {
        let piece = limit - found.len();
        let mut candidates = candidates(connection, PENDING_NOW, params![after, sql_limit(piece), youngest])?;
        candidates.extend(self::candidates(
            connection,
            FINAL_SINCE,
            params![after, sql_limit(piece), youngest, as_of],
        )?);
        candidates.sort_unstable();
        // Beyond the piece there may be gaps between the ids.
        candidates.truncate(piece);
        let Some((last, ..)) = candidates.last() else { break };
        after.clone_from(last);
        for (_, number, revision) in candidates {
            let then = if revision <= as_of { revision } else { as_of };
            let Some((revision, state)) = rows::state_at(connection, number, then)? else { continue };
            let approval = Fixed::of(connection, number)?.with(revision, &state)?;
            if approval.status == Status::Pending {
                found.push(approval);
            }
        }
    }
    Ok(found)
}

/// The number of the youngest approval that there was at a revision, or more. Numbers are in the order of creation, so
/// that what came later need not be looked at one by one.
fn youngest_at(connection: &Connection, as_of: Revision) -> Result<i64, StoreError> {
    if as_of >= rows::head(connection)? {
        return Ok(i64::MAX);
    }
    let mut first_event = connection.prepare_cached(FIRST_EVENT).map_err(failed)?;
    let newest = connection.query_row(NEWEST, [], |row| row.get::<_, i64>(0)).map_err(failed)?;
    let (mut there, mut beyond) = (0, newest + 1);
    while there + 1 < beyond {
        let middle = there + (beyond - there) / 2;
        let first: Option<Revision> = first_event.query_row([middle], |row| row.get(0)).optional().map_err(failed)?;
        if first.is_some_and(|first| first <= as_of) { there = middle } else { beyond = middle }
    }
    Ok(there)
}

fn candidates(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<(String, i64, Revision)>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement.query_map(params, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}
