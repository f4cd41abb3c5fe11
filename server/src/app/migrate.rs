//! `approve-server migrate`: an embedded store into a database. What it does is told on stderr, what it found on stdout.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::AppError;
use crate::{
    config::{Config, StoreUrl},
    store::migration::{self, Progress},
};

/// How often it is told how far a table is.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// Copies the store in `folder` into the database that the settings name, and compares them.
///
/// # Errors
/// [`AppError::Migration`] where it could not be done, or they are not the same.
pub async fn migrate(config: &Config, folder: &Path, verify_only: bool) -> Result<(), AppError> {
    let Some((address, _)) = config.shared_store()? else {
        return Err(AppError::Usage("--to, or store in the config file, is to name a postgres:// database".to_owned()));
    };
    let to = config.store.as_ref().map(StoreUrl::redacted).unwrap_or_default();
    eprintln!("from {} to {to}", folder.display());
    let mut report = Report::default();
    let outcome = migration::migrate(folder, &address, &to, verify_only, |progress| report.tell(progress)).await;
    outcome.map_err(AppError::Migration)?;
    println!("the same: each row, and the chain of the record");
    if !verify_only {
        println!("{} is not served again; serve {to}", folder.display());
    }
    Ok(())
}

#[derive(Default)]
struct Report {
    told: Option<Instant>,
    has_header: bool,
}

impl Report {
    fn tell(&mut self, progress: Progress) {
        match progress {
            Progress::Resumed => eprintln!("goes on where it was interrupted"),
            Progress::Finished => eprintln!("was finished before; everything is compared again"),
            Progress::Copied { table, rows, of } => {
                if rows >= of || self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    self.told = Some(Instant::now());
                    eprintln!("copied {table}: {rows} of {of}");
                }
            }
            Progress::Compared { table, source, target, same } => {
                if !std::mem::replace(&mut self.has_header, true) {
                    println!("{:<16}{:>14}{:>14}", "table", "folder", "database");
                }
                let verdict = if same { "same" } else { "DIFFERENT" };
                println!("{table:<16}{source:>14}{target:>14}  {verdict}");
            }
            Progress::Chain { first, last, hash, same } => {
                let verdict = if same { "holds" } else { "BROKEN, or not the folder's" };
                println!("chain of events {first} to {last}: {verdict}; hash {hash}");
            }
        }
    }
}
