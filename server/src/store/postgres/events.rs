//! What auditors read: events by what they are about, and the record as it is.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::{Row, types::ToSql};

use super::{
    log::{Lengths, fixed, gone},
    names::kept,
    readers::Readers,
    rows::{Fixed, MAX_PIECE_BYTES, get, hash, limit as sql_limit},
};
use crate::{
    audit::Hash,
    store::{
        EventPage, EventQuery, ExportRange, Exported, Recorded, Revision, StoreError, codec::decode_response,
        due::millis_up, events::PayloadNames,
    },
};

/// How many events are looked at for a page, at most.
const MAX_LOOKED_AT: usize = 10_000;
/// How many are read at a time.
const PIECE: usize = 500;

const OF_APPROVAL: &str = "SELECT revision, hash, record FROM events
    WHERE approval = (SELECT number FROM approvals WHERE id = $4) AND revision >= $1 AND revision < $2
    ORDER BY revision DESC LIMIT $3";
const BY_ACTOR: &str = "SELECT revision, hash, record FROM (
        (SELECT revision, hash, record FROM events
            WHERE actor = $4 AND revision >= $1 AND revision < $2 ORDER BY revision DESC LIMIT $3)
        UNION ALL (SELECT revision, hash, record FROM events
            WHERE on_behalf_of = $4 AND actor <> $4 AND revision >= $1 AND revision < $2
            ORDER BY revision DESC LIMIT $3)
    ) e ORDER BY revision DESC LIMIT $3";
const NEWEST_FIRST: &str = "SELECT revision, hash, record FROM events
    WHERE revision >= $1 AND revision < $2 ORDER BY revision DESC LIMIT $3";
const FIRST_SINCE: &str = "SELECT min(revision) FROM events WHERE at >= $1";
const LAST_BEFORE: &str = "SELECT max(revision) FROM events WHERE at < $1";

/// A page of events, newest first.
pub(super) async fn list(readers: &Readers, query: &EventQuery) -> Result<EventPage, StoreError> {
    let mut before = query.before.unwrap_or(Revision::MAX);
    let mut first: Revision = 0;
    if let Some(start) = query.start {
        match bound(readers, FIRST_SINCE, start).await? {
            Some(revision) => first = revision,
            None => return Ok(EventPage { events: Vec::new(), next: None }),
        }
    }
    if let (Some(end), None) = (query.end, query.before) {
        before = bound(readers, LAST_BEFORE, end).await?.map_or(0, |last| last + 1);
    }
    let system = query.actor.as_ref().is_some_and(|actor| actor.as_str().starts_with("system:"));
    let (sql, subject) = match (&query.approval, &query.actor) {
        (Some(id), _) => (OF_APPROVAL, Some(id.as_str())),
        (None, Some(actor)) if !system => (BY_ACTOR, Some(actor.as_str())),
        (None, _) => (NEWEST_FIRST, None),
    };
    let subject = subject.map(kept);
    let mut page = Vec::new();
    let (mut looked_at, mut bytes) = (0, 0);
    loop {
        let limit = sql_limit(PIECE);
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&first, &before, &limit];
        params.extend(subject.as_ref().map(|subject| subject as &(dyn ToSql + Sync)));
        let rows = readers.read(sql, &params).await?;
        for row in &rows {
            let record: &str = get(row, 2)?;
            looked_at += 1;
            bytes += record.len();
            before = get(row, 0)?;
            if query.matches(record)? {
                page.push(recorded(row)?);
            }
            if page.len() >= query.limit || bytes > MAX_PIECE_BYTES || looked_at >= MAX_LOOKED_AT {
                return Ok(EventPage { events: page, next: Some(before) });
            }
        }
        if rows.len() < PIECE {
            return Ok(EventPage { events: page, next: None });
        }
    }
}

async fn bound(readers: &Readers, sql: &str, time: jiff::Timestamp) -> Result<Option<Revision>, StoreError> {
    // Times in the store are whole milliseconds.
    let row = readers.first(sql, &[&millis_up(time)]).await?;
    row.map_or(Ok(None), |row| get(&row, 0))
}

fn recorded(row: &Row) -> Result<Recorded, StoreError> {
    Ok(Recorded { revision: get(row, 0)?, record: get(row, 2)?, hash: hash(row, 1)?, payloads: BTreeMap::new() })
}

/// Where the range begins, and the hash before it: of what is no longer kept, or of the event before.
const BEFORE: &str =
    "SELECT c.revision, c.hash, e.hash FROM compacted c LEFT JOIN events e ON e.revision = $1::bigint - 1";
const IN_ORDER: &str = "SELECT revision, hash, record, approval FROM events
    WHERE revision >= $1 AND revision <= $2 ORDER BY revision LIMIT $3";

/// A piece of the record.
pub(super) async fn export(readers: &Readers, range: ExportRange) -> Result<Exported, StoreError> {
    let asked = range.first.unwrap_or(0);
    let row = readers.first(BEFORE, &[&asked]).await?.ok_or_else(gone)?;
    let oldest: Revision = get(&row, 0)?;
    let first = range.first.unwrap_or(oldest + 1).max(1);
    if first <= oldest {
        return Ok(Exported::Compacted(oldest));
    }
    // Beyond the head there is nothing, and no hash before it.
    let previous = match (first == oldest + 1, get::<Option<&[u8]>>(&row, 2)?) {
        (true, _) => hash(&row, 1)?,
        (false, Some(_)) => hash(&row, 2)?,
        (false, None) => Hash::ZERO,
    };
    let mut events = Vec::new();
    let (mut next, mut bytes) = (first, 0);
    while events.len() < range.limit && bytes <= MAX_PIECE_BYTES {
        let piece = (range.limit - events.len()).min(PIECE);
        let rows = readers.read(IN_ORDER, &[&next, &range.last, &sql_limit(piece)]).await?;
        let mut payloads = if range.payloads { payloads(readers, &rows).await? } else { HashMap::new() };
        for row in &rows {
            let mut event = recorded(row)?;
            next = event.revision + 1;
            event.payloads = payloads.remove(&event.revision).unwrap_or_default();
            bytes += event.record.len() + event.payloads.values().map(String::len).sum::<usize>();
            events.push(event);
            if bytes > MAX_PIECE_BYTES {
                break;
            }
        }
        if rows.len() < piece {
            break;
        }
    }
    Ok(Exported::Some { previous, events })
}

/// The states after votes, by approval and revision.
const STATES: &str = "SELECT u.revision, s.state FROM unnest($1::bigint[], $2::bigint[]) AS u (approval, revision)
    CROSS JOIN LATERAL (SELECT state FROM events
        WHERE approval = u.approval AND revision >= u.revision AND state IS NOT NULL ORDER BY revision LIMIT 1) s";

/// The payloads that events name, as they are kept: whether they are what was hashed is for the verifier to say.
async fn payloads(readers: &Readers, rows: &[Row]) -> Result<HashMap<Revision, BTreeMap<String, String>>, StoreError> {
    let (mut whole, mut votes) = (Lengths::default(), (Vec::new(), Vec::new()));
    let mut named = Vec::new();
    for row in rows {
        let Some(number) = get::<Option<i64>>(row, 3)? else { continue };
        let Some(names) = PayloadNames::of(get(row, 2)?)? else { continue };
        let revision: Revision = get(row, 0)?;
        if names.of_request() {
            whole.add(number, 0);
        }
        if names.of_vote().is_some() {
            votes.0.push(number);
            votes.1.push(revision);
        }
        named.push((revision, number, names));
    }
    let fixed: HashMap<i64, Fixed> = fixed(readers, &whole).await?;
    let mut responses = HashMap::new();
    if !votes.0.is_empty() {
        for row in readers.read(STATES, &[&votes.0, &votes.1]).await? {
            responses.insert(get::<Revision>(&row, 0)?, get::<String>(&row, 1)?);
        }
    }
    let mut all = HashMap::new();
    for (revision, number, names) in named {
        let mut found = BTreeMap::new();
        if let Some(of) = fixed.get(&number) {
            names.keep_request(&of.input, &of.request.description, &mut found);
        }
        if let (Some((voter, digest)), Some(state)) = (names.of_vote(), responses.get(&revision)) {
            found.extend(decode_response(state, voter)?.map(|response| (digest.to_owned(), response)));
        }
        all.insert(revision, found);
    }
    Ok(all)
}

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 6] = [OF_APPROVAL, BY_ACTOR, NEWEST_FIRST, BEFORE, IN_ORDER, STATES];
