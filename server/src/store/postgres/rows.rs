//! Approvals, read from their rows.

use std::sync::Arc;

use tokio_postgres::{Row, types::FromSql};

use super::connection::failed;
use crate::{
    approval::{Approval, ApprovalId, Request},
    store::{
        Revision, StoreError,
        codec::{decode, decode_approval},
        due::DueTimes,
        tables::Stored,
    },
};

/// A page or piece is cut short once its inputs are this long together.
pub(super) const MAX_PIECE_BYTES: usize = 8 << 20;

/// The columns that [`stored`] reads, of `approvals a`, `events e` and `requests r`.
macro_rules! stored_from {
    ($more:literal, $from:literal, $rest:literal) => {
        concat!(
            "SELECT a.number, a.id, a.revision, a.slot, a.heartbeat_due, a.timer_due, a.delivery_due, a.detached_due,
                    e.state, r.request, r.input",
            $more,
            " FROM ",
            $from,
            " JOIN events e ON e.revision = a.revision JOIN requests r ON r.approval = a.number ",
            $rest
        )
    };
}
pub(super) use stored_from;

/// What else there is begins with this column.
pub(super) const MORE: usize = 11;

/// An approval and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Owned {
    pub(super) stored: Stored,
    pub(super) slot: i32,
}

pub(super) fn stored(row: &Row) -> Result<Owned, StoreError> {
    let due = DueTimes { heartbeat: get(row, 4)?, timer: get(row, 5)?, delivery: get(row, 6)?, detached: get(row, 7)? };
    let request = decode(get(row, 9)?)?;
    let approval = decode_approval(parse_id(get(row, 1)?)?, get(row, 2)?, get(row, 8)?, request, input(row, 10)?)?;
    Ok(Owned { stored: Stored { number: get(row, 0)?, due, approval: Arc::new(approval) }, slot: get(row, 3)? })
}

/// A column.
pub(super) fn get<'row, T: FromSql<'row>>(row: &'row Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(StoreError::corrupt)
}

/// A column that holds an input.
pub(super) fn input(row: &Row, column: usize) -> Result<Arc<str>, StoreError> {
    let bytes: &[u8] = get(row, column)?;
    std::str::from_utf8(bytes).map(Arc::from).map_err(StoreError::corrupt)
}

/// A column that holds a hash.
pub(super) fn hash(row: &Row, column: usize) -> Result<crate::audit::Hash, StoreError> {
    let bytes: &[u8] = get(row, column)?;
    <[u8; 32]>::try_from(bytes).map(Into::into).map_err(StoreError::corrupt)
}

pub(super) fn parse_id(text: &str) -> Result<ApprovalId, StoreError> {
    text.parse().map_err(|error: crate::approval::NotAnId| StoreError::corrupt(error))
}

pub(super) fn time(millis: i64) -> Result<jiff::Timestamp, StoreError> {
    jiff::Timestamp::from_millisecond(millis).map_err(StoreError::corrupt)
}

pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// What of an approval never changes, and its id.
#[derive(Debug, Clone)]
pub(super) struct Fixed {
    pub(super) id: ApprovalId,
    pub(super) request: Arc<Request>,
    pub(super) input: Arc<str>,
}

/// Of approvals by number: number, id, request, input.
pub(super) const FIXED: &str = "SELECT a.number, a.id, r.request, r.input
    FROM approvals a JOIN requests r ON r.approval = a.number WHERE a.number = ANY($1)";

impl Fixed {
    /// That of a row of [`FIXED`], with its number.
    pub(super) fn of(row: &Row) -> Result<(i64, Self), StoreError> {
        let fixed = Self { id: parse_id(get(row, 1)?)?, request: decode(get(row, 2)?)?, input: input(row, 3)? };
        Ok((get(row, 0)?, fixed))
    }

    /// The approval with one of its states.
    pub(super) fn with(&self, revision: Revision, state: &str) -> Result<Arc<Approval>, StoreError> {
        decode_approval(self.id.clone(), revision, state, self.request.clone(), self.input.clone()).map(Arc::new)
    }
}

/// A token that was read in the order of the columns of `api_tokens`.
pub(super) fn api_token(row: &Row) -> Result<crate::store::ApiTokenRecord, StoreError> {
    let created_by: String = get(row, 5)?;
    Ok(crate::store::ApiTokenRecord {
        digest: get(row, 0)?,
        name: get(row, 1)?,
        grants: get(row, 2)?,
        seal: get(row, 3)?,
        created: time(get(row, 4)?)?,
        created_by: created_by.try_into().map_err(StoreError::corrupt)?,
        expires: time(get(row, 6)?)?,
        revoked: get::<Option<i64>>(row, 7)?.map(time).transpose()?,
    })
}

/// The first of a statement's rows, if it has one.
pub(super) fn first(rows: Result<Vec<Row>, tokio_postgres::Error>) -> Result<Option<Row>, StoreError> {
    Ok(rows.map_err(failed)?.into_iter().next())
}
