//! The server of a simulation: it is booted, killed, and booted again on the same folder.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use approve_server::{
    approval::Approval,
    entropy::Entropy,
    store::{
        Filter, ListQuery, Order, SharedStore, Store, WorkflowRecord,
        sqlite::{Options, SqliteStore},
    },
    worker::{Worker, WorkerHandle, WorkerOptions},
    workflows::Workflows,
};
use jiff::SignedDuration;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    clock::{ServerClock, Time},
    life::Life,
    port::{Network, Port},
    store::{Die, FragileStore},
};

/// Open polls per activity that are always kept.
pub(super) const MIN_POLLS: usize = 2;
/// Open polls per activity at most.
pub(super) const MAX_POLLS: usize = 8;

/// Randomness from a seed.
struct Seeded(Mutex<StdRng>);

impl Entropy for Seeded {
    fn bits(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

/// A server that runs.
#[derive(Clone)]
pub(super) struct Running {
    /// Its store, as it sees it.
    pub(super) store: Arc<FragileStore>,
    /// To tell it of decisions.
    pub(super) worker: WorkerHandle,
    life: Life,
}

/// Which server runs, if one does.
#[derive(Default)]
pub(super) struct Power(Mutex<Option<Running>>);

impl Power {
    /// The server that runs.
    #[must_use]
    pub(super) fn running(&self) -> Option<Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|running| running.life.goes_on())
    }

    /// Whether one runs.
    #[must_use]
    pub(super) fn is_on(&self) -> bool {
        self.running().is_some()
    }

    /// Ends it at once.
    pub(super) fn off(&self) {
        if let Some(running) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            running.life.end();
            // Nobody else holds it: its folder is free for the next one.
            drop(running.store.take());
        }
    }

    /// Its store can't be reached, or can be again.
    pub(super) fn set_store_away(&self, away: bool) {
        if let Some(running) = self.running() {
            running.store.set_away(away);
        }
    }

    /// Its store answers nothing, or answers again.
    pub(super) fn set_store_stalled(&self, stalled: bool) {
        if let Some(running) = self.running() {
            running.store.set_stalled(stalled);
        }
    }
}

/// What survives a kill: the folder, and the network around it.
pub(super) struct Machine {
    folder: tempfile::TempDir,
    network: Arc<Network>,
    time: Time,
    seed: u64,
    boots: AtomicU64,
}

impl Machine {
    /// A machine with an empty folder, in memory where there is such a place: what is synced there survives a process.
    #[must_use]
    pub(super) fn new(network: Arc<Network>, time: Time, seed: u64) -> Self {
        let shared_memory = PathBuf::from("/dev/shm");
        let folder = if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() };
        Self { folder: folder.expect("a folder"), network, time, seed, boots: AtomicU64::new(0) }
    }

    /// The network.
    #[must_use]
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    fn open(&self) -> SharedStore {
        let options = Options { readers: 1, tail_changes: 64, ..Options::default() };
        Arc::new(SqliteStore::open(self.folder.path(), options).expect("the store opens"))
    }

    /// Keeps a workflow, before the first boot.
    pub(super) async fn keep(&self, record: WorkflowRecord) {
        let store = self.open();
        store.put_workflow(record).await.expect("it is kept");
        store.close().await.expect("it closes");
    }

    /// Starts the server.
    pub(super) async fn boot(&self, power: &Power) {
        power.off();
        let boot = self.boots.fetch_add(1, Ordering::SeqCst);
        self.network.note(format!("boot {boot}"));
        let life = Life::default();
        let store = Arc::new(FragileStore::new(self.open(), life.clone(), self.seed ^ boot));
        let shared: SharedStore = Arc::clone(&store) as SharedStore;
        let workflows = Arc::new(Workflows::load(&shared).await.expect("workflows are read"));
        let worker = Worker::start(
            shared,
            Arc::new(Port { network: Arc::clone(&self.network), life: life.clone() }),
            Arc::new(ServerClock { time: self.time, life: life.clone() }),
            Arc::new(Seeded(Mutex::new(StdRng::seed_from_u64(self.seed ^ boot)))),
            workflows,
            Arc::default(),
            WorkerOptions {
                name: format!("server-{boot}"),
                min_polls: MIN_POLLS,
                max_polls: MAX_POLLS,
                heartbeats_per_second: 100,
                deliveries_per_second: 100,
                deliveries: 8,
                detached_for: SignedDuration::from_mins(15),
            },
        );
        let running = Running { store, worker: worker.handle(), life };
        *power.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }

    /// Kills the server: now, or around its next write.
    pub(super) async fn kill(&self, power: &Power, random: &mut StdRng) {
        let Some(running) = power.running() else { return };
        let how = match random.random_range(0..3) {
            0 => None,
            1 => Some(Die::BeforeCommit),
            _ => Some(Die::AfterCommit),
        };
        if let Some(when) = how {
            running.store.die_at_next_write(when);
            for _ in 0..60 {
                if !running.life.goes_on() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
        self.network.note(format!("kill {how:?}"));
        power.off();
    }

    /// Everything that is stored.
    pub(super) async fn all_approvals(&self, power: &Power) -> Vec<Arc<Approval>> {
        let Some(running) = power.running() else { return Vec::new() };
        let mut query = ListQuery {
            filter: Filter::default(),
            statuses: Vec::new(),
            order: Order::OldestFirst,
            after: None,
            limit: 1_000,
        };
        let mut all = Vec::new();
        loop {
            let page = running.store.list(query.clone()).await.expect("it can be read");
            all.extend(page.approvals);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }
}
