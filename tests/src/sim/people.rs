//! People of a simulation. They decide what they see, and ask again with the same request id when they get no answer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use approve_server::{
    approval::{Approval, ApprovalId, Choice, Command, Decision, Origin, Person, Refusal, Status, Via},
    store::{Executed, Filter, ListQuery, Order, RequestKey, Store as _},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    definitions::Kind,
    port::Network,
    server::{Power, Running},
};

/// What people were told.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Approvals whose finality was acknowledged, as what.
    pub(super) acknowledged: BTreeMap<ApprovalId, Status>,
    /// Votes that were acknowledged: who, on what, which.
    pub(super) votes: Vec<(ApprovalId, String, Choice)>,
    /// What was wrong with an answer.
    pub(super) wrong: Vec<String>,
}

/// One person.
pub(super) struct People {
    name: String,
    random: StdRng,
    power: Arc<Power>,
    network: Arc<Network>,
    ledger: Arc<Mutex<Ledger>>,
    requests: u64,
}

impl People {
    /// A person.
    #[must_use]
    pub(super) fn new(
        number: u64,
        seed: u64,
        power: Arc<Power>,
        network: Arc<Network>,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { name: format!("user:p{number}"), random, power, network, ledger, requests: 0 }
    }

    /// Looks, decides, for ever.
    pub(super) async fn work(mut self) {
        loop {
            let pause = self.random.random_range(1..60_000);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let Some(approval) = self.look().await else { continue };
            let decision = if self.random.random_bool(0.8) { Decision::Approve } else { Decision::Reject };
            let outcomes = approval.request.rule.outcomes.iter();
            let mut named = outcomes.filter(|outcome| outcome.decision == decision).map(|outcome| outcome.name.clone());
            let choice = match named.next() {
                Some(name) if self.random.random_bool(0.5) => Choice::Outcome { name, decision: Some(decision) },
                _ => Choice::Plain(decision),
            };
            self.decide(&approval.id, &choice).await;
        }
    }

    /// Waits for deadlines, and decides around them, for ever.
    pub(super) async fn work_late(mut self) {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let Some(deadline) = self.next_deadline().await else { continue };
            let (id, at) = deadline;
            let early = Duration::from_millis(self.random.random_range(0..60));
            let wait = at.duration_since(self.network.now()).unsigned_abs() + Duration::from_millis(30);
            tokio::time::sleep(wait.saturating_sub(early)).await;
            self.decide(&id, &Decision::Approve.into()).await;
        }
    }

    /// The deadline that is next, of those who are left to the last moment, if it is near.
    async fn next_deadline(&mut self) -> Option<(ApprovalId, jiff::Timestamp)> {
        let running = self.power.any(&mut self.random)?;
        let filter = Filter { workflow: Some(Kind::Late.name().to_owned()), ..Filter::default() };
        let page = patiently(running.store.list(pending(filter))).await?.ok()?;
        let near = self.network.now() + jiff::SignedDuration::from_secs(10);
        let deadlines = page.approvals.iter().filter_map(|one| Some((one.id.clone(), one.expires?)));
        deadlines.filter(|(_, at)| *at > self.network.now() && *at < near).min_by_key(|(_, at)| *at)
    }

    async fn look(&mut self) -> Option<Arc<Approval>> {
        let running = self.power.any(&mut self.random)?;
        let mut page = patiently(running.store.list(pending(Filter::default()))).await?.ok()?;
        page.approvals.retain(|one| one.request.source.workflow != Kind::Late.name());
        let which = self.random.random_range(0..page.approvals.len().max(1));
        page.approvals.get(which).cloned()
    }

    async fn decide(&mut self, id: &ApprovalId, choice: &Choice) {
        self.requests += 1;
        let key =
            RequestKey { caller: self.name.clone(), id: format!("request-{}", self.requests), fingerprint: [0; 32] };
        for _ in 0..20 {
            if let Some(running) = self.power.any(&mut self.random)
                && let Some(executed) = self.ask(&running, id, choice, key.clone()).await
            {
                return self.told(id, choice, &executed);
            }
            tokio::time::sleep(Duration::from_secs(self.random.random_range(1..30))).await;
        }
    }

    /// As `Decide` does it: on disk, then handed to the worker, then answered.
    async fn ask(&self, running: &Running, id: &ApprovalId, choice: &Choice, key: RequestKey) -> Option<Executed> {
        let by = Person { principal: self.name.parse().ok()?, groups: Vec::new() };
        let by_whom = by.principal.clone();
        let command = Command::Vote {
            by,
            choice: choice.clone(),
            comment: "so be it".to_owned(),
            response: None,
            etag: None,
            cast_by: None,
        };
        let origin = Origin { via: Via::Asserted, by: by_whom, on_behalf_of: None, address: None };
        let now = self.network.now();
        let executed = patiently(running.store.execute(id, command, origin, now, Some(key))).await?.ok()?;
        if let Executed::Done { approval, .. } = &executed {
            running.worker.decided(approval, now);
        }
        Some(executed)
    }

    fn told(&self, id: &ApprovalId, choice: &Choice, executed: &Executed) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        match executed {
            Executed::Done { approval, .. } => {
                self.network.note(format!("{} {choice:?} {id}: {}", self.name, approval.status.name()));
                ledger.votes.push((id.clone(), self.name.clone(), choice.clone()));
                if approval.status.is_final() {
                    acknowledge(&mut ledger, id, approval.status);
                }
            }
            Executed::Refused(Refusal::AlreadyDecided { status, .. }) => acknowledge(&mut ledger, id, *status),
            other => ledger.wrong.push(format!("{} on {id}: {other:?}", self.name)),
        }
    }
}

fn pending(filter: Filter) -> ListQuery {
    ListQuery { filter, statuses: vec![Status::Pending], order: Order::OldestFirst, after: None, limit: 50 }
}

fn acknowledge(ledger: &mut Ledger, id: &ApprovalId, status: Status) {
    let known = *ledger.acknowledged.entry(id.clone()).or_insert(status);
    if known != status {
        ledger.wrong.push(format!("{id} was {known:?} and then {status:?}"));
    }
}

/// An answer, if it comes within a few seconds.
async fn patiently<T>(answer: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(5), answer).await.ok()
}
