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
}

#[derive(Debug)]
struct Core {
    engine: Engine,
    clock: Clock,
    /// `None` where calls are not throttled.
    quotas: Option<Quotas>,
    waiting: HashMap<PollId, oneshot::Sender<PollAnswer>>,
    draining: bool,
}

impl Core {
    /// Runs one call and hands out what the engine decided in it.
    fn call<R>(&mut self, act: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let now = self.clock.now();
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
        let core = Core { engine, clock: Clock::default(), quotas, waiting: HashMap::new(), draining: false };
        Self {
            core: Mutex::new(core),
            rescheduled: Notify::new(),
            region: options.region,
            account_id: options.account_id,
            faults,
            dead_polls_take_tasks: behaviour.dead_polls_take_tasks,
        }
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
        let started = self.with_core(|core| {
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
        });
        let (id, receiver) = match started? {
            Ok(waiting) => waiting,
            Err(at_once) => return Ok(at_once),
        };
        let _guard = PollGuard { shared: self, id };
        receiver.await.unwrap_or(Ok(None))
    }

    /// Answers open polls empty, and from now on every new one.
    pub(crate) fn drain(&self) {
        self.with_core(|core| {
            core.draining = true;
            core.call(|engine, _| engine.end_all_polls());
        });
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
        self.shared.with_core(|core| {
            if core.waiting.remove(&self.id).is_some() && !self.shared.dead_polls_take_tasks {
                core.engine.cancel_poll(self.id);
            }
        });
    }
}
