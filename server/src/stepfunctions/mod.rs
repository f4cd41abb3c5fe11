//! The narrow port to Step Functions, as the worker needs it: one trait, its SDK implementation, and what a failed call
//! means.

mod classify;
mod redact;
mod sdk;
#[cfg(test)]
mod sdk_tests;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::approval::TaskToken;

pub use self::sdk::{Sdk, load_config, local_config};
pub(crate) use self::{classify::classify, sdk::call_timeouts};

/// A task that was handed out. It is handed out exactly once.
#[derive(Debug, Clone)]
pub struct ActivityTask {
    /// What answers it.
    pub token: TaskToken,
    /// Its input: JSON text.
    pub input: String,
}

/// What a failed call means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Too many calls: `ThrottlingException` and its kin. It had no effect; later.
    Throttled,
    /// There is no such task, execution, activity or state machine: `TaskDoesNotExist`, `InvalidToken`, `…DoesNotExist`.
    Gone,
    /// `TaskTimedOut`: the task is closed, by a timeout or by an answer.
    TimedOut,
    /// The credentials are missing, expired, or not allowed to.
    Denied,
    /// Step Functions understood it and will never take it: `InvalidOutput`, `ValidationException`, `…AlreadyExists`.
    Refused,
    /// No answer, or an unclear one: it may have had its effect.
    Unknown,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub struct CallError {
    /// What it means.
    pub failure: Failure,
    /// The operation, in AWS's words.
    pub operation: &'static str,
    /// AWS's error code, if it gave one.
    pub code: Option<String>,
    /// AWS's message, or what went wrong on the way.
    pub message: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation)?;
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// It runs.
    Running,
    /// It came to its end.
    Succeeded,
    /// It failed.
    Failed,
    /// Its own timeout passed.
    TimedOut,
    /// It was stopped.
    Aborted,
    /// It failed and waits to be redriven.
    PendingRedrive,
}

/// An execution, as DescribeExecution tells it.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its state machine's ARN.
    pub state_machine_arn: String,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Its input.
    pub input: Option<String>,
    /// Its output.
    pub output: Option<String>,
    /// Its error's name.
    pub error: Option<String>,
    /// Its error's cause.
    pub cause: Option<String>,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub stopped: Option<Timestamp>,
}

/// One event of an execution's history, as far as it matters here.
#[derive(Debug, Clone)]
pub struct HistoryEvent {
    /// Its id, from 1.
    pub id: i64,
    /// The event that it follows from.
    pub previous_id: i64,
    /// When.
    pub at: Timestamp,
    /// Its type, in AWS's words: `TaskStateEntered`, `ActivitySucceeded`, …
    pub kind: String,
    /// The state's name, in `…StateEntered` and `…StateExited`.
    pub state: Option<String>,
    /// The output, in `ActivitySucceeded`.
    pub output: Option<String>,
    /// The error's name, in `ActivityFailed` and `ActivityTimedOut`.
    pub error: Option<String>,
    /// The error's cause, in `ActivityFailed`.
    pub cause: Option<String>,
}

/// A new execution.
#[derive(Debug, Clone)]
pub struct StartedExecution {
    /// Its ARN.
    pub arn: String,
    /// When it started.
    pub started: Timestamp,
}

/// The port, shared by all parts of the server.
pub type SharedStepFunctions = Arc<dyn StepFunctions>;

/// What the server asks of Step Functions. Every method may fail with a [`CallError`]; none retries by itself.
#[async_trait]
pub trait StepFunctions: Send + Sync + 'static {
    /// Waits up to a minute for a task; `None` if there was none. Dropping the call may lose a task.
    async fn get_activity_task(&self, activity_arn: &str, worker_name: &str)
    -> Result<Option<ActivityTask>, CallError>;

    /// Keeps a task open.
    async fn send_task_heartbeat(&self, token: &TaskToken) -> Result<(), CallError>;

    /// Ends a task with an output: JSON text.
    async fn send_task_success(&self, token: &TaskToken, output: &str) -> Result<(), CallError>;

    /// Ends a task with an error.
    async fn send_task_failure(&self, token: &TaskToken, error: &str, cause: &str) -> Result<(), CallError>;

    /// Starts an execution.
    async fn start_execution(
        &self,
        state_machine_arn: &str,
        name: &str,
        input: &str,
    ) -> Result<StartedExecution, CallError>;

    /// Tells where an execution stands.
    async fn describe_execution(&self, execution_arn: &str) -> Result<Execution, CallError>;

    /// A page of an execution's history (up to 1,000 events), oldest or newest first, and the token of the next page.
    async fn execution_history(
        &self,
        execution_arn: &str,
        newest_first: bool,
        next_token: Option<String>,
    ) -> Result<(Vec<HistoryEvent>, Option<String>), CallError>;
}
