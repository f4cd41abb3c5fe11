//! What a definition says of its approval steps.

use jiff::SignedDuration;
use serde_json::{Map, Value};

/// Where a task says which execution, state and entry it is of, if it can be believed.
const IDENTITY: [(&str, &str); 3] =
    [("execution", "$$.Execution.Id"), ("state", "$$.State.Name"), ("entered_at", "$$.State.EnteredTime")];

/// The same where the query language is JSONata.
const IDENTITY_JSONATA: [(&str, &str); 3] = [
    ("execution", "$states.context.Execution.Id"),
    ("state", "$states.context.State.Name"),
    ("entered_at", "$states.context.State.EnteredTime"),
];

/// A state that waits for an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The state's name.
    pub state: String,
    /// The activity that it waits for.
    pub activity_arn: String,
    /// Its TimeoutSeconds; `None` if it has none, or takes them from input.
    pub timeout: Option<SignedDuration>,
    /// Its HeartbeatSeconds; `None` if it has none, or takes them from input.
    pub heartbeat: Option<SignedDuration>,
    /// Whether its tasks say who they are from the context object, so that no input can pass for another's. In a Map,
    /// where several entries look alike, only with a `key` of their own.
    pub identity_from_context: bool,
    /// Whether a task that is lost, with its worker or in an outage, is handed out again.
    pub retries_lost: bool,
}

/// The states that are a Task on one of the activities, those inside Parallel and Map states too. Empty if the definition can't be
/// read.
#[must_use]
pub fn steps(definition: &str, activity_arns: &[String]) -> Vec<Step> {
    let mut found = Vec::new();
    let Ok(value) = serde_json::from_str::<Value>(definition) else { return found };
    let jsonata = is_jsonata(&value, false);
    walk(&value, false, &mut |name, state, in_map| {
        let resource = state.get("Resource").and_then(Value::as_str);
        let Some(activity_arn) = activity_arns.iter().find(|arn| Some(arn.as_str()) == resource) else { return };
        found.push(Step {
            state: name.to_owned(),
            activity_arn: activity_arn.clone(),
            timeout: seconds(state.get("TimeoutSeconds")),
            heartbeat: seconds(state.get("HeartbeatSeconds")),
            identity_from_context: match is_jsonata(state, jsonata) {
                true => identity_from_context(state.get("Arguments"), in_map, IDENTITY_JSONATA, is_expression),
                false => identity_from_context(state.get("Parameters"), in_map, IDENTITY, is_path),
            },
            retries_lost: retries_lost(state),
        });
    });
    found
}

/// The HeartbeatSeconds of the state that a task of an activity is of. Where the task does not name its state, the shortest
/// of all that wait for the activity: a heartbeat that is too early does no harm.
#[must_use]
pub fn heartbeat(steps: &[Step], activity_arn: &str, state: Option<&str>) -> Option<SignedDuration> {
    let of_activity = || steps.iter().filter(|step| step.activity_arn == activity_arn);
    match of_activity().find(|step| Some(step.state.as_str()) == state) {
        Some(step) => step.heartbeat,
        None => of_activity().filter_map(|step| step.heartbeat).min(),
    }
}

/// The Resources of all Task states, whatever they do.
pub(super) fn task_resources(definition: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_str::<Value>(definition) {
        walk(&value, false, &mut |_, state, _| {
            found.push(state.get("Resource").and_then(Value::as_str).unwrap_or_default().to_owned());
        });
    }
    found
}

/// Calls `visit` with each Task state: its name, itself, and whether it is inside a Map.
fn walk<'a>(machine: &'a Value, in_map: bool, visit: &mut dyn FnMut(&'a str, &'a Value, bool)) {
    let Some(states) = machine.get("States").and_then(Value::as_object) else { return };
    for (name, state) in states {
        match state.get("Type").and_then(Value::as_str) {
            Some("Task") => visit(name, state, in_map),
            Some("Parallel") => {
                for branch in state.get("Branches").and_then(Value::as_array).into_iter().flatten() {
                    walk(branch, in_map, visit);
                }
            }
            Some("Map") => {
                for processor in ["ItemProcessor", "Iterator"].iter().filter_map(|field| state.get(field)) {
                    walk(processor, true, visit);
                }
            }
            _ => {}
        }
    }
}

fn is_jsonata(value: &Value, default: bool) -> bool {
    value.get("QueryLanguage").and_then(Value::as_str).map_or(default, |language| language == "JSONata")
}

/// A lost heartbeat is documented as one error and was seen as the other: both have to be caught.
fn retries_lost(state: &Value) -> bool {
    let retriers = state.get("Retry").and_then(Value::as_array).into_iter().flatten();
    let names = |error: &str| {
        retriers.clone().any(|retrier| {
            let caught = retrier.get("ErrorEquals").and_then(Value::as_array).into_iter().flatten();
            let attempts = retrier.get("MaxAttempts").and_then(Value::as_i64);
            attempts != Some(0) && caught.filter_map(Value::as_str).any(|name| name == error || name == "States.ALL")
        })
    };
    names("States.Timeout") && (names("States.HeartbeatTimeout") || names("States.TaskFailed"))
}

fn seconds(value: Option<&Value>) -> Option<SignedDuration> {
    value?.as_i64().filter(|seconds| *seconds > 0).map(SignedDuration::from_secs)
}

fn identity_from_context(
    payload: Option<&Value>,
    in_map: bool,
    identity: [(&str, &str); 3],
    is: fn(&Map<String, Value>, &str, &str) -> bool,
) -> bool {
    let Some(approve) = payload.and_then(|payload| payload.get("approve")?.as_object()) else { return false };
    let has_key = |name: &str| approve.contains_key(name) || approve.contains_key(&format!("{name}.$"));
    identity.iter().all(|(name, path)| is(approve, name, path)) && (!in_map || has_key("key"))
}

fn is_path(approve: &Map<String, Value>, name: &str, path: &str) -> bool {
    !approve.contains_key(name) && approve.get(&format!("{name}.$")).and_then(Value::as_str) == Some(path)
}

fn is_expression(approve: &Map<String, Value>, name: &str, path: &str) -> bool {
    let text = approve.get(name).and_then(Value::as_str).unwrap_or_default();
    let inside = text.strip_prefix("{%").and_then(|text| text.strip_suffix("%}"));
    inside.map(str::trim) == Some(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provision::reference;

    const ARN: &str = "arn:aws:states:eu-central-1:123456789012:activity:A";

    fn arns() -> Vec<String> {
        vec![ARN.to_owned()]
    }

    fn task(approve: &Value) -> Value {
        json!({"Type": "Task", "Resource": ARN, "HeartbeatSeconds": 60, "End": true,
               "Parameters": {"approve": approve, "input.$": "$"}})
    }

    fn from_context() -> Value {
        json!({"execution.$": "$$.Execution.Id", "state.$": "$$.State.Name", "entered_at.$": "$$.State.EnteredTime"})
    }

    fn vouched(approve: &Value) -> bool {
        let definition = json!({"StartAt": "S", "States": {"S": task(approve)}});
        steps(&definition.to_string(), &arns())[0].identity_from_context
    }

    #[test]
    fn a_task_that_names_no_state_has_the_shortest_heartbeat_of_its_activity() {
        let state = |arn: &str, heartbeat: u32, next: &str| {
            format!(r#"{{"Type": "Task", "Resource": "{arn}", "HeartbeatSeconds": {heartbeat}, "Next": "{next}"}}"#)
        };
        let (a, b, c) = (state("one", 60, "B"), state("one", 20, "C"), state("two", 10, "D"));
        let definition = format!(
            r#"{{"StartAt": "A", "States": {{"A": {a}, "B": {b}, "C": {c},
                "D": {{"Type": "Task", "Resource": "three", "End": true}}}}}}"#
        );
        let steps = steps(&definition, &["one".to_owned(), "two".to_owned(), "three".to_owned()]);
        let heartbeat = |arn, state| heartbeat(&steps, arn, state).map(|span| span.as_secs());
        assert_eq!(heartbeat("one", None), Some(20));
        assert_eq!(heartbeat("one", Some("A")), Some(60));
        assert_eq!(heartbeat("one", Some("C")), Some(20), "that state waits for another activity");
        assert_eq!(heartbeat("two", None), Some(10));
        assert_eq!(heartbeat("three", None), None);
    }

    #[test]
    fn the_reference_definition_has_one_step_that_can_be_believed() {
        let (timeout, heartbeat) = (SignedDuration::from_secs(300), SignedDuration::from_secs(60));
        let definition = reference("W", ARN, timeout, heartbeat).to_string();
        let step = Step {
            state: "ApprovalStep".to_owned(),
            activity_arn: ARN.to_owned(),
            timeout: Some(timeout),
            heartbeat: Some(heartbeat),
            identity_from_context: true,
            retries_lost: true,
        };
        assert_eq!(steps(&definition, &arns()), [step]);
        assert_eq!(steps(&definition, &["arn:aws:states:eu-central-1:123456789012:activity:other".to_owned()]), []);
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
    fn identity_is_believed_in_jsonata_too() {
        let state = |entered: &str| {
            json!({"Type": "Task", "Resource": ARN, "End": true, "Arguments": {"approve": {
                "execution": "{% $states.context.Execution.Id %}", "state": "{%$states.context.State.Name%}",
                "entered_at": entered}}})
        };
        let believed = |language: &str, state: Value| {
            let definition = json!({"QueryLanguage": language, "StartAt": "S", "States": {"S": state}});
            steps(&definition.to_string(), &arns())[0].identity_from_context
        };
        let good = state("{% $states.context.State.EnteredTime %}");
        assert!(believed("JSONata", good.clone()));
        assert!(!believed("JSONPath", good.clone()), "then it is plain text");
        assert!(!believed("JSONata", state("{% $states.input.at %}")));
        assert!(!believed("JSONata", task(&from_context())), "JSONata has no Parameters");
        let mut own = good;
        own["QueryLanguage"] = json!("JSONata");
        assert!(believed("JSONPath", own));
    }

    #[test]
    fn a_retry_has_to_catch_both_errors() {
        let retries = |retry: Value| {
            let state = json!({"Type": "Task", "Resource": ARN, "End": true, "Retry": retry});
            let definition = json!({"StartAt": "S", "States": {"S": state}});
            steps(&definition.to_string(), &arns())[0].retries_lost
        };
        for caught in [json!(["States.ALL"]), json!(["States.Timeout", "States.HeartbeatTimeout"])] {
            assert!(retries(json!([{"ErrorEquals": caught}])), "{caught}");
            assert!(!retries(json!([{"ErrorEquals": caught, "MaxAttempts": 0}])), "{caught}");
        }
        assert!(!retries(json!([{"ErrorEquals": ["States.HeartbeatTimeout"]}])));
        assert!(!retries(json!([])));
    }

    #[test]
    fn an_approve_block_that_comes_from_input_is_not_believed() {
        let whole = json!({"StartAt": "S", "States": {"S": {
            "Type": "Task", "Resource": ARN, "End": true, "Parameters": {"approve.$": "$.approve"}}}});
        assert!(!steps(&whole.to_string(), &arns())[0].identity_from_context);
        let bare = json!({"StartAt": "S", "States": {"S": {"Type": "Task", "Resource": ARN, "End": true}}});
        let step = &steps(&bare.to_string(), &arns())[0];
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
        let found = steps(&definition.to_string(), &arns());
        let told: Vec<_> = found.iter().map(|step| (step.state.as_str(), step.identity_from_context)).collect();
        assert_eq!(told, [("P1", true), ("I", true), ("K", false)]);
    }

    #[test]
    fn times_from_input_are_unknown() {
        let definition = json!({"StartAt": "S", "States": {"S": {
            "Type": "Task", "Resource": ARN, "End": true, "TimeoutSecondsPath": "$.t", "HeartbeatSeconds": "{% $h %}"}}});
        let step = &steps(&definition.to_string(), &arns())[0];
        assert_eq!((step.timeout, step.heartbeat), (None, None));
    }

    #[test]
    fn what_is_no_definition_has_no_steps() {
        for text in ["", "[]", "{\"States\": 1}", "{\"States\": {\"S\": null, \"P\": {\"Type\": \"Parallel\"}}}"] {
            assert_eq!(steps(text, &arns()), [], "{text}");
        }
    }
}
