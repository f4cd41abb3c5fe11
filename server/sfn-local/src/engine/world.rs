//! What executions share: time, timers, tasks, activities and randomness.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ApiError, Tags,
    execution::{BranchId, ExecutionId},
    random::Random,
    timers::{TimerKey, Timers},
};
use crate::json::Json;

/// A task as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityTask {
    /// The token to answer with. Handed out once.
    pub token: Arc<str>,
    /// The task's input.
    pub input: Json,
}

/// An open GetActivityTask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PollId(pub(crate) u64);

/// Something for the caller of the engine to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A poll is over: with a task, empty after the long-poll time, or refused because its activity was deleted.
    PollAnswered {
        /// The poll, as [`super::Engine::start_poll`] gave it.
        poll: PollId,
        /// What GetActivityTask answers.
        answer: Result<Option<ActivityTask>, ApiError>,
    },
}

/// What a timer is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Timer {
    PollEnds(PollId),
    TaskTimesOut(Arc<str>),
    HeartbeatMissed(Arc<str>),
    WaitEnds(ExecutionId, BranchId),
    RetryStarts(ExecutionId, BranchId),
    ExecutionTimesOut(ExecutionId),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct World {
    /// Never goes back, whatever callers pass. Whole milliseconds.
    pub(crate) now: Timestamp,
    pub(crate) timers: Timers<Timer>,
    pub(crate) random: Random,
    pub(crate) activities: BTreeMap<Arc<str>, Activity>,
    pub(crate) polls: HashMap<PollId, Poll>,
    pub(crate) next_poll: u64,
    pub(crate) tasks: HashMap<Arc<str>, Task>,
    #[serde(skip)]
    pub(crate) effects: Vec<Effect>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    #[serde(with = "crate::json::optional_text")]
    pub(crate) encryption: Option<serde_json::Value>,
    /// Tokens nobody has taken, oldest first. Tokens of closed tasks are skipped when they come up.
    pub(crate) queue: VecDeque<Arc<str>>,
    /// Polls waiting, oldest first. Polls that have ended are skipped when they come up.
    pub(crate) waiters: VecDeque<PollId>,
    pub(crate) open_polls: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Poll {
    pub(crate) activity: Arc<str>,
    pub(crate) worker: Option<Arc<str>>,
    pub(crate) deadline: TimerKey,
}

/// A task behind a token.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    Open(OpenTask),
    /// Answered, timed out, or its execution ended.
    Closed,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OpenTask {
    pub(crate) execution: ExecutionId,
    pub(crate) branch: BranchId,
    pub(crate) input: Json,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) heartbeat_seconds: Option<u64>,
    pub(crate) started: bool,
    pub(crate) timeout: Option<TimerKey>,
    pub(crate) heartbeat: Option<TimerKey>,
}

impl World {
    pub(crate) fn after_seconds(&self, seconds: u64) -> Timestamp {
        self.after_millis(seconds.saturating_mul(1000))
    }

    pub(crate) fn after_millis(&self, millis: u64) -> Timestamp {
        let millis = self.now.as_millisecond().saturating_add(i64::try_from(millis).unwrap_or(i64::MAX));
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn open_task(&self, token: &str) -> Option<&OpenTask> {
        match self.tasks.get(token) {
            Some(Task::Open(task)) => Some(task),
            Some(Task::Closed) | None => None,
        }
    }

    /// Closes a task, with its timers. The token stays known.
    pub(crate) fn close_task(&mut self, token: &str) {
        if let Some(task) = self.tasks.get_mut(token)
            && let Task::Open(open) = std::mem::replace(task, Task::Closed)
        {
            for key in [open.timeout, open.heartbeat].into_iter().flatten() {
                self.timers.cancel(key);
            }
        }
    }

    /// Starts a task's clocks; returns what the worker gets.
    pub(crate) fn start_task(&mut self, token: &Arc<str>) -> Option<ActivityTask> {
        let Some(Task::Open(task)) = self.tasks.get(token) else { return None };
        let (timeout, heartbeat) = (task.timeout_seconds, task.heartbeat_seconds);
        let timeout = timeout.map(|seconds| {
            let due = self.after_seconds(seconds);
            self.timers.set(due, Timer::TaskTimesOut(token.clone()))
        });
        let heartbeat = heartbeat.map(|seconds| {
            let due = self.after_seconds(seconds);
            self.timers.set(due, Timer::HeartbeatMissed(token.clone()))
        });
        let Some(Task::Open(task)) = self.tasks.get_mut(token) else { return None };
        (task.started, task.timeout, task.heartbeat) = (true, timeout, heartbeat);
        Some(ActivityTask { token: token.clone(), input: task.input.clone() })
    }

    /// Restarts the heartbeat clock.
    pub(crate) fn restart_heartbeat(&mut self, token: &Arc<str>) {
        let Some(OpenTask { heartbeat_seconds: Some(seconds), heartbeat, .. }) = self.open_task(token) else { return };
        let (seconds, old) = (*seconds, *heartbeat);
        if let Some(key) = old {
            self.timers.cancel(key);
        }
        let due = self.after_seconds(seconds);
        let key = self.timers.set(due, Timer::HeartbeatMissed(token.clone()));
        if let Some(Task::Open(task)) = self.tasks.get_mut(token) {
            task.heartbeat = Some(key);
        }
    }

    /// The poll that has waited longest on an activity, taken off its queue.
    pub(crate) fn take_waiter(&mut self, activity: &str) -> Option<(PollId, Poll)> {
        loop {
            let id = self.activities.get_mut(activity)?.waiters.pop_front()?;
            if let Some(poll) = self.end_poll(id) {
                return Some((id, poll));
            }
        }
    }

    /// Forgets a poll, with its timer; the waiter queue drops it when it comes up.
    pub(crate) fn end_poll(&mut self, id: PollId) -> Option<Poll> {
        let poll = self.polls.remove(&id)?;
        self.timers.cancel(poll.deadline);
        if let Some(activity) = self.activities.get_mut(&poll.activity) {
            activity.open_polls -= 1;
            if activity.open_polls == 0 {
                activity.waiters.clear();
            }
        }
        Some(poll)
    }

    pub(crate) fn answer_poll(&mut self, poll: PollId, answer: Result<Option<ActivityTask>, ApiError>) {
        self.effects.push(Effect::PollAnswered { poll, answer });
    }
}
