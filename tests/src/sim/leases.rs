//! Who does what is due, of several servers that share a store: leases in virtual time, as the shared store keeps them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use approve_server::{approval::ApprovalId, store::Standing};
use tokio::{sync::watch, time::Instant};

/// How long a lease is, and the part of it that is used.
const LEASE: Duration = Duration::from_secs(10);
const USABLE: Duration = Duration::from_secs(8);

/// All servers' leases, and what each holds.
#[derive(Default)]
pub(super) struct Leases(Mutex<Book>);

#[derive(Default)]
struct Book {
    newest: u64,
    /// Until when each holds.
    until: BTreeMap<u64, Instant>,
    /// Whoever changed an approval last has it.
    holders: BTreeMap<ApprovalId, u64>,
}

impl Book {
    fn holds(&self, lease: u64) -> bool {
        self.until.get(&lease).is_some_and(|until| Instant::now() < *until)
    }

    fn take(&mut self) -> u64 {
        self.newest += 1;
        self.until.insert(self.newest, Instant::now() + LEASE);
        self.newest
    }
}

/// A server among others.
pub(super) struct Member {
    leases: Arc<Leases>,
    lease: AtomicU64,
    standing: watch::Sender<Standing>,
}

impl Member {
    /// Takes a lease.
    pub(super) fn new(leases: Arc<Leases>) -> Self {
        let member = Self { leases, lease: AtomicU64::new(0), standing: watch::Sender::new(Standing::ALONE) };
        member.look();
        member
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.leases.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self) -> u64 {
        self.lease.load(Ordering::SeqCst)
    }

    /// How the server stands, by what it knows.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Whether it may write, by the store.
    pub(super) fn holds(&self) -> bool {
        self.book().holds(self.lease())
    }

    /// It has changed an approval.
    pub(super) fn changed(&self, id: &ApprovalId) {
        self.book().holders.insert(id.clone(), self.lease());
    }

    /// Whether what is due of an approval is its to do, by the store.
    pub(super) fn has(&self, id: &ApprovalId) -> bool {
        let book = self.book();
        book.holds(self.lease()) && book.holders.get(id) == Some(&self.lease())
    }

    /// The store did not answer when it was looked at.
    pub(super) fn away(&self) {
        self.standing.send_modify(|standing| standing.reachable = false);
    }

    /// A look a second: the lease is renewed, or another one taken, and over what nobody holds.
    pub(super) fn look(&self) {
        let mut book = self.book();
        let now = Instant::now();
        let renewed = book.holds(self.lease());
        let lease = if renewed { self.lease() } else { book.take() };
        self.lease.store(lease, Ordering::SeqCst);
        book.until.insert(lease, now + LEASE);
        book.until.retain(|_, until| now < *until);
        let Book { until, holders, .. } = &mut *book;
        let mut taken = false;
        for holder in holders.values_mut().filter(|holder| !until.contains_key(holder)) {
            *holder = lease;
            taken = true;
        }
        let servers = until.len();
        self.standing.send_modify(|standing| {
            standing.reachable = true;
            standing.lease = Some(now + USABLE);
            standing.servers = servers;
            standing.taken_over += u64::from(taken || !renewed);
        });
    }
}
