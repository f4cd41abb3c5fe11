//! The port over the AWS SDK.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sfn::{
    Client,
    config::{Credentials, SharedAsyncSleep, SharedCredentialsProvider, StalledStreamProtectionConfig},
    operation::describe_execution::DescribeExecutionOutput,
    types,
};
use aws_smithy_types::DateTime;
use jiff::Timestamp;

use super::{
    ActivityTask, CallError, Execution, ExecutionStatus, Failure, HistoryEvent, StartedExecution, StepFunctions,
    classify::classify,
};
use crate::{approval::TaskToken, clock::whole_millis};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a poll may be silent: AWS holds it up to 60 s.
const POLL_READ_TIMEOUT: Duration = Duration::from_secs(70);
/// How long a poll may take in all.
const POLL_TIMEOUT: Duration = Duration::from_secs(80);
/// How long any other call may take in all.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Events in a page of history: the most there may be.
const HISTORY_PAGE: i32 = 1_000;

/// AWS's settings as its tools have them: profiles, SSO, environment, instance metadata; `AWS_ENDPOINT_URL` and
/// `AWS_ENDPOINT_URL_SFN` too. `region` and `endpoint` override what is found. The result may lack a region.
pub async fn load_config(region: Option<String>, endpoint: Option<String>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

/// Settings for an endpoint that checks no credentials. Reads nothing of the environment.
#[must_use]
pub fn local_config(endpoint: &str, region: &str) -> SdkConfig {
    let credentials = Credentials::new("local", "local", None, None, "local");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep))
        .build()
}

#[derive(Debug)]
struct TokioSleep;

impl aws_sdk_sfn::config::AsyncSleep for TokioSleep {
    fn sleep(&self, duration: Duration) -> aws_sdk_sfn::config::Sleep {
        aws_sdk_sfn::config::Sleep::new(tokio::time::sleep(duration))
    }
}

/// Clients for polls, each with a pool of its own. Over HTTP/1.1 each open poll has a connection and one client would
/// do; over HTTP/2 a client has one connection, which commonly carries 128 requests at once. So 1,000 fit either way.
const POLL_CLIENTS: usize = 8;

/// Step Functions over the wire. Retries nothing: that is its callers' to decide.
#[derive(Debug)]
pub struct Sdk {
    /// Their connections are their own, so that open polls stand in nobody's way.
    polls: [Client; POLL_CLIENTS],
    next_poll: AtomicUsize,
    calls: Client,
}

impl Sdk {
    /// A port with `config`'s region, endpoint and credentials, and timeouts of its own.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        let polls = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(POLL_READ_TIMEOUT)
            .operation_timeout(POLL_TIMEOUT)
            .build();
        Self {
            polls: std::array::from_fn(|_| client(config, polls.clone())),
            next_poll: AtomicUsize::new(0),
            calls: client(config, call_timeouts()),
        }
    }

    /// The client of the next poll, each in turn.
    fn poll_client(&self) -> &Client {
        let turn = self.next_poll.fetch_add(1, Ordering::Relaxed);
        self.polls.get(turn % POLL_CLIENTS).unwrap_or(&self.calls)
    }
}

/// The timeouts of a call that is not a poll.
pub(crate) fn call_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(CALL_TIMEOUT)
        .operation_attempt_timeout(CALL_TIMEOUT)
        .build()
}

fn client(config: &SdkConfig, timeouts: TimeoutConfig) -> Client {
    let config = aws_sdk_sfn::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

#[async_trait]
impl StepFunctions for Sdk {
    async fn get_activity_task(
        &self,
        activity_arn: &str,
        worker_name: &str,
    ) -> Result<Option<ActivityTask>, CallError> {
        let call = self.poll_client().get_activity_task().activity_arn(activity_arn).worker_name(worker_name);
        let answer = call.send().await.map_err(|error| classify("GetActivityTask", &error, &[]))?;
        let token = answer.task_token.filter(|token| !token.is_empty());
        Ok(token.map(|token| ActivityTask { token: token.into(), input: answer.input.unwrap_or_default() }))
    }

    async fn send_task_heartbeat(&self, token: &TaskToken) -> Result<(), CallError> {
        let call = self.calls.send_task_heartbeat().task_token(token.reveal());
        call.send().await.map_err(|error| classify("SendTaskHeartbeat", &error, &[token.reveal()]))?;
        Ok(())
    }

    async fn send_task_success(&self, token: &TaskToken, output: &str) -> Result<(), CallError> {
        let call = self.calls.send_task_success().task_token(token.reveal()).output(output);
        call.send().await.map_err(|error| classify("SendTaskSuccess", &error, &[token.reveal(), output]))?;
        Ok(())
    }

    async fn send_task_failure(&self, token: &TaskToken, error: &str, cause: &str) -> Result<(), CallError> {
        let call = self.calls.send_task_failure().task_token(token.reveal()).error(error).cause(cause);
        call.send().await.map_err(|error| classify("SendTaskFailure", &error, &[token.reveal(), cause]))?;
        Ok(())
    }

    async fn start_execution(
        &self,
        state_machine_arn: &str,
        name: &str,
        input: &str,
    ) -> Result<StartedExecution, CallError> {
        let call = self.calls.start_execution().state_machine_arn(state_machine_arn).name(name).input(input);
        let answer = call.send().await.map_err(|error| classify("StartExecution", &error, &[input]))?;
        let started = timestamp("StartExecution", answer.start_date())?;
        Ok(StartedExecution { arn: answer.execution_arn, started })
    }

    async fn describe_execution(&self, execution_arn: &str) -> Result<Execution, CallError> {
        let call = self.calls.describe_execution().execution_arn(execution_arn);
        let answer = call.send().await.map_err(|error| classify("DescribeExecution", &error, &[]))?;
        execution(answer)
    }

    async fn execution_history(
        &self,
        execution_arn: &str,
        newest_first: bool,
        next_token: Option<String>,
    ) -> Result<(Vec<HistoryEvent>, Option<String>), CallError> {
        let call = self.calls.get_execution_history().execution_arn(execution_arn).max_results(HISTORY_PAGE);
        let call = call.reverse_order(newest_first).set_next_token(next_token);
        let answer = call.send().await.map_err(|error| classify("GetExecutionHistory", &error, &[]))?;
        let events = answer.events.into_iter().map(history_event).collect::<Result<_, _>>()?;
        Ok((events, answer.next_token.filter(|token| !token.is_empty())))
    }
}

fn execution(answer: DescribeExecutionOutput) -> Result<Execution, CallError> {
    let operation = "DescribeExecution";
    let status = match &answer.status {
        types::ExecutionStatus::Running => ExecutionStatus::Running,
        types::ExecutionStatus::Succeeded => ExecutionStatus::Succeeded,
        types::ExecutionStatus::Failed => ExecutionStatus::Failed,
        types::ExecutionStatus::TimedOut => ExecutionStatus::TimedOut,
        types::ExecutionStatus::Aborted => ExecutionStatus::Aborted,
        types::ExecutionStatus::PendingRedrive => ExecutionStatus::PendingRedrive,
        other => return Err(unclear(operation, format!("a status that is none: {}", other.as_str()))),
    };
    let started = timestamp(operation, &answer.start_date)?;
    let stopped = answer.stop_date.as_ref().map(|time| timestamp(operation, time)).transpose()?;
    let name = answer.name.or_else(|| answer.execution_arn.rsplit(':').next().map(str::to_owned));
    Ok(Execution {
        name: name.unwrap_or_default(),
        arn: answer.execution_arn,
        state_machine_arn: answer.state_machine_arn,
        status,
        input: answer.input,
        output: answer.output,
        error: answer.error,
        cause: answer.cause,
        started,
        stopped,
    })
}

fn history_event(event: types::HistoryEvent) -> Result<HistoryEvent, CallError> {
    let at = timestamp("GetExecutionHistory", &event.timestamp)?;
    let state = event.state_entered_event_details.map(|details| details.name);
    let state = state.or_else(|| event.state_exited_event_details.map(|details| details.name));
    let output = event.activity_succeeded_event_details.and_then(|details| details.output);
    let (error, cause) = match (event.activity_failed_event_details, event.activity_timed_out_event_details) {
        (Some(failed), _) => (failed.error, failed.cause),
        (None, Some(timed_out)) => (timed_out.error, timed_out.cause),
        (None, None) => (None, None),
    };
    let kind = event.r#type.as_str().to_owned();
    Ok(HistoryEvent { id: event.id, previous_id: event.previous_event_id, at, kind, state, output, error, cause })
}

fn timestamp(operation: &'static str, time: &DateTime) -> Result<Timestamp, CallError> {
    let nanos = i32::try_from(time.subsec_nanos()).unwrap_or(0);
    let time = Timestamp::new(time.secs(), nanos).map_err(|_| unclear(operation, "a time out of range".to_owned()))?;
    Ok(whole_millis(time))
}

fn unclear(operation: &'static str, message: String) -> CallError {
    CallError { failure: Failure::Unknown, operation, code: None, message }
}
