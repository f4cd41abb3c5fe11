//! What `tests/scenarios/drive.py` does with boto3, by the AWS SDK for Rust.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_iam::config::{Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sfn::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::ExecutionStatus,
};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Call, Run, Scenarios, Seen};

const REGION: &str = "eu-west-1";
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"states.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const AT_ONCE: usize = 8;
const LIMIT: f64 = 40.0;
const PAUSE: Duration = Duration::from_millis(50);
/// A busy machine takes its time to accept a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// LocalStack looks through what other threads are changing, and sometimes fails at that.
const ATTEMPTS: u32 = 5;

struct Driver {
    sfn: Client,
    role: String,
    /// Starts all names: nothing that an earlier round left is in the way.
    prefix: String,
}

/// Runs them all against an endpoint; what was seen of each, by name. Each `round` has names of its own.
pub(super) async fn drive(url: &str, scenarios: &Scenarios, round: usize) -> BTreeMap<String, Seen> {
    let driver = Driver::new(url, format!("rs{round}")).await;
    let mut runs: Vec<_> = scenarios.runs.iter().collect();
    // What waits longest comes first.
    runs.sort_by_key(|(_, run)| run.script.is_empty());
    let runs = stream::iter(runs.into_iter().enumerate())
        .map(async |(number, (name, run))| (name.clone(), driver.run(&format!("run-{number}"), run).await));
    let mut seen: BTreeMap<String, Seen> = runs.buffer_unordered(AT_ONCE).collect().await;
    for (number, (name, definition)) in scenarios.definitions.iter().enumerate() {
        seen.insert(name.clone(), driver.definition(&format!("definition-{number}"), definition).await);
    }
    if !scenarios.calls.is_empty() {
        seen.extend(driver.calls(&scenarios.calls).await);
    }
    seen
}

fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String
where
    SdkError<E, R>: std::fmt::Debug,
{
    match result {
        Ok(_) => "ok".to_owned(),
        Err(SdkError::ServiceError(error)) => {
            let code = error.err().code().unwrap_or_default();
            code.strip_suffix("Exception").unwrap_or(code).to_owned()
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// A call's code; it is made again where the service says that it is not the call's fault.
async fn steady(call: impl AsyncFn() -> String) -> String {
    let mut code = call().await;
    for _ in 1..ATTEMPTS {
        if code != "InternalError" {
            break;
        }
        sleep(PAUSE).await;
        code = call().await;
    }
    code
}

impl Driver {
    async fn new(url: &str, prefix: String) -> Self {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).build();
        let credentials = Credentials::new("000000000000", "test", None, None, "test");
        let sfn = aws_sdk_sfn::Config::builder()
            .behavior_version_latest()
            .region(Region::new(REGION))
            .endpoint_url(url)
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.clone())
            .build();
        let iam = aws_sdk_iam::Config::builder()
            .behavior_version_latest()
            .region(Region::new(REGION))
            .endpoint_url(url)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        let iam = aws_sdk_iam::Client::from_conf(iam);
        let role = iam.create_role().role_name(format!("scenarios-{prefix}")).assume_role_policy_document(TRUST);
        let role = role.send().await.unwrap().role.unwrap().arn;
        Self { sfn: Client::from_conf(sfn), role, prefix }
    }

    async fn create(&self, name: &str, definition: &Value) -> (String, Result<String, String>) {
        let name = &format!("{}-{name}", self.prefix);
        let activity = self.sfn.create_activity().name(name).send().await.unwrap().activity_arn;
        let text = definition.to_string().replace("${activity}", &activity);
        let call = self.sfn.create_state_machine().name(name).definition(text).role_arn(&self.role);
        let machine = call.send().await;
        let machine = match machine {
            Ok(machine) => Ok(machine.state_machine_arn),
            Err(error) => Err(code::<(), _, _>(Err(error))),
        };
        (activity, machine)
    }

    async fn definition(&self, name: &str, definition: &Value) -> Seen {
        let (_, machine) = self.create(name, definition).await;
        json!({"created": machine.map_or_else(|code| code, |_| "ok".to_owned())})
    }

    async fn run(&self, name: &str, run: &Run) -> Seen {
        let mut definition = json!({"StartAt": run.states.as_object().unwrap().keys().next(), "States": run.states});
        if let Some(language) = &run.language {
            definition["QueryLanguage"] = json!(language);
        }
        if let Some(seconds) = run.timeout {
            definition["TimeoutSeconds"] = json!(seconds);
        }
        let (activity, machine) = self.create(name, &definition).await;
        let machine = match machine {
            Ok(machine) => machine,
            Err(code) => return json!({"created": code}),
        };
        let input = run.input_text.clone().unwrap_or_else(|| run.input.to_string());
        let started = self.sfn.start_execution().state_machine_arn(machine).input(input).send().await.unwrap();
        let execution = started.execution_arn;
        let (calls, tasks) = self.script(run, &activity, &execution).await;
        let end = Instant::now() + Duration::from_secs_f64(run.limit.unwrap_or(LIMIT));
        let described = loop {
            let described = self.sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
            if described.status != ExecutionStatus::Running || Instant::now() > end {
                break described;
            }
            sleep(PAUSE).await;
        };
        let history = self.sfn.get_execution_history().execution_arn(&execution).max_results(1000).send().await;
        let mut events: Vec<String> =
            history.unwrap().events.iter().map(|event| event.r#type.as_str().to_owned()).collect();
        if run.unordered {
            events.sort_unstable();
        }
        json!({
            "calls": calls,
            "tasks": tasks,
            "status": described.status.as_str(),
            "output": described.output,
            "error": described.error,
            "events": events,
        })
    }

    async fn script(&self, run: &Run, activity: &str, execution: &str) -> (Vec<String>, Vec<Value>) {
        let (mut calls, mut tasks, mut token) = (Vec::new(), Vec::new(), String::new());
        for step in &run.script {
            let text = |index: usize| step[index].as_str().unwrap();
            calls.push(match text(0) {
                "take" => {
                    let poll = self.sfn.get_activity_task().activity_arn(activity).worker_name("w");
                    let task = poll.send().await.unwrap();
                    let Some(given) = task.task_token.filter(|token| !token.is_empty()) else {
                        calls.push("no task".to_owned());
                        break;
                    };
                    token = given;
                    tasks.push(serde_json::from_str(&task.input.unwrap()).unwrap());
                    "ok".to_owned()
                }
                "succeed" => {
                    let call = self.sfn.send_task_success().task_token(&token).output(text(1));
                    steady(async || code(call.clone().send().await)).await
                }
                "fail" => {
                    let call = self.sfn.send_task_failure().task_token(&token).error(text(1)).cause(text(2));
                    steady(async || code(call.clone().send().await)).await
                }
                "beat" => {
                    let call = self.sfn.send_task_heartbeat().task_token(&token);
                    steady(async || code(call.clone().send().await)).await
                }
                "stop" => {
                    code(self.sfn.stop_execution().execution_arn(execution).error(text(1)).cause(text(2)).send().await)
                }
                "sleep" => {
                    sleep(Duration::from_secs_f64(step[1].as_f64().unwrap())).await;
                    "ok".to_owned()
                }
                other => panic!("no such step: {other}"),
            });
        }
        (calls, tasks)
    }

    /// Bad calls, around an activity, a machine and an execution that has succeeded.
    async fn calls(&self, calls: &BTreeMap<String, Call>) -> BTreeMap<String, Seen> {
        let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
        let own = format!("{}-calls", self.prefix);
        let (activity, machine) = self.create("calls", &definition).await;
        let machine = machine.unwrap();
        let start = self.sfn.start_execution().state_machine_arn(&machine).name(&own).send().await.unwrap();
        let execution = start.execution_arn;
        let running = async || {
            let described = self.sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
            described.status == ExecutionStatus::Running
        };
        while running().await {
            sleep(PAUSE).await;
        }
        let definition = definition.to_string();
        let values = [
            ("${activity_name}", &own),
            ("${machine_name}", &own),
            ("${execution_name}", &own),
            ("${activity}", &activity),
            ("${machine}", &machine),
            ("${execution}", &execution),
            ("${role}", &self.role),
            ("${definition}", &definition),
        ];
        let mut seen = BTreeMap::new();
        for (name, call) in calls {
            let given = |parameter: &str| {
                call.with.get(parameter).map(|value| match value {
                    Value::Object(repeat) => {
                        let times = usize::try_from(repeat["repeat"][1].as_u64().unwrap()).unwrap();
                        repeat["repeat"][0].as_str().unwrap().repeat(times)
                    }
                    Value::String(text) => {
                        values.iter().fold(text.clone(), |text, (name, value)| text.replace(name, value))
                    }
                    other => other.to_string(),
                })
            };
            let code = steady(async || self.call(&call.call, given).await).await;
            seen.insert(name.clone(), json!({"code": code}));
        }
        seen
    }

    async fn call(&self, operation: &str, given: impl Fn(&str) -> Option<String>) -> String {
        let sfn = &self.sfn;
        let token = given("taskToken");
        let (activity, machine) = (given("activityArn"), given("stateMachineArn"));
        let (execution, name) = (given("executionArn"), given("name"));
        match operation {
            "CreateActivity" => code(sfn.create_activity().set_name(name).send().await),
            "DescribeActivity" => code(sfn.describe_activity().set_activity_arn(activity).send().await),
            "DeleteActivity" => code(sfn.delete_activity().set_activity_arn(activity).send().await),
            "GetActivityTask" => code(sfn.get_activity_task().set_activity_arn(activity).send().await),
            "SendTaskSuccess" => {
                code(sfn.send_task_success().set_task_token(token).set_output(given("output")).send().await)
            }
            "SendTaskFailure" => {
                let call = sfn.send_task_failure().set_task_token(token);
                code(call.set_error(given("error")).set_cause(given("cause")).send().await)
            }
            "SendTaskHeartbeat" => code(sfn.send_task_heartbeat().set_task_token(token).send().await),
            "CreateStateMachine" => {
                let call = sfn.create_state_machine().set_name(name).set_role_arn(given("roleArn"));
                code(call.set_definition(given("definition")).send().await)
            }
            "UpdateStateMachine" => {
                let call = sfn.update_state_machine().set_state_machine_arn(machine);
                code(call.set_role_arn(given("roleArn")).send().await)
            }
            "DescribeStateMachine" => code(sfn.describe_state_machine().set_state_machine_arn(machine).send().await),
            "DeleteStateMachine" => code(sfn.delete_state_machine().set_state_machine_arn(machine).send().await),
            "StartExecution" => {
                let call = sfn.start_execution().set_state_machine_arn(machine);
                code(call.set_name(name).set_input(given("input")).send().await)
            }
            "StopExecution" => code(sfn.stop_execution().set_execution_arn(execution).send().await),
            "DescribeExecution" => code(sfn.describe_execution().set_execution_arn(execution).send().await),
            "GetExecutionHistory" => code(sfn.get_execution_history().set_execution_arn(execution).send().await),
            "ListExecutions" => {
                let call = sfn.list_executions().set_state_machine_arn(machine).set_next_token(given("nextToken"));
                code(call.set_max_results(given("maxResults").map(|text| text.parse().unwrap())).send().await)
            }
            "ListTagsForResource" => {
                code(sfn.list_tags_for_resource().set_resource_arn(given("resourceArn")).send().await)
            }
            other => panic!("no such call here: {other}"),
        }
    }
}
