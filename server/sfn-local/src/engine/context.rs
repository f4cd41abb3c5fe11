//! The context object that `$$` paths read.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::execution::{BranchId, Execution};

/// Builds it for the state that `id` is in.
pub(crate) fn build(execution: &Execution, id: BranchId) -> Value {
    let mut context = Map::new();
    context.insert(
        "Execution".to_owned(),
        json!({
            "Id": execution.arn.as_ref(),
            "Input": execution.input.to_value().unwrap_or(Value::Null),
            "StartTime": iso(execution.started),
            "Name": execution.name.as_ref(),
            "RoleArn": execution.machine.role_arn.as_ref(),
            "RedriveCount": 0,
        }),
    );
    context.insert(
        "StateMachine".to_owned(),
        json!({"Id": execution.machine.arn.as_ref(), "Name": execution.machine.name.as_ref()}),
    );
    if let Some(branch) = execution.branches.get(&id) {
        let name = branch.graph.states.get(branch.state).map_or("", |state| &state.name);
        context.insert(
            "State".to_owned(),
            json!({"Name": name, "EnteredTime": iso(branch.entered), "RetryCount": branch.retry_count}),
        );
        if let Some((index, item)) = map_item(execution, id) {
            context.insert("Map".to_owned(), item_context(index, &item));
        }
    }
    Value::Object(context)
}

/// The `Map` part for one item.
pub(crate) fn item_context(index: usize, item: &Value) -> Value {
    json!({"Item": {"Index": index, "Value": item}})
}

/// The item of the innermost Map iteration around a branch.
fn map_item(execution: &Execution, id: BranchId) -> Option<(usize, Value)> {
    let mut parent = execution.branches.get(&id)?.parent.as_ref()?;
    loop {
        if let Some(item) = &parent.item {
            return Some((parent.index, item.to_value().ok()?));
        }
        parent = execution.branches.get(&parent.branch)?.parent.as_ref()?;
    }
}

fn iso(time: Timestamp) -> String {
    format!("{time:.3}")
}
