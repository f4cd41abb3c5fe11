//! The task that keeps up with the database: renews the server's lease, takes over what others left, and hears of what
//! others wrote. It hears of it by notifications, and looks each second in case one was lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::Client;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connection::{Address, failed},
    flush::CHANNEL,
    lease::{self, Lease},
    readers::Readers,
    writer::advance,
};
use crate::store::{Revision, Standing, StoreError};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The first pause before it connects anew, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// What another server had begun before its slots were taken over has ended after that: no session stands in a
/// transaction, and no statement takes, so long.
const STRAGGLERS: Duration = Duration::from_secs(20);

/// What the keeper owns.
pub(super) struct Keeper {
    pub(super) address: Address,
    pub(super) tasks: TaskTracker,
    /// Their connections are given up where there is none left for this.
    pub(super) readers: Readers,
    pub(super) name: String,
    /// How long a lease is.
    pub(super) length: Duration,
    /// Whether it hears notifications.
    pub(super) listens: bool,
    pub(super) head: Arc<watch::Sender<Revision>>,
    pub(super) standing: Arc<watch::Sender<Standing>>,
    /// The number of the server's lease.
    pub(super) server: Arc<AtomicI64>,
    pub(super) lease_wanted: Arc<Notify>,
    pub(super) renewed: Instant,
    pub(super) took_over: Option<Instant>,
    pub(super) session: Option<Session>,
}

/// A connection that listens.
pub(super) struct Session {
    client: Client,
    told: mpsc::UnboundedReceiver<String>,
    driving: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Session {
    pub(super) async fn open(
        address: &Address,
        tasks: &TaskTracker,
        readers: &Readers,
        listens: bool,
    ) -> Result<Self, StoreError> {
        let (tell, told) = mpsc::unbounded_channel();
        let connected = address.connect(tasks, Some(tell)).await.inspect_err(|error| readers.make_room(error));
        let (client, driving) = connected.map_err(failed)?;
        let session = Self { client, told, driving };
        if listens {
            session.client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(failed)?;
        }
        Ok(session)
    }

    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Keeper {
    /// Keeps up until told to stop, then gives up the lease.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = PAUSES.0;
        let mut next_look = Instant::now() + LOOK;
        let lease_wanted = Arc::clone(&self.lease_wanted);
        loop {
            let Some(session) = &mut self.session else {
                let opened = timeout(PATIENCE, Session::open(&self.address, &self.tasks, &self.readers, self.listens));
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    opened = opened => match opened {
                        Ok(Ok(session)) => {
                            self.session = Some(session);
                            next_look = Instant::now();
                            continue;
                        }
                        Ok(Err(error)) => self.away(&error),
                        Err(_) => self.away(&StoreError::unavailable(Silent)),
                    }
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = sleep(pause) => pause = (pause * 2).min(PAUSES.1),
                }
                continue;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                told = session.told.recv() => {
                    match told {
                        Some(revision) => {
                            if let Ok(revision) = revision.parse() {
                                advance(&self.head, revision);
                            }
                        }
                        None => self.session = None,
                    }
                    continue;
                }
                () = lease_wanted.notified() => {}
                () = tokio::time::sleep_until(next_look) => {}
            }
            match timeout(PATIENCE, self.look()).await {
                Ok(Ok(())) => pause = PAUSES.0,
                Ok(Err(error)) => self.lose(&error),
                Err(_) => self.lose(&StoreError::unavailable(Silent)),
            }
            next_look = Instant::now() + LOOK;
        }
        if let Some(session) = &self.session {
            let server = self.server.load(Ordering::Acquire);
            if !matches!(timeout(PATIENCE, lease::release(&session.client, server)).await, Ok(Ok(()))) {
                tracing::warn!("the lease was not given up; others take over once it ends");
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let seen = lease::look(&session.client).await?;
        advance(&self.head, seen.revision);
        let server = self.server.load(Ordering::Acquire);
        let standing = *self.standing.borrow();
        let mut next = Standing {
            reachable: true,
            servers: usize::try_from(seen.servers).unwrap_or(1).max(1),
            settings: seen.settings,
            ..standing
        };
        let ended = standing.lease.is_none_or(|until| Instant::now() >= until);
        if ended {
            // What was due meanwhile was left, and is to be looked for again.
            self.took_over = Some(Instant::now());
        }
        if ended || self.renewed.elapsed() >= self.length * 3 / 10 {
            let asked = Instant::now();
            let lease = match lease::renew(&session.client, server, self.length).await? {
                Some(lease) => lease,
                None => {
                    tracing::warn!(server, "the lease has ended; taking a new one");
                    lease::take(&mut session.client, &self.name, self.length).await?
                }
            };
            self.server.store(lease.server, Ordering::Release);
            self.renewed = asked;
            next.lease = Some(lease.until);
        }
        if seen.free_slots > 0 {
            let taken = lease::take_over(&mut session.client, self.server.load(Ordering::Acquire)).await?;
            if taken > 0 {
                tracing::info!(slots = taken, "took over what another server held");
                self.took_over = Some(Instant::now());
            }
        }
        if let Some(since) = self.took_over {
            // Until all that was under way has ended: what it made due came after the look for it.
            next.taken_over += 1;
            if since.elapsed() > STRAGGLERS {
                self.took_over = None;
            }
        }
        if !standing.reachable {
            tracing::info!("the database answers again");
        }
        self.standing.send_if_modified(|known| {
            let changed = *known != next;
            *known = next;
            changed
        });
        Ok(())
    }

    fn lose(&mut self, error: &StoreError) {
        self.session = None;
        self.away(error);
    }

    fn away(&self, error: &StoreError) {
        self.standing.send_if_modified(|known| {
            let was = std::mem::replace(&mut known.reachable, false);
            if was {
                tracing::warn!(error = error as &dyn std::error::Error, "the database does not answer");
            }
            was
        });
    }
}

/// The database did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the database does not answer")]
struct Silent;

/// How a server stands that has just taken its lease.
pub(super) fn first_standing(lease: Lease, settings: i64, servers: i64) -> Standing {
    Standing {
        reachable: true,
        lease: Some(lease.until),
        servers: usize::try_from(servers).unwrap_or(1).max(1),
        taken_over: 0,
        settings,
    }
}
