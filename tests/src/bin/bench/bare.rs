//! Step Functions without us: the SDK's own calls, which no worker can do better than.

use approve_tests::aws;
use aws_sdk_sfn::{Client, types::ExecutionStatus};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::setup::Setup;

/// An activity and a state machine of their own, which the server does not know of.
pub(crate) struct Bare {
    pub(crate) client: Client,
    pub(crate) machine: String,
    activity: String,
}

/// A task that was taken.
pub(crate) struct Taken {
    pub(crate) token: String,
    pub(crate) execution: String,
}

impl Bare {
    pub(crate) async fn new(setup: &Setup) -> Self {
        let client = aws::step_functions(setup.aws.url());
        let known = client.describe_state_machine().state_machine_arn(&setup.machine).send().await.unwrap();
        let activity = client.create_activity().name("bare").send().await.unwrap().activity_arn;
        // What the server's own workflow has.
        let mut definition: Value = serde_json::from_str(&known.definition).unwrap();
        definition["States"]["Ask"]["Resource"] = activity.clone().into();
        let made = client.create_state_machine().name("bare").definition(definition.to_string());
        let machine = made.role_arn(known.role_arn).send().await.unwrap().state_machine_arn;
        Self { client, machine, activity }
    }

    /// Takes a task; waits for one.
    pub(crate) async fn take(&self) -> Taken {
        let poll = self.client.get_activity_task().activity_arn(&self.activity).worker_name("bare");
        let answer = poll.send().await.unwrap();
        let input: Value = serde_json::from_str(&answer.input.unwrap()).unwrap();
        let execution = input["approve"]["execution"].as_str().unwrap().to_owned();
        Taken { token: answer.task_token.unwrap(), execution }
    }

    /// Takes so many.
    pub(crate) async fn take_all(&self, count: usize, polls: usize) -> Vec<Taken> {
        stream::iter(0..count).map(|_| self.take()).buffer_unordered(polls).collect().await
    }

    pub(crate) async fn succeed(&self, task: &Taken) {
        // As long as ours.
        let decision = json!({
            "approval_id": "apr_01j9zq4m8k7v2c5x3n6b1w0tyd", "outcome": "APPROVED", "status": "APPROVED",
            "decided_by": ["user:ana"], "comment": "", "decided_at": "2026-01-01T00:00:00Z",
            "input": {"title": "Pay invoice 4711", "requester": "user:req", "labels": {"team": "billing"}},
        });
        let call = self.client.send_task_success().task_token(&task.token).output(decision.to_string());
        call.send().await.unwrap();
    }
}

/// Looks until an execution has succeeded; returns when it had, in seconds since 1970.
pub(crate) async fn succeeded(client: &Client, execution: &str) -> f64 {
    loop {
        let execution = client.describe_execution().execution_arn(execution).send().await.unwrap();
        match execution.status {
            ExecutionStatus::Succeeded => return execution.stop_date.unwrap().as_secs_f64(),
            ExecutionStatus::Running => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The time of day, which Step Functions tells too.
pub(crate) fn since_1970() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}
