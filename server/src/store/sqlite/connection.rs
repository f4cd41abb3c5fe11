//! Connections to the file, its schema, and who may write to it.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, config::DbConfig};

use crate::store::StoreError;

/// The file in the store's folder that holds everything.
pub(super) const DATABASE: &str = "approve.db";
/// The file whose lock says that a process has the store open.
pub(super) const LOCK: &str = "approve.lock";
/// The file that says that everything was moved into a database.
pub(super) const MOVED: &str = "approve.moved";

/// Each brings the schema from the version of its place to the next.
pub(super) const MIGRATIONS: [&str; 4] = [
    include_str!("schema/0001.sql"),
    include_str!("schema/0002_api_tokens.sql"),
    include_str!("schema/0003_search.sql"),
    include_str!("schema/0004_messages.sql"),
];

/// How long a connection waits for another one: the writer's checkpoints and closings, which are short.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// So many statements are kept prepared.
const PREPARED: usize = 64;

/// Makes the folder, readable by nobody else, if there is none, and locks it until the file is dropped. The lock dies
/// with the process, however that dies.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    if !folder.is_dir() {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(unavailable)?;
    }
    let file = private_file(&folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.display().to_string())),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// Fails where the store was moved elsewhere.
pub(super) fn refuse_moved(folder: &Path) -> Result<(), StoreError> {
    let marker = folder.join(MOVED);
    match std::fs::read_to_string(&marker) {
        Ok(to) => {
            let marker = marker.display();
            let instead = "serve that; or, if no server ever did, use this one again by removing";
            Err(StoreError::Moved(format!("{to}: {instead} {marker}").into()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unavailable(error)),
    }
}

/// The connection that writes, with the newest schema.
pub(super) fn open_writer(folder: &Path) -> Result<Connection, StoreError> {
    let path = folder.join(DATABASE);
    // SQLite gives its other files the permissions of this one.
    drop(private_file(&path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    prepare(&connection, 12_000)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    // Fewer, larger checkpoints; the log is cut back to this after one that got ahead of all readers.
    connection.pragma_update(None, "wal_autocheckpoint", 4_000).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(failed)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// The store has an older schema: no server of this version has opened it yet.
#[derive(Debug, thiserror::Error)]
#[error("its schema is of an older version: start the server once, which brings it up to date")]
struct OlderSchema;

/// A connection beside that of a server, for a short write. It changes no schema.
pub(super) fn open_beside(folder: &Path) -> Result<Connection, StoreError> {
    refuse_moved(folder)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join(DATABASE), flags).map_err(failed)?;
    prepare(&connection, 2_000)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(connection),
        std::cmp::Ordering::Greater => Err(StoreError::NewerSchema { found, known }),
        std::cmp::Ordering::Less => Err(unavailable(OlderSchema)),
    }
}

/// A connection that only reads.
pub(super) fn open_reader(folder: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join(DATABASE), flags).map_err(failed)?;
    // What is above the leaves; for the rest there is the system's cache.
    prepare(&connection, 2_000)?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: i64) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // Else a statement with a LIMIT is prepared anew whenever that is another number.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -cache_kib).map_err(failed)
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    if found < known {
        let done = usize::try_from(found).unwrap_or(0);
        for migration in MIGRATIONS.iter().skip(done) {
            transaction.execute_batch(migration).map_err(failed)?;
        }
        transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

fn private_file(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(unavailable)
}

pub(super) fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::unavailable(error)
}

/// What an error of SQLite's means.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    let unreadable = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::InvalidColumnType(..) => true,
        _ => false,
    };
    if unreadable { StoreError::Corrupt(Box::new(error)) } else { unavailable(error) }
}
