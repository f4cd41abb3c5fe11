//! Lanes against receivers on loopback, over the embedded store. Time is the test's own.

mod changes;
mod receiver;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::receiver::{Answer, Receiver};
use super::{
    ChannelSettings, HttpSettings, Kind, Lanes, Outside, Reach, Route, Shared, Signer, TargetSettings, message::Include,
};
use crate::{
    approval::Approval,
    clock::Clock,
    entropy::SystemEntropy,
    store::{
        Admission, SharedStore,
        conformance::{created, done, reject, start, task},
        messages::{Revived, Unsent, UnsentQuery},
        sqlite::{self, SqliteStore},
    },
    telemetry::metrics::{Metrics, SharedMetrics},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A clock that is moved by hand, in milliseconds after [`start`].
struct ManualClock {
    millis: watch::Sender<i64>,
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        start() + SignedDuration::from_millis(*self.millis.borrow())
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut millis = self.millis.subscribe();
        let reached = millis.wait_for(|millis| start() + SignedDuration::from_millis(*millis) >= deadline);
        // It lives as long as whoever waits.
        let _ = reached.await;
    }
}

struct Rig {
    folder: TempDir,
    store: SharedStore,
    clock: Arc<ManualClock>,
    metrics: SharedMetrics,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    asked: AtomicI64,
}

fn open(folder: &TempDir) -> SharedStore {
    Arc::new(SqliteStore::open(folder.path(), sqlite::Options::default()).unwrap())
}

impl Rig {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self {
            store: open(&folder),
            folder,
            clock: Arc::new(ManualClock { millis: watch::Sender::new(0) }),
            metrics: Arc::new(Metrics::default()),
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            asked: AtomicI64::new(0),
        }
    }

    /// Starts lanes to these targets, which are told what comes after.
    async fn start(&mut self, targets: Vec<TargetSettings>) {
        for target in &targets {
            self.store.take_target(&target.name).await.unwrap();
        }
        for lane in Lanes::new(targets, self.shared()).unwrap().0 {
            self.tasks.spawn(lane.run(self.stop.clone()));
        }
    }

    fn shared(&self) -> Shared {
        Shared {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            metrics: Arc::clone(&self.metrics),
            outside: Outside { source: "/test".to_owned(), ..Outside::default() },
        }
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// As a process that is killed, and another that is started.
    async fn die(self) -> Self {
        let Self { folder, store, clock, metrics, mut tasks, asked, .. } = self;
        tasks.shutdown().await;
        drop(store);
        let store = open(&folder);
        Self { folder, store, clock, metrics, tasks: JoinSet::new(), stop: CancellationToken::new(), asked }
    }

    async fn ask(&self) -> Arc<Approval> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let admission = Admission { at: self.clock.now(), ..task(u32::try_from(number).unwrap()) };
        created(&self.store, admission).await
    }

    async fn decide(&self, approval: &Approval) {
        done(&self.store, approval, reject(), self.clock.now()).await;
    }

    fn advance(&self, by: SignedDuration) {
        let by = i64::try_from(by.as_millis()).unwrap();
        self.clock.millis.send_modify(|millis| *millis += by);
    }

    /// Lets time pass until something holds.
    async fn until<W: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> W) {
        for _ in 0..2_000 {
            if holds().await {
                return;
            }
            self.advance(SignedDuration::from_millis(500));
            // For others to run, and for sockets. Whatever this takes, the clock above is what counts.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("waited for {what}");
    }

    async fn unsent(&self) -> Vec<Unsent> {
        self.store.unsent(UnsentQuery { limit: 1_000, ..UnsentQuery::default() }).await.unwrap()
    }

    /// How far a target was told.
    async fn told(&self, target: &str) -> i64 {
        self.store.take_target(target).await.unwrap().unwrap()
    }

    fn head(&self) -> i64 {
        *self.store.head().borrow()
    }

    /// A metric of a target.
    fn metric(&self, name: &str, target: &str) -> Option<i64> {
        let start = format!("approve_notifications_{name}{{target=\"{target}\"}} ");
        self.metrics.text().lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
    }
}

fn hook(name: &str, receiver: &Receiver) -> TargetSettings {
    let reach = Reach { allowed: vec!["127.0.0.0/8".parse().unwrap()] };
    let http = HttpSettings { url: receiver.url("/hook").parse().unwrap(), reach, roots: None };
    TargetSettings {
        name: name.to_owned(),
        channel: ChannelSettings::Webhook { http, signer: Some(Signer::new([SECRET]).unwrap()) },
        include: Vec::new(),
        routes: vec![Route::default()],
        timeout: Duration::from_secs(30),
        concurrency: 4,
        give_up_after: SignedDuration::from_hours(1),
    }
}

#[tokio::test]
async fn what_happens_is_told_signed_and_leaves_nothing_behind() {
    let mut rig = Rig::new();
    let receiver = Receiver::start().await;
    rig.start(vec![TargetSettings { include: vec![Include::Payload], ..hook("ops", &receiver) }]).await;
    let approval = rig.ask().await;
    receiver.wait_for(1).await;
    rig.decide(&approval).await;
    receiver.wait_for(2).await;

    let got = receiver.got();
    assert_eq!(got[0].event["type"], "approve.v1.approval.requested");
    assert_eq!(got[1].event["type"], "approve.v1.approval.decided");
    assert_eq!(got[1].event["data"]["status"], "REJECTED");
    assert_eq!(got[0].event["data"]["payload"]["amount"].to_string(), "1200.50");
    let signer = Signer::new([SECRET]).unwrap();
    for request in &got {
        let at = request.header("webhook-timestamp").parse().unwrap();
        assert_eq!(at, start().as_second());
        let signature = signer.sign(request.header("webhook-id"), at, request.body.as_bytes());
        assert_eq!(request.header("webhook-signature"), signature);
        assert_eq!(request.header("content-type"), "application/cloudevents+json; charset=utf-8");
    }
    rig.until("the place", async || rig.told("ops").await == rig.head()).await;
    assert_eq!(rig.unsent().await, []);
    rig.stop().await;
}

#[tokio::test]
async fn a_target_that_fails_is_told_later_each_message_once() {
    let mut rig = Rig::new();
    let receiver = Receiver::start().await;
    receiver.answer(Answer::Status(503));
    rig.start(vec![hook("ops", &receiver)]).await;
    for _ in 0..40 {
        rig.ask().await;
    }
    rig.until("a few tries", async || receiver.got().len() >= 6).await;
    // It is probed: the most of it stays in the log.
    assert!(rig.unsent().await.len() <= 8, "{}", rig.unsent().await.len());
    assert_eq!(rig.metric("failing", "ops"), Some(1));
    rig.until("what waits to be told", async || rig.metric("queued", "ops").is_some_and(|queued| queued >= 30)).await;
    receiver.answer(Answer::Status(200));
    rig.until("all of them", async || receiver.accepted().len() >= 40 && rig.unsent().await.is_empty()).await;
    let mut ids: Vec<_> = receiver.accepted().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), receiver.accepted().len()), (40, 40), "one was left out, or told twice");
    assert_eq!(rig.metric("failing", "ops"), Some(0));
    rig.until("that nothing waits", async || rig.metric("queued", "ops") == Some(0)).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_target_is_left_alone_as_long_as_it_asks_and_no_other_is() {
    let mut rig = Rig::new();
    let (busy, other) = (Receiver::start().await, Receiver::start().await);
    busy.answer(Answer::Busy(600));
    rig.start(vec![hook("busy", &busy), hook("other", &other)]).await;
    rig.ask().await;
    busy.wait_for(1).await;
    rig.until("the pause", async || rig.metric("failing", "busy") == Some(1)).await;
    // No time passes for the other one, and none has to.
    for _ in 0..20 {
        rig.ask().await;
    }
    other.wait_for(21).await;
    assert_eq!(rig.metric("failing", "other"), Some(0));
    rig.advance(SignedDuration::from_secs(300));
    rig.ask().await;
    other.wait_for(22).await;
    assert_eq!(busy.got().len(), 1, "it was not left alone");
    busy.answer(Answer::Status(200));
    rig.until("the rest", async || busy.accepted().len() == 22).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_target_that_stalls_holds_up_no_other() {
    let mut rig = Rig::new();
    let (stalled, other) = (Receiver::start().await, Receiver::start().await);
    stalled.answer(Answer::Stall);
    let slow = TargetSettings { timeout: Duration::from_secs(1), ..hook("slow", &stalled) };
    rig.start(vec![slow, hook("other", &other)]).await;
    for _ in 0..20 {
        rig.ask().await;
    }
    other.wait_for(20).await;
    assert!(stalled.accepted().is_empty());
    stalled.answer(Answer::Status(200));
    rig.until("the rest", async || stalled.accepted().len() == 20).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_message_that_fails_holds_up_no_other() {
    let mut rig = Rig::new();
    let receiver = Receiver::start().await;
    let target = hook("ops", &receiver);
    rig.start(vec![TargetSettings { give_up_after: SignedDuration::from_mins(5), ..target }]).await;
    let poison = rig.ask().await;
    receiver.wait_for(1).await;
    receiver.answer_about(poison.id.as_str(), Answer::Status(500));
    rig.decide(&poison).await;
    for _ in 0..20 {
        rig.ask().await;
    }
    rig.until("the others", async || receiver.accepted().len() == 21).await;
    let unsent = rig.unsent().await;
    assert_eq!(unsent.len(), 1, "{unsent:?}");
    assert_eq!((&unsent[0].approval, &*unsent[0].error), (&poison.id, "it answered with status 500"));
    // And is given up in the end.
    rig.until("the end", async || rig.unsent().await[0].due.is_none()).await;
    assert!(rig.unsent().await[0].attempts > 5);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_until_it_is_asked_for() {
    let mut rig = Rig::new();
    let receiver = Receiver::start().await;
    receiver.answer(Answer::Status(422));
    rig.start(vec![hook("ops", &receiver)]).await;
    rig.ask().await;
    rig.until("the letter", async || rig.unsent().await.iter().any(|letter| letter.due.is_none())).await;
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(rig.metric("dead_total", "ops"), Some(1));
    receiver.answer(Answer::Status(200));
    assert_eq!(rig.store.revive_unsent(Revived::All, rig.clock.now()).await.unwrap(), 1);
    rig.until("the letter to go", async || rig.unsent().await.is_empty()).await;
    assert_eq!(receiver.accepted().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut rig = Rig::new();
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    receiver.answer(Answer::Redirect(elsewhere.url("/inside")));
    rig.start(vec![hook("ops", &receiver)]).await;
    rig.ask().await;
    rig.until("a try", async || !rig.unsent().await.is_empty()).await;
    assert_eq!(rig.unsent().await[0].error, "it answered with status 307: redirects are not followed");
    assert!(elsewhere.got().is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn what_is_not_public_is_not_reached() {
    for host in ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"] {
        let mut rig = Rig::new();
        let receiver = Receiver::start().await;
        let mut target = hook("ops", &receiver);
        let url = format!("http://{host}:{}/hook", receiver.port()).parse().unwrap();
        // Allowed is another network.
        let reach = Reach { allowed: vec!["10.0.0.0/8".parse().unwrap()] };
        target.channel = ChannelSettings::Webhook { http: HttpSettings { url, reach, roots: None }, signer: None };
        rig.start(vec![target]).await;
        rig.ask().await;
        rig.until("a try", async || !rig.unsent().await.is_empty()).await;
        let error = &rig.unsent().await[0].error;
        assert!(error.contains("is not a public address"), "{host}: {error}");
        assert!(receiver.got().is_empty());
        rig.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_lost_by_a_server_that_dies() {
    let mut rig = Rig::new();
    let receiver = Receiver::start().await;
    rig.start(vec![hook("ops", &receiver)]).await;
    let approval = rig.ask().await;
    receiver.wait_for(1).await;
    // It was sent, and that was not noted: no time has passed.
    assert!(rig.told("ops").await < rig.head());
    let mut rig = rig.die().await;
    rig.start(vec![hook("ops", &receiver)]).await;
    rig.decide(&approval).await;
    receiver.wait_for(3).await;
    let ids: Vec<_> = receiver.got().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids[0], ids[1], "the same message has another id");
    assert_ne!(ids[1], ids[2]);
    rig.stop().await;
}

#[tokio::test]
async fn a_stop_notes_what_was_sent() {
    let mut rig = Rig::new();
    let receiver = Receiver::start().await;
    rig.start(vec![hook("ops", &receiver)]).await;
    rig.ask().await;
    receiver.wait_for(1).await;
    rig.stop().await;
    assert_eq!(rig.told("ops").await, rig.head());
}

#[tokio::test]
async fn a_route_leads_elsewhere() {
    let mut rig = Rig::new();
    let (asked, ended) = (Receiver::start().await, Receiver::start().await);
    let route = |on| vec![Route { on: vec![on], ..Route::default() }];
    rig.start(vec![
        TargetSettings { routes: route(Kind::Requested), ..hook("asked", &asked) },
        TargetSettings { routes: route(Kind::Decided), ..hook("ended", &ended) },
    ])
    .await;
    let approval = rig.ask().await;
    rig.decide(&approval).await;
    asked.wait_for(1).await;
    ended.wait_for(1).await;
    rig.ask().await;
    asked.wait_for(2).await;
    assert_eq!(ended.got().len(), 1);
    assert_eq!(ended.got()[0].event["type"], "approve.v1.approval.decided");
    rig.stop().await;
}
