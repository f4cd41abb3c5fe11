//! The server of a simulation: it is booted, killed, and booted again on the same folder.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
    telemetry::Tracer,
    worker::{Worker, WorkerHandle, WorkerOptions},
    workflows::Workflows,
};
use jiff::SignedDuration;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    clock::{ServerClock, Time},
    leases::{Leases, Member},
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
    /// Whether it goes on.
    pub(super) life: Life,
}

/// Which servers run.
pub(super) struct Power(Vec<Mutex<Option<Running>>>);

impl Power {
    /// So many, none of which runs.
    #[must_use]
    pub(super) fn new(servers: usize) -> Self {
        Self((0..servers).map(|_| Mutex::default()).collect())
    }

    /// How many there may be.
    #[must_use]
    pub(super) fn places(&self) -> usize {
        self.0.len()
    }

    fn place(&self, at: usize) -> MutexGuard<'_, Option<Running>> {
        self.0[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server of a place, if it runs.
    #[must_use]
    pub(super) fn at(&self, at: usize) -> Option<Running> {
        self.place(at).clone().filter(|running| running.life.goes_on())
    }

    /// A server that runs.
    #[must_use]
    pub(super) fn running(&self) -> Option<Running> {
        (0..self.places()).find_map(|at| self.at(at))
    }

    /// The one of them that somebody reaches.
    #[must_use]
    pub(super) fn any(&self, random: &mut StdRng) -> Option<Running> {
        let at = if self.places() > 1 { random.random_range(0..self.places()) } else { 0 };
        self.at(at)
    }

    /// Ends one at once.
    pub(super) fn off(&self, at: usize) {
        if let Some(running) = self.place(at).take() {
            running.life.end();
            // Nobody else holds it: its folder is free for the next one.
            drop(running.store.take());
        }
    }

    /// Ends them all.
    pub(super) fn all_off(&self) {
        (0..self.places()).for_each(|at| self.off(at));
    }
}

/// What survives a kill: the folder, and the network around it.
pub(super) struct Machine {
    folder: tempfile::TempDir,
    network: Arc<Network>,
    time: Time,
    seed: u64,
    boots: AtomicU64,
    /// Of several servers, and what they share.
    leases: Arc<Leases>,
    shared: Mutex<Option<SharedStore>>,
}

impl Machine {
    /// A machine with an empty folder, in memory where there is such a place: what is synced there survives a process.
    #[must_use]
    pub(super) fn new(network: Arc<Network>, time: Time, seed: u64) -> Self {
        let shared_memory = PathBuf::from("/dev/shm");
        let folder = if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() };
        Self {
            folder: folder.expect("a folder"),
            network,
            time,
            seed,
            boots: AtomicU64::new(0),
            leases: Arc::default(),
            shared: Mutex::default(),
        }
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

    /// The store of several servers, which outlives each of them.
    fn shared(&self) -> SharedStore {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shared.get_or_insert_with(|| self.open()))
    }

    /// Starts the server of a place.
    pub(super) async fn boot(&self, power: &Power, at: usize) {
        power.off(at);
        let boot = self.boots.fetch_add(1, Ordering::SeqCst);
        self.network.note(format!("boot {boot}"));
        let life = Life::default();
        let several = power.places() > 1;
        let member = several.then(|| Arc::new(Member::new(Arc::clone(&self.leases))));
        let inner = if several { self.shared() } else { self.open() };
        let store = Arc::new(FragileStore::new(inner, member.clone(), life.clone(), self.seed ^ boot));
        if let Some(member) = member {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.keep_up(&member).await });
        }
        let shared: SharedStore = Arc::clone(&store) as SharedStore;
        let workflows = Arc::new(Workflows::load(&shared).await.expect("workflows are read"));
        let worker = Worker::start(
            shared,
            Arc::new(Port { network: Arc::clone(&self.network), life: life.clone(), standing: store.standing() }),
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
                tracer: Tracer::off(),
            },
        );
        let running = Running { store, worker: worker.handle(), life };
        *power.place(at) = Some(running);
    }

    /// Kills the server: now, or around its next write.
    pub(super) async fn kill(&self, power: &Power, at: usize, random: &mut StdRng) {
        let Some(running) = power.at(at) else { return };
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
        power.off(at);
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
