//! A look at a store from outside, whether a server has it open or not. Nothing in it is changed.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use super::{
    connection::{DATABASE, LOCK, MIGRATIONS, failed, open_reader, refuse_moved, unavailable},
    read,
};
use crate::store::{StoreError, WorkflowRecord};

/// What can be seen of a store.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The version of its schema.
    pub(crate) found: i64,
    /// The newest version that is known here.
    pub(crate) known: i64,
    /// Whether a process has it open.
    pub(crate) in_use: bool,
    /// Its workflows, each with how many of its approvals are pending.
    pub(crate) workflows: Vec<(WorkflowRecord, u64)>,
}

/// Looks; `None` where there is no store in the folder yet.
pub(crate) fn probe(folder: &Path) -> Result<Option<Probe>, StoreError> {
    refuse_moved(folder)?;
    let database = folder.join(DATABASE);
    if !database.try_exists().map_err(unavailable)? {
        return Ok(None);
    }
    // Its owner can: others could not write either.
    File::options().read(true).write(true).open(&database).map_err(unavailable)?;
    let connection = open_reader(folder)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let mut workflows = Vec::new();
    if (1..=known).contains(&found) {
        for record in read::workflows(&connection)? {
            let pending = read::count_pending(&connection, Some(&record.name))?;
            workflows.push((record, pending));
        }
    }
    Ok(Some(Probe { found, known, in_use: is_locked(&folder.join(LOCK)), workflows }))
}

/// Let go at once: a server that starts in the same moment would be told that the store is in use.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::{Options, SqliteStore};

    #[test]
    fn a_store_is_seen_whether_it_is_open_or_not() {
        let folder = tempfile::TempDir::new().unwrap();
        assert!(probe(folder.path()).unwrap().is_none());
        let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
        let open = probe(folder.path()).unwrap().unwrap();
        assert_eq!((open.found, open.in_use), (open.known, true));
        drop(store);
    }

    #[test]
    fn a_newer_store_is_told_and_left_as_it_is() {
        let folder = tempfile::TempDir::new().unwrap();
        let database = folder.path().join(DATABASE);
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let seen = probe(folder.path()).unwrap().unwrap();
        assert_eq!((seen.found, seen.in_use, seen.workflows.len()), (99, false, 0));
        let connection = rusqlite::Connection::open(&database).unwrap();
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 99);
    }
}
