//! Step Functions operations in the JSON 1.0 protocol.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    configuration,
    describe::{describe_execution, describe_machine, execution_item, insert, machine_for_execution, machine_item},
    paging::{MAX_PAGE, Paging, limit},
};
use crate::{
    asl,
    engine::{
        ApiError, CreateStateMachine, ExecutionFilter, ExecutionStatus, StartExecution, Tags, UpdateStateMachine,
        epoch_seconds,
    },
    journal::Entry,
    shared::Shared,
};

/// Every parameter of the operations that are served. Which ones are required, each operation says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters {
    activity_arn: Option<String>,
    cause: Option<String>,
    definition: Option<String>,
    encryption_configuration: Option<Value>,
    error: Option<String>,
    execution_arn: Option<String>,
    include_execution_data: Option<bool>,
    included_data: Option<String>,
    input: Option<String>,
    logging_configuration: Option<Value>,
    map_run_arn: Option<String>,
    max_results: Option<i64>,
    name: Option<String>,
    next_token: Option<String>,
    output: Option<String>,
    publish: Option<bool>,
    resource_arn: Option<String>,
    reverse_order: Option<bool>,
    role_arn: Option<String>,
    severity: Option<String>,
    state_machine_arn: Option<String>,
    status_filter: Option<String>,
    tag_keys: Option<Vec<String>>,
    tags: Option<Vec<Tag>>,
    task_token: Option<String>,
    tracing_configuration: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<String>,
    version_description: Option<String>,
    worker_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// Carries out one operation.
pub(super) async fn call(shared: &Shared, region: &str, operation: &str, body: &[u8]) -> Result<Value, ApiError> {
    let parameters: Parameters = parse(body)?;
    if operation == "GetActivityTask" {
        let arn = require(&parameters.activity_arn, "activityArn")?;
        let task = shared.poll(arn, parameters.worker_name.as_deref()).await?;
        return Ok(match task {
            Some(task) => json!({"taskToken": task.token.as_ref(), "input": task.input.as_str()}),
            None => json!({"taskToken": null}),
        });
    }
    if reads(operation) {
        return apply(shared, region, operation, parameters);
    }
    let entry = || Entry::Sfn(region.to_owned(), operation.to_owned(), String::from_utf8_lossy(body).into_owned());
    shared.recorded(entry, || apply(shared, region, operation, parameters))?
}

/// Whether an operation changes nothing.
fn reads(operation: &str) -> bool {
    ["Describe", "List", "Get", "Validate"].iter().any(|verb| operation.starts_with(verb))
}

/// Carries out a call of the journal again; it answers what it answered.
pub(super) fn replay(shared: &Shared, region: &str, operation: &str, body: &[u8]) {
    if let Ok(parameters) = parse(body) {
        let _ = apply(shared, region, operation, parameters);
    }
}

fn apply(shared: &Shared, region: &str, operation: &str, parameters: Parameters) -> Result<Value, ApiError> {
    let call = Call { shared, region, parameters };
    match operation {
        "CreateActivity" => call.create_activity(),
        "DescribeActivity" => call.describe_activity(),
        "DeleteActivity" => call.delete_activity(),
        "ListActivities" => call.list_activities(),
        "SendTaskSuccess" => call.send_task_success(),
        "SendTaskFailure" => call.send_task_failure(),
        "SendTaskHeartbeat" => call.send_task_heartbeat(),
        "CreateStateMachine" => call.create_state_machine(),
        "UpdateStateMachine" => call.update_state_machine(),
        "DescribeStateMachine" => call.describe_state_machine(),
        "DeleteStateMachine" => call.delete_state_machine(),
        "ListStateMachines" => call.list_state_machines(),
        "ValidateStateMachineDefinition" => call.validate_definition(),
        "StartExecution" => call.start_execution(),
        "StopExecution" => call.stop_execution(),
        "DescribeExecution" => call.describe_execution(),
        "DescribeStateMachineForExecution" => call.describe_for_execution(),
        "ListExecutions" => call.list_executions(),
        "GetExecutionHistory" => call.execution_history(),
        "TagResource" => call.tag_resource(),
        "UntagResource" => call.untag_resource(),
        "ListTagsForResource" => call.list_tags(),
        other => Err(ApiError::new(
            "UnknownOperationException",
            format!("The operation '{other}' is not one that this Step Functions serves"),
        )),
    }
}

fn parse<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| ApiError::new("SerializationException", error.to_string()))
}

fn require<'p>(value: &'p Option<String>, name: &str) -> Result<&'p str, ApiError> {
    value.as_deref().ok_or_else(|| ApiError::constraint("null", name, "Member must not be null"))
}

struct Call<'c> {
    shared: &'c Shared,
    region: &'c str,
    parameters: Parameters,
}

impl Call<'_> {
    fn tags(&self) -> Tags {
        let tags = self.parameters.tags.iter().flatten();
        tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect()
    }

    fn check_machine(&self) -> Result<(), ApiError> {
        if self.parameters.kind.as_deref().is_some_and(|kind| kind != "STANDARD") {
            return Err(ApiError::new(
                "StateMachineTypeNotSupported",
                "Only state machines of type STANDARD are supported by this engine",
            ));
        }
        if self.parameters.publish == Some(true) {
            return Err(ApiError::validation("Versions are not supported by this engine: publish must be false"));
        }
        if self.parameters.version_description.is_some() {
            return Err(ApiError::validation("Version description can only be set when publish is true"));
        }
        Ok(())
    }

    fn create_activity(&self) -> Result<Value, ApiError> {
        let (name, encryption) = (
            require(&self.parameters.name, "name")?,
            configuration::encryption(self.parameters.encryption_configuration.as_ref())?,
        );
        let activity = self
            .shared
            .call(|engine, now| engine.create_encrypted_activity(self.region, name, self.tags(), encryption, now))?;
        Ok(json!({"activityArn": activity.arn, "creationDate": epoch_seconds(activity.created)}))
    }

    fn describe_activity(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.activity_arn, "activityArn")?;
        let activity = self.shared.call(|engine, now| engine.describe_activity(arn, now))?;
        let mut value = json!({
            "activityArn": activity.arn,
            "name": activity.name,
            "creationDate": epoch_seconds(activity.created),
        });
        insert(&mut value, "encryptionConfiguration", activity.encryption);
        Ok(value)
    }

    fn delete_activity(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.activity_arn, "activityArn")?;
        self.shared.call(|engine, now| engine.delete_activity(arn, now))?;
        Ok(json!({}))
    }

    fn list_activities(&self) -> Result<Value, ApiError> {
        let activities = self.shared.call(|engine, now| engine.list_activities(self.region, now));
        let items = activities.into_iter().map(|activity| {
            json!({
                "activityArn": activity.arn,
                "name": activity.name,
                "creationDate": epoch_seconds(activity.created),
            })
        });
        self.page("ListActivities", items.collect(), "activities")
    }

    fn page(&self, operation: &str, items: Vec<Value>, field: &str) -> Result<Value, ApiError> {
        let paging = Paging::new(operation, &[self.region]);
        paging.slice(items, self.parameters.next_token.as_deref(), self.parameters.max_results, field)
    }

    fn send_task_success(&self) -> Result<Value, ApiError> {
        let token = require(&self.parameters.task_token, "taskToken")?;
        let output = require(&self.parameters.output, "output")?;
        self.shared.call(|engine, now| engine.send_task_success(token, output, now))?;
        Ok(json!({}))
    }

    fn send_task_failure(&self) -> Result<Value, ApiError> {
        let token = require(&self.parameters.task_token, "taskToken")?;
        let (error, cause) = (self.parameters.error.as_deref(), self.parameters.cause.as_deref());
        self.shared.call(|engine, now| engine.send_task_failure(token, error, cause, now))?;
        Ok(json!({}))
    }

    fn send_task_heartbeat(&self) -> Result<Value, ApiError> {
        let token = require(&self.parameters.task_token, "taskToken")?;
        self.shared.call(|engine, now| engine.send_task_heartbeat(token, now))?;
        Ok(json!({}))
    }

    fn create_state_machine(&self) -> Result<Value, ApiError> {
        self.check_machine()?;
        let request = CreateStateMachine {
            name: require(&self.parameters.name, "name")?.to_owned(),
            definition: require(&self.parameters.definition, "definition")?.to_owned(),
            role_arn: require(&self.parameters.role_arn, "roleArn")?.to_owned(),
            tags: self.tags(),
            logging: configuration::logging(self.parameters.logging_configuration.as_ref())?,
            tracing: configuration::tracing(self.parameters.tracing_configuration.as_ref())?,
            encryption: configuration::encryption(self.parameters.encryption_configuration.as_ref())?,
        };
        let machine = self.shared.call(|engine, now| engine.create_state_machine(self.region, request, now))?;
        Ok(json!({
            "stateMachineArn": machine.current.arn.as_ref(),
            "creationDate": epoch_seconds(machine.created),
        }))
    }

    fn update_state_machine(&self) -> Result<Value, ApiError> {
        self.check_machine()?;
        let arn = require(&self.parameters.state_machine_arn, "stateMachineArn")?;
        let request = UpdateStateMachine {
            definition: self.parameters.definition.clone(),
            role_arn: self.parameters.role_arn.clone(),
            logging: configuration::logging(self.parameters.logging_configuration.as_ref())?,
            tracing: configuration::tracing(self.parameters.tracing_configuration.as_ref())?,
            encryption: configuration::encryption(self.parameters.encryption_configuration.as_ref())?,
        };
        let machine = self.shared.call(|engine, now| engine.update_state_machine(arn, request, now))?;
        Ok(json!({
            "updateDate": epoch_seconds(machine.current.updated),
            "revisionId": machine.current.id,
        }))
    }

    fn describe_state_machine(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.state_machine_arn, "stateMachineArn")?;
        let machine = self.shared.call(|engine, now| engine.describe_state_machine(arn, now))?;
        Ok(describe_machine(&machine, self.with_data()))
    }

    /// Whether `includedData` asks for more than metadata.
    fn with_data(&self) -> bool {
        self.parameters.included_data.as_deref() != Some("METADATA_ONLY")
    }

    fn delete_state_machine(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.state_machine_arn, "stateMachineArn")?;
        self.shared.call(|engine, now| engine.delete_state_machine(arn, now))?;
        Ok(json!({}))
    }

    fn list_state_machines(&self) -> Result<Value, ApiError> {
        let machines = self.shared.call(|engine, now| engine.list_state_machines(self.region, now));
        self.page("ListStateMachines", machines.iter().map(machine_item).collect(), "stateMachines")
    }

    fn validate_definition(&self) -> Result<Value, ApiError> {
        let definition = require(&self.parameters.definition, "definition")?;
        if self.parameters.kind.as_deref().is_some_and(|kind| kind != "STANDARD") {
            return Err(ApiError::validation("Only definitions of type STANDARD can be validated by this engine"));
        }
        let mut findings = asl::validate(definition);
        match self.parameters.severity.as_deref() {
            None | Some("ERROR") => {}
            Some("WARNING") => findings.extend(asl::warnings(definition)),
            Some(other) => {
                let constraint = "Member must satisfy enum value set: [ERROR, WARNING]";
                return Err(ApiError::constraint(&format!("'{other}'"), "severity", constraint));
            }
        }
        let wanted = limit(self.parameters.max_results, MAX_DIAGNOSTICS)?;
        let failed = findings.iter().any(|finding| finding.severity == asl::Severity::Error);
        let diagnostics: Vec<Value> = findings.iter().take(wanted).map(diagnostic).collect();
        Ok(json!({
            "result": if failed { "FAIL" } else { "OK" },
            "truncated": findings.len() > diagnostics.len(),
            "diagnostics": diagnostics,
        }))
    }

    fn start_execution(&self) -> Result<Value, ApiError> {
        let request = StartExecution {
            state_machine_arn: require(&self.parameters.state_machine_arn, "stateMachineArn")?.to_owned(),
            name: self.parameters.name.clone(),
            input: self.parameters.input.clone(),
        };
        let execution = self.shared.call(|engine, now| engine.start_execution(request, now))?;
        Ok(json!({"executionArn": execution.arn.as_ref(), "startDate": epoch_seconds(execution.started)}))
    }

    fn stop_execution(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.execution_arn, "executionArn")?;
        let (error, cause) = (self.parameters.error.as_deref(), self.parameters.cause.as_deref());
        let stopped = self.shared.call(|engine, now| engine.stop_execution(arn, error, cause, now))?;
        Ok(json!({"stopDate": epoch_seconds(stopped)}))
    }

    fn describe_execution(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.execution_arn, "executionArn")?;
        let execution = self.shared.call(|engine, now| engine.describe_execution(arn, now))?;
        Ok(describe_execution(&execution, self.with_data()))
    }

    fn describe_for_execution(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.execution_arn, "executionArn")?;
        let execution = self.shared.call(|engine, now| engine.describe_execution(arn, now))?;
        Ok(machine_for_execution(&execution, self.with_data()))
    }

    fn list_executions(&self) -> Result<Value, ApiError> {
        if self.parameters.map_run_arn.is_some() {
            return Err(ApiError::validation("Map runs are not supported by this engine"));
        }
        let machine = require(&self.parameters.state_machine_arn, "stateMachineArn")?;
        let status = self.parameters.status_filter.as_deref();
        let filter = ExecutionFilter {
            state_machine_arn: machine.to_owned(),
            status: status.map(status_filter).transpose()?.flatten(),
        };
        let limit = limit(self.parameters.max_results, MAX_PAGE)?;
        let paging = Paging::new("ListExecutions", &[machine, status.unwrap_or_default()]);
        let after = paging.read(self.parameters.next_token.as_deref())?;
        if status == Some(PENDING_REDRIVE) {
            return Ok(json!({"executions": []}));
        }
        let page = self.shared.call(|engine, now| engine.list_executions(&filter, after, limit, now))?;
        let mut answer = Map::new();
        answer.insert("executions".to_owned(), page.items.iter().map(execution_item).collect());
        answer.extend(page.next.map(|next| ("nextToken".to_owned(), Value::String(paging.write(next)))));
        Ok(Value::Object(answer))
    }

    fn execution_history(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.execution_arn, "executionArn")?;
        let limit = limit(self.parameters.max_results, MAX_PAGE)?;
        let reverse = self.parameters.reverse_order.unwrap_or(false);
        let data = self.parameters.include_execution_data.unwrap_or(true);
        let paging = Paging::new("GetExecutionHistory", &[arn, if reverse { "reverse" } else { "" }]);
        let token = paging.read(self.parameters.next_token.as_deref())?;
        self.shared.call(|engine, now| {
            let history = engine.execution_history(arn, now)?;
            // A token is the id of the last event given, so that new events move nothing.
            let given = token.map(|id| usize::try_from(id).unwrap_or(usize::MAX).min(history.len()));
            let wanted: Vec<usize> = if reverse {
                let below = given.map_or(history.len(), |id| id.saturating_sub(1));
                (0..below).rev().take(limit).collect()
            } else {
                (given.unwrap_or(0)..history.len()).take(limit).collect()
            };
            let events: Vec<Value> =
                wanted.iter().filter_map(|&index| Some(history.get(index)?.to_json(index as u64 + 1, data))).collect();
            let more = wanted.last().is_some_and(|&last| if reverse { last > 0 } else { last + 1 < history.len() });
            let mut answer = Map::new();
            answer.insert("events".to_owned(), Value::Array(events));
            if let Some(last) = wanted.last().filter(|_| more) {
                answer.insert("nextToken".to_owned(), Value::String(paging.write(*last as u64 + 1)));
            }
            Ok(Value::Object(answer))
        })
    }

    fn tag_resource(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.resource_arn, "resourceArn")?;
        self.shared.call(|engine, now| engine.tag_resource(arn, self.tags(), now))?;
        Ok(json!({}))
    }

    fn untag_resource(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.resource_arn, "resourceArn")?;
        let keys = self.parameters.tag_keys.as_deref().unwrap_or_default();
        self.shared.call(|engine, now| engine.untag_resource(arn, keys, now))?;
        Ok(json!({}))
    }

    fn list_tags(&self) -> Result<Value, ApiError> {
        let arn = require(&self.parameters.resource_arn, "resourceArn")?;
        let tags = self.shared.call(|engine, now| engine.list_tags(arn, now))?;
        let tags: Vec<Value> = tags.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        Ok(json!({"tags": tags}))
    }
}

/// The most findings that one validation tells.
const MAX_DIAGNOSTICS: u64 = 100;
const PENDING_REDRIVE: &str = "PENDING_REDRIVE";

/// `None` for a status that no execution here ever has.
fn status_filter(text: &str) -> Result<Option<ExecutionStatus>, ApiError> {
    match ExecutionStatus::from_wire(text) {
        None if text != PENDING_REDRIVE => Err(ApiError::constraint(
            &format!("'{text}'"),
            "statusFilter",
            "Member must satisfy enum value set: [SUCCEEDED, TIMED_OUT, PENDING_REDRIVE, ABORTED, FAILED, RUNNING]",
        )),
        status => Ok(status),
    }
}

fn diagnostic(finding: &asl::Diagnostic) -> Value {
    let mut diagnostic = Map::new();
    diagnostic.insert("severity".to_owned(), finding.severity.as_str().into());
    diagnostic.insert("code".to_owned(), finding.code.into());
    diagnostic.insert("message".to_owned(), finding.message.as_str().into());
    if !finding.location.is_empty() {
        diagnostic.insert("location".to_owned(), finding.location.as_str().into());
    }
    Value::Object(diagnostic)
}
