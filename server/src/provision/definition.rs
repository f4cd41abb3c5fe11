//! Definitions in Amazon States Language: the reference one, and the user's own with the activity put in.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::{
    FieldChange, ProvisionError, Spec,
    placeholders::{ACTIVITY_ARN, Placeholders},
    steps::steps,
};

/// How much of a differing value is told, in characters.
const MAX_SHOWN: usize = 60;

/// The reference definition: ApprovalStep, a Task on the activity, then NextStep, a Pass. A task that is lost with its
/// worker is handed out again, and says whose it is from the context object, which input can't forge.
#[must_use]
pub fn reference(workflow: &str, activity_arn: &str, timeout: SignedDuration, heartbeat: SignedDuration) -> Value {
    json!({
        "Comment": "A human approval.",
        "StartAt": "ApprovalStep",
        "States": {
            "ApprovalStep": {
                "Type": "Task",
                "Resource": activity_arn,
                "Parameters": {
                    "approve": {
                        "title": format!("Approval for {workflow}"),
                        "execution.$": "$$.Execution.Id",
                        "state_machine.$": "$$.StateMachine.Id",
                        "state.$": "$$.State.Name",
                        "entered_at.$": "$$.State.EnteredTime",
                        "attempt.$": "$$.State.RetryCount",
                    },
                    "input.$": "$",
                },
                "TimeoutSeconds": timeout.as_secs(),
                "HeartbeatSeconds": heartbeat.as_secs(),
                "Retry": [{
                    "ErrorEquals": ["States.HeartbeatTimeout", "States.Timeout"],
                    "IntervalSeconds": 1,
                    "MaxAttempts": 99,
                    "BackoffRate": 1.5,
                    "MaxDelaySeconds": 30,
                }],
                "Next": "NextStep",
            },
            "NextStep": {
                "Type": "Pass",
                "End": true,
            },
        },
    })
}

/// The text of the definition that a spec asks for.
pub(super) fn desired(spec: &Spec, activity_arn: &str) -> String {
    let machine = &spec.state_machine;
    match &machine.definition {
        Some(definition) => Placeholders::new(spec, activity_arn).substitute(definition),
        None => format!("{:#}", reference(&spec.name, activity_arn, machine.timeout, machine.heartbeat)),
    }
}

/// The definition that a spec asks for before it is known where it will be.
pub(super) fn unresolved(spec: &Spec) -> String {
    let machine = &spec.state_machine;
    let reference = || format!("{:#}", reference(&spec.name, ACTIVITY_ARN, machine.timeout, machine.heartbeat));
    machine.definition.clone().unwrap_or_else(reference)
}

/// Refuses a definition that no state machine could have, or that waits for nobody.
pub(super) fn check(definition: &str) -> Result<(), ProvisionError> {
    let invalid = |location: String, message: &str| {
        Err(ProvisionError::InvalidDefinition { location, message: message.to_owned() })
    };
    let value: Value = match serde_json::from_str(definition) {
        Ok(value) => value,
        Err(error) => {
            return invalid(
                format!("line {} column {}", error.line(), error.column()),
                &format!("expected JSON: {error}"),
            );
        }
    };
    let Some(top) = value.as_object() else {
        return invalid("/".to_owned(), "expected an object with StartAt and States");
    };
    let start = top.get("StartAt").and_then(Value::as_str);
    let states = top.get("States").and_then(Value::as_object);
    match (start, states) {
        (None, _) => invalid("/StartAt".to_owned(), "expected the name of a state"),
        (_, None) => invalid("/States".to_owned(), "expected an object of states"),
        (Some(start), Some(states)) if !states.contains_key(start) => {
            invalid("/StartAt".to_owned(), &format!("there is no state {start:?}"))
        }
        _ => Ok(()),
    }
}

/// Refuses a definition none of whose states is a Task on an activity of the workflow. Before the activity is there, its
/// name has to do.
pub(super) fn check_waits(spec: &Spec, activity_arn: Option<&str>) -> Result<(), ProvisionError> {
    let Some(text) = &spec.state_machine.definition else { return Ok(()) };
    let waits = match activity_arn {
        Some(arn) => !steps(&desired(spec, arn), &spec.activity_arns(arn)).is_empty(),
        None => {
            let named = |name: &str| text.contains(&format!(":activity:{name}\""));
            text.contains("${activity_arn") || spec.activity_names().any(named)
        }
    };
    if waits {
        return Ok(());
    }
    let message = format!("no state is a Task on the activity; give one the \"Resource\" \"{ACTIVITY_ARN}\"");
    Err(ProvisionError::InvalidDefinition { location: "/States".to_owned(), message })
}

/// In what two JSON texts differ, by value: order and white space mean nothing.
pub(super) fn differences(field: &str, observed: &str, desired: &str) -> Vec<FieldChange> {
    let (observed, desired): (Option<Value>, Option<Value>) =
        (serde_json::from_str(observed).ok(), serde_json::from_str(desired).ok());
    let mut all = Vec::new();
    compare(field, observed.as_ref(), desired.as_ref(), &mut all);
    all
}

fn compare(path: &str, from: Option<&Value>, to: Option<&Value>, all: &mut Vec<FieldChange>) {
    match (from, to) {
        (Some(from), Some(to)) if from == to => {}
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            for key in keys(from, to) {
                compare(&format!("{path}/{}", escape(key)), from.get(key), to.get(key), all);
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) => {
            for at in 0..from.len().max(to.len()) {
                compare(&format!("{path}/{at}"), from.get(at), to.get(at), all);
            }
        }
        (from, to) => {
            all.push(FieldChange { field: path.to_owned(), from: from.map(shown), to: to.map(shown) });
        }
    }
}

fn keys<'a>(from: &'a Map<String, Value>, to: &'a Map<String, Value>) -> impl Iterator<Item = &'a String> {
    from.keys().chain(to.keys().filter(|key| !from.contains_key(*key)))
}

/// A key as part of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    let mut cut: String = text.chars().take(MAX_SHOWN).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:states:eu-central-1:123456789012:activity:HumanApprovalActivity";

    #[test]
    fn the_reference_definition_has_the_promised_facts() {
        let definition: Value = serde_json::from_str(&desired(&Spec::reference(), ARN)).unwrap();
        let step = &definition["States"]["ApprovalStep"];
        assert_eq!(step["Type"], "Task");
        assert_eq!(step["Resource"], ARN);
        assert_eq!(step["TimeoutSeconds"].to_string(), "300");
        assert_eq!(step["HeartbeatSeconds"].to_string(), "60");
        assert_eq!(step["Next"], "NextStep");
        assert_eq!(step["Parameters"]["input.$"], "$");
        assert_eq!(step["Retry"][0]["ErrorEquals"], json!(["States.HeartbeatTimeout", "States.Timeout"]));
        assert_eq!(definition["States"]["NextStep"], json!({"Type": "Pass", "End": true}));
        assert_eq!(definition["StartAt"], "ApprovalStep");
        check(&definition.to_string()).unwrap();
        check_waits(&Spec::reference(), Some(ARN)).unwrap();
    }

    #[test]
    fn definitions_are_compared_by_value() {
        let one = r#"{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}"#;
        let same = r#"{"States":{"A":{"End":true,"Type":"Pass"}},"StartAt":"A"}"#;
        assert_eq!(differences("definition", one, same), []);
    }

    #[test]
    fn differences_are_told_by_path() {
        let from = r#"{"States":{"A":{"TimeoutSeconds":300,"Retry":[1]},"B/C":{}}}"#;
        let to = r#"{"States":{"A":{"TimeoutSeconds":600,"Retry":[1,2]}}}"#;
        let told: Vec<String> = differences("definition", from, to).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "definition/States/A/TimeoutSeconds: 300 → 600",
                "definition/States/A/Retry/1: added 2",
                "definition/States/B~1C: removed {}",
            ]
        );
    }

    #[test]
    fn what_is_no_definition_is_refused_with_its_place() {
        let refused = [
            ("{\n  \"StartAt\" 1}", "line 2 column 13"),
            ("[]", "/"),
            ("{}", "/StartAt"),
            (r#"{"StartAt":"A"}"#, "/States"),
            (r#"{"StartAt":"A","States":{}}"#, "/StartAt"),
        ];
        for (text, place) in refused {
            let ProvisionError::InvalidDefinition { location, .. } = check(text).unwrap_err() else { panic!("{text}") };
            assert_eq!(location, place, "{text}");
        }
    }

    #[test]
    fn a_definition_that_waits_for_nobody_is_refused() {
        let mut spec = Spec::reference();
        for (text, waits) in [
            (r#"{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}"#, false),
            (r#"{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"${activity_arn}","End":true}}}"#, true),
            (r#"{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"ARN","End":true}}}"#, true),
        ] {
            spec.state_machine.definition = Some(text.replace("ARN\"", &format!("{ARN}\"")));
            for known in [None, Some(ARN)] {
                let outcome = check_waits(&spec, known);
                assert_eq!(outcome.is_ok(), waits, "{text} {known:?}");
                if let Err(error) = outcome {
                    assert!(error.to_string().contains("${activity_arn}"), "{error}");
                }
            }
        }
    }
}
