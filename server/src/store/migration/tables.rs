//! What is copied: each table of the shared store, and where its rows come from.

use sha2::{Digest as _, Sha256};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    /// A whole number of 64 bits.
    Int,
    /// One of 32 bits.
    Small,
    Text,
    /// A text that is only looked for, and is written without the character that PostgreSQL has no place for.
    Kept,
    Bytes,
}

/// A value. A row is one for each column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

pub(in crate::store) type Row = Vec<Cell>;

/// A table.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) columns: &'static [(&'static str, Kind)],
    /// The rows in the embedded store, with these columns, always in the same order.
    pub(in crate::store) source: &'static str,
}

use Kind::{Bytes, Int, Kept, Small, Text};

/// The log, whose chain is checked beside.
pub(in crate::store) const EVENTS: Table = Table {
    name: "events",
    columns: &[
        ("revision", Int),
        ("hash", Bytes),
        ("record", Text),
        ("approval", Int),
        ("at", Int),
        ("actor", Text),
        ("on_behalf_of", Text),
        ("state", Text),
    ],
    source: "SELECT revision, hash, record, approval, at, actor, on_behalf_of, state FROM events ORDER BY revision",
};

/// All of them. The end of the log and what is no longer kept of it are written apart.
pub(in crate::store) const ALL: [Table; 11] = [
    Table {
        name: "approvals",
        columns: &[
            ("number", Int),
            ("id", Text),
            ("status", Text),
            ("workflow", Kept),
            ("execution_arn", Kept),
            ("identity", Kept),
            ("token_digest", Text),
            ("first_revision", Int),
            ("revision", Int),
            ("slot", Small),
            ("heartbeat_due", Int),
            ("timer_due", Int),
            ("delivery_due", Int),
            ("detached_due", Int),
        ],
        source: "SELECT number, id, status, workflow, execution_arn, identity, token_digest,
                coalesce((SELECT e.revision FROM events e
                    WHERE e.approval = number AND e.state IS NOT NULL ORDER BY e.revision LIMIT 1), revision),
                revision, 1, heartbeat_due, timer_due, delivery_due, detached_due
            FROM approvals ORDER BY number",
    },
    Table {
        name: "requests",
        columns: &[("approval", Int), ("request", Text), ("input", Bytes)],
        source: "SELECT approval, request, CAST(input AS BLOB) FROM requests ORDER BY approval",
    },
    EVENTS,
    Table {
        name: "labels",
        columns: &[("key", Kept), ("value", Kept), ("approval_id", Text)],
        source: "SELECT key, value, approval_id FROM labels ORDER BY key, value, approval_id",
    },
    Table {
        name: "tokens",
        columns: &[("digest", Text), ("approval", Int)],
        source: "SELECT digest, approval FROM tokens ORDER BY digest",
    },
    Table {
        name: "request_keys",
        columns: &[
            ("caller", Kept),
            ("id", Kept),
            ("fingerprint", Bytes),
            ("approval", Int),
            ("revision", Int),
            ("at", Int),
        ],
        source: "SELECT caller, id, fingerprint, approval, revision, at FROM request_keys ORDER BY caller, id",
    },
    Table {
        name: "pending_counts",
        columns: &[("workflow", Kept), ("pending", Int)],
        source: "SELECT workflow, pending FROM pending_counts ORDER BY workflow",
    },
    Table {
        name: "workflows",
        columns: &[("name", Kept), ("record", Text)],
        source: "SELECT name, record FROM workflows ORDER BY name",
    },
    Table {
        name: "api_tokens",
        columns: &[
            ("digest", Bytes),
            ("name", Kept),
            ("grants", Text),
            ("seal", Bytes),
            ("created", Int),
            ("created_by", Text),
            ("expires", Int),
            ("revoked", Int),
        ],
        source: "SELECT digest, name, grants, seal, created, created_by, expires, revoked FROM api_tokens ORDER BY digest",
    },
    Table {
        name: "told",
        columns: &[("target", Kept), ("revision", Int), ("server", Int)],
        source: "SELECT target, revision, 0 FROM told ORDER BY target",
    },
    Table {
        name: "unsent",
        columns: &[
            ("id", Text),
            ("target", Kept),
            ("approval", Text),
            ("notice", Text),
            ("attempts", Int),
            ("error", Kept),
            ("created", Int),
            ("due", Int),
        ],
        source: "SELECT id, target, approval, notice, attempts, error, created, due FROM unsent ORDER BY id",
    },
];

/// How many bytes a row takes in memory, roughly.
pub(in crate::store) fn weight(row: &Row) -> usize {
    let of = |cell: &Cell| match cell {
        Cell::Null | Cell::Int(_) => 0,
        Cell::Text(text) => text.len(),
        Cell::Bytes(bytes) => bytes.len(),
    };
    row.iter().map(|cell| size_of::<Cell>() + of(cell)).sum()
}

/// How many rows there are, and a digest that is the same in whichever order they come: the sum of the rows' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Tally {
    pub(in crate::store) rows: u64,
    sum: [u64; 4],
}

impl Tally {
    pub(in crate::store) fn add(&mut self, row: &Row) {
        let mut digest = Sha256::new();
        for cell in row {
            let (tag, length) = match cell {
                Cell::Null => (0_u8, 0),
                Cell::Int(_) => (1, 8),
                Cell::Text(text) => (2, text.len()),
                Cell::Bytes(bytes) => (3, bytes.len()),
            };
            digest.update([tag]);
            digest.update((length as u64).to_be_bytes());
            match cell {
                Cell::Null => {}
                Cell::Int(number) => digest.update(number.to_be_bytes()),
                Cell::Text(text) => digest.update(text),
                Cell::Bytes(bytes) => digest.update(bytes),
            }
        }
        let digest = digest.finalize();
        for (lane, bytes) in self.sum.iter_mut().zip(digest.chunks_exact(8)) {
            let bytes = bytes.try_into().unwrap_or_default();
            *lane = lane.wrapping_add(u64::from_be_bytes(bytes));
        }
        self.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: &[Row]) -> Tally {
        let mut tally = Tally::default();
        rows.iter().for_each(|row| tally.add(row));
        tally
    }

    #[test]
    fn rows_are_told_apart_and_their_order_is_not() {
        let text = |text: &str| Cell::Text(text.to_owned());
        let (one, other) = (vec![Cell::Int(1), text("ab")], vec![Cell::Null, text("c")]);
        let both = tally(&[one.clone(), other.clone()]);
        assert_eq!(both, tally(&[other.clone(), one.clone()]));
        assert_ne!(both, tally(std::slice::from_ref(&one)));
        assert_ne!(both, tally(&[one.clone(), one.clone()]));
        assert_ne!(tally(&[vec![text("ab"), text("c")]]), tally(&[vec![text("a"), text("bc")]]));
        assert_ne!(tally(&[vec![text("a")]]), tally(&[vec![Cell::Bytes(b"a".to_vec())]]));
        assert_ne!(tally(&[vec![text("")]]), tally(&[vec![Cell::Null]]));
    }
}
