//! How data flows through a state: paths, templates, results, choices.

use serde_json::{Value, json};
use sfn_local::engine::ExecutionStatus;

use crate::support::Account;

/// Runs one Pass state with these fields; its output, or its error and cause.
fn pass(fields: &Value, input: &str) -> String {
    let mut account = Account::new();
    let mut state = json!({"Type": "Pass", "End": true});
    state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let execution = account.run(&json!({"P": state}), input);
    match account.status(&execution) {
        ExecutionStatus::Succeeded => account.output(&execution),
        _ => account.failure(&execution).0,
    }
}

#[test]
fn the_fields_of_a_state_apply_in_order() {
    let input = r#"{"a":{"b":1200.50},"c":[1,2]}"#;
    for (fields, output) in [
        (json!({}), input),
        (json!({"InputPath": "$.a"}), r#"{"b":1200.50}"#),
        (json!({"InputPath": null}), "{}"),
        (json!({"OutputPath": "$.c[1]"}), "2"),
        (json!({"OutputPath": null}), "{}"),
        (json!({"Result": {"r": 1}}), r#"{"r":1}"#),
        (json!({"Result": 7, "ResultPath": "$.r.s"}), r#"{"a":{"b":1200.50},"c":[1,2],"r":{"s":7}}"#),
        (json!({"Result": 7, "ResultPath": "$.a.b"}), r#"{"a":{"b":7},"c":[1,2]}"#),
        (json!({"Result": 7, "ResultPath": null}), input),
        (json!({"InputPath": "$.a", "Parameters": {"x.$": "$.b", "y": "$.b"}}), r#"{"x":1200.50,"y":"$.b"}"#),
        (json!({"Parameters": {"l": [{"n.$": "$.c[0]"}, 5]}}), r#"{"l":[{"n":1},5]}"#),
        (json!({"Parameters": {"all.$": "$.c[*]"}, "ResultPath": "$.p", "OutputPath": "$.p.all"}), "[1,2]"),
        (json!({"Parameters": {"m.$": "States.Format('{}!', $.a.b)"}}), r#"{"m":"1200.50!"}"#),
        (json!({"InputPath": "$.none"}), "States.Runtime"),
        (json!({"Parameters": {"x.$": "$.none"}}), "States.Runtime"),
        (json!({"OutputPath": "$.none"}), "States.Runtime"),
        (json!({"Result": 1, "ResultPath": "$.c.x"}), "States.ResultPathMatchFailure"),
        (json!({"Parameters": {"x.$": "States.MathAdd('1', 1)"}}), "States.IntrinsicFailure"),
    ] {
        assert_eq!(pass(&fields, input), output, "{fields}");
    }
}

#[test]
fn what_no_state_touches_keeps_its_spelling() {
    let text = "{ \"big\": 123456789012345678901234567890.10,\n \"e\": 1E+2, \"z\": 1.0, \"ä\": \"\\u00e4\" }";
    assert_eq!(pass(&json!({}), text), text);
    assert_eq!(
        pass(&json!({"ResultPath": null, "Result": 1, "OutputPath": "$.big"}), text),
        "123456789012345678901234567890.10"
    );
}

#[test]
fn a_tasks_result_is_selected_and_placed() {
    let mut account = Account::new();
    let state = account.task(&json!({
        "InputPath": "$.in",
        "Parameters": {"n.$": "$.n"},
        "ResultSelector": {"who.$": "$.decided_by", "at.$": "$$.State.Name"},
        "ResultPath": "$.approval",
    }));
    let execution = account.run(&json!({"T": state}), r#"{"in":{"n":0.10},"other":true}"#);
    let task = account.take().unwrap();
    assert_eq!(task.input.to_string(), r#"{"n":0.10}"#);
    account.succeed(&task.token, r#"{"decided_by":"ann","x":1}"#).unwrap();
    assert_eq!(account.output(&execution), r#"{"in":{"n":0.10},"other":true,"approval":{"who":"ann","at":"T"}}"#);
}

#[test]
fn the_context_object_has_what_aws_documents() {
    let mut account = Account::new();
    let state = json!({"Type": "Pass", "Parameters": {"c.$": "$$"}, "OutputPath": "$.c", "End": true});
    let execution = account.run(&json!({"P": state}), r#"{"n":1.50}"#);
    let name = execution.rsplit(':').next().unwrap().to_owned();
    assert_eq!(
        account.output(&execution),
        format!(
            r#"{{"Execution":{{"Id":"{execution}","Input":{{"n":1.50}},"StartTime":"2026-01-02T03:04:05.678Z","Name":"{name}","RoleArn":"arn:aws:iam::000000000000:role/R","RedriveCount":0}},"StateMachine":{{"Id":"arn:aws:states:us-east-1:000000000000:stateMachine:M0","Name":"M0"}},"State":{{"Name":"P","EnteredTime":"2026-01-02T03:04:05.678Z","RetryCount":0}}}}"#
        )
    );
}

#[test]
fn choices_follow_the_first_rule_that_holds() {
    let input = r#"{"s":"b","n":1200.50,"m":1200.5,"t":true,"nil":null,"at":"2026-01-01T00:00:00Z","later":"2026-01-01T01:00:01+01:00","list":[1]}"#;
    for (rule, expected) in [
        (json!({"Variable": "$.s", "StringEquals": "b"}), true),
        (json!({"Variable": "$.s", "StringLessThan": "c"}), true),
        (json!({"Variable": "$.s", "StringGreaterThanEquals": "c"}), false),
        (json!({"Variable": "$.s", "StringMatches": "b*"}), true),
        (json!({"Variable": "$.s", "StringEqualsPath": "$.s"}), true),
        (json!({"Variable": "$.n", "NumericEquals": 1200.5}), true),
        (json!({"Variable": "$.n", "NumericEqualsPath": "$.m"}), true),
        (json!({"Variable": "$.n", "NumericLessThan": 1200.5}), false),
        (json!({"Variable": "$.n", "NumericLessThanEquals": 1200.5}), true),
        (json!({"Variable": "$.n", "NumericGreaterThan": 9}), true),
        (json!({"Variable": "$.s", "NumericEquals": 1}), false),
        (json!({"Variable": "$.t", "BooleanEquals": true}), true),
        (json!({"Variable": "$.t", "BooleanEqualsPath": "$.t"}), true),
        (json!({"Variable": "$.at", "TimestampLessThan": "2026-01-01T00:00:00.5Z"}), true),
        (json!({"Variable": "$.at", "TimestampLessThanPath": "$.later"}), true),
        (json!({"Variable": "$.at", "TimestampEquals": "2026-01-01T01:00:00+01:00"}), true),
        (json!({"Variable": "$.nil", "IsNull": true}), true),
        (json!({"Variable": "$.none", "IsPresent": false}), true),
        (json!({"Variable": "$.nil", "IsPresent": true}), true),
        (json!({"Variable": "$.n", "IsNumeric": true}), true),
        (json!({"Variable": "$.s", "IsString": true}), true),
        (json!({"Variable": "$.t", "IsBoolean": false}), false),
        (json!({"Variable": "$.at", "IsTimestamp": true}), true),
        (json!({"Variable": "$.s", "IsTimestamp": true}), false),
        (json!({"Not": {"Variable": "$.s", "StringEquals": "b"}}), false),
        (
            json!({"And": [{"Variable": "$.none", "IsPresent": true}, {"Variable": "$.none", "NumericEquals": 1}]}),
            false,
        ),
        (json!({"Or": [{"Variable": "$.t", "BooleanEquals": true}, {"Variable": "$.none", "NumericEquals": 1}]}), true),
        (json!({"Variable": "$$.State.Name", "StringEquals": "C"}), true),
    ] {
        let mut account = Account::new();
        let mut first = rule.clone();
        first.as_object_mut().unwrap().insert("Next".to_owned(), json!("Yes"));
        let states = json!({
            "C": {"Type": "Choice", "Choices": [first], "Default": "No"},
            "Yes": {"Type": "Pass", "Result": true, "End": true},
            "No": {"Type": "Pass", "Result": false, "End": true},
        });
        let execution = account.run(&states, input);
        assert_eq!(account.output(&execution), expected.to_string(), "{rule}");
    }
}

#[test]
fn a_choice_without_a_way_out_fails() {
    let mut account = Account::new();
    let states = json!({
        "C": {"Type": "Choice", "Choices": [{"Variable": "$.x", "NumericEquals": 1, "Next": "D"}]},
        "D": {"Type": "Succeed"},
    });
    let execution = account.run(&states, r#"{"x":2}"#);
    assert_eq!(account.failure(&execution).0, "States.NoChoiceMatched");
    let execution = account.run(&states, "{}");
    assert_eq!(
        account.failure(&execution),
        (
            "States.Runtime".to_owned(),
            "An error occurred while executing the state 'C' (entered at the event id #2). Invalid path '$.x': The \
             choice state's condition path references an invalid value."
                .to_owned()
        )
    );
}

#[test]
fn fail_states_say_what_they_are_told() {
    let mut account = Account::new();
    let execution = account.run(&json!({"F": {"Type": "Fail", "Error": "E", "Cause": "C"}}), "{}");
    assert_eq!(account.failure(&execution), ("E".to_owned(), "C".to_owned()));
    assert_eq!(account.history(&execution)[1..], ["2<0 FailStateEntered", "3<2 ExecutionFailed"]);
    let states = json!({"F": {"Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.Format('no: {}', $.c)"}});
    let execution = account.run(&states, r#"{"e":"Err","c":1.0}"#);
    assert_eq!(account.failure(&execution), ("Err".to_owned(), "no: 1.0".to_owned()));
    let execution = account.run(&states, r#"{"e":1,"c":1}"#);
    assert_eq!(account.failure(&execution).0, "States.Runtime");
}

#[test]
fn a_runtime_error_is_not_caught() {
    let mut account = Account::new();
    let state = account.task(&json!({
        "Parameters": {"x.$": "$.none"},
        "Retry": [{"ErrorEquals": ["States.ALL"]}],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "D"}],
    }));
    let execution = account.run(&json!({"T": state, "D": {"Type": "Succeed"}}), "{}");
    assert_eq!(account.failure(&execution).0, "States.Runtime");
}

#[test]
fn payloads_over_the_limit_fail_the_state() {
    let mut account = Account::new();
    let double = json!({"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "End": true});
    let execution = account.run(&json!({"P": double}), &format!("\"{}\"", "x".repeat(150_000)));
    assert_eq!(account.failure(&execution).0, "States.DataLimitExceeded");
}

#[test]
fn a_machine_that_never_stops_ends_at_the_event_limit() {
    let mut account = Account::new();
    let states = json!({
        "A": {"Type": "Pass", "Next": "B"},
        "B": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": false, "Next": "A"}], "Default": "C"},
        "C": {"Type": "Succeed"},
    });
    let execution = account.run(&states, "{}");
    assert_eq!(account.status(&execution), ExecutionStatus::Failed);
    assert!(account.failure(&execution).1.contains("25000"));
    assert!(account.history(&execution).len() <= 25_005);
}
