//! State machines and executions as the JSON protocol describes them.

use serde_json::{Map, Value, json};

use crate::engine::{ExecutionStatus, ExecutionSummary, MachineSummary, Revision, StateMachineStatus, epoch_seconds};

const DEFAULT_TYPE: &str = "STANDARD";

pub(super) fn describe_machine(machine: &MachineSummary, with_data: bool) -> Value {
    let current = &machine.current;
    let mut value = json!({
        "stateMachineArn": current.arn.as_ref(),
        "name": current.name.as_ref(),
        "status": match machine.status {
            StateMachineStatus::Active => "ACTIVE",
            StateMachineStatus::Deleting => "DELETING",
        },
        "definition": if with_data { current.definition_text.as_ref() } else { "{}" },
        "roleArn": current.role_arn.as_ref(),
        "type": DEFAULT_TYPE,
        "creationDate": epoch_seconds(machine.created),
        "loggingConfiguration": current.logging,
        "tracingConfiguration": current.tracing,
    });
    insert(&mut value, "revisionId", current.id.as_deref());
    insert(&mut value, "encryptionConfiguration", machine.encryption.clone());
    insert(&mut value, "variableReferences", references(current));
    value
}

/// Absent where no state reads a variable.
fn references(machine: &Revision) -> Option<Value> {
    let references = machine.definition.variable_references();
    (!references.is_empty()).then(|| json!(references))
}

pub(super) fn machine_item(machine: &MachineSummary) -> Value {
    json!({
        "stateMachineArn": machine.current.arn.as_ref(),
        "name": machine.current.name.as_ref(),
        "type": DEFAULT_TYPE,
        "creationDate": epoch_seconds(machine.created),
    })
}

pub(super) fn machine_for_execution(execution: &ExecutionSummary, with_data: bool) -> Value {
    let machine = &execution.machine;
    let mut value = json!({
        "stateMachineArn": machine.arn.as_ref(),
        "name": machine.name.as_ref(),
        "definition": if with_data { machine.definition_text.as_ref() } else { "{}" },
        "roleArn": machine.role_arn.as_ref(),
        "updateDate": epoch_seconds(machine.updated),
        "loggingConfiguration": machine.logging,
        "tracingConfiguration": machine.tracing,
    });
    insert(&mut value, "revisionId", machine.id.as_deref());
    insert(&mut value, "variableReferences", references(machine));
    value
}

pub(super) fn describe_execution(execution: &ExecutionSummary, with_data: bool) -> Value {
    let mut value = execution_item(execution);
    if with_data {
        insert(&mut value, "input", Some(execution.input.as_str()));
        insert(&mut value, "output", execution.output.as_ref().map(crate::Json::as_str));
    }
    insert(&mut value, "inputDetails", Some(json!({"included": with_data})));
    insert(&mut value, "outputDetails", execution.output.as_ref().map(|_| json!({"included": with_data})));
    insert(&mut value, "error", execution.error.as_deref());
    insert(&mut value, "cause", execution.cause.as_deref());
    insert(&mut value, "redriveCount", Some(0));
    insert(&mut value, "redriveStatus", Some("NOT_REDRIVABLE"));
    let reason = match execution.status {
        ExecutionStatus::Running => "Execution is RUNNING and cannot be redriven".to_owned(),
        ExecutionStatus::Succeeded => "Execution is SUCCEEDED and cannot be redriven".to_owned(),
        _ => "Redriving executions is not supported by this engine".to_owned(),
    };
    insert(&mut value, "redriveStatusReason", Some(reason));
    value
}

pub(super) fn execution_item(execution: &ExecutionSummary) -> Value {
    let mut value = json!({
        "executionArn": execution.arn.as_ref(),
        "stateMachineArn": execution.machine.arn.as_ref(),
        "name": execution.name.as_ref(),
        "status": execution.status.as_str(),
        "startDate": epoch_seconds(execution.started),
    });
    insert(&mut value, "stopDate", execution.stopped.map(epoch_seconds));
    value
}

/// Adds a field unless it is absent.
pub(super) fn insert(value: &mut Value, field: &str, content: Option<impl Into<Value>>) {
    if let (Value::Object(map), Some(content)) = (value, content) {
        let map: &mut Map<String, Value> = map;
        map.insert(field.to_owned(), content.into());
    }
}
