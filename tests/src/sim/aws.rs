//! The embedded engine under virtual time, for all servers of a simulation.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use sfn_local::engine::{ActivityTask, ApiError, Effect, Engine, EngineOptions, Poll, PollId};
use tokio::sync::{Notify, oneshot};

use super::clock::Time;

type PollAnswer = Result<Option<ActivityTask>, ApiError>;

struct Core {
    engine: Engine,
    most_polls: usize,
    waiting: HashMap<PollId, oneshot::Sender<PollAnswer>>,
}

/// Step Functions, for a simulation.
pub(super) struct Aws {
    core: Mutex<Core>,
    rescheduled: Notify,
    time: Time,
}

impl Aws {
    /// An empty account.
    #[must_use]
    pub(super) fn new(seed: u64, time: Time) -> Self {
        let options = EngineOptions { seed, check_roles: false, ..EngineOptions::default() };
        let engine = Engine::new(options, time.now());
        Self {
            core: Mutex::new(Core { engine, most_polls: 0, waiting: HashMap::new() }),
            rescheduled: Notify::new(),
            time,
        }
    }

    /// One call, now.
    pub(super) fn call<R>(&self, act: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let before = core.engine.next_wakeup();
        let result = act(&mut core.engine, self.time.now());
        for effect in core.engine.take_effects() {
            let Effect::PollAnswered { poll, answer } = effect;
            if let Some(sender) = core.waiting.remove(&poll) {
                // A dead server's poll takes its task with it.
                let _ = sender.send(answer);
            }
        }
        core.most_polls = core.most_polls.max(core.engine.open_polls());
        if core.engine.next_wakeup() != before {
            self.rescheduled.notify_one();
        }
        result
    }

    /// How many polls were open at once at most, and how many are now.
    pub(super) fn polls(&self) -> (usize, usize) {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        (core.most_polls, core.engine.open_polls())
    }

    /// GetActivityTask.
    pub(super) async fn poll(&self, activity_arn: &str, worker: &str) -> PollAnswer {
        let poll = self.call(|engine, now| engine.start_poll(activity_arn, Some(worker), now))?;
        match poll {
            Poll::Task(task) => Ok(Some(task)),
            Poll::Waiting(id) => {
                let (sender, receiver) = oneshot::channel();
                self.core.lock().unwrap_or_else(PoisonError::into_inner).waiting.insert(id, sender);
                receiver.await.unwrap_or(Ok(None))
            }
        }
    }

    /// Makes due things happen, for ever.
    pub(super) async fn run(&self) {
        loop {
            let due = self.call(|engine, now| {
                engine.tick(now);
                engine.next_wakeup()
            });
            let wait = async {
                match due {
                    Some(due) => self.time.until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.rescheduled.notified() => {}
            }
        }
    }
}
