//! The state of one execution.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    history::{Event, EventDetail},
    machines::Revision,
    timers::TimerKey,
};
use crate::{
    asl::{Graph, Variables},
    json::Json,
};

/// How an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ExecutionStatus {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Aborted,
}

impl ExecutionStatus {
    /// The wire form, e.g. `TIMED_OUT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }

    /// The inverse of [`ExecutionStatus::as_str`].
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        [Self::Running, Self::Succeeded, Self::Failed, Self::TimedOut, Self::Aborted]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ExecutionId(pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct BranchId(pub(crate) u32);

/// The branch that runs the machine's own states.
pub(crate) const ROOT: BranchId = BranchId(0);

#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) arn: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) machine: Arc<Revision>,
    pub(crate) input: Json,
    pub(crate) status: ExecutionStatus,
    pub(crate) started: Timestamp,
    pub(crate) stopped: Option<Timestamp>,
    pub(crate) output: Option<Json>,
    pub(crate) error: Option<Arc<str>>,
    pub(crate) cause: Option<Arc<str>>,
    pub(crate) history: Vec<Event>,
    pub(crate) branches: BTreeMap<BranchId, Branch>,
    pub(crate) next_branch: u32,
    /// The machine's own TimeoutSeconds.
    pub(crate) timeout: Option<TimerKey>,
    /// Its machine is being deleted: it ends before its next state.
    pub(crate) doomed: bool,
    /// Every token ever made for it, so that they go when it goes.
    pub(crate) tokens: Vec<Arc<str>>,
}

/// One line of states: the machine itself, a Parallel branch or a Map iteration.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) graph: Arc<Graph>,
    pub(crate) parent: Option<Parent>,
    pub(crate) state: usize,
    /// The current state's raw input.
    pub(crate) input: Json,
    pub(crate) entered: Timestamp,
    pub(crate) entered_event: u64,
    pub(crate) last_event: u64,
    /// `$$.State.RetryCount`.
    pub(crate) retry_count: u64,
    /// Retries used, by retrier. Empty until the first.
    pub(crate) attempts: Vec<u64>,
    pub(crate) waiting: Waiting,
    /// What its states see: the scopes around it, as they were when it started, and its own.
    pub(crate) variables: Arc<Variables>,
    /// Bytes of the variables of the scopes around it.
    pub(crate) inherited: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) branch: BranchId,
    pub(crate) index: usize,
    /// The item of a Map iteration.
    pub(crate) item: Option<Json>,
}

/// What a branch waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Waiting {
    Nothing,
    Task(Arc<str>),
    Timer(TimerKey),
    Children(Children),
}

/// The progress of a Parallel or a Map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Children {
    pub(crate) results: Vec<Option<Json>>,
    pub(crate) open: Vec<BranchId>,
    /// Inputs and items of Map iterations that have not started.
    pub(crate) pending: std::collections::VecDeque<(usize, Json, Json)>,
    pub(crate) failures: usize,
    pub(crate) tolerated: Option<usize>,
}

impl Execution {
    /// Appends to the history; returns the new event's id.
    pub(crate) fn record(&mut self, time: Timestamp, previous: u64, detail: EventDetail) -> u64 {
        self.history.push(Event { time, previous, detail });
        self.history.len() as u64
    }
}
