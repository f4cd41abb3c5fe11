//! What watches read: the changes after a revision, and what was pending at one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio_postgres::Row;

use super::{
    readers::Readers,
    rows::{FIXED, Fixed, MAX_PIECE_BYTES, get, limit as sql_limit, parse_id},
};
use crate::{
    approval::{ApprovalId, Status},
    store::{Change, Changes, Pending, PendingPage, Revision, StoreError},
};

/// A row for each change, and one without a change where there is none.
const CHANGES: &str = "SELECT c.revision, e.revision, e.approval, e.state, e.length, e.before_revision, e.before
    FROM compacted c LEFT JOIN (
        SELECT e.revision, e.approval, e.state, octet_length(r.input) AS length, b.revision AS before_revision,
            b.state AS before
        FROM (SELECT revision, approval, state FROM events
            WHERE revision > $1 AND state IS NOT NULL ORDER BY revision LIMIT $2) e
        JOIN requests r ON r.approval = e.approval
        LEFT JOIN LATERAL (SELECT p.revision, p.state FROM events p
            WHERE p.approval = e.approval AND p.revision < e.revision AND p.state IS NOT NULL
            ORDER BY p.revision DESC LIMIT 1) b ON true
    ) e ON true
    ORDER BY e.revision";

const COMPACTED: &str = "SELECT revision FROM compacted";

/// The changes after a revision, oldest first.
pub(super) async fn changes_after(readers: &Readers, revision: Revision, limit: usize) -> Result<Changes, StoreError> {
    let rows = readers.read(CHANGES, &[&revision, &sql_limit(limit)]).await?;
    let mut lengths = Lengths::default();
    let mut piece: Vec<(&Row, i64)> = Vec::new();
    for row in &rows {
        let oldest: Revision = get(row, 0)?;
        if revision < oldest {
            return Ok(Changes::Compacted(oldest));
        }
        let Some(number) = get::<Option<i64>>(row, 2)? else { continue };
        if lengths.is_full() {
            break;
        }
        lengths.add(number, get(row, 4)?);
        piece.push((row, number));
    }
    let fixed = fixed(readers, &lengths).await?;
    let mut changes = Vec::with_capacity(piece.len());
    let mut latest = HashMap::new();
    for (row, number) in piece {
        let Some(of) = fixed.get(&number) else {
            // It was archived since the rows were read, and so was the log up to its last event.
            let row = readers.first(COMPACTED, &[]).await?.ok_or_else(gone)?;
            let oldest = get(&row, 0)?;
            return if revision < oldest { Ok(Changes::Compacted(oldest)) } else { Err(gone()) };
        };
        let (revision, state): (Revision, &str) = (get(row, 1)?, get(row, 3)?);
        let after = of.with(revision, state)?;
        let before = match latest.insert(number, Arc::clone(&after)) {
            Some(before) => Some(before),
            None => match get::<Option<&str>>(row, 6)? {
                Some(state) => Some(of.with(get(row, 5)?, state)?),
                None => None,
            },
        };
        changes.push(Change { revision, before, after });
    }
    Ok(Changes::Some(changes))
}

/// What was pending and is, or is final since: as it was then.
const PENDING_AT: &str = "WITH final AS MATERIALIZED (
        SELECT id, number FROM approvals
        WHERE status <> 'PENDING' AND revision > $2 AND first_revision <= $2 AND id > $1
    )
    SELECT c.id, c.number, s.revision, s.state, octet_length(r.input)
    FROM (
        (SELECT id, number FROM approvals
            WHERE status = 'PENDING' AND id > $1 AND first_revision <= $2 ORDER BY id LIMIT $3)
        UNION ALL (SELECT id, number FROM final ORDER BY id LIMIT $3)
        ORDER BY id LIMIT $3
    ) c
    JOIN requests r ON r.approval = c.number
    CROSS JOIN LATERAL (SELECT revision, state FROM events
        WHERE approval = c.number AND revision <= $2 AND state IS NOT NULL ORDER BY revision DESC LIMIT 1) s
    ORDER BY c.id";

/// What was pending at a revision, as it was then, by id.
pub(super) async fn pending_at(
    readers: &Readers,
    as_of: Revision,
    after: Option<&ApprovalId>,
    limit: usize,
) -> Result<PendingPage, StoreError> {
    let after = after.map_or("", |id| id.as_str());
    let rows = readers.read(PENDING_AT, &[&after, &as_of, &sql_limit(limit)]).await?;
    let mut lengths = Lengths::default();
    let mut piece = Vec::new();
    for row in &rows {
        if lengths.is_full() {
            break;
        }
        let number: i64 = get(row, 1)?;
        lengths.add(number, get(row, 4)?);
        piece.push((row, number));
    }
    let last = piece.last().filter(|_| piece.len() < rows.len() || rows.len() >= limit);
    let next = last.map(|(row, _)| parse_id(get(row, 0)?)).transpose()?;
    let fixed = fixed(readers, &lengths).await?;
    let mut approvals = Vec::with_capacity(piece.len());
    for (row, number) in piece {
        // One that was archived meanwhile is pending no more.
        let Some(of) = fixed.get(&number) else { continue };
        let approval = of.with(get(row, 2)?, get(row, 3)?)?;
        if approval.status == Status::Pending {
            approvals.push(Pending::from(approval));
        }
    }
    Ok(PendingPage { approvals, next })
}

/// Whose inputs are read, until they are long enough together.
#[derive(Default)]
pub(super) struct Lengths {
    numbers: HashSet<i64>,
    bytes: usize,
}

impl Lengths {
    pub(super) fn is_full(&self) -> bool {
        self.bytes > MAX_PIECE_BYTES
    }

    pub(super) fn add(&mut self, number: i64, length: i32) {
        if self.numbers.insert(number) {
            self.bytes += usize::try_from(length).unwrap_or(0);
        }
    }
}

/// What never changes of these approvals.
pub(super) async fn fixed(readers: &Readers, of: &Lengths) -> Result<HashMap<i64, Fixed>, StoreError> {
    if of.numbers.is_empty() {
        return Ok(HashMap::new());
    }
    let numbers: Vec<i64> = of.numbers.iter().copied().collect();
    readers.read(FIXED, &[&numbers]).await?.iter().map(Fixed::of).collect()
}

/// A row that another one refers to is not there.
#[derive(Debug, thiserror::Error)]
#[error("an event is of an approval that there is not")]
struct Gone;

pub(super) fn gone() -> StoreError {
    StoreError::corrupt(Gone)
}

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 2] = [CHANGES, FIXED];
#[cfg(test)]
pub(super) const SNAPSHOT: &str = PENDING_AT;
