//! One watch over everything, which outlives the server, with what it told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use approve_client::{ApprovalStatus, Client, View, Watch, WatchEvent};
use futures::StreamExt as _;
use tokio::task::JoinHandle;

use crate::wait_for;

/// What a watch has told.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Pending by what it told.
    pub view: View,
    /// Every revision that it named.
    pub revisions: BTreeSet<i64>,
    /// Every approval that it named.
    pub upserted: BTreeSet<String>,
    /// The ends that it told, by approval.
    pub removed: BTreeMap<String, Vec<ApprovalStatus>>,
    /// How often its connection was lost.
    pub disconnects: usize,
    /// What a watch must not do.
    pub wrong: Vec<String>,
    last: i64,
}

impl Seen {
    fn take(&mut self, event: WatchEvent) {
        match &event {
            WatchEvent::Upserted(approval) => {
                self.follows(approval.revision, &approval.id);
                self.upserted.insert(approval.id.clone());
            }
            WatchEvent::Removed { id, status, revision } => {
                self.follows(*revision, id);
                self.removed.entry(id.clone()).or_default().push(*status);
            }
            WatchEvent::Synced { revision } => {
                if *revision < self.last {
                    self.wrong.push(format!("the watch went back from {} to {revision}", self.last));
                }
                self.last = *revision;
            }
            WatchEvent::Reset => self.wrong.push("the watch began anew instead of resuming".to_owned()),
            WatchEvent::Disconnected { .. } => self.disconnects += 1,
            other => self.wrong.push(format!("unknown: {other:?}")),
        }
        self.view.apply(event);
    }

    fn follows(&mut self, revision: i64, id: &str) {
        if revision <= self.last {
            self.wrong.push(format!("the watch told of revision {revision} of {id} after {}", self.last));
        }
        self.last = revision;
        self.revisions.insert(revision);
    }
}

/// A watch in a task of its own, which ends with it.
#[derive(Debug)]
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Watches a store that nothing is pending in; returns once it is live.
    pub async fn start(client: &Client) -> Self {
        Self::over(std::slice::from_ref(client)).await
    }

    /// The same, of a store that several servers share: where its connection is lost, it goes on at the next one.
    pub async fn over(clients: &[Client]) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let task = tokio::spawn(follow(clients.to_vec(), seen.clone()));
        let watcher = Self { seen, task };
        wait_for("the watch to be live", async || watcher.seen().view.is_synced().then_some(())).await;
        watcher
    }

    /// What it has told so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(clients: Vec<Client>, seen: Arc<Mutex<Seen>>) {
    let watch = Watch::new()
        .heartbeat_interval(Duration::from_secs(1))
        .reconnect_delay(Duration::from_millis(20), Duration::from_millis(500));
    let several = clients.len() > 1;
    let mut clients = clients.iter().cycle();
    let mut events = clients.next().unwrap().watch(watch.clone());
    while let Some(event) = events.next().await {
        let lost = match &event {
            Ok(WatchEvent::Disconnected { retry_in, .. }) => Some(*retry_in),
            _ => None,
        };
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(event) => seen.take(event),
                Err(error) => seen.wrong.push(format!("the watch failed: {error}")),
            }
        }
        if let Some(pause) = lost
            && several
            && let Some(token) = events.resume_token().map(str::to_owned)
        {
            tokio::time::sleep(pause).await;
            events = clients.next().unwrap().watch(watch.clone().resume_token(token));
        }
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).wrong.push("the watch ended".to_owned());
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}
