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
    store::{Change, Changes, Pending, PendingPage, Revision, StoreError},
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

pub(super) const PENDING_NOW: &str = "SELECT a.id, a.number, a.revision, e.state, r.request, r.input
    FROM approvals a JOIN events e ON e.revision = a.revision JOIN requests r ON r.approval = a.number
    WHERE a.status = 'PENDING' AND a.id > ?1 AND a.number <= ?3 ORDER BY a.id LIMIT ?2";

/// Few are final since a revision that is asked for: they are sorted, where the planner would rather walk all ids.
pub(super) const FINAL_SINCE: &str = "SELECT id, number FROM approvals INDEXED BY approvals_final
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
) -> Result<PendingPage, StoreError> {
    let after = after.map_or("", |id| id.as_str());
    let youngest = youngest_at(connection, as_of)?;
    let piece = params![after, sql_limit(limit), youngest];
    let since = final_since(connection, params![after, sql_limit(limit), youngest, as_of])?;
    let mut since = since.into_iter().peekable();

    let mut page = Piece { limit, as_of, seen: 0, bytes: 0, approvals: Vec::new(), last: None };
    let mut statement = connection.prepare_cached(PENDING_NOW).map_err(failed)?;
    let mut rows = statement.query(piece).map_err(failed)?;
    let mut now = rows.next().map_err(failed)?;
    while !page.is_full() {
        let id = now.map(|row| text(row, 0)).transpose()?;
        // Both come by id: what is final by now in its place among what is pending.
        if let Some((earlier, number)) = since.next_if(|(final_id, _)| id.is_none_or(|id| final_id.as_str() < id)) {
            page.take(connection, &earlier, number)?;
            continue;
        }
        let (Some(row), Some(id)) = (now, id) else { break };
        let revision: Revision = row.get(2).map_err(failed)?;
        if revision <= as_of {
            // Pending ever since, so as it is now.
            page.push(rows::pending(row)?);
        } else {
            let number = row.get(1).map_err(failed)?;
            page.take(connection, id, number)?;
        }
        now = rows.next().map_err(failed)?;
    }
    page.end()
}

/// A page as it fills.
struct Piece {
    limit: usize,
    as_of: Revision,
    seen: usize,
    bytes: usize,
    approvals: Vec<Pending>,
    /// The last one that was looked at, whether it was pending or not.
    last: Option<ApprovalId>,
}

impl Piece {
    fn is_full(&self) -> bool {
        self.seen == self.limit || self.bytes > MAX_PIECE_BYTES
    }

    /// Looks for an approval as it was.
    fn take(&mut self, connection: &Connection, id: &str, number: i64) -> Result<(), StoreError> {
        let Some((revision, state)) = rows::state_at(connection, number, self.as_of)? else {
            self.seen += 1;
            self.last = Some(rows::parse_id(id)?);
            return Ok(());
        };
        let approval = Fixed::of(connection, number)?.with(revision, &state)?;
        if approval.status == Status::Pending {
            self.push(approval.into());
        } else {
            self.seen += 1;
            self.last = Some(approval.id.clone());
        }
        Ok(())
    }

    fn push(&mut self, approval: Pending) {
        self.seen += 1;
        self.last = Some(approval.id().clone());
        self.bytes += approval.input().len();
        self.approvals.push(approval);
    }

    fn end(self) -> Result<PendingPage, StoreError> {
        let next = if self.is_full() { self.last } else { None };
        Ok(PendingPage { approvals: self.approvals, next })
    }
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

fn final_since(connection: &Connection, params: impl rusqlite::Params) -> Result<Vec<(String, i64)>, StoreError> {
    let mut statement = connection.prepare_cached(FINAL_SINCE).map_err(failed)?;
    let rows = statement.query_map(params, |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}
