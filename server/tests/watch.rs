//! The watch against the real store: whatever a subscriber's pace and however often it resumes, its view is the store's.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use approve_server::{
    approval::{
        Approval, ApprovalId, Command, Decision, Origin, Person, Status, StepDefaults, TaskToken, parse_task_input,
    },
    store::{
        Admission, Admitted, Executed, Filter, IdentityUse, Revision, SharedStore,
        sqlite::{Options, SqliteStore},
    },
    watch::{Hub, Kept, Subscription, Update, WatchError},
};
use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

struct Rig {
    store: SharedStore,
    hub: Arc<Hub>,
    stop: CancellationToken,
    tasks: TaskTracker,
    random: StdRng,
    count: u64,
    pending: Vec<ApprovalId>,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Little in memory, so that subscribers meet the disk as well.
        let options = Options { tail_changes: 16, ..Options::default() };
        let store: SharedStore = Arc::new(SqliteStore::open(folder.path(), options).unwrap());
        let hub = Hub::new(Arc::clone(&store), Kept { changes: 16, older_bytes: 200_000, ..Kept::default() });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn({
            let (hub, stop) = (Arc::clone(&hub), stop.clone());
            async move { hub.run(stop).await }
        });
        let random = StdRng::seed_from_u64(seed);
        Self { store, hub, stop, tasks, random, count: 0, pending: Vec::new(), _folder: folder }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.store.close().await.unwrap();
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + i64::try_from(self.count).unwrap()).unwrap()
    }

    async fn ask(&mut self, workflow: &str) -> Arc<Approval> {
        self.count += 1;
        let defaults = StepDefaults {
            workflow: workflow.to_owned(),
            activity_arn: format!("arn:aws:states:us-east-1:0:activity:{workflow}"),
            rule: approve_server::approval::Rule::single(Vec::new(), 2),
            timeouts: Vec::new(),
        };
        let admission = Admission {
            uuid: Uuid::from_u128(u128::from(self.count) << 64),
            token: TaskToken::from(format!("token-{}", self.count)),
            task: parse_task_input("{\"amount\": 1200.50}", &defaults),
            heartbeat: None,
            identity: IdentityUse::Distrusted,
            at: self.now(),
        };
        let Admitted::Created(approval) = self.store.admit(admission).await.unwrap() else { panic!("not created") };
        self.pending.push(approval.id.clone());
        approval
    }

    async fn vote(&mut self, id: &ApprovalId, who: &str, decision: Decision) -> Arc<Approval> {
        self.count += 1;
        let by = Person { principal: who.parse().unwrap(), groups: Vec::new() };
        let command = Command::Vote {
            by,
            choice: decision.into(),
            comment: String::new(),
            response: None,
            etag: None,
            cast_by: None,
        };
        let executed = self.store.execute(id, command, Origin::system("test"), self.now(), None).await.unwrap();
        let Executed::Done { approval, .. } = executed else { panic!("{executed:?}") };
        if approval.status.is_final() {
            self.pending.retain(|known| known != id);
        }
        approval
    }

    async fn anything(&mut self) {
        let workflow = ["pay", "ship"][self.random.random_range(0..2)];
        if self.pending.is_empty() || self.random.random_bool(0.4) {
            self.ask(workflow).await;
            return;
        }
        let id = self.pending[self.random.random_range(0..self.pending.len())].clone();
        let who = ["ana", "bo", "cy"][self.random.random_range(0..3)];
        let decision = if self.random.random_bool(0.8) { Decision::Approve } else { Decision::Reject };
        self.vote(&id, who, decision).await;
    }

    async fn truth(&self, filter: &Filter) -> BTreeMap<ApprovalId, u64> {
        let head = *self.store.head().borrow();
        let pending = self.store.pending_at(head, None, usize::MAX / 2).await.unwrap();
        assert_eq!(pending.next, None);
        let pending = pending.approvals.iter().map(|one| one.read().unwrap());
        pending.filter(|one| filter.matches(one)).map(|one| (one.id.clone(), one.version)).collect()
    }
}

/// A client: what it has seen, and how it checks the order of what it is told.
struct Client {
    filter: Filter,
    stream: Subscription,
    view: BTreeMap<ApprovalId, u64>,
    resume: Option<Revision>,
    synced: bool,
}

impl Client {
    fn new(rig: &Rig, filter: Filter) -> Self {
        let stream = rig.hub.subscribe(filter.clone(), None).unwrap();
        Self { filter, stream, view: BTreeMap::new(), resume: None, synced: false }
    }

    fn see(&mut self, update: Update) {
        match update {
            Update::Found(found) => self.hold(&found.read().unwrap()),
            Update::Upserted(entry) => {
                let (revision, approval) = (entry.revision(), entry.approval());
                assert!(self.resume < Some(revision), "revisions grow");
                assert_eq!(approval.revision, revision);
                let before = self.view.get(&approval.id).copied().unwrap_or(0);
                assert_eq!(approval.version, before + 1, "no change is left out, none told twice");
                self.resume = Some(revision);
                self.hold(approval);
            }
            Update::Removed { id, revision, .. } => {
                assert!(self.view.remove(&id).is_some(), "only what was told is removed");
                assert!(self.resume < Some(revision));
                self.resume = Some(revision);
            }
            Update::Synced(revision) => {
                self.resume = Some(revision.max(self.resume.unwrap_or(0)));
                self.synced = true;
            }
        }
    }

    fn hold(&mut self, approval: &Approval) {
        assert_eq!(approval.status, Status::Pending);
        assert_eq!(&*approval.input, "{\"amount\": 1200.50}");
        self.view.insert(approval.id.clone(), approval.version);
    }

    /// Reads what there is, without waiting for more.
    async fn read(&mut self) {
        while let Ok(updates) = tokio::time::timeout(std::time::Duration::from_millis(1), self.stream.next()).await {
            updates.unwrap().into_iter().for_each(|update| self.see(update));
        }
    }

    async fn until(&mut self, head: Revision) {
        while !self.synced || self.stream.covered().is_none_or(|covered| covered < head) {
            self.read().await;
        }
    }

    /// The connection is lost: what was told is kept, the rest is asked for again.
    fn reconnect(&mut self, rig: &Rig) {
        if !self.synced {
            self.view.clear();
            self.resume = None;
        }
        self.synced = false;
        self.stream = rig.hub.subscribe(self.filter.clone(), self.resume).unwrap();
    }
}

#[tokio::test]
async fn every_view_equals_the_store_whatever_its_pace() {
    for seed in 0..4 {
        let mut rig = Rig::new(seed);
        for _ in 0..30 {
            rig.anything().await;
        }
        let pay = Filter { workflow: Some("pay".to_owned()), ..Filter::default() };
        let ana = Person { principal: "ana".parse().unwrap(), groups: Vec::new() };
        let for_ana = Filter { awaiting: Some(ana), ..Filter::default() };
        let mut clients: Vec<_> =
            [Filter::default(), pay, for_ana].into_iter().map(|filter| Client::new(&rig, filter)).collect();
        for _ in 0..400 {
            rig.anything().await;
            let which = rig.random.random_range(0..clients.len());
            match rig.random.random_range(0..40) {
                0 => clients[which].reconnect(&rig),
                1..4 => clients[which].read().await,
                4 => {
                    let filter = clients[which].filter.clone();
                    clients.push(Client::new(&rig, filter));
                }
                _ => {}
            }
        }
        let head = *rig.store.head().borrow();
        for client in &mut clients {
            client.until(head).await;
            assert_eq!(client.view, rig.truth(&client.filter).await, "seed {seed}");
        }
        rig.end().await;
    }
}

#[tokio::test]
async fn a_snapshot_is_of_one_moment_though_changes_come_between_its_pages() {
    let mut rig = Rig::new(1);
    for _ in 0..600 {
        rig.ask("pay").await;
    }
    let mut client = Client::new(&rig, Filter::default());
    let first = client.stream.next().await.unwrap();
    assert_eq!(first.len(), 256);
    first.into_iter().for_each(|update| client.see(update));
    // One that was told, one that was not yet, each decided before the snapshot is through.
    for id in [rig.pending[0].clone(), rig.pending[599].clone()] {
        rig.vote(&id, "ana", Decision::Reject).await;
    }
    rig.ask("pay").await;
    let head = *rig.store.head().borrow();
    client.until(head).await;
    assert_eq!(client.view, rig.truth(&Filter::default()).await);
    assert_eq!(client.view.len(), 599);
    rig.end().await;
}

#[tokio::test]
async fn who_waits_is_woken_for_what_is_of_interest_alone_and_knows_of_all_that_was_not() {
    let mut rig = Rig::new(4);
    let ship = Filter { workflow: Some("ship".to_owned()), ..Filter::default() };
    let mut client = Client::new(&rig, ship.clone());
    client.until(*rig.store.head().borrow()).await;
    let asked = async |rig: &mut Rig, workflow| {
        let revision = rig.ask(workflow).await.revision;
        let mut everything = rig.hub.subscribe(Filter::default(), Some(revision - 1)).unwrap();
        while everything.covered().is_none_or(|covered| covered < revision) {
            everything.next().await.unwrap();
        }
        revision
    };
    // Far more than is kept in memory.
    let mut head = 0;
    for _ in 0..100 {
        let mut waiting = std::pin::pin!(client.stream.next());
        assert!(futures::poll!(&mut waiting).is_pending());
        head = asked(&mut rig, "pay").await;
        assert!(futures::poll!(&mut waiting).is_pending(), "woken for something of another workflow");
    }
    assert_eq!(client.stream.covered(), Some(head), "to resume from");
    let mut waiting = Box::pin(client.stream.next());
    assert!(futures::poll!(&mut waiting).is_pending());
    asked(&mut rig, "ship").await;
    assert!(futures::poll!(&mut waiting).is_ready());
    drop(waiting);
    let head = asked(&mut rig, "ship").await;
    client.until(head).await;
    assert_eq!((client.view.len(), client.view), (2, rig.truth(&ship).await));
    rig.end().await;
}

#[tokio::test]
async fn streams_that_are_not_looked_after_hold_up_nobody() {
    let mut rig = Rig::new(5);
    for _ in 0..300 {
        rig.ask("pay").await;
    }
    let head = *rig.store.head().borrow();
    let mut left = Vec::new();
    for resume in [None, Some(0)].into_iter().cycle().take(20) {
        let mut stream = rig.hub.subscribe(Filter::default(), resume).unwrap();
        // They begin to read, each of them, and are never asked again.
        let _ = futures::poll!(std::pin::pin!(stream.next()));
        let _ = futures::poll!(std::pin::pin!(stream.next()));
        left.push(stream);
    }
    for resume in [None, Some(0)] {
        let mut client = Client::new(&rig, Filter::default());
        (client.resume, client.synced) = (resume, resume.is_some());
        client.reconnect(&rig);
        client.until(head).await;
        assert_eq!(client.view.len(), 300);
    }
    drop(left);
    rig.end().await;
}

#[tokio::test]
async fn a_settled_delivery_is_told_to_whoever_waits_for_it() {
    let mut rig = Rig::new(2);
    let asked = rig.ask("pay").await;
    let decided = rig.vote(&asked.id, "ana", Decision::Reject).await;
    let waiting = tokio::spawn({
        let (hub, id) = (Arc::clone(&rig.hub), asked.id.clone());
        async move { hub.settled(&id).await }
    });
    let delivered = Command::Delivered { token: decided.task.token.clone(), attempts: 1 };
    rig.store.execute(&asked.id, delivered, Origin::system("test"), rig.now(), None).await.unwrap();
    let settled = waiting.await.unwrap().unwrap();
    assert_eq!(settled.delivery.state, approve_server::approval::DeliveryState::Delivered);
    // Also when it was settled before.
    assert!(rig.hub.settled(&asked.id).await.is_some());
    rig.end().await;
}

#[tokio::test]
async fn a_revision_that_is_not_there_yet_is_refused() {
    let mut rig = Rig::new(3);
    rig.ask("pay").await;
    let head = *rig.store.head().borrow();
    assert!(matches!(rig.hub.subscribe(Filter::default(), Some(head + 1)), Err(WatchError::Ahead { .. })));
    assert!(rig.hub.subscribe(Filter::default(), Some(head)).is_ok());
    rig.end().await;
}
