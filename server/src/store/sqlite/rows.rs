//! Approvals, read from their rows: for the writer and for readers.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use super::connection::failed;
use crate::{
    approval::{Approval, ApprovalId, Request},
    audit::ChainHead,
    store::{
        Pending, Revision, StoreError,
        codec::{decode, decode_approval},
        due::DueTimes,
        tables::Stored,
    },
};

macro_rules! stored_where {
    ($condition:literal) => {
        concat!(
            "SELECT a.number, a.id, a.revision, a.heartbeat_due, a.timer_due, a.delivery_due, a.detached_due,
                    e.state, r.request, r.input
             FROM approvals a
             JOIN events e ON e.revision = a.revision
             JOIN requests r ON r.approval = a.number
             WHERE ",
            $condition
        )
    };
}

pub(super) const BY_ID: &str = stored_where!("a.id = ?1");
pub(super) const BY_NUMBER: &str = stored_where!("a.number = ?1");
pub(super) const BY_IDENTITY: &str = stored_where!("a.identity = ?1");
pub(super) const BY_DELIVERY_DUE: &str =
    stored_where!("a.delivery_due IS NOT NULL AND a.delivery_due <= ?1 ORDER BY a.delivery_due LIMIT ?2");
pub(super) const BY_DETACHED: &str =
    stored_where!("a.detached_due IS NOT NULL AND a.detached_due <= ?1 ORDER BY a.detached_due LIMIT ?2");

/// Finished approvals without an event after a revision. Never the youngest: its number would be given again.
pub(super) const RETIRED: &str = stored_where!(
    "a.status <> 'PENDING' AND a.revision <= ?1
        AND a.heartbeat_due IS NULL AND a.delivery_due IS NULL AND a.detached_due IS NULL
        AND NOT EXISTS (SELECT 1 FROM events x WHERE x.approval = a.number AND x.revision > ?1)
        AND a.number < (SELECT max(number) FROM approvals)
     ORDER BY a.revision LIMIT ?2"
);

/// One approval, by one of the statements above.
pub(super) fn find(connection: &Connection, sql: &str, params: impl Params) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    rows.next().map_err(failed)?.map(stored).transpose()
}

/// Approvals, by one of the statements above.
pub(super) fn find_all(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(stored(row)?);
    }
    Ok(found)
}

fn stored(row: &Row<'_>) -> Result<Stored, StoreError> {
    let read = |row: &Row<'_>| {
        let due = DueTimes { heartbeat: row.get(3)?, timer: row.get(4)?, delivery: row.get(5)?, detached: row.get(6)? };
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, due, row.get::<_, Arc<str>>(9)?))
    };
    let (number, id, revision, due, input) = read(row).map_err(failed)?;
    let approval = decode_approval(parse_id(&id)?, revision, text(row, 7)?, decode(text(row, 8)?)?, input)?;
    Ok(Stored { number, due, approval: Arc::new(approval) })
}

/// One of a snapshot: its columns begin with id, number, revision, state, request and input.
pub(super) fn pending(row: &Row<'_>) -> Result<Pending, StoreError> {
    let (revision, input) = (row.get(2).map_err(failed)?, row.get(5).map_err(failed)?);
    Ok(Pending::written(parse_id(text(row, 0)?)?, revision, text(row, 3)?.into(), text(row, 4)?.into(), input))
}

/// A column that holds text, without a copy.
pub(super) fn text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, StoreError> {
    let value = row.get_ref(column).map_err(failed)?;
    value.as_str().map_err(|error| StoreError::Corrupt(error.into()))
}

pub(super) fn parse_id(text: &str) -> Result<ApprovalId, StoreError> {
    text.parse().map_err(|error: crate::approval::NotAnId| StoreError::Corrupt(error.into()))
}

/// What of an approval never changes, and its id.
#[derive(Debug, Clone)]
pub(super) struct Fixed {
    pub(super) id: ApprovalId,
    pub(super) request: Arc<Request>,
    pub(super) input: Arc<str>,
}

pub(super) const FIXED: &str = "SELECT a.id, r.request, r.input
    FROM approvals a JOIN requests r ON r.approval = a.number
    WHERE a.number = ?1";

impl Fixed {
    /// That of one approval.
    pub(super) fn of(connection: &Connection, number: i64) -> Result<Self, StoreError> {
        let mut statement = connection.prepare_cached(FIXED).map_err(failed)?;
        let mut rows = statement.query([number]).map_err(failed)?;
        let row = rows.next().map_err(failed)?.ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))?;
        let input: Arc<str> = row.get(2).map_err(failed)?;
        Ok(Self { id: parse_id(text(row, 0)?)?, request: decode(text(row, 1)?)?, input })
    }

    /// The approval with one of its states.
    pub(super) fn with(&self, revision: Revision, state: &str) -> Result<Arc<Approval>, StoreError> {
        decode_approval(self.id.clone(), revision, state, self.request.clone(), self.input.clone()).map(Arc::new)
    }
}

pub(super) const STATE_AT: &str = "SELECT revision, state FROM events
    WHERE approval = ?1 AND revision <= ?2 AND state IS NOT NULL
    ORDER BY revision DESC LIMIT 1";

/// An approval's state as of a revision, and that state's own revision; `None` where it is younger.
pub(super) fn state_at(
    connection: &Connection,
    number: i64,
    revision: Revision,
) -> Result<Option<(Revision, String)>, StoreError> {
    let mut statement = connection.prepare_cached(STATE_AT).map_err(failed)?;
    statement.query_row([number, revision], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(failed)
}

pub(super) const HEAD: &str = "SELECT revision, hash FROM events WHERE revision = (SELECT max(revision) FROM events)";

/// The newest event's place and hash.
pub(super) fn chain_head(connection: &Connection) -> Result<ChainHead, StoreError> {
    let mut statement = connection.prepare_cached(HEAD).map_err(failed)?;
    let head =
        statement.query_row([], |row| Ok(ChainHead { revision: row.get(0)?, hash: row.get::<_, [u8; 32]>(1)?.into() }));
    Ok(head.optional().map_err(failed)?.unwrap_or(ChainHead::START))
}

/// The newest revision.
pub(super) fn head(connection: &Connection) -> Result<Revision, StoreError> {
    chain_head(connection).map(|head| head.revision)
}

/// A page or piece is cut short once its inputs are this long together.
pub(super) const MAX_PIECE_BYTES: usize = 8 << 20;

pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
