//! The activity worker: takes tasks, keeps them alive, answers them. Every part reads what it needs from the store, so
//! every part can be restarted.

mod alarm;
pub(crate) mod backoff;
mod closed;
mod delivery;
mod detached;
mod heartbeat;
mod intake;
mod poller;
mod rate;
mod standing;
mod timers;

use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

use self::{alarm::Alarm, backoff::Backoff, rate::Rate};
use crate::{
    approval::{Approval, Command, Origin, Status, TaskState},
    clock::SharedClock,
    entropy::{self, SharedEntropy},
    stepfunctions::SharedStepFunctions,
    store::{Executed, Filter, ListQuery, Order, SharedStore, Standing, StoreError},
    telemetry::{
        Tracer,
        metrics::{SharedMetrics, StatusLabel},
    },
    workflows::Workflows,
};

/// How the worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// How the worker names itself to Step Functions; shows in histories.
    pub name: String,
    /// Open polls per activity that are always kept.
    pub min_polls: usize,
    /// Open polls per activity at most; AWS's limit is 1,000.
    pub max_polls: usize,
    /// Heartbeats per second at most.
    pub heartbeats_per_second: u32,
    /// Answers per second at most.
    pub deliveries_per_second: u32,
    /// Answers that may be under way at once.
    pub deliveries: usize,
    /// How long a lost task's retry is waited for.
    pub detached_for: jiff::SignedDuration,
    /// Where spans go.
    pub tracer: Tracer,
}

/// So many polls may be open for an activity, over all servers: AWS's limit.
const MAX_POLLS: usize = 1_000;

/// What the parts of the worker share.
pub(crate) struct Shared {
    pub(crate) store: SharedStore,
    standing: watch::Receiver<Standing>,
    pub(crate) stepfunctions: SharedStepFunctions,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    pub(crate) workflows: Arc<Workflows>,
    pub(crate) options: WorkerOptions,
    pub(crate) metrics: SharedMetrics,
    heartbeat_rate: Rate,
    delivery_rate: Rate,
    heartbeat: Alarm,
    first_heartbeats: heartbeat::First,
    delivery: Alarm,
    timers: Alarm,
    detached: Alarm,
    fast_lane: delivery::FastLane,
    intake: intake::Gate,
}

impl Shared {
    /// Whether what is due is this server's to do, now: no other takes it over for a while yet.
    fn may_act(&self) -> bool {
        self.standing.borrow().may_act()
    }

    /// How many of so many open polls are this server's, of an activity that all servers poll.
    fn share(&self, polls: usize) -> usize {
        let servers = self.standing.borrow().servers.max(1);
        polls.min(MAX_POLLS / servers).max(1)
    }

    fn random(&self) -> f64 {
        entropy::fraction(&*self.entropy)
    }

    async fn pause(&self, backoff: Backoff, tries: u32) {
        let until = self.clock.now() + backoff.wait(tries, self.random());
        self.clock.sleep_until(until).await;
    }

    /// Waits a little, and until the store can be read. Meanwhile no more tasks are taken.
    async fn store_answers(&self) {
        let _closed = self.intake.close(None);
        for tries in 1.. {
            self.pause(Backoff::STORE, tries).await;
            if self.store.count_pending(None).await.is_ok() {
                return;
            }
        }
    }

    /// A change that the server itself made.
    fn changed(&self, approval: &Arc<Approval>, at: Timestamp) {
        self.count(approval, at);
        self.options.tracer.settled(approval);
        self.schedule(approval);
    }

    /// Counts an approval that became final by a change at this time. What was final before has an earlier one.
    fn count(&self, approval: &Approval, at: Timestamp) {
        if let Some(decided) = approval.decided.filter(|decided| *decided == at && approval.updated == at) {
            self.metrics.finished.get_or_create(&StatusLabel { status: approval.status.name() }).inc();
            self.metrics.pending_time.observe(decided.duration_since(approval.created).as_secs_f64().max(0.0));
        }
    }

    /// Sees to it that what a change made due is done in time.
    fn schedule(&self, approval: &Arc<Approval>) {
        if approval.wants_heartbeats() {
            self.heartbeat.set(crate::store::first_heartbeat(approval.task.taken, approval.task.heartbeat));
        }
        if let Some(due) = approval.timer_due() {
            self.timers.set(due);
        }
        if approval.task.state == TaskState::Detached
            && let Some(since) = approval.task.detached
        {
            self.detached.set(crate::store::first_look(since));
        }
        if approval.wants_delivery() && !self.fast_lane.offer(approval) {
            self.delivery.set(self.clock.now());
        }
    }
}

/// Tells the worker of changes that others made.
#[derive(Clone)]
pub struct WorkerHandle(Arc<Shared>);

impl WorkerHandle {
    /// An approval was decided or cancelled, by a change at this time or before: its answer is to be delivered now.
    pub fn decided(&self, approval: &Arc<Approval>, at: Timestamp) {
        self.0.count(approval, at);
        self.0.schedule(approval);
    }

    /// Where spans go.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.0.options.tracer
    }

    /// Cancels all that is pending of a workflow.
    pub async fn cancel_all(&self, workflow: &str, origin: &Origin, reason: &str) -> Result<(), StoreError> {
        let store = &self.0.store;
        let mut query = ListQuery {
            filter: Filter { workflow: Some(workflow.to_owned()), ..Filter::default() },
            statuses: vec![Status::Pending],
            order: Order::OldestFirst,
            after: None,
            limit: 256,
        };
        loop {
            let page = store.list(query.clone()).await?;
            for approval in &page.approvals {
                let command = Command::Abandon { by: origin.by.clone(), reason: reason.to_owned() };
                let at = self.0.clock.now();
                if let Executed::Done { approval, .. } =
                    store.execute(&approval.id, command, origin.clone(), at, None).await?
                {
                    self.0.changed(&approval, at);
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// The running worker.
pub struct Worker {
    shared: Arc<Shared>,
    polling: CancellationToken,
    working: CancellationToken,
    pollers: TaskTracker,
    loops: TaskTracker,
}

impl Worker {
    /// Starts all parts.
    #[must_use]
    pub fn start(
        store: SharedStore,
        stepfunctions: SharedStepFunctions,
        clock: SharedClock,
        entropy: SharedEntropy,
        workflows: Arc<Workflows>,
        metrics: SharedMetrics,
        options: WorkerOptions,
    ) -> Self {
        let (fast_lane, decided) = delivery::FastLane::new();
        let shared = Arc::new(Shared {
            standing: store.standing(),
            store,
            stepfunctions,
            heartbeat_rate: Rate::new(options.heartbeats_per_second, Arc::clone(&clock)),
            delivery_rate: Rate::new(options.deliveries_per_second, Arc::clone(&clock)),
            clock,
            entropy,
            workflows,
            options,
            metrics,
            heartbeat: Alarm::default(),
            first_heartbeats: heartbeat::First::default(),
            delivery: Alarm::default(),
            timers: Alarm::default(),
            detached: Alarm::default(),
            fast_lane,
            intake: intake::Gate::default(),
        });
        let worker = Self {
            shared: Arc::clone(&shared),
            polling: CancellationToken::new(),
            working: CancellationToken::new(),
            pollers: TaskTracker::new(),
            loops: TaskTracker::new(),
        };
        worker.supervise("delivery", {
            let decided = Arc::new(tokio::sync::Mutex::new(decided));
            move |shared, stop| {
                let decided = Arc::clone(&decided);
                async move { delivery::run(&shared, &mut *decided.lock().await, &stop).await }
            }
        });
        worker.supervise("heartbeat", |shared, stop| async move { heartbeat::run(&shared, &stop).await });
        worker.supervise("timers", |shared, stop| async move { timers::run(&shared, &stop).await });
        worker.supervise("detached", |shared, stop| async move { detached::run(&shared, &stop).await });
        worker.supervise("standing", |shared, stop| async move { standing::run(&shared, &stop).await });
        worker.pollers.spawn(poller::run(shared, worker.polling.clone(), worker.working.clone()));
        worker.pollers.close();
        worker.loops.close();
        worker
    }

    /// For whoever decides.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle(Arc::clone(&self.shared))
    }

    /// Takes no more tasks: opens no more polls, and returns when those that are open have ended and their tasks are
    /// stored.
    pub async fn stop_polling(&self) {
        self.polling.cancel();
        self.pollers.wait().await;
    }

    /// Ends heartbeats, deliveries and the rest, after what is in hand.
    pub async fn stop(&self) {
        self.polling.cancel();
        self.working.cancel();
        self.loops.wait().await;
    }

    /// Runs a part until it is told to stop: after an error or a panic it starts anew, from the store.
    fn supervise<F, W>(&self, name: &'static str, part: F)
    where
        F: Fn(Arc<Shared>, CancellationToken) -> W + Send + 'static,
        W: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let stop = self.working.clone();
        self.loops.spawn(async move {
            loop {
                let run = part(Arc::clone(&shared), stop.clone());
                match std::panic::AssertUnwindSafe(run).catch_unwind().await {
                    Ok(Ok(())) => return,
                    Ok(Err(StoreError::Closed)) => return,
                    Ok(Err(error)) => warn!(part = name, error = &error as &dyn std::error::Error, "part failed"),
                    Err(_) => error!(part = name, "part panicked"),
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = shared.store_answers() => {}
                }
            }
        });
    }
}
