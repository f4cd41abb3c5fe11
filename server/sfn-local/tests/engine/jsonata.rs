//! States whose query language is JSONata.

use serde_json::{Map, Value, json};
use sfn_local::{asl, engine::ExecutionStatus};

use crate::support::Account;

fn machine(states: &Value) -> Value {
    json!({"QueryLanguage": "JSONata", "StartAt": states.as_object().unwrap().keys().next().unwrap(), "States": states})
}

fn run(account: &mut Account, states: &Value, input: &str) -> String {
    let name = format!("J{}", account.engine.list_state_machines("us-east-1", account.now).len());
    let machine = account.create(&name, &machine(states)).unwrap();
    account.start(&machine, input)
}

/// The output of one Pass with this `Output`, or its error and cause.
fn output(output: &Value, input: &str) -> Result<String, (String, String)> {
    let mut account = Account::new();
    let execution = run(&mut account, &json!({"P": {"Type": "Pass", "Output": output, "End": true}}), input);
    match account.status(&execution) {
        ExecutionStatus::Succeeded => Ok(account.output(&execution)),
        _ => Err(account.failure(&execution)),
    }
}

#[test]
fn outputs_are_computed() {
    let input =
        r#"{"items":[{"n":"a","p":1200.50},{"n":"b","p":3}],"name":"ann","big":123456789012345678901234567890.10}"#;
    for (template, expected) in [
        (json!("{% $states.input.name %}"), r#""ann""#),
        (json!("{%$states.input.items[p > 5].n%}"), r#""a""#),
        (
            json!({"total": "{% $sum($states.input.items.p) %}", "plain": "$.name", "n": [1.0, "{% 1 + 1 %}"]}),
            r#"{"total":1203.5,"plain":"$.name","n":[1.0,2]}"#,
        ),
        (
            json!("{% {'amount': $states.input.items[0].p, 'big': $states.input.big} %}"),
            r#"{"amount":1200.50,"big":123456789012345678901234567890.10}"#,
        ),
        (json!("{% $states.input.items %}"), r#"[{"n":"a","p":1200.50},{"n":"b","p":3}]"#),
        (json!("{% $uppercase($states.input.name) & '!' %}"), r#""ANN!""#),
        (json!("{% $states.context.State.Name %}"), r#""P""#),
        (json!("{% $states.input.missing ? 1 : 2 %}"), "2"),
        (json!("{% $now() %}"), r#""2026-01-02T03:04:05.678Z""#),
        (json!("{% $now('[Y]') %}"), r#""2026""#),
        (json!("{% $millis() %}"), "1767323045678"),
        (json!("{% $partition([1,2,3,4,5], 2) %}"), "[[1,2],[3,4],[5]]"),
        (json!("{% $range(0, 10, 5) %}"), "[0,5,10]"),
        (json!("{% $hash('input data', 'SHA-1') %}"), r#""aaff4a450a104cd177d28d18d74485e8cae074b7""#),
        (json!("{% $parse('{\"a\":1.10}') %}"), r#"{"a":1.10}"#),
        (json!("{% $random() < 1 and $random(7) = $random(7) %}"), "true"),
        (json!("{% $length($uuid()) %}"), "36"),
        (json!("{% ($f := function($x) { $x * 2 }; $map([1,2], $f)) %}"), "[2,4]"),
        (json!(null), "null"),
        (json!(7), "7"),
    ] {
        assert_eq!(output(&template, input).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn what_goes_wrong_in_an_expression_has_its_own_error() {
    for (template, cause) in [
        (
            json!("{% $states.input.none %}"),
            "The JSONata expression '$states.input.none' specified for the field 'Output' returned nothing (undefined).",
        ),
        (
            json!({"a": [{"b": "{% 'x' + 1 %}"}]}),
            "specified for the field 'Output/a[0]/b' threw an error during evaluation. T2001",
        ),
        (json!("{% function($x) { $x } %}"), "returned an unsupported result type."),
        (json!("{% 1 / 0 %}"), "threw an error during evaluation. D1001"),
        (json!("{% $states.input.amounts[0] %}"), "differ only beyond the precision"),
        (json!("{% $nothing() %}"), "threw an error during evaluation. T1006"),
        (json!("{% ($f := function($n) { 1 + $f($n + 1) }; $f(1)) %}"), "threw an error during evaluation."),
    ] {
        let (error, found) = output(&template, r#"{"amounts":[9007199254740992,9007199254740993]}"#).unwrap_err();
        assert_eq!(error, "States.QueryEvaluationError", "{template}");
        assert!(
            found.starts_with("An error occurred while executing the state 'P' (entered at the event id #2). "),
            "{found}"
        );
        assert!(found.contains(cause), "{template}: {found}");
    }
}

#[test]
fn a_failed_evaluation_is_an_event_and_can_be_caught() {
    let mut account = Account::new();
    let task = account.task(&json!({
        "Output": "{% $states.result.none %}",
        "Catch": [{
            "ErrorEquals": ["States.QueryEvaluationError"],
            "Assign": {"error": "{% $states.errorOutput.Error %}"},
            "Output": "{% $states.errorOutput.Error & '!' %}",
            "Next": "D",
        }],
    }));
    let states = json!({"T": task, "D": {"Type": "Pass", "Output": "{% [$states.input, $error] %}", "End": true}});
    let execution = run(&mut account, &states, "{}");
    let token = account.take().unwrap().token;
    account.succeed(&token, "{}").unwrap();
    assert_eq!(account.output(&execution), r#"["States.QueryEvaluationError!","States.QueryEvaluationError"]"#);
    assert_eq!(
        account.history(&execution)[4..7],
        ["5<4 ActivitySucceeded", "6<5 EvaluationFailed", "7<6 TaskStateExited"]
    );
    let events = account.engine.execution_history(&execution, account.now).unwrap();
    let details = &events[5].to_json(6, true)["evaluationFailedEventDetails"];
    assert_eq!((&details["location"], &details["state"]), (&json!("Output"), &json!("T")));
    assert_eq!(details["error"], "States.QueryEvaluationError");
}

#[test]
fn every_state_type_takes_expressions() {
    let mut account = Account::new();
    let task = account.task(&json!({
        "Arguments": {"n": "{% $states.input.n %}"},
        "TimeoutSeconds": "{% $states.input.t * 2 %}",
        "HeartbeatSeconds": "{% 10 %}",
        "Assign": {"answer": "{% $states.result.ok %}"},
        "Output": "{% {'seconds': 2, 'items': [1, 2.50], 'ok': $states.result.ok} %}",
        "Next": "W",
    }));
    let states = json!({
        "T": task,
        "W": {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "Next": "C"},
        "C": {"Type": "Choice", "Default": "F", "Choices": [
            {"Condition": "{% $answer = false %}", "Next": "F"},
            {"Condition": "{% $answer %}", "Assign": {"chosen": 2}, "Output": "{% $states.input.items %}", "Next": "M"},
        ]},
        "F": {"Type": "Fail", "Error": "{% 'E' & $string($answer) %}", "Cause": "plain"},
        "M": {
            "Type": "Map",
            "Items": "{% $append($states.input, $chosen) %}",
            "ItemSelector": {"i": "{% $states.context.Map.Item.Index %}", "v": "{% $states.context.Map.Item.Value %}"},
            "MaxConcurrency": "{% 1 %}",
            "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Pass", "Output": "{% $states.input.v * $chosen %}", "End": true}}},
            "Output": "{% $sum($states.result) %}",
            "Next": "P",
        },
        "P": {
            "Type": "Parallel",
            "Arguments": "{% $states.input + 1 %}",
            "Branches": [{"StartAt": "B", "States": {"B": {"Type": "Succeed", "Output": {"got": "{% $states.input %}"}}}}],
            "Next": "S",
        },
        "S": {"Type": "Succeed", "Output": "{% $states.input[0].got %}"},
    });
    let execution = run(&mut account, &states, r#"{"n":1200.50,"t":30}"#);
    let task = account.take().unwrap();
    assert_eq!(task.input.to_string(), r#"{"n":1200.50}"#);
    assert_eq!(account.next_in(), Some(10.0));
    account.heartbeat(&task.token).unwrap();
    account.succeed(&task.token, r#"{"ok":true}"#).unwrap();
    assert_eq!(account.next_in(), Some(2.0));
    account.advance(2.0);
    assert_eq!(account.output(&execution), "12");
    let execution = run(&mut account, &states, r#"{"n":1,"t":30}"#);
    let task = account.take().unwrap();
    account.succeed(&task.token, r#"{"ok":false}"#).unwrap();
    account.advance(2.0);
    assert_eq!(account.failure(&execution), ("Efalse".to_owned(), "plain".to_owned()));
}

#[test]
fn results_of_another_type_than_the_field_takes_fail_it() {
    let mut account = Account::new();
    for (state, expected) in [
        (
            json!({"Type": "Wait", "Seconds": "{% 'x' %}", "End": true}),
            "Expected 'Integer from 0 to 99999999', but was 'string' for value: \"x\"",
        ),
        (json!({"Type": "Wait", "Seconds": "{% -1 %}", "End": true}), "but was 'number' for value: -1"),
        (json!({"Type": "Wait", "Timestamp": "{% 'now' %}", "End": true}), "Expected 'timestamp'"),
        (
            json!({"Type": "Choice", "Default": "S", "Choices": [{"Condition": "{% 1 %}", "Next": "S"}]}),
            "Expected 'boolean'",
        ),
        (json!({"Type": "Fail", "Error": "{% 1 %}"}), "Expected 'string'"),
        (
            json!({"Type": "Map", "Items": "{% 1 %}", "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}, "End": true}),
            "Expected 'array'",
        ),
    ] {
        let states = match state["Type"].as_str() {
            Some("Choice") => json!({"A": state, "S": {"Type": "Succeed"}}),
            _ => json!({"A": state}),
        };
        let execution = run(&mut account, &states, "{}");
        let (error, cause) = account.failure(&execution);
        assert_eq!(error, "States.QueryEvaluationError", "{state}");
        assert!(cause.contains(expected), "{cause}");
    }
}

#[test]
fn a_machine_in_jsonpath_may_have_states_in_jsonata() {
    let mut account = Account::new();
    let states = json!({
        "A": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": {"n": "{% $states.input.n + 1 %}"}, "Assign": {"v": "{% $states.input.n %}"}, "Next": "B"},
        "B": {"Type": "Pass", "Parameters": {"n.$": "$.n", "v.$": "$v"}, "End": true},
    });
    let execution = account.run(&states, r#"{"n":1.50}"#);
    assert_eq!(account.output(&execution), r#"{"n":2.5,"v":1.50}"#);
}

#[test]
fn what_cannot_be_evaluated_is_refused_by_state_and_field() {
    let find = |state: &Value| -> Vec<String> {
        let mut states = Map::new();
        states.insert("A".to_owned(), state.clone());
        let machine = machine(&Value::Object(states)).to_string();
        asl::validate(&machine).iter().map(ToString::to_string).collect()
    };
    let pass = |fields: Value| {
        let mut state = json!({"Type": "Pass", "End": true});
        state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        state
    };
    for (state, finding) in [
        (pass(json!({"Output": "{% 1 + %}"})), "The JSONata expression '1 +' is not valid: Parse error: S0207"),
        (pass(json!({"Output": {"a": ["{% ( %}"]}})), "at /States/A/Output/a[0]"),
        (pass(json!({"Output": "{% 1"})), "Expected a JSONata expression between {% and %} at /States/A/Output"),
        (pass(json!({"Output": "{%%}"})), "Expected a JSONata expression between {% and %}"),
        (pass(json!({"Output": "{% $eval('1') %}"})), "the function $eval is not supported"),
        (pass(json!({"Output": "{% $ %}"})), "use $states.input"),
        (pass(json!({"Output": "{% name %}"})), "use $states.input"),
        (pass(json!({"Output": "{% $states.output %}"})), "$states has no field 'output'"),
        (
            pass(json!({"Output": "{% $states.result %}"})),
            "$states.result is not available in this field at /States/A/Output",
        ),
        (
            pass(json!({"Assign": {"x": "{% $states.errorOutput %}"}})),
            "$states.errorOutput is not available in this field at /States/A/Assign",
        ),
        (
            pass(json!({"InputPath": "$.a"})),
            "Field 'InputPath' is of JSONPath, and the QueryLanguage is JSONata at /States/A/InputPath",
        ),
        (pass(json!({"Result": 1})), "Field 'Result' is of JSONPath"),
        (
            pass(json!({"QueryLanguage": "JSONPath"})),
            "QueryLanguage cannot be JSONPath in a state machine whose own is JSONata",
        ),
        (
            json!({"Type": "Choice", "Choices": [{"Variable": "$.x", "NumericEquals": 1, "Next": "A"}]}),
            "These fields are required: [Condition]",
        ),
    ] {
        let found = find(&state);
        assert!(found.iter().any(|text| text.contains(finding)), "{state}: {found:?}");
        assert!(found.iter().all(|text| text.contains(" at /States/A")), "{found:?}");
    }
    let plain = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "Output": 1, "End": true}}});
    assert_eq!(
        asl::validate(&plain.to_string())[0].to_string(),
        "SCHEMA_VALIDATION_FAILED: Field 'Output' is of JSONata, and the QueryLanguage is JSONPath at /States/A/Output"
    );
}
