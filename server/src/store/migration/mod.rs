//! An embedded store, copied into a shared one as it is: ids, revisions, hashes, tokens and all, so that whoever was in
//! the midst of something goes on. What was copied is read back and compared.

pub(in crate::store) mod tables;

use std::path::Path;

use super::{
    StoreError,
    postgres::{
        Address,
        import::{Import, Refused, Stage},
    },
    sqlite::dump::Dump,
};
use crate::{audit::ChainHead, store::migration::tables::Tally};

/// Why a store was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The embedded store can't be read.
    #[error("cannot read the store to migrate from")]
    Source(#[source] StoreError),
    /// The shared store can't be written.
    #[error("cannot write the database to migrate to")]
    Target(#[source] StoreError),
    /// It is not to be written.
    #[error("cannot migrate into the database: {0}")]
    Refused(String),
    /// It does not hold what the embedded store does.
    #[error("the database does not hold what the folder does: drop it, and migrate into a new one")]
    Differs,
}

/// What is told while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Goes on with one that was interrupted.
    Resumed,
    /// Was finished before: everything is compared again.
    Finished,
    /// So many rows of a table are copied.
    Copied {
        /// Of which.
        table: &'static str,
        /// How many.
        rows: u64,
        /// Of how many.
        of: u64,
    },
    /// A table is compared.
    Compared {
        /// Which.
        table: &'static str,
        /// Rows in the folder.
        source: u64,
        /// Rows in the database.
        target: u64,
        /// Whether they are the same, each of them.
        same: bool,
    },
    /// The chain of the record, as it was read back.
    Chain {
        /// The first event that is kept.
        first: i64,
        /// The last that follows on the one before it.
        last: i64,
        /// Its hash.
        hash: String,
        /// Whether all do, and the end is the folder's.
        same: bool,
    },
}

/// Copies the store in `folder` to `address`, unless `verify_only`, and compares them. `to` names the database in the
/// folder, which is not served again once they agree.
///
/// # Errors
/// [`MigrationError`]; an interrupted migration goes on when it is begun again.
pub async fn migrate(
    folder: &Path,
    address: &Address,
    to: &str,
    verify_only: bool,
    mut told: impl FnMut(Progress),
) -> Result<(), MigrationError> {
    let folder = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || Dump::open(&folder)).await;
    let dump = opened.map_err(|error| MigrationError::Source(StoreError::unavailable(error)))?;
    let dump = dump.map_err(MigrationError::Source)?;
    let head = dump.head().map_err(MigrationError::Source)?;
    let mut import = Import::open(address).await.map_err(MigrationError::Target)?;
    if verify_only {
        return compare(&dump, &import, head, &mut told).await;
    }
    match import.begin(head).await.map_err(refused)? {
        Stage::New => {}
        Stage::Interrupted => told(Progress::Resumed),
        Stage::Finished => {
            told(Progress::Finished);
            return compare(&dump, &import, head, &mut told).await;
        }
    }
    for table in &tables::ALL {
        let of = dump.count(table).map_err(MigrationError::Source)?;
        let mut rows = import.copied(table).await.map_err(MigrationError::Target)?;
        let (mut pieces, reading) = dump.read(table, rows);
        while let Some(piece) = pieces.recv().await {
            rows += piece.len() as u64;
            import.append(table, &piece, rows).await.map_err(MigrationError::Target)?;
            told(Progress::Copied { table: table.name, rows, of });
        }
        ended(reading.await)?;
    }
    let compacted = dump.compacted().map_err(MigrationError::Source)?;
    let youngest = dump.youngest().map_err(MigrationError::Source)?;
    import.end(head, compacted, youngest).await.map_err(MigrationError::Target)?;
    compare(&dump, &import, head, &mut told).await?;
    // Before any server may use the other: never are both served.
    dump.mark_moved(to).map_err(MigrationError::Source)?;
    import.finish().await.map_err(MigrationError::Target)
}

fn refused(refused: Refused) -> MigrationError {
    match refused {
        Refused::Store(error) => MigrationError::Target(error),
        refused => MigrationError::Refused(refused.to_string()),
    }
}

fn ended(reading: Result<Result<(), StoreError>, tokio::task::JoinError>) -> Result<(), MigrationError> {
    reading.unwrap_or_else(|error| Err(StoreError::unavailable(error))).map_err(MigrationError::Source)
}

async fn compare(
    dump: &Dump,
    import: &Import,
    head: ChainHead,
    told: &mut impl FnMut(Progress),
) -> Result<(), MigrationError> {
    let compacted = dump.compacted().map_err(MigrationError::Source)?;
    let ends = import.ends().await.map_err(MigrationError::Target)?;
    if ends.0.revision > head.revision {
        let problem = format!("servers have written to it since, up to revision {}", ends.0.revision);
        return Err(MigrationError::Refused(problem));
    }
    let mut all_same = true;
    for table in &tables::ALL {
        let mut source = Tally::default();
        let (mut pieces, reading) = dump.read(table, 0);
        while let Some(piece) = pieces.recv().await {
            piece.iter().for_each(|row| source.add(row));
        }
        ended(reading.await)?;
        let target = if table.name == tables::EVENTS.name {
            let (target, chain) = import.log(compacted).await.map_err(MigrationError::Target)?;
            let youngest = dump.youngest().map_err(MigrationError::Source)?;
            let same = chain.broken.is_none() && chain.end == head && ends == (head, compacted, youngest);
            told(Progress::Chain {
                first: compacted.revision + 1,
                last: chain.end.revision,
                hash: chain.end.hash.to_string(),
                same,
            });
            all_same &= same;
            target
        } else {
            import.tally(table).await.map_err(MigrationError::Target)?
        };
        let same = source == target;
        told(Progress::Compared { table: table.name, source: source.rows, target: target.rows, same });
        all_same &= same;
    }
    if all_same { Ok(()) } else { Err(MigrationError::Differs) }
}
