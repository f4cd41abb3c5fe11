//! The shared store, filled with what an embedded one held. No server uses it meanwhile.

use std::error::Error;

use bytes::BytesMut;
use futures::{TryStreamExt as _, pin_mut};
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Row as PgRow,
    binary_copy::BinaryCopyInWriter,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use tokio_util::task::TaskTracker;

use super::{
    connection::{Address, failed},
    lease, migrate,
    rows::get,
};
use crate::{
    audit::{ChainHead, Hash},
    store::{
        StoreError,
        migration::tables::{Cell, EVENTS, Kind, Row, Table, Tally},
    },
};

/// The advisory lock of whoever fills the store.
const LOCK: i64 = 0x61_7070_726f_7667;

/// Pieces may take long, and so may the other end.
const SESSION: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
const STARTED: &str = "SELECT revision, hash, finished FROM migration";
const HOLDS: &str = "SELECT (SELECT revision FROM head), (SELECT count(*) FROM approvals)
        + (SELECT count(*) FROM workflows) + (SELECT count(*) FROM api_tokens),
    (SELECT count(*) FROM servers WHERE until > clock_timestamp())";
const COUNT: &str = "INSERT INTO migrated (name, rows) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET rows = excluded.rows";

/// How far a migration was when it was begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Stage {
    /// The store is empty.
    New,
    /// It was interrupted.
    Interrupted,
    /// Everything was copied and compared.
    Finished,
}

/// Why a store can't be filled.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum Refused {
    /// A server uses it.
    #[error("a server uses it: stop all that do")]
    InUse,
    /// It holds something already.
    #[error("it is not empty: migrate into a new one")]
    NotEmpty,
    /// It was begun with another store, or with an older state of this one.
    #[error(
        "a migration of another state of the source was begun there (up to revision {0}): drop that database, and \
         migrate into a new one"
    )]
    Other(i64),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A connection that fills a store.
pub(in crate::store) struct Import {
    client: Client,
    driving: JoinHandle<()>,
}

impl Drop for Import {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Import {
    /// Connects, makes the tables, and takes turns with others that do the same.
    pub(in crate::store) async fn open(address: &Address) -> Result<Self, StoreError> {
        let tasks = TaskTracker::new();
        let (mut client, driving) = address.connect(&tasks, None).await.map_err(failed)?;
        migrate::migrate(&mut client).await?;
        // Waits for one that was killed, whose session may live on for a moment; not for one that works.
        client.query("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(failed)?;
        client.batch_execute(SESSION).await.map_err(failed)?;
        Ok(Self { client, driving })
    }

    /// Begins, or begins again. From here on no server uses the store until it is finished.
    pub(in crate::store) async fn begin(&mut self, source: ChainHead) -> Result<Stage, Refused> {
        let transaction = self.client.transaction().await.map_err(failed)?;
        // With whoever takes a lease.
        transaction.query("SELECT pg_advisory_xact_lock($1)", &[&lease::LOCK]).await.map_err(failed)?;
        let holds = transaction.query_one(HOLDS, &[]).await.map_err(failed)?;
        let (head, rows, servers): (i64, i64, i64) = (get(&holds, 0)?, get(&holds, 1)?, get(&holds, 2)?);
        if servers > 0 {
            return Err(Refused::InUse);
        }
        if let Some(row) = transaction.query_opt(STARTED, &[]).await.map_err(failed)? {
            let of = ChainHead { revision: get(&row, 0)?, hash: super::rows::hash(&row, 1)? };
            if of != source {
                return Err(Refused::Other(of.revision));
            }
            let finished: bool = get(&row, 2)?;
            return Ok(if finished { Stage::Finished } else { Stage::Interrupted });
        }
        if head > 0 || rows > 0 {
            return Err(Refused::NotEmpty);
        }
        let begun = "INSERT INTO migration (revision, hash, finished) VALUES ($1, $2, false)";
        let hash = source.hash.bytes().as_slice();
        transaction.execute(begun, &[&source.revision, &hash]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Stage::New)
    }

    /// How many rows of a table were copied.
    pub(in crate::store) async fn copied(&self, table: &Table) -> Result<u64, StoreError> {
        let row = self.client.query_opt("SELECT rows FROM migrated WHERE name = $1", &[&table.name]).await;
        let rows: i64 = row.map_err(failed)?.map_or(Ok(0), |row| get(&row, 0))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// Copies the next rows of a table, and notes that it has `total` then: both or neither.
    pub(in crate::store) async fn append(&mut self, table: &Table, rows: &[Row], total: u64) -> Result<(), StoreError> {
        let transaction = self.client.transaction().await.map_err(failed)?;
        let sink = transaction.copy_in(&copy(table)).await.map_err(failed)?;
        let types: Vec<Type> = table.columns.iter().map(|(_, kind)| sql_type(*kind)).collect();
        let writer = BinaryCopyInWriter::new(sink, &types);
        pin_mut!(writer);
        for row in rows {
            writer.as_mut().write_raw(row.iter()).await.map_err(failed)?;
        }
        writer.finish().await.map_err(failed)?;
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        transaction.execute(COUNT, &[&table.name, &total]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// Writes where the log ends and begins. All due work belongs to whichever server comes first.
    pub(in crate::store) async fn end(
        &mut self,
        head: ChainHead,
        compacted: ChainHead,
        number: i64,
    ) -> Result<(), StoreError> {
        let transaction = self.client.transaction().await.map_err(failed)?;
        let bytes = |head: &ChainHead| head.hash.bytes().to_vec();
        let moved = "UPDATE head SET revision = $1, hash = $2, number = $3";
        transaction.execute(moved, &[&head.revision, &bytes(&head), &number]).await.map_err(failed)?;
        let cut = "UPDATE compacted SET revision = $1, hash = $2";
        transaction.execute(cut, &[&compacted.revision, &bytes(&compacted)]).await.map_err(failed)?;
        let free = "INSERT INTO slots (slot, server) VALUES (1, 0) ON CONFLICT DO NOTHING";
        transaction.execute(free, &[]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.client.batch_execute("ANALYZE").await.map_err(failed)
    }

    /// Lets servers use the store.
    pub(in crate::store) async fn finish(&self) -> Result<(), StoreError> {
        self.client.execute("UPDATE migration SET finished = true", &[]).await.map(drop).map_err(failed)
    }

    /// What a table holds.
    pub(in crate::store) async fn tally(&self, table: &Table) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        self.each(table, "", |row| {
            tally.add(&row);
            Ok(())
        })
        .await?;
        Ok(tally)
    }

    /// What the log holds, and where its chain breaks, if it does: each record is hashed anew.
    pub(in crate::store) async fn log(&self, compacted: ChainHead) -> Result<(Tally, Chain), StoreError> {
        let mut tally = Tally::default();
        let mut chain = Chain { end: compacted, broken: None };
        self.each(&EVENTS, " ORDER BY revision", |row| {
            tally.add(&row);
            chain.follow(&row, compacted.revision);
            Ok(())
        })
        .await?;
        Ok((tally, chain))
    }

    /// Where the log ends, by its own word, and what is no longer kept of it.
    pub(in crate::store) async fn ends(&self) -> Result<(ChainHead, ChainHead, i64), StoreError> {
        let sql = "SELECT h.revision, h.hash, c.revision, c.hash, h.number FROM head h, compacted c";
        let row = self.client.query_one(sql, &[]).await.map_err(failed)?;
        let head = ChainHead { revision: get(&row, 0)?, hash: super::rows::hash(&row, 1)? };
        let compacted = ChainHead { revision: get(&row, 2)?, hash: super::rows::hash(&row, 3)? };
        Ok((head, compacted, get(&row, 4)?))
    }

    async fn each(
        &self,
        table: &Table,
        order: &str,
        mut take: impl FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT {} FROM {}{order}", columns(table), table.name);
        let none: [&(dyn ToSql + Sync); 0] = [];
        let rows = self.client.query_raw(&sql, none).await.map_err(failed)?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            take(cells(&row, table)?)?;
        }
        Ok(())
    }
}

/// A chain that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Chain {
    /// How far it holds.
    pub(in crate::store) end: ChainHead,
    /// The first event that does not follow on the one before it.
    pub(in crate::store) broken: Option<i64>,
}

impl Chain {
    fn follow(&mut self, row: &Row, compacted: i64) {
        let (Some(Cell::Int(revision)), Some(Cell::Bytes(hash)), Some(Cell::Text(record))) =
            (row.first(), row.get(1), row.get(2))
        else {
            self.broken.get_or_insert(self.end.revision + 1);
            return;
        };
        // What is left of before: events of approvals that are still there.
        if self.broken.is_some() || *revision <= compacted {
            return;
        }
        let next: Hash = self.end.hash.then(record);
        if *revision != self.end.revision + 1 || next.bytes().as_slice() != hash.as_slice() {
            self.broken = Some(self.end.revision + 1);
            return;
        }
        self.end = ChainHead { revision: *revision, hash: next };
    }
}

fn columns(table: &Table) -> String {
    table.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn copy(table: &Table) -> String {
    format!("COPY {} ({}) FROM STDIN BINARY", table.name, columns(table))
}

fn sql_type(kind: Kind) -> Type {
    match kind {
        Kind::Int => Type::INT8,
        Kind::Small => Type::INT4,
        Kind::Text | Kind::Kept => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
    }
}

fn cells(row: &PgRow, table: &Table) -> Result<Row, StoreError> {
    let cell = |(place, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Int => get::<Option<i64>>(row, place)?.map(Cell::Int),
            Kind::Small => get::<Option<i32>>(row, place)?.map(|number| Cell::Int(number.into())),
            Kind::Text | Kind::Kept => get::<Option<String>>(row, place)?.map(Cell::Text),
            Kind::Bytes => get::<Option<Vec<u8>>>(row, place)?.map(Cell::Bytes),
        }
        .unwrap_or(Cell::Null))
    };
    table.columns.iter().enumerate().map(cell).collect()
}

impl ToSql for Cell {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT4, Type::INT8, Type::TEXT, Type::BYTEA].contains(ty)
    }

    to_sql_checked!();
}
