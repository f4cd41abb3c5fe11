//! The embedded store, read as a whole: what a migration copies.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, types::ValueRef};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    connection::{self, DATABASE, failed, unavailable},
    events::OLDEST_HASH,
    log::{NEWEST, OLDEST},
    rows,
};
use crate::{
    audit::{ChainHead, Hash},
    store::{
        StoreError,
        migration::tables::{Cell, Kind, Row, Table, weight},
        postgres::names::kept,
    },
};

/// A piece is as many rows, at most, and as many bytes, or little more.
const PIECE: (usize, usize) = (5_000, 4 << 20);

/// An embedded store that no server has open.
pub(in crate::store) struct Dump {
    folder: PathBuf,
    connection: Arc<Mutex<Connection>>,
    /// Held until it is dropped.
    _lock: File,
}

/// There is no store in a folder.
#[derive(Debug, thiserror::Error)]
#[error("there is no {DATABASE} in it")]
struct NoStore;

impl Dump {
    /// Opens and locks it, and brings its schema up to date.
    pub(in crate::store) fn open(folder: &Path) -> Result<Self, StoreError> {
        if !folder.join(DATABASE).is_file() {
            return Err(unavailable(NoStore));
        }
        let lock = connection::lock(folder)?;
        let connection = connection::open_writer(folder)?;
        let connection = Arc::new(Mutex::new(connection));
        Ok(Self { folder: folder.to_owned(), connection, _lock: lock })
    }

    /// The end of the log.
    pub(in crate::store) fn head(&self) -> Result<ChainHead, StoreError> {
        rows::chain_head(&self.lock())
    }

    /// What is no longer kept of the log.
    pub(in crate::store) fn compacted(&self) -> Result<ChainHead, StoreError> {
        let connection = self.lock();
        let revision: Option<i64> = connection.query_row(OLDEST, [], |row| row.get(0)).optional().map_err(failed)?;
        let hash: Option<[u8; 32]> =
            connection.query_row(OLDEST_HASH, [], |row| row.get(0)).optional().map_err(failed)?;
        Ok(ChainHead { revision: revision.unwrap_or(0), hash: hash.map_or(Hash::ZERO, Into::into) })
    }

    /// The number of the youngest approval.
    pub(in crate::store) fn youngest(&self) -> Result<i64, StoreError> {
        self.lock().query_row(NEWEST, [], |row| row.get(0)).map_err(failed)
    }

    /// How many rows a table has.
    pub(in crate::store) fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count: i64 = self.lock().query_row(&sql, [], |row| row.get(0)).map_err(failed)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// A table's rows after the first `skip`, piece by piece, and how the reading ended.
    pub(in crate::store) fn read(
        &self,
        table: &'static Table,
        skip: u64,
    ) -> (mpsc::Receiver<Vec<Row>>, JoinHandle<Result<(), StoreError>>) {
        let (pieces, receiver) = mpsc::channel(2);
        let connection = Arc::clone(&self.connection);
        let reading = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            read(&connection, table, skip, &pieces)
        });
        (receiver, reading)
    }

    /// Notes where it was moved to: it is not opened again. On disk afterwards.
    pub(in crate::store) fn mark_moved(&self, to: &str) -> Result<(), StoreError> {
        let write = || -> io::Result<()> {
            let path = self.folder.join(connection::MOVED);
            fs::write(&path, to)?;
            File::open(path)?.sync_all()?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(unavailable)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(connection: &Connection, table: &Table, skip: u64, pieces: &mpsc::Sender<Vec<Row>>) -> Result<(), StoreError> {
    let sql = format!("{} LIMIT -1 OFFSET {skip}", table.source);
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let (mut piece, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next().map_err(failed)? {
        let row = cells(row, table)?;
        bytes += weight(&row);
        piece.push(row);
        if piece.len() >= PIECE.0 || bytes >= PIECE.1 {
            bytes = 0;
            if pieces.blocking_send(std::mem::take(&mut piece)).is_err() {
                // Nobody wants the rest.
                return Ok(());
            }
        }
    }
    if !piece.is_empty() {
        // As above.
        let _ = pieces.blocking_send(piece);
    }
    Ok(())
}

fn cells(row: &SqlRow<'_>, table: &Table) -> Result<Row, StoreError> {
    let cell = |(place, (name, kind)): (usize, &(&str, Kind))| {
        let value = row.get_ref(place).map_err(failed)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(StoreError::corrupt);
        Ok(match (value, kind) {
            (ValueRef::Null, _) => Cell::Null,
            (ValueRef::Integer(number), Kind::Int | Kind::Small) => Cell::Int(number),
            (ValueRef::Text(bytes), Kind::Text) => Cell::Text(text(bytes)?),
            (ValueRef::Text(bytes), Kind::Kept) => Cell::Text(kept(&text(bytes)?).into_owned()),
            (ValueRef::Blob(bytes), Kind::Bytes) => Cell::Bytes(bytes.to_vec()),
            _ => return Err(StoreError::corrupt(WrongType { table: table.name, column: (*name).to_owned() })),
        })
    };
    table.columns.iter().enumerate().map(cell).collect()
}

/// A value is of another type than its column.
#[derive(Debug, thiserror::Error)]
#[error("{table}.{column} holds something of another type")]
struct WrongType {
    table: &'static str,
    column: String,
}
