//! One server's way to Step Functions, with everything that goes wrong on it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use approve_server::{
    approval::TaskToken,
    stepfunctions::{
        ActivityTask, CallError, Execution, ExecutionStatus, Failure, HistoryEvent, StartedExecution, StepFunctions,
    },
    store::Standing,
};
use async_trait::async_trait;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sfn_local::engine::{self, ApiError, EventDetail, StartExecution};
use tokio::sync::watch;

use super::{aws::Aws, clock::Time, life::Life};

/// What goes wrong, and how often: chances of 0 to 1, per call.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Refused for its rate, without effect.
    pub throttled: f64,
    /// Lost before it arrived.
    pub lost_before: f64,
    /// Carried out; the answer lost. For a poll: its task is gone.
    pub lost_after: f64,
    /// Slow: up to 2 s.
    pub slow: f64,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { throttled: 0.0, lost_before: 0.0, lost_after: 0.0, slow: 0.0 };

    /// Whether nothing goes wrong.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.throttled + self.lost_before + self.lost_after + self.slow == 0.0
    }
}

/// What all servers' ports of a simulation share.
pub(super) struct Network {
    aws: Arc<Aws>,
    time: Time,
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    faults: Faults,
    down: bool,
    injected: BTreeMap<&'static str, u64>,
    answers: Vec<Sent>,
    log: Vec<String>,
    wrong: Vec<String>,
}

/// An answer that arrived at Step Functions and was accepted.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// To which task.
    pub(super) token: String,
    /// What was said: the output or the cause, JSON text that names the approval.
    pub(super) body: String,
    /// Whether it was a success.
    pub(super) success: bool,
}

enum Fault {
    Throttled,
    LostBefore,
    LostAfter,
}

impl Network {
    /// A network to an account.
    #[must_use]
    pub(super) fn new(aws: Arc<Aws>, time: Time, seed: u64, faults: Faults) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let state = State {
            random,
            faults,
            down: false,
            injected: BTreeMap::new(),
            answers: Vec::new(),
            log: Vec::new(),
            wrong: Vec::new(),
        };
        Self { aws, time, state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Step Functions can't be reached, or can be again.
    pub(super) fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// From here on other things go wrong.
    pub(super) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// How often what went wrong.
    #[must_use]
    pub(super) fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.state().injected.clone()
    }

    /// The answers that were accepted, in order.
    #[must_use]
    pub(super) fn answers(&self) -> Vec<Sent> {
        self.state().answers.clone()
    }

    /// What happened, a line each.
    #[must_use]
    pub(super) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// What a server must not do.
    #[must_use]
    pub(super) fn wrong(&self) -> Vec<String> {
        self.state().wrong.clone()
    }

    /// The time.
    #[must_use]
    pub(super) fn now(&self) -> jiff::Timestamp {
        self.time.now()
    }

    /// Adds a line.
    pub(super) fn note(&self, line: impl AsRef<str>) {
        let line = format!("{:>9} {}", self.time.millis(), line.as_ref());
        self.state().log.push(line);
    }

    async fn disturb(&self) -> Option<Fault> {
        let (fault, delay) = {
            let mut state = self.state();
            let State { random, faults, injected, down, .. } = &mut *state;
            let mut happens = |name: &'static str, chance: f64| {
                let happens = chance > 0.0 && random.random_bool(chance);
                if happens {
                    *injected.entry(name).or_default() += 1;
                }
                happens
            };
            let slow = happens("slow", faults.slow);
            let fault = if *down || happens("lost before", faults.lost_before) {
                Some(Fault::LostBefore)
            } else if happens("throttled", faults.throttled) {
                Some(Fault::Throttled)
            } else if happens("lost after", faults.lost_after) {
                Some(Fault::LostAfter)
            } else {
                None
            };
            let delay = if slow { random.random_range(1..2_000) } else { random.random_range(1..20) };
            (fault, delay)
        };
        tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
        fault
    }
}

/// One server's port.
pub(super) struct Port {
    /// The network.
    pub(super) network: Arc<Network>,
    /// The server's life.
    pub(super) life: Life,
    /// How its store stands.
    pub(super) standing: watch::Receiver<Standing>,
}

impl Port {
    async fn fault(&self) -> Option<Fault> {
        let fault = self.network.disturb().await;
        if self.life.is_cut() { Some(Fault::LostBefore) } else { fault }
    }

    /// Answers are given by whoever has a lease, by its own clock.
    fn may_answer(&self) {
        if !self.standing.borrow().may_act() {
            self.network.state().wrong.push("a server answered that has no lease".to_owned());
        }
    }

    /// One call: disturbed, unless the server is dead, carried out, and perhaps not answered.
    async fn call<T>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&Aws) -> Result<T, ApiError>,
    ) -> Result<T, CallError> {
        let fault = self.fault().await;
        self.life.check().await;
        let answer = match fault {
            Some(Fault::Throttled) => return Err(failed(operation, Failure::Throttled, "ThrottlingException")),
            Some(Fault::LostBefore) => return Err(failed(operation, Failure::Unknown, "connection reset")),
            Some(Fault::LostAfter) => {
                let _ = act(&self.network.aws);
                Err(failed(operation, Failure::Unknown, "connection closed before the answer"))
            }
            None => act(&self.network.aws).map_err(|error| {
                self.network.note(format!("{operation}: {}", error.code));
                CallError::of_code(operation, error.code, &error.message)
            }),
        };
        tokio::task::yield_now().await;
        self.life.check().await;
        answer
    }

    fn sent(&self, token: &TaskToken, body: &str, success: bool) {
        let token = token.reveal().to_owned();
        self.network.note(format!(
            "answered {} {}: {body}",
            short(&token),
            if success { "success" } else { "failure" }
        ));
        self.network.state().answers.push(Sent { token, body: body.to_owned(), success });
    }
}

/// The end of a token tells it from others.
fn short(token: &str) -> &str {
    token.get(token.len().saturating_sub(6)..).unwrap_or(token)
}

fn failed(operation: &'static str, failure: Failure, message: &str) -> CallError {
    CallError { failure, operation, code: None, message: message.to_owned() }
}

#[async_trait]
impl StepFunctions for Port {
    async fn get_activity_task(
        &self,
        activity_arn: &str,
        worker_name: &str,
    ) -> Result<Option<ActivityTask>, CallError> {
        let operation = "GetActivityTask";
        let fault = self.fault().await;
        self.life.check().await;
        match fault {
            Some(Fault::Throttled) => return Err(failed(operation, Failure::Throttled, "ThrottlingException")),
            Some(Fault::LostBefore) => return Err(failed(operation, Failure::Unknown, "connection reset")),
            Some(Fault::LostAfter) | None => {}
        }
        let answer = self.network.aws.poll(activity_arn, worker_name).await;
        self.life.check().await;
        if matches!(fault, Some(Fault::LostAfter)) {
            return Err(failed(operation, Failure::Unknown, "connection closed before the answer"));
        }
        if let Ok(Some(task)) = &answer {
            self.network.note(format!("took {} {}", short(&task.token), task.input.as_str()));
        }
        match answer {
            Ok(task) => Ok(task.map(|task| ActivityTask {
                token: TaskToken::from(task.token.as_ref()),
                input: task.input.as_str().to_owned(),
            })),
            Err(error) => Err(CallError::of_code(operation, error.code, &error.message)),
        }
    }

    async fn send_task_heartbeat(&self, token: &TaskToken) -> Result<(), CallError> {
        self.call("SendTaskHeartbeat", |aws| aws.call(|engine, now| engine.send_task_heartbeat(token.reveal(), now)))
            .await
    }

    async fn send_task_success(&self, token: &TaskToken, output: &str) -> Result<(), CallError> {
        self.may_answer();
        self.call("SendTaskSuccess", |aws| {
            let answer = aws.call(|engine, now| engine.send_task_success(token.reveal(), output, now));
            answer.map(|()| self.sent(token, output, true))
        })
        .await
    }

    async fn send_task_failure(&self, token: &TaskToken, error: &str, cause: &str) -> Result<(), CallError> {
        self.may_answer();
        self.call("SendTaskFailure", |aws| {
            let answer =
                aws.call(|engine, now| engine.send_task_failure(token.reveal(), Some(error), Some(cause), now));
            answer.map(|()| self.sent(token, cause, false))
        })
        .await
    }

    async fn start_execution(
        &self,
        state_machine_arn: &str,
        name: &str,
        input: &str,
    ) -> Result<StartedExecution, CallError> {
        let request = StartExecution {
            state_machine_arn: state_machine_arn.to_owned(),
            name: Some(name.to_owned()),
            input: Some(input.to_owned()),
        };
        let started =
            self.call("StartExecution", |aws| aws.call(|engine, now| engine.start_execution(request, now))).await?;
        Ok(StartedExecution { arn: started.arn.to_string(), started: started.started })
    }

    async fn describe_execution(&self, execution_arn: &str) -> Result<Execution, CallError> {
        let found = self
            .call("DescribeExecution", |aws| aws.call(|engine, now| engine.describe_execution(execution_arn, now)))
            .await?;
        Ok(Execution {
            arn: found.arn.to_string(),
            name: found.name.to_string(),
            state_machine_arn: found.machine.arn.to_string(),
            status: match found.status {
                engine::ExecutionStatus::Running => ExecutionStatus::Running,
                engine::ExecutionStatus::Succeeded => ExecutionStatus::Succeeded,
                engine::ExecutionStatus::Failed => ExecutionStatus::Failed,
                engine::ExecutionStatus::TimedOut => ExecutionStatus::TimedOut,
                engine::ExecutionStatus::Aborted => ExecutionStatus::Aborted,
            },
            input: Some(found.input.as_str().to_owned()),
            output: found.output.map(|output| output.as_str().to_owned()),
            error: found.error.map(|error| error.to_string()),
            cause: found.cause.map(|cause| cause.to_string()),
            started: found.started,
            stopped: found.stopped,
        })
    }

    async fn execution_history(
        &self,
        execution_arn: &str,
        newest_first: bool,
        _next_token: Option<String>,
    ) -> Result<(Vec<HistoryEvent>, Option<String>), CallError> {
        let mut events = self
            .call("GetExecutionHistory", |aws| {
                aws.call(|engine, now| {
                    let events = engine.execution_history(execution_arn, now)?;
                    Ok((1..).zip(events).map(|(id, event)| history_event(id, event)).collect::<Vec<_>>())
                })
            })
            .await?;
        if newest_first {
            events.reverse();
        }
        Ok((events, None))
    }
}

fn history_event(id: i64, event: &engine::Event) -> HistoryEvent {
    let mut seen = HistoryEvent {
        id,
        previous_id: i64::try_from(event.previous).unwrap_or(0),
        at: event.time,
        kind: event.type_name(),
        state: None,
        output: None,
        error: None,
        cause: None,
    };
    match &event.detail {
        EventDetail::StateEntered { name, .. } | EventDetail::StateExited { name, .. } => {
            seen.state = Some(name.to_string());
        }
        EventDetail::ActivitySucceeded { output } => seen.output = Some(output.as_str().to_owned()),
        EventDetail::ActivityFailed(reported) | EventDetail::ActivityTimedOut(reported) => {
            seen.error = reported.error.as_deref().map(str::to_owned);
            seen.cause = reported.cause.as_deref().map(str::to_owned);
        }
        _ => {}
    }
    seen
}
