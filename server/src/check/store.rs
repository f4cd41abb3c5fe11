//! Whether the store can be used, and what it holds that matters for the rest.

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Report, chain};
use crate::{
    config::{Config, StoreUrl},
    store::{
        StoreError, WorkflowRecord,
        postgres::{self, Address},
        sqlite,
    },
    workflows::Workflow,
};

/// A flush that takes longer than this is of a slow disk, or of one that is far away.
const SLOW: Duration = Duration::from_millis(20);
/// How often a flush is tried: the median counts.
const FLUSHES: usize = 9;

/// A clock, read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) there: Timestamp,
    pub(super) here: Timestamp,
}

/// What the store holds.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) workflows: Vec<Workflow>,
    /// How many approvals of each are pending.
    pub(super) pending: Vec<u64>,
    pub(super) clock: Option<Reading>,
}

impl Known {
    fn of(workflows: Vec<(WorkflowRecord, u64)>) -> Self {
        let (workflows, pending) =
            workflows.into_iter().map(|(record, pending)| (Workflow::new(record), pending)).unzip();
        Self { workflows, pending, clock: None }
    }
}

pub(super) async fn check(config: &Config, report: &mut Report) -> Known {
    match config.shared_store() {
        Ok(Some((address, _))) => {
            let url = config.store.as_ref().map(StoreUrl::redacted).unwrap_or_default();
            database(&address, &url, report).await
        }
        Ok(None) => {
            let folder = config.data_dir.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let mut report = Report::default();
                let known = data_folder(&folder, &mut report);
                (known, report)
            });
            match looked.await {
                Ok((known, found)) => {
                    report.findings.extend(found.findings);
                    known
                }
                Err(error) => {
                    report.fail("data_dir", error.to_string(), "run it again");
                    Known::default()
                }
            }
        }
        Err(error) => {
            report.fail("store", chain(&error), "mend the setting");
            Known::default()
        }
    }
}

fn data_folder(folder: &Path, report: &mut Report) -> Known {
    let shown = folder.display();
    if !folder.is_dir() {
        let advice = "it is made at the first start, if the folder above it lets the server";
        report.warn("data_dir", format!("{shown} is not there yet"), advice);
        return Known::default();
    }
    match flush_time(folder) {
        Ok(took) if took > SLOW => report.warn(
            "data_dir",
            format!("{shown} can be written; a flush takes {}", millis(took)),
            "each decision waits for a flush: use a local disk",
        ),
        Ok(took) => report.ok("data_dir", format!("{shown} can be written; a flush takes {}", millis(took))),
        Err(error) => {
            report.fail("data_dir", format!("{shown}: {error}"), "its owner has to be the server's user");
        }
    }
    match sqlite::probe(folder) {
        Ok(None) => {
            report.ok("store", "empty: made at the first start");
            Known::default()
        }
        Ok(Some(probe)) => {
            schema(probe.found, probe.known, report);
            if probe.in_use {
                report.ok("store, in use", "a server has it open: another one would not start");
            }
            Known::of(probe.workflows)
        }
        Err(error) => {
            refused(&error, report);
            Known::default()
        }
    }
}

async fn database(address: &Address, url: &str, report: &mut Report) -> Known {
    let probe = match postgres::probe(address, FLUSHES).await {
        Ok(probe) => probe,
        Err(error) => {
            refused(&error, report);
            return Known::default();
        }
    };
    let found = format!("{url}: PostgreSQL {}; a commit takes {}", probe.version, millis(probe.commit));
    if probe.commit > SLOW {
        report.warn("store", found, "each decision waits for a commit: bring the server near the database");
    } else {
        report.ok("store", found);
    }
    if probe.may_write {
        schema(probe.found, probe.known, report);
    } else {
        let advice = "GRANT CREATE ON SCHEMA public TO the server's user, for the first start and for newer versions";
        report.fail("store, permissions", "the user may not make tables", advice);
    }
    Known { clock: Some(Reading { there: probe.clock, here: probe.read }), ..Known::of(probe.workflows) }
}

fn schema(found: i64, known: i64, report: &mut Report) {
    match found {
        found if found > known => refused(&StoreError::NewerSchema { found, known }, report),
        found if found < known => report.warn(
            "store, schema",
            format!("version {found}; this server's is {known}"),
            "it is brought up to date at the next start: back it up before",
        ),
        found => report.ok("store, schema", format!("version {found}")),
    }
}

fn refused(error: &StoreError, report: &mut Report) {
    let advice = match error {
        StoreError::NewerSchema { .. } => "run the newer server: there is no way back but a backup",
        StoreError::Moved(_) => "serve the database that it was moved to",
        StoreError::Migrating => "let approve-server migrate go on",
        StoreError::Corrupt(_) => "restore a backup",
        StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::InUse(_) | StoreError::Closed => {
            "is it running, can it be reached from here, and are user and password right?"
        }
    };
    report.fail("store", chain(error), advice);
}

/// The median time of writing a page and waiting until it is on disk.
fn flush_time(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!("approve.check.{}", std::process::id()));
    let mut file = fs::File::create_new(&path)?;
    let mut times = Vec::with_capacity(FLUSHES);
    let written = (0..FLUSHES).try_for_each(|_| {
        let begun = Instant::now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
        Ok(())
    });
    drop(file);
    fs::remove_file(&path)?;
    written.map(|()| median(times))
}

pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
