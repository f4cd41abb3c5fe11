//! One stream, and what it may not tell.

use std::{collections::BTreeMap, time::Duration};

use approve_proto::v1::{
    ApprovalFilter, ApprovalStatus, StreamPendingApprovalsRequest, StreamPendingApprovalsResponse,
    approval_service_client::ApprovalServiceClient, stream_pending_approvals_response::Change,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::{Response, Status, Streaming, transport::Channel};

use super::{Phase, WHO, version};
use crate::server::request_as;

/// A stream that loses its connection does so after so many responses, at most.
const MOST_BETWEEN_LOSSES: u32 = 2_000;
/// A stream is silent for a second, by what it asks for.
const SILENCE: Duration = Duration::from_secs(3);
/// Before the next server is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// One stream.
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) filter: ApprovalFilter,
    pub(super) stalls_for: Option<Duration>,
    pub(super) reconnects: bool,
    /// What matches, by what was told: its version.
    pub(super) held: BTreeMap<String, u64>,
    pub(super) told: u64,
    pub(super) reconnected: u64,
    /// What should not have been told, first of all.
    pub(super) wrong: Option<String>,
    /// Everything up to this revision was told.
    covered: i64,
    synced: bool,
    resume_token: String,
    random: StdRng,
}

impl Member {
    pub(super) fn new(number: usize, filter: ApprovalFilter) -> Self {
        Self {
            number,
            filter,
            stalls_for: None,
            reconnects: false,
            held: BTreeMap::new(),
            told: 0,
            reconnected: 0,
            wrong: None,
            covered: 0,
            synced: false,
            resume_token: String::new(),
            random: StdRng::seed_from_u64(number as u64),
        }
    }

    /// Reads until everything was told. What one of several servers fails at, the next one is asked for; a single one may
    /// not fail.
    pub(super) async fn run(
        mut self,
        mut clients: Vec<ApprovalServiceClient<Channel>>,
        mut phase: watch::Receiver<Phase>,
    ) -> Self {
        let several = clients.len() > 1;
        for at in (0..clients.len()).cycle().skip(self.number % clients.len()) {
            let opened = open(&mut clients[at], &self.filter, &self.resume_token);
            let mut stream = match heard(opened, several).await {
                Ok(stream) => stream,
                Err(_) if several => {
                    sleep(PAUSE).await;
                    continue;
                }
                Err(status) => panic!("{status:?}"),
            };
            let mut left = self.random.random_range(1..MOST_BETWEEN_LOSSES);
            while left > 0 || !self.reconnects {
                let response = match heard(stream.message(), several).await {
                    Ok(Some(response)) => response,
                    Ok(None) | Err(_) if several => break,
                    ended => panic!("a stream does not end: {ended:?}"),
                };
                if let Err(wrong) = self.take(response) {
                    self.wrong = Some(wrong);
                    return self;
                }
                if self.synced && matches!(*phase.borrow(), Phase::Over(head) if self.covered >= head) {
                    return self;
                }
                if let Some(time) = self.stalls_for.take_if(|_| self.synced) {
                    // Whichever is first; the stream stays open meanwhile.
                    let _ = timeout(time, phase.wait_for(|phase| *phase != Phase::Going)).await;
                }
                left = left.saturating_sub(1);
            }
            self.reconnected += 1;
            if self.resume_token.is_empty() {
                // In the middle of a snapshot: it is begun again.
                self.held.clear();
            }
        }
        self
    }

    fn take(&mut self, response: StreamPendingApprovalsResponse) -> Result<(), String> {
        let in_snapshot = response.resume_token.is_empty();
        match response.change.ok_or("nothing is told")? {
            Change::Upserted(approval) => {
                let pending = approval.status() == ApprovalStatus::Pending;
                let (id, new) = (approval.id, version(&approval.etag));
                if !pending {
                    return Err(format!("{id} is not pending"));
                }
                let before = self.held.insert(id.clone(), new);
                if !in_snapshot {
                    self.follows(approval.revision)?;
                } else if self.synced || before.is_some() {
                    return Err(format!("{id} is told as if in a snapshot"));
                }
                // What matches goes on matching until it is said to have ended, so that no version is left out.
                if before.is_some_and(|before| new != before + 1) {
                    return Err(format!("{id} went from {before:?} to {new}"));
                }
                self.told += 1;
            }
            Change::Removed(removed) => {
                self.follows(removed.revision)?;
                if self.held.remove(&removed.id).is_none() {
                    return Err(format!("{} is removed, and was not there", removed.id));
                }
                self.told += 1;
            }
            Change::Bookmark(bookmark) => {
                if bookmark.revision < self.covered {
                    return Err(format!("it went back from {} to {}", self.covered, bookmark.revision));
                }
                self.covered = bookmark.revision;
                self.synced |= bookmark.synced;
            }
        }
        if !in_snapshot {
            self.resume_token = response.resume_token;
        }
        Ok(())
    }

    fn follows(&mut self, revision: i64) -> Result<(), String> {
        if revision <= self.covered {
            return Err(format!("revision {revision} after {}", self.covered));
        }
        self.covered = revision;
        Ok(())
    }
}

/// What is awaited, unless nothing is heard for too long of one of several servers.
async fn heard<T>(what: impl Future<Output = Result<T, Status>>, several: bool) -> Result<T, Status> {
    if !several {
        return what.await;
    }
    timeout(SILENCE, what).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("silent")))
}

async fn open(
    client: &mut ApprovalServiceClient<Channel>,
    filter: &ApprovalFilter,
    resume_token: &str,
) -> Result<Streaming<StreamPendingApprovalsResponse>, Status> {
    let request = StreamPendingApprovalsRequest {
        filter: Some(filter.clone()),
        resume_token: resume_token.to_owned(),
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
    };
    client.stream_pending_approvals(request_as(WHO, request)).await.map(Response::into_inner)
}
