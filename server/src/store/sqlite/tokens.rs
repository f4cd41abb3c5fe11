//! API tokens.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use serde_json::value::RawValue;

use super::connection::failed;
use crate::{
    approval::Principal,
    audit::AdminEvent,
    store::{ApiTokenRecord, StoreError},
};

const COLUMNS: &str = "digest, name, grants, seal, created, created_by, expires, revoked";

/// Keeps a token, unless one of its name is alive; whether it did.
pub(super) fn put(connection: &Connection, token: &ApiTokenRecord) -> Result<bool, StoreError> {
    const ALIVE: &str = "SELECT count(*) FROM api_tokens WHERE name = ?1 AND revoked IS NULL AND expires > ?2";
    let now = token.created.as_millisecond();
    let alive: i64 = connection
        .prepare_cached(ALIVE)
        .and_then(|mut statement| statement.query_row(params![token.name, now], |row| row.get(0)))
        .map_err(failed)?;
    if alive > 0 {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "INSERT INTO api_tokens (digest, name, grants, seal, created, created_by, expires, revoked)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                token.digest,
                token.name,
                token.grants,
                token.seal,
                now,
                token.created_by.as_str(),
                token.expires.as_millisecond(),
            ])
        })
        .map_err(failed)?;
    Ok(true)
}

/// The newest token of a name.
pub(super) fn newest(connection: &Connection, name: &str) -> Result<Option<ApiTokenRecord>, StoreError> {
    let newest = format!("SELECT {COLUMNS} FROM api_tokens WHERE name = ?1 ORDER BY created DESC LIMIT 1");
    Ok(select(connection, &newest, [name])?.pop())
}

/// Writes when a token was revoked.
pub(super) fn revoke(connection: &Connection, token: &ApiTokenRecord) -> Result<(), StoreError> {
    let at = token.revoked.map(Timestamp::as_millisecond);
    connection
        .prepare_cached("UPDATE api_tokens SET revoked = ?2 WHERE digest = ?1")
        .and_then(|mut statement| statement.execute(params![token.digest, at]))
        .map(drop)
        .map_err(failed)
}

/// For the record: it was made.
pub(super) fn created(token: &ApiTokenRecord) -> Result<AdminEvent, StoreError> {
    let grants: Vec<&RawValue> = serde_json::from_str(&token.grants).map_err(corrupt)?;
    let scopes = grants.iter().map(|grant| grant.get().to_owned()).collect();
    Ok(AdminEvent::TokenCreated {
        token: id(token),
        principal: principal(token)?,
        scopes,
        expires: Some(token.expires),
    })
}

/// For the record: it was revoked.
pub(super) fn revoked(token: &ApiTokenRecord) -> Result<AdminEvent, StoreError> {
    Ok(AdminEvent::TokenRevoked { token: id(token), principal: principal(token)? })
}

fn principal(token: &ApiTokenRecord) -> Result<Principal, StoreError> {
    format!("service:{}", token.name).parse().map_err(corrupt)
}

/// Tells tokens of the same name apart, and says nothing of the secret.
fn id(token: &ApiTokenRecord) -> String {
    token.digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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
    let time = |millis: i64| Timestamp::from_millisecond(millis).map_err(corrupt);
    let created_by: String = row.get(5).map_err(failed)?;
    Ok(ApiTokenRecord {
        digest: row.get(0).map_err(failed)?,
        name: row.get(1).map_err(failed)?,
        grants: row.get(2).map_err(failed)?,
        seal: row.get(3).map_err(failed)?,
        created: time(row.get(4).map_err(failed)?)?,
        created_by: created_by.try_into().map_err(corrupt)?,
        expires: time(row.get(6).map_err(failed)?)?,
        revoked: row.get::<_, Option<i64>>(7).map_err(failed)?.map(time).transpose()?,
    })
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Corrupt(Box::new(error))
}
