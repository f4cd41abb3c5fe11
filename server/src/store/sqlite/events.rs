//! What auditors read: events by what they are about, and the record as it is.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::{
    connection::failed,
    log::OLDEST,
    rows::{self, Fixed, MAX_PIECE_BYTES, text},
};
use crate::{
    audit::Hash,
    store::{
        EventPage, EventQuery, ExportRange, Exported, Recorded, Revision, StoreError, codec::decode_response,
        events::PayloadNames,
    },
};

/// How many events are looked at for a page, at most.
const MAX_LOOKED_AT: usize = 10_000;

pub(super) const OF_APPROVAL: &str = "SELECT revision, hash, record FROM events
    WHERE approval = (SELECT number FROM approvals WHERE id = ?4) AND revision >= ?1 AND revision < ?2
    ORDER BY revision DESC LIMIT ?3";
pub(super) const BY_ACTOR: &str = "SELECT revision, hash, record FROM events
    WHERE actor = ?4 AND revision >= ?1 AND revision < ?2
    UNION ALL SELECT revision, hash, record FROM events
    WHERE on_behalf_of = ?4 AND actor <> ?4 AND revision >= ?1 AND revision < ?2
    ORDER BY revision DESC LIMIT ?3";
pub(super) const NEWEST_FIRST: &str = "SELECT revision, hash, record FROM events
    WHERE revision >= ?1 AND revision < ?2 ORDER BY revision DESC LIMIT ?3";
pub(super) const FIRST_SINCE: &str = "SELECT min(revision) FROM events WHERE at >= ?1";
pub(super) const LAST_BEFORE: &str = "SELECT max(revision) FROM events WHERE at < ?1";

/// A page of events, newest first.
pub(super) fn list(connection: &Connection, query: &EventQuery) -> Result<EventPage, StoreError> {
    let mut before = query.before.unwrap_or(Revision::MAX);
    let mut first = 0;
    if let Some(start) = query.start {
        match bound(connection, FIRST_SINCE, start)? {
            Some(revision) => first = revision,
            None => return Ok(EventPage { events: Vec::new(), next: None }),
        }
    }
    if let (Some(end), None) = (query.end, query.before) {
        before = bound(connection, LAST_BEFORE, end)?.map_or(0, |last| last + 1);
    }
    let looked_at = rows::limit(MAX_LOOKED_AT);
    let system = query.actor.as_ref().is_some_and(|actor| actor.as_str().starts_with("system:"));
    match (&query.approval, &query.actor) {
        (Some(id), _) => pick(connection, query, OF_APPROVAL, &[&first, &before, &looked_at, &id.as_str()]),
        (None, Some(actor)) if !system => {
            pick(connection, query, BY_ACTOR, &[&first, &before, &looked_at, &actor.as_str()])
        }
        (None, _) => pick(connection, query, NEWEST_FIRST, &[&first, &before, &looked_at]),
    }
}

fn bound(connection: &Connection, sql: &str, time: jiff::Timestamp) -> Result<Option<Revision>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    // Times in the store are whole milliseconds.
    statement.query_row([super::super::due::millis_up(time)], |row| row.get(0)).map_err(failed)
}

/// The events that match, of what a statement finds.
fn pick(
    connection: &Connection,
    query: &EventQuery,
    sql: &str,
    params: &[&dyn ToSql],
) -> Result<EventPage, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut events = Vec::new();
    let (mut looked_at, mut bytes) = (0, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        let record = text(row, 2)?;
        looked_at += 1;
        bytes += record.len();
        if query.matches(record)? {
            events.push(recorded(row)?);
        }
        if events.len() >= query.limit || bytes > MAX_PIECE_BYTES || looked_at >= MAX_LOOKED_AT {
            return Ok(EventPage { events, next: Some(row.get(0).map_err(failed)?) });
        }
    }
    Ok(EventPage { events, next: None })
}

fn recorded(row: &Row<'_>) -> Result<Recorded, StoreError> {
    let hash: [u8; 32] = row.get(1).map_err(failed)?;
    Ok(Recorded {
        revision: row.get(0).map_err(failed)?,
        record: text(row, 2)?.to_owned(),
        hash: hash.into(),
        payloads: BTreeMap::new(),
    })
}

pub(super) const IN_ORDER: &str = "SELECT revision, hash, record, approval FROM events
    WHERE revision >= ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3";
pub(super) const HASH: &str = "SELECT hash FROM events WHERE revision = ?1";
pub(super) const OLDEST_HASH: &str = "SELECT value FROM meta WHERE key = 'oldest_hash'";

/// A piece of the record.
pub(super) fn export(connection: &Connection, range: ExportRange) -> Result<Exported, StoreError> {
    let oldest: Option<Revision> = connection.query_row(OLDEST, [], |row| row.get(0)).optional().map_err(failed)?;
    let oldest = oldest.unwrap_or(0);
    let first = range.first.unwrap_or(oldest + 1).max(1);
    if first <= oldest {
        return Ok(Exported::Compacted(oldest));
    }
    let previous = if first == oldest + 1 {
        hash(connection, OLDEST_HASH, [])?.unwrap_or(Hash::ZERO)
    } else {
        // Beyond the head there is nothing, and no hash before it.
        hash(connection, HASH, [first - 1])?.unwrap_or(Hash::ZERO)
    };
    let mut statement = connection.prepare_cached(IN_ORDER).map_err(failed)?;
    let mut rows = statement.query([first, range.last, rows::limit(range.limit)]).map_err(failed)?;
    let mut events = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let mut event = recorded(row)?;
        if range.payloads {
            let number: Option<i64> = row.get(3).map_err(failed)?;
            event.payloads = payloads(connection, number, &event)?;
        }
        bytes += event.record.len() + event.payloads.values().map(String::len).sum::<usize>();
        events.push(event);
        if bytes > MAX_PIECE_BYTES {
            break;
        }
    }
    Ok(Exported::Some { previous, events })
}

fn hash(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Option<Hash>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let found: Option<[u8; 32]> = statement.query_row(params, |row| row.get(0)).optional().map_err(failed)?;
    Ok(found.map(Hash::from))
}

pub(super) const STATE_SINCE: &str = "SELECT state FROM events
    WHERE approval = ?1 AND revision >= ?2 AND state IS NOT NULL ORDER BY revision LIMIT 1";

/// The payloads that an event names, as they are kept: whether they are what was hashed is for the verifier to say.
fn payloads(
    connection: &Connection,
    number: Option<i64>,
    event: &Recorded,
) -> Result<BTreeMap<String, String>, StoreError> {
    let mut found = BTreeMap::new();
    let Some(number) = number else { return Ok(found) };
    let Some(names) = PayloadNames::of(&event.record)? else { return Ok(found) };
    if names.of_request() {
        let fixed = Fixed::of(connection, number)?;
        names.keep_request(&fixed.input, &fixed.request.description, &mut found);
    }
    if let Some((voter, digest)) = names.of_vote() {
        let mut statement = connection.prepare_cached(STATE_SINCE).map_err(failed)?;
        let mut rows = statement.query(params![number, event.revision]).map_err(failed)?;
        if let Some(row) = rows.next().map_err(failed)? {
            found.extend(decode_response(text(row, 0)?, voter)?.map(|response| (digest.to_owned(), response)));
        }
    }
    Ok(found)
}
