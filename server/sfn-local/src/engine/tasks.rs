//! Activity tasks inside an execution: scheduling, the outcome, and the clocks.

use std::sync::Arc;

use super::{
    execution::{BranchId, Waiting},
    history::{EventDetail, Reported},
    numbers::read_seconds,
    run::Run,
    world::{OpenTask, Task},
};
use crate::{
    asl::{Failure, Kind, RandomSource, Scope, Seconds, State},
    json::Json,
};

/// How a task ended.
pub(crate) enum Outcome {
    Succeeded(Json),
    Failed {
        error: Option<String>,
        cause: Option<String>,
    },
    /// `States.Timeout` or `States.HeartbeatTimeout`.
    TimedOut(&'static str),
}

impl Run<'_> {
    /// Makes a new token for the current attempt and hands it to the oldest waiting poll, or queues it.
    pub(crate) fn schedule_task(
        &mut self,
        id: BranchId,
        state: &State,
        resource: &Arc<str>,
        input: Json,
        scope: &Scope<'_>,
    ) -> Result<(), Failure> {
        let Kind::Task { timeout, heartbeat, .. } = &state.kind else { return Ok(()) };
        let random = &mut self.world.random;
        let mut read = |seconds: &Option<Seconds>, name| {
            seconds.as_ref().map(|seconds| read_seconds(seconds, name, 1, scope, random)).transpose()
        };
        let timeout = read(timeout, "TimeoutSecondsPath")?;
        let heartbeat = read(heartbeat, "HeartbeatSecondsPath")?;
        if !self.world.activities.contains_key(resource) {
            return Err(Failure::runtime(format!("The activity {resource} does not exist.")));
        }
        let detail =
            EventDetail::ActivityScheduled { resource: resource.clone(), input: input.clone(), timeout, heartbeat };
        self.record(id, detail);
        let token = self.new_token();
        let task = OpenTask {
            execution: self.id,
            branch: id,
            input,
            timeout_seconds: timeout,
            heartbeat_seconds: heartbeat,
            started: false,
            timeout: None,
            heartbeat: None,
        };
        self.world.tasks.insert(token.clone(), Task::Open(task));
        self.execution.tokens.push(token.clone());
        if let Some(branch) = self.branch(id) {
            branch.waiting = Waiting::Task(token.clone());
        }
        if let Some((poll_id, poll)) = self.world.take_waiter(resource) {
            self.record(id, EventDetail::ActivityStarted { worker: poll.worker });
            let task = self.world.start_task(&token);
            self.world.answer_poll(poll_id, Ok(task));
        } else if let Some(activity) = self.world.activities.get_mut(resource) {
            activity.queue.push_back(token);
        }
        Ok(())
    }

    fn new_token(&mut self) -> Arc<str> {
        let mut token = String::with_capacity(TOKEN_PREFIX.len() + TOKEN_WORDS * 16);
        token.push_str(TOKEN_PREFIX);
        for _ in 0..TOKEN_WORDS {
            token.push_str(&format!("{:016x}", self.world.random.next_u64()));
        }
        token.into()
    }

    /// A started or queued task has ended. The caller has found it open.
    pub(crate) fn task_ended(&mut self, token: &str, id: BranchId, outcome: Outcome) {
        self.world.close_task(token);
        if let Some(branch) = self.branch(id) {
            branch.waiting = Waiting::Nothing;
        }
        self.with_state(id, |run, state| {
            let failure = match outcome {
                Outcome::Succeeded(output) => {
                    run.record(id, EventDetail::ActivitySucceeded { output: output.clone() });
                    run.complete(id, state, output).err()
                }
                Outcome::Failed { error, cause } => {
                    let reported =
                        Reported { error: error.as_deref().map(Into::into), cause: cause.as_deref().map(Into::into) };
                    run.record(id, EventDetail::ActivityFailed(reported));
                    Some(Failure::reported(error, cause))
                }
                Outcome::TimedOut(error) => {
                    let reported = Reported { error: Some(error.into()), cause: None };
                    run.record(id, EventDetail::ActivityTimedOut(reported));
                    Some(Failure::reported(Some(error.to_owned()), None))
                }
            };
            if let Some(failure) = failure {
                run.fail(id, state, failure);
            }
        });
        self.drive();
    }
}

const TOKEN_PREFIX: &str = "AQCEAAAAKgAAAAMAAAAA";
const TOKEN_WORDS: usize = 5;

/// Whether `token` has the form of ours, known or not.
pub(crate) fn is_token(token: &str) -> bool {
    token.strip_prefix(TOKEN_PREFIX).is_some_and(|rest| {
        rest.len() == TOKEN_WORDS * 16
            && rest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}
