//! The engine behind the server: one lock, the waiting polls, and the timer that wakes it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    engine::{ActivityTask, ApiError, Effect, Engine, Poll, PollId},
    faults::Faults,
    journal::{Entry, Journal},
    quotas::Quotas,
    server::Behaviour,
};

type PollAnswer = Result<Option<ActivityTask>, ApiError>;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// The next due time may have changed.
    rescheduled: Notify,
    pub(crate) region: String,
    pub(crate) account_id: String,
    pub(crate) faults: Faults,
    dead_polls_take_tasks: bool,
    /// Taken before the core, and kept while a call is applied: its order is the engine's.
    journal: Option<Mutex<Journal>>,
}

#[derive(Debug)]
struct Core {
    engine: Engine,
    clock: Clock,
    /// The time of the call that is being applied on record.
    pinned: Option<Timestamp>,
    /// `None` where calls are not throttled.
    quotas: Option<Quotas>,
    waiting: HashMap<PollId, oneshot::Sender<PollAnswer>>,
    draining: bool,
}

impl Core {
    /// Runs one call and hands out what the engine decided in it.
    fn call<R>(&mut self, act: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let now = self.pinned.unwrap_or_else(|| self.clock.now());
        let result = act(&mut self.engine, now);
        for effect in self.engine.take_effects() {
            match effect {
                Effect::PollAnswered { poll, answer } => {
                    if let Some(sender) = self.waiting.remove(&poll) {
                        // No receiver: the client went in this very moment, and its task with it, as with AWS.
                        let _ = sender.send(answer);
                    }
                }
            }
        }
        result
    }
}

impl Shared {
    pub(crate) fn new(engine: Engine, faults: Faults, behaviour: Behaviour) -> Self {
        let options = engine.options().clone();
        let quotas = behaviour.quotas.then(Quotas::default);
        let core =
            Core { engine, clock: Clock::default(), pinned: None, quotas, waiting: HashMap::new(), draining: false };
        Self {
            core: Mutex::new(core),
            rescheduled: Notify::new(),
            region: options.region,
            account_id: options.account_id,
            faults,
            dead_polls_take_tasks: behaviour.dead_polls_take_tasks,
            journal: None,
        }
    }

    /// From now on calls are on record. The polls of the last process are over.
    pub(crate) fn keep(&mut self, journal: Journal) -> Result<(), ApiError> {
        self.journal = Some(Mutex::new(journal));
        self.recorded(|| Entry::EndPolls, || self.call(|engine, _| engine.end_all_polls()))
    }

    /// Applies a call that may change something; on record first, where there is one.
    pub(crate) fn recorded<R>(&self, entry: impl FnOnce() -> Entry, act: impl FnOnce() -> R) -> Result<R, ApiError> {
        let Some(journal) = &self.journal else { return Ok(act()) };
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing may move the engine past the time on record before the call is applied.
        let now = self.with_core(|core| *core.pinned.insert(core.clock.now().max(core.engine.now())));
        let outcome = journal.append(now.as_millisecond(), entry()).map(|()| act());
        self.with_core(|core| {
            core.pinned = None;
            if journal.is_due()
                && let Err(error) = journal.compact(&core.engine)
            {
                tracing::warn!(%error, "the data file cannot be compacted, and goes on growing");
            }
        });
        outcome.map_err(|error| ApiError::new("InternalFailure", format!("The data file cannot be written: {error}")))
    }

    /// Applies a call of the journal.
    pub(crate) fn at<R>(&self, now: Timestamp, act: impl FnOnce() -> R) -> R {
        self.with_core(|core| core.pinned = Some(now));
        let result = act();
        self.with_core(|core| core.pinned = None);
        result
    }

    /// Applies a call about polls of the journal, whose clients are long gone.
    pub(crate) fn replay_poll(&self, entry: &Entry) {
        self.call(|engine, now| match entry {
            // What it answered went to its client, or not.
            Entry::Poll(activity, worker) => drop(engine.start_poll(activity, worker.as_deref(), now)),
            Entry::Cancel(poll) => engine.cancel_poll(PollId(*poll)),
            Entry::EndPolls => engine.end_all_polls(),
            Entry::Sfn(..) | Entry::Iam(..) => {}
        });
    }

    /// Whether the quotas let this call through.
    pub(crate) fn admits(&self, operation: &str, region: &str) -> bool {
        self.with_core(|core| {
            let now = core.clock.now();
            core.quotas.as_mut().is_none_or(|quotas| quotas.take(operation, region, now))
        })
    }

    /// Takes the lock, and wakes the timer if the next due time is another afterwards.
    fn with_core<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core: MutexGuard<'_, Core> = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let before = core.engine.next_wakeup();
        let result = act(&mut core);
        let after = core.engine.next_wakeup();
        drop(core);
        if after != before {
            self.rescheduled.notify_one();
        }
        result
    }

    /// One call on the engine, at the present time.
    pub(crate) fn call<R>(&self, act: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        self.with_core(|core| core.call(act))
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> Timestamp {
        self.with_core(|core| core.clock.now())
    }

    /// Changes the clock, and makes what is due by it happen.
    pub(crate) fn set_clock(&self, act: impl FnOnce(&mut Clock)) -> Timestamp {
        let now = self.with_core(|core| {
            act(&mut core.clock);
            core.call(Engine::tick);
            core.clock.now()
        });
        self.rescheduled.notify_one();
        now
    }

    /// GetActivityTask. Dropping the future takes the poll back.
    pub(crate) async fn poll(&self, activity_arn: &str, worker: Option<&str>) -> PollAnswer {
        let start = || {
            self.with_core(|core| {
                if core.draining {
                    return Ok(Err(None));
                }
                match core.call(|engine, now| engine.start_poll(activity_arn, worker, now))? {
                    Poll::Task(task) => Ok(Err(Some(task))),
                    Poll::Waiting(id) => {
                        let (sender, receiver) = oneshot::channel();
                        core.waiting.insert(id, sender);
                        Ok(Ok((id, receiver)))
                    }
                }
            })
        };
        // What is answered empty because it came too late is not to take a task when it is replayed.
        let entry = || match self.with_core(|core| core.draining) {
            true => Entry::EndPolls,
            false => Entry::Poll(activity_arn.to_owned(), worker.map(str::to_owned)),
        };
        let (id, receiver) = match self.recorded(entry, start)?? {
            Ok(waiting) => waiting,
            Err(at_once) => return Ok(at_once),
        };
        let _guard = PollGuard { shared: self, id };
        receiver.await.unwrap_or(Ok(None))
    }

    /// Answers open polls empty, and from now on every new one.
    pub(crate) fn drain(&self) {
        let drain = || {
            self.with_core(|core| {
                core.draining = true;
                core.call(|engine, _| engine.end_all_polls());
            });
        };
        if let Err(error) = self.recorded(|| Entry::EndPolls, drain) {
            tracing::warn!(%error, "the end of the open polls is not on record");
            drain();
        }
    }

    /// Makes due things happen until cancelled.
    pub(crate) async fn run_timer(&self, cancel: CancellationToken) {
        loop {
            let sleep = self.with_core(|core| {
                core.call(Engine::tick);
                core.engine.next_wakeup().and_then(|due| core.clock.until(due))
            });
            let due = async {
                match sleep {
                    // The engine counts whole milliseconds: never wake just before one.
                    Some(sleep) => tokio::time::sleep(sleep + std::time::Duration::from_millis(1)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.rescheduled.notified() => {}
                () = cancel.cancelled() => return,
            }
        }
    }
}

/// Takes a poll back whose client has gone, unless it is to keep its place and lose a task.
struct PollGuard<'s> {
    shared: &'s Shared,
    id: PollId,
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        let shared = self.shared;
        let open = shared.with_core(|core| core.waiting.remove(&self.id).is_some());
        if open && !shared.dead_polls_take_tasks {
            let cancel = || shared.call(|engine, _| engine.cancel_poll(self.id));
            if let Err(error) = shared.recorded(|| Entry::Cancel(self.id.0), cancel) {
                tracing::warn!(%error, "the end of a poll is not on record");
            }
        }
    }
}
