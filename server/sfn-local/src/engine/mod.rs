//! The state machine service without I/O: synchronous, deterministic, driven by the times it is given.
//!
//! Every call takes `now`; whatever was due before it happens first, at its own due time. Between calls the caller
//! looks at [`Engine::next_wakeup`], calls [`Engine::tick`] then, and carries out [`Engine::take_effects`]. Ids and tokens
//! come from a seed, so the same calls at the same times give the same answers.

mod activities;
mod callbacks;
mod children;
mod context;
mod data;
mod error;
mod execution;
mod executions;
mod history;
mod listing;
mod machines;
mod names;
mod numbers;
mod random;
mod run;
mod snapshot;
mod tagging;
mod tasks;
mod timers;
mod world;

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

pub use self::{
    activities::{ActivitySummary, Poll},
    error::ApiError,
    execution::ExecutionStatus,
    executions::{ExecutionSummary, StartExecution, StartedExecution},
    history::{Event, EventDetail, Reported, StateType},
    listing::{ExecutionFilter, Page},
    machines::{CreateStateMachine, MachineSummary, Revision, StateMachineStatus, UpdateStateMachine},
    names::Tags,
    world::{ActivityTask, Effect, PollId},
};
use self::{
    execution::{Execution, ExecutionId},
    executions::Executions,
    machines::StateMachine,
    run::Run,
    tasks::Outcome,
    timers::Timers,
    world::{Timer, World},
};
pub(crate) use self::{
    history::epoch_seconds,
    names::{check_tags, is_activity_arn},
    random::Random,
};
use crate::iam::Iam;

/// How much of each kind an account may have in a region; here, in all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// More give `ActivityLimitExceeded`.
    pub activities: usize,
    /// More give `StateMachineLimitExceeded`.
    pub state_machines: usize,
    /// More that run at once give `ExecutionLimitExceeded`.
    pub open_executions: usize,
}

impl Default for Limits {
    /// AWS's own.
    fn default() -> Self {
        Self { activities: 100_000, state_machines: 100_000, open_executions: 1_000_000 }
    }
}

/// How an [`Engine`] behaves.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Ids, tokens and jitter follow from it.
    pub seed: u64,
    /// Twelve digits; in every ARN.
    pub account_id: String,
    /// In the ARNs of what is created, where a call does not name another.
    pub region: String,
    /// How long a poll waits for a task.
    pub long_poll: Duration,
    /// Whether CreateStateMachine wants a role that exists in [`Engine::iam`] and trusts Step Functions.
    pub check_roles: bool,
    /// How long after CreateRole a role cannot be assumed yet.
    pub role_propagation: Duration,
    /// Closed executions beyond this many are forgotten, oldest first.
    pub max_closed_executions: usize,
    /// How much there may be.
    pub limits: Limits,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            account_id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            long_poll: Duration::from_secs(60),
            check_roles: true,
            role_propagation: Duration::ZERO,
            max_closed_executions: 100_000,
            limits: Limits::default(),
        }
    }
}

/// Step Functions and the IAM around it, in memory.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    world: World,
    machines: std::collections::BTreeMap<String, StateMachine>,
    executions: Executions,
    iam: Iam,
}

impl Engine {
    /// An empty account whose clock starts at `now`.
    #[must_use]
    pub fn new(options: EngineOptions, now: Timestamp) -> Self {
        let now = whole_millis(now);
        Self {
            world: World {
                now,
                timers: Timers::new(),
                random: Random::new(options.seed),
                activities: std::collections::BTreeMap::new(),
                polls: HashMap::new(),
                next_poll: 0,
                tasks: HashMap::new(),
                effects: Vec::new(),
            },
            machines: std::collections::BTreeMap::new(),
            executions: Executions::default(),
            iam: Iam::new(&options.account_id, options.seed),
            options,
        }
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The time of the latest call. It never goes back.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.world.now
    }

    /// The IAM of the account.
    pub fn iam(&mut self) -> &mut Iam {
        &mut self.iam
    }

    /// When [`Engine::tick`] is next of use; `None` when nothing is going to happen by itself.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.world.timers.next_due()
    }

    /// What the caller is to carry out, in order. Look after every call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.world.effects)
    }

    /// Makes everything happen that was due by `now`, each at its own due time.
    pub fn tick(&mut self, now: Timestamp) {
        let now = whole_millis(now).max(self.world.now);
        while let Some((due, timer)) = self.world.timers.pop_due(now) {
            self.world.now = due.max(self.world.now);
            self.fire(timer);
        }
        self.world.now = now;
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::PollEnds(poll) => {
                if self.world.end_poll(poll).is_some() {
                    self.world.answer_poll(poll, Ok(None));
                }
            }
            Timer::TaskTimesOut(token) => self.end_task(&token, Outcome::TimedOut("States.Timeout")),
            Timer::HeartbeatMissed(token) => self.end_task(&token, Outcome::TimedOut("States.HeartbeatTimeout")),
            Timer::WaitEnds(id, branch) => self.run(id, |run| {
                run.wait_ended(branch);
                run.drive();
            }),
            Timer::RetryStarts(id, branch) => self.run(id, |run| {
                run.retry(branch);
                run.drive();
            }),
            Timer::ExecutionTimesOut(id) => {
                let reported = Reported { error: Some("States.Timeout".into()), cause: None };
                self.run(id, |run| run.interrupt(ExecutionStatus::TimedOut, reported));
            }
        }
    }

    fn end_task(&mut self, token: &str, outcome: Outcome) {
        if let Some(task) = self.world.open_task(token) {
            let (id, branch) = (task.execution, task.branch);
            self.run(id, |run| run.task_ended(token, branch, outcome));
        }
    }

    /// Moves a running execution, and files it away if that ended it.
    fn run(&mut self, id: ExecutionId, act: impl FnOnce(&mut Run<'_>)) {
        let Some(execution) = self.executions.running(id) else { return };
        act(&mut Run::new(&mut self.world, execution, id));
        if execution.status != ExecutionStatus::Running {
            let machine = execution.machine.arn.clone();
            self.finish_deleting(&machine);
            for token in self.executions.closed(id, self.options.max_closed_executions) {
                self.world.tasks.remove(&token);
            }
        }
    }
}

fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

impl Execution {
    /// The summary that lists and describes are made of.
    fn summary(&self) -> ExecutionSummary {
        ExecutionSummary {
            arn: self.arn.clone(),
            name: self.name.clone(),
            machine: self.machine.clone(),
            status: self.status,
            started: self.started,
            stopped: self.stopped,
            input: self.input.clone(),
            output: self.output.clone(),
            error: self.error.clone(),
            cause: self.cause.clone(),
        }
    }
}
