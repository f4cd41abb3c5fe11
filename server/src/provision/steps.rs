//! What a definition says of its approval steps.

use jiff::SignedDuration;
use serde_json::{Map, Value};

/// Where a task says which execution, state and entry it is of, if it can be believed.
const IDENTITY: [(&str, &str); 3] =
    [("execution", "$$.Execution.Id"), ("state", "$$.State.Name"), ("entered_at", "$$.State.EnteredTime")];

/// A state that waits for the activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The state's name.
    pub state: String,
    /// Its TimeoutSeconds; `None` if it has none, or takes them from input.
    pub timeout: Option<SignedDuration>,
    /// Its HeartbeatSeconds; `None` if it has none, or takes them from input.
    pub heartbeat: Option<SignedDuration>,
    /// Whether its tasks say who they are from the context object, so that no input can pass for another's. In a Map,
    /// where several entries look alike, only with a `key` of their own.
    pub identity_from_context: bool,
}

/// The states that are a Task on the activity, those inside Parallel and Map states too. Empty if the definition can't be
/// read.
#[must_use]
pub fn steps(definition: &str, activity_arn: &str) -> Vec<Step> {
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_str::<Value>(definition) {
        walk(&value, activity_arn, false, &mut found);
    }
    found
}

fn walk(machine: &Value, activity_arn: &str, in_map: bool, found: &mut Vec<Step>) {
    let Some(states) = machine.get("States").and_then(Value::as_object) else { return };
    for (name, state) in states {
        match state.get("Type").and_then(Value::as_str) {
            Some("Task") if state.get("Resource").and_then(Value::as_str) == Some(activity_arn) => found.push(Step {
                state: name.clone(),
                timeout: seconds(state.get("TimeoutSeconds")),
                heartbeat: seconds(state.get("HeartbeatSeconds")),
                identity_from_context: identity_from_context(state, in_map),
            }),
            Some("Parallel") => {
                for branch in state.get("Branches").and_then(Value::as_array).into_iter().flatten() {
                    walk(branch, activity_arn, in_map, found);
                }
            }
            Some("Map") => {
                for processor in ["ItemProcessor", "Iterator"].iter().filter_map(|field| state.get(field)) {
                    walk(processor, activity_arn, true, found);
                }
            }
            _ => {}
        }
    }
}

fn seconds(value: Option<&Value>) -> Option<SignedDuration> {
    value?.as_i64().filter(|seconds| *seconds > 0).map(SignedDuration::from_secs)
}

fn identity_from_context(state: &Value, in_map: bool) -> bool {
    let Some(approve) = state.get("Parameters").and_then(|parameters| parameters.get("approve")?.as_object()) else {
        return false;
    };
    let has_key = |name: &str| approve.contains_key(name) || approve.contains_key(&format!("{name}.$"));
    IDENTITY.iter().all(|(name, path)| is_path(approve, name, path)) && (!in_map || has_key("key"))
}

fn is_path(approve: &Map<String, Value>, name: &str, path: &str) -> bool {
    !approve.contains_key(name) && approve.get(&format!("{name}.$")).and_then(Value::as_str) == Some(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provision::reference;

    const ARN: &str = "arn:aws:states:eu-central-1:123456789012:activity:A";

    fn task(approve: &Value) -> Value {
        json!({"Type": "Task", "Resource": ARN, "HeartbeatSeconds": 60, "End": true,
               "Parameters": {"approve": approve, "input.$": "$"}})
    }

    fn from_context() -> Value {
        json!({"execution.$": "$$.Execution.Id", "state.$": "$$.State.Name", "entered_at.$": "$$.State.EnteredTime"})
    }

    fn vouched(approve: &Value) -> bool {
        let definition = json!({"StartAt": "S", "States": {"S": task(approve)}});
        steps(&definition.to_string(), ARN)[0].identity_from_context
    }

    #[test]
    fn the_reference_definition_has_one_step_that_can_be_believed() {
        let (timeout, heartbeat) = (SignedDuration::from_secs(300), SignedDuration::from_secs(60));
        let definition = reference("W", ARN, timeout, heartbeat).to_string();
        let step = Step {
            state: "ApprovalStep".to_owned(),
            timeout: Some(timeout),
            heartbeat: Some(heartbeat),
            identity_from_context: true,
        };
        assert_eq!(steps(&definition, ARN), [step]);
        assert_eq!(steps(&definition, "arn:aws:states:eu-central-1:123456789012:activity:other"), []);
    }

    #[test]
    fn identity_from_input_is_not_believed() {
        assert!(vouched(&from_context()));
        for (field, value) in [
            ("execution.$", "$.execution"),
            ("state.$", "$.Name"),
            ("entered_at.$", "$$.Execution.Input.entered"),
            ("execution.$", "$$.Execution.Input.id"),
            ("entered_at.$", "States.Format('{}', $.at)"),
        ] {
            let mut approve = from_context();
            approve[field] = json!(value);
            assert!(!vouched(&approve), "{field} {value}");
        }
        let mut fixed = from_context();
        fixed["execution"] = json!("arn:aws:states:eu-central-1:123456789012:execution:M:other");
        assert!(!vouched(&fixed), "a second field of that name");
        assert!(!vouched(&json!({"execution.$": "$$.Execution.Id", "state.$": "$$.State.Name"})), "one is missing");
        assert!(!vouched(&json!("$.approve")));
    }

    #[test]
    fn an_approve_block_that_comes_from_input_is_not_believed() {
        let whole = json!({"StartAt": "S", "States": {"S": {
            "Type": "Task", "Resource": ARN, "End": true, "Parameters": {"approve.$": "$.approve"}}}});
        assert!(!steps(&whole.to_string(), ARN)[0].identity_from_context);
        let bare = json!({"StartAt": "S", "States": {"S": {"Type": "Task", "Resource": ARN, "End": true}}});
        let step = &steps(&bare.to_string(), ARN)[0];
        assert_eq!((step.identity_from_context, step.timeout, step.heartbeat), (false, None, None));
    }

    #[test]
    fn steps_inside_parallel_and_map_are_found() {
        let branch = |name: &str, state: Value| json!({"StartAt": name, "States": {name: state}});
        let mut keyed = from_context();
        keyed["key.$"] = json!("$$.Map.Item.Index");
        let definition = json!({"StartAt": "P", "States": {
            "P": {"Type": "Parallel", "Next": "M", "Branches": [
                branch("P1", task(&from_context())),
                branch("P2", json!({"Type": "Map", "End": true, "Iterator": branch("I", task(&keyed))})),
            ]},
            "M": {"Type": "Map", "End": true, "ItemProcessor": branch("K", task(&from_context()))},
            "T": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true},
        }});
        let found = steps(&definition.to_string(), ARN);
        let told: Vec<_> = found.iter().map(|step| (step.state.as_str(), step.identity_from_context)).collect();
        assert_eq!(told, [("P1", true), ("I", true), ("K", false)]);
    }

    #[test]
    fn times_from_input_are_unknown() {
        let definition = json!({"StartAt": "S", "States": {"S": {
            "Type": "Task", "Resource": ARN, "End": true, "TimeoutSecondsPath": "$.t", "HeartbeatSeconds": "{% $h %}"}}});
        let step = &steps(&definition.to_string(), ARN)[0];
        assert_eq!((step.timeout, step.heartbeat), (None, None));
    }

    #[test]
    fn what_is_no_definition_has_no_steps() {
        for text in ["", "[]", "{\"States\": 1}", "{\"States\": {\"S\": null, \"P\": {\"Type\": \"Parallel\"}}}"] {
            assert_eq!(steps(text, ARN), [], "{text}");
        }
    }
}
