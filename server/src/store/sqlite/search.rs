//! The indexes of what lists look for: texts, and what waits.
//!
//! A text's key is the first 63 bits of its approval's id, so that it comes in the order of ids. Approvals that share
//! them, as may be in one millisecond, share the key: what is found is the ids that begin so.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    connection::failed,
    list::{ids, in_order},
    rows::{limit as sql_limit, parse_id, text},
};
use crate::{
    approval::{ApprovalId, Request, Status},
    store::{
        Order, StoreError,
        codec::decode,
        search::{Settled, created, document, terms, trigrams},
        transaction::Written,
    },
};

/// So many approvals of an older store are put into the indexes at a time: as long as that takes, writes wait.
const PIECE: usize = 100;

/// A piece that so many documents hold is not rare.
const RARE: usize = 256;

const PUT_TERM: &str = "INSERT OR IGNORE INTO waiting (term, approval_id) VALUES (?1, ?2)";
pub(super) const TAKE_TERM: &str = "DELETE FROM waiting WHERE term = ?1 AND approval_id = ?2";
const PUT_TEXT: &str = "INSERT INTO texts (rowid, text) VALUES (?1, ?2)";
const TAKE_TEXT: &str = "DELETE FROM texts WHERE rowid = ?1";
pub(super) const IN_BUCKET: [&str; 2] = [
    "SELECT id FROM approvals WHERE id >= ?1 AND id < ?1 || '{' AND id < ?2 ORDER BY id DESC LIMIT ?3",
    "SELECT id FROM approvals WHERE id >= ?1 AND id < ?1 || '{' AND id > ?2 ORDER BY id LIMIT ?3",
];
const BUCKETS: [&str; 2] = [
    "SELECT rowid FROM texts WHERE texts MATCH ?1 AND rowid <= ?2 ORDER BY rowid DESC",
    "SELECT rowid FROM texts WHERE texts MATCH ?1 AND rowid >= ?2 ORDER BY rowid",
];
const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM texts WHERE texts MATCH ?1 LIMIT ?2)";
pub(super) const UNINDEXED: &str = "SELECT value FROM meta WHERE key = 'unindexed'";
pub(super) const NOT_YET: &str = "SELECT a.number, a.id, a.status, r.request
    FROM approvals a JOIN requests r ON r.approval = a.number
    WHERE a.number <= ?1 ORDER BY a.number DESC LIMIT ?2";

/// The characters of an id that make its key, with what comes before them.
const KEY_END: usize = 4 + 13;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The key of the texts of approvals whose ids begin so.
fn key(id: &str) -> i64 {
    let digits = id.bytes().take(KEY_END).skip(4);
    let digit = |byte: u8| ALPHABET.iter().position(|known| *known == byte).unwrap_or(0);
    // A UUID has 128 bits, and 26 characters could hold 130: the first of them is 7 at most.
    let key = digits.fold(0_u64, |key, byte| (key << 5) | u64::try_from(digit(byte)).unwrap_or(0));
    i64::try_from(key & (u64::MAX >> 1)).unwrap_or(i64::MAX)
}

/// How the ids of a key begin.
fn beginning(key: i64) -> String {
    let digit = |place: u32| {
        let place = usize::try_from((key >> (5 * place)) & 31).unwrap_or(0);
        char::from(ALPHABET.get(place).copied().unwrap_or(b'0'))
    };
    std::iter::once("apr_".to_owned()).chain((0..13).rev().map(|place| digit(place).to_string())).collect()
}

/// What a document holds that holds `text`, or a part of that, as the index has to be asked for it. It walks all of a
/// piece's documents, however rare the others are: those that many hold are left out where a rare one leads there.
pub(super) fn expression(connection: &Connection, text: &str) -> Result<String, StoreError> {
    let quoted = |trigram: &String| format!("\"{}\"", trigram.replace('"', "\"\""));
    let all: Vec<_> = trigrams(text).iter().map(quoted).collect();
    let mut rare = Vec::new();
    for piece in &all {
        if count(connection, piece, RARE)? < RARE {
            rare.push(piece.as_str());
        }
    }
    Ok(if rare.is_empty() { all.join(" AND ") } else { rare.join(" AND ") })
}

/// How many documents are found so, at most `most`.
pub(super) fn count(connection: &Connection, expression: &str, most: usize) -> Result<usize, StoreError> {
    let mut statement = connection.prepare_cached(COUNT).map_err(failed)?;
    let count: i64 = statement.query_row(params![expression, sql_limit(most)], |row| row.get(0)).map_err(failed)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Ids in order, after one.
pub(super) struct BucketIds<'a> {
    pub(super) connection: &'a Connection,
    pub(super) order: Order,
    pub(super) after: &'a str,
    pub(super) limit: usize,
}

impl BucketIds<'_> {
    /// Those of approvals whose text may hold `text`.
    pub(super) fn holding(&self, text: &str) -> Result<Vec<String>, StoreError> {
        let first = match self.after {
            "" => 0,
            "{" => i64::MAX,
            id => key(id),
        };
        let sql = in_order(BUCKETS, self.order);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut found = Vec::new();
        let mut rows = statement.query(params![expression(self.connection, text)?, first]).map_err(failed)?;
        while found.len() < self.limit
            && let Some(row) = rows.next().map_err(failed)?
        {
            let beginning = beginning(row.get(0).map_err(failed)?);
            let limit = sql_limit(self.limit - found.len());
            found.extend(ids(self.connection, in_order(IN_BUCKET, self.order), &[&beginning, &self.after, &limit])?);
        }
        Ok(found)
    }
}

/// Keeps the indexes: what a transaction wrote is found, and what is pending no more is not for ever looked at. Whether it
/// took out what was settled.
pub(super) fn keep(connection: &Connection, written: &Written, settled: &Settled) -> Result<bool, StoreError> {
    for approval in created(&written.changes) {
        put(connection, approval.id.as_str(), approval.status, &approval.request)?;
    }
    let due = settled.due(written);
    for (id, request) in due {
        take_terms(connection, id, request)?;
    }
    Ok(!due.is_empty())
}

fn put(connection: &Connection, id: &str, status: Status, request: &Request) -> Result<(), StoreError> {
    if status == Status::Pending {
        let mut statement = connection.prepare_cached(PUT_TERM).map_err(failed)?;
        for term in terms(request) {
            statement.execute(params![term, id]).map_err(failed)?;
        }
    }
    let document = document(&parse_id(id)?, request);
    let mut statement = connection.prepare_cached(PUT_TEXT).map_err(failed)?;
    statement.execute(params![key(id), document]).map(drop).map_err(failed)
}

fn take_terms(connection: &Connection, id: &ApprovalId, request: &Request) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(TAKE_TERM).map_err(failed)?;
    for term in terms(request) {
        statement.execute(params![term, id.as_str()]).map_err(failed)?;
    }
    Ok(())
}

/// Forgets an approval that is there no more.
pub(super) fn forget(connection: &Connection, id: &ApprovalId, request: &Request) -> Result<(), StoreError> {
    take_terms(connection, id, request)?;
    let key = key(id.as_str());
    if ids(connection, in_order(IN_BUCKET, Order::OldestFirst), &[&beginning(key), &"", &1])?.is_empty() {
        let mut statement = connection.prepare_cached(TAKE_TEXT).map_err(failed)?;
        statement.execute([key]).map_err(failed)?;
    }
    Ok(())
}

/// The number of the youngest approval that is not in the indexes, as it was written before there were any; 0: there is
/// none.
pub(super) fn unindexed(connection: &Connection) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached(UNINDEXED).map_err(failed)?;
    Ok(statement.query_row([], |row| row.get(0)).optional().map_err(failed)?.unwrap_or(0))
}

/// Puts a few of those into the indexes, within a transaction; the number of the youngest that is not.
pub(super) fn catch_up(connection: &Connection, unindexed: i64) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached(NOT_YET).map_err(failed)?;
    let mut rows = statement.query(params![unindexed, sql_limit(PIECE)]).map_err(failed)?;
    let mut found = Vec::new();
    let mut left = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let number: i64 = row.get(0).map_err(failed)?;
        left = number - 1;
        let request: Request = decode(text(row, 3)?)?;
        found.push((text(row, 1)?.to_owned(), text(row, 2)? == Status::Pending.name(), request));
    }
    if found.len() < PIECE {
        left = 0;
    }
    // Keys that go up are written out together.
    found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    for (id, pending, request) in found {
        put(connection, &id, if pending { Status::Pending } else { Status::Approved }, &request)?;
    }
    let note = match left {
        0 => "DELETE FROM meta WHERE key = 'unindexed' AND ?1 = 0",
        _ => "UPDATE meta SET value = ?1 WHERE key = 'unindexed'",
    };
    connection.prepare_cached(note).and_then(|mut note| note.execute([left])).map_err(failed)?;
    Ok(left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_ids(one: u128, other: u128) {
            let id = |bits: u128| ApprovalId::from_uuid(Uuid::from_u128(bits));
            let (one, other) = (id(one), id(other));
            prop_assert!(one.as_str().starts_with(&beginning(key(one.as_str()))), "{one:?}");
            let keys = key(one.as_str()).cmp(&key(other.as_str()));
            prop_assert!(keys == one.cmp(&other) || keys.is_eq(), "{one:?} {other:?}");
        }
    }
}
