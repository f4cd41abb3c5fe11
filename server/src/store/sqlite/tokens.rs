//! API tokens.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::connection::failed;
use crate::store::{ApiTokenRecord, StoreError};

const COLUMNS: &str = "digest, name, grants, seal, created, created_by, expires, revoked";

/// Whether a token of this name is alive.
pub(super) fn lives(connection: &Connection, name: &str, now: i64) -> Result<bool, StoreError> {
    const ALIVE: &str = "SELECT count(*) FROM api_tokens WHERE name = ?1 AND revoked IS NULL AND expires > ?2";
    let alive: i64 = connection
        .prepare_cached(ALIVE)
        .and_then(|mut statement| statement.query_row(params![name, now], |row| row.get(0)))
        .map_err(failed)?;
    Ok(alive > 0)
}

/// Keeps a token, in place of the one with its digest.
pub(super) fn put(connection: &Connection, token: &ApiTokenRecord) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO api_tokens (digest, name, grants, seal, created, created_by, expires, revoked)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                token.digest,
                token.name,
                token.grants,
                token.seal,
                token.created.as_millisecond(),
                token.created_by.as_str(),
                token.expires.as_millisecond(),
                token.revoked.map(Timestamp::as_millisecond),
            ])
        })
        .map(drop)
        .map_err(failed)
}

/// The newest token of a name.
pub(super) fn newest(connection: &Connection, name: &str) -> Result<Option<ApiTokenRecord>, StoreError> {
    let newest = format!("SELECT {COLUMNS} FROM api_tokens WHERE name = ?1 ORDER BY created DESC LIMIT 1");
    Ok(select(connection, &newest, [name])?.pop())
}

/// All of them, by name, newest first.
pub(super) fn all(connection: &Connection) -> Result<Vec<ApiTokenRecord>, StoreError> {
    select(connection, &format!("SELECT {COLUMNS} FROM api_tokens ORDER BY name, created DESC"), [])
}

fn select(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<ApiTokenRecord>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<ApiTokenRecord, StoreError> {
    let time = |millis: i64| Timestamp::from_millisecond(millis).map_err(StoreError::corrupt);
    let created_by: String = row.get(5).map_err(failed)?;
    Ok(ApiTokenRecord {
        digest: row.get(0).map_err(failed)?,
        name: row.get(1).map_err(failed)?,
        grants: row.get(2).map_err(failed)?,
        seal: row.get(3).map_err(failed)?,
        created: time(row.get(4).map_err(failed)?)?,
        created_by: created_by.try_into().map_err(StoreError::corrupt)?,
        expires: time(row.get(6).map_err(failed)?)?,
        revoked: row.get::<_, Option<i64>>(7).map_err(failed)?.map(time).transpose()?,
    })
}
