//! Variables: what `Assign` stores, who sees it, and how much of it there may be.

use serde_json::{Value, json};
use sfn_local::asl;

use crate::support::Account;

/// What is wrong with a machine of these states.
fn findings(states: &Value) -> Vec<String> {
    let start = states.as_object().unwrap().keys().next().unwrap();
    let machine = json!({"StartAt": start, "States": states});
    asl::validate(&machine.to_string()).iter().map(ToString::to_string).collect()
}

#[test]
fn later_states_read_what_earlier_ones_assigned() {
    let mut account = Account::new();
    let states = json!({
        "A": {"Type": "Pass", "Assign": {"amount.$": "$.amount", "who": {"name.$": "$.name"}}, "Result": {"amount": 1}, "Next": "B"},
        "B": {"Type": "Pass", "Parameters": {"a.$": "$amount", "n.$": "$who.name", "f.$": "States.Format('{}', $amount)"}, "End": true},
    });
    // In a Pass, `$` is the result.
    let execution = account.run(&states, r#"{"amount":1200.50,"name":"ann"}"#);
    assert_eq!(account.failure(&execution).0, "States.Runtime");
    let states = json!({
        "A": {"Type": "Pass", "Assign": {"amount.$": "$.amount", "who": {"name.$": "$.name"}}, "Next": "B"},
        "B": {"Type": "Pass", "Parameters": {"a.$": "$amount", "n.$": "$who.name", "f.$": "States.Format('{}', $amount)"}, "End": true},
    });
    let execution = account.run(&states, r#"{"amount":1200.50,"name":"ann"}"#);
    assert_eq!(account.output(&execution), r#"{"a":1200.50,"n":"ann","f":"1200.50"}"#);
    let events = account.engine.execution_history(&execution, account.now).unwrap();
    let exited = &events[2].to_json(3, true)["stateExitedEventDetails"];
    assert_eq!(exited["assignedVariables"], json!({"amount": "1200.50", "who": r#"{"name":"ann"}"#}));
    assert_eq!(exited["assignedVariablesDetails"], json!({"truncated": false}));
    let hidden = &events[2].to_json(3, false)["stateExitedEventDetails"];
    assert_eq!(hidden.get("assignedVariables"), None);
}

#[test]
fn an_assign_reads_the_values_from_before_it() {
    let mut account = Account::new();
    let states = json!({
        "A": {"Type": "Pass", "Assign": {"x": 1, "y": 2}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"x.$": "$y", "y.$": "$x"}, "Next": "C"},
        "C": {"Type": "Pass", "Parameters": {"x.$": "$x", "y.$": "$y"}, "End": true},
    });
    let execution = account.run(&states, "{}");
    assert_eq!(account.output(&execution), r#"{"x":2,"y":1}"#);
}

#[test]
fn the_dollar_of_an_assign_is_what_the_state_type_says() {
    let mut account = Account::new();
    let task = account.task(&json!({
        "Assign": {"result.$": "$"}, "ResultSelector": {"s.$": "$.r"}, "ResultPath": "$.t", "Next": "W",
        "Catch": [{"ErrorEquals": ["States.ALL"], "Assign": {"result.$": "$.Error"}, "ResultPath": "$.t", "Next": "W"}],
    }));
    let states = json!({
        "T": task,
        "W": {"Type": "Wait", "Seconds": 1, "InputPath": "$.in", "Assign": {"waited.$": "$"}, "Next": "C"},
        "C": {"Type": "Choice", "InputPath": "$.deep", "Assign": {"chosen": "default"}, "Default": "P", "Choices": [
            {"Variable": "$waited.take", "BooleanEquals": true, "Assign": {"chosen.$": "$"}, "Next": "P"},
        ]},
        "P": {"Type": "Pass", "Parameters": {"r.$": "$result", "w.$": "$waited", "c.$": "$chosen"}, "End": true},
    });
    let input = |take: bool| json!({"in": {"take": take, "deep": 7}}).to_string();
    let execution = account.run(&states, &input(true));
    let token = account.take().unwrap().token;
    account.succeed(&token, r#"{"r":1.0}"#).unwrap();
    account.advance(1.0);
    assert_eq!(account.output(&execution), r#"{"r":{"r":1.0},"w":{"take":true,"deep":7},"c":7}"#);
    let execution = account.run(&states, &input(false));
    let token = account.take().unwrap().token;
    account.fail(&token, "Bad").unwrap();
    account.advance(1.0);
    assert_eq!(account.output(&execution), r#"{"r":"Bad","w":{"take":false,"deep":7},"c":"default"}"#);
}

#[test]
fn inner_scopes_see_the_outer_one_and_keep_their_own() {
    let mut account = Account::new();
    let inner = json!({"StartAt": "I", "States": {
        "I": {"Type": "Pass", "Assign": {"own.$": "$"}, "Next": "J"},
        "J": {"Type": "Pass", "Parameters": {"outer.$": "$outer", "own.$": "$own"}, "End": true},
    }});
    let states = json!({
        "A": {"Type": "Pass", "Assign": {"outer": "o"}, "Next": "M"},
        "M": {"Type": "Map", "ItemProcessor": inner, "Next": "Z"},
        "Z": {"Type": "Choice", "Choices": [{"Variable": "$own", "IsPresent": true, "Next": "F"}], "Default": "S"},
        "F": {"Type": "Fail"},
        "S": {"Type": "Succeed"},
    });
    let execution = account.run(&states, "[1,2]");
    assert_eq!(account.output(&execution), r#"[{"outer":"o","own":1},{"outer":"o","own":2}]"#);
}

#[test]
fn names_are_checked_when_the_machine_is_created() {
    let pass = |assign: Value| json!({"A": {"Type": "Pass", "Assign": assign, "End": true}});
    for name in ["states", "", "1a", "a-b", "a b", "$a", "_a", &"x".repeat(81)] {
        let found = findings(&pass(json!({name: 1})));
        assert!(found.len() == 1 && found[0].ends_with("at /States/A/Assign"), "{name}: {found:?}");
    }
    for name in ["a", "größe_2", &"x".repeat(80)] {
        assert_eq!(findings(&pass(json!({name: 1}))), [""; 0], "{name}");
    }
    let inner = json!({"StartAt": "I", "States": {"I": {"Type": "Pass", "Assign": {"x": 1}, "End": true}}});
    let states = json!({
        "P": {"Type": "Parallel", "Branches": [inner], "Assign": {"x.$": "$"}, "End": true},
    });
    assert_eq!(
        findings(&states),
        [
            "SCHEMA_VALIDATION_FAILED: The variable 'x' is assigned in an outer scope, and cannot be assigned in this one \
             at /States/P/Branches[0]/States/I/Assign"
        ]
    );
}

#[test]
fn too_much_is_refused() {
    let mut account = Account::new();
    let state = |next: &str| {
        let mut state = json!({"Type": "Pass", "Assign": {"a.$": "$.a", "b.$": "$.b"}});
        let (field, value) = if next.is_empty() { ("End", json!(true)) } else { ("Next", json!(next)) };
        state.as_object_mut().unwrap().insert(field.to_owned(), value);
        state
    };
    // Two strings of together 262,144 bytes with their quotes, then one byte more.
    let input = |extra: usize| json!({"a": "x".repeat(131_060 + extra), "b": "y".repeat(131_060)}).to_string();
    let grow = json!({"A": {"Type": "Pass", "Assign": {"a.$": "States.Array($.a, $.b)"}, "End": true}});
    let execution = account.run(&grow, &input(0));
    assert_eq!(account.output(&execution).len(), input(0).len());
    let execution = account.run(&grow, &json!({"a": "x".repeat(131_070), "b": "y".repeat(131_050)}).to_string());
    assert_eq!(account.status(&execution), sfn_local::engine::ExecutionStatus::Succeeded);
    let twice = json!({"A": {"Type": "Pass", "Assign": {"a.$": "$", "b.$": "$"}, "End": true}});
    let execution = account.run(&twice, &format!("\"{}\"", "x".repeat(131_071)));
    assert_eq!(account.failure(&execution).0, "States.DataLimitExceeded");
    let execution = account.run(&twice, &format!("\"{}\"", "x".repeat(131_070)));
    assert_eq!(account.status(&execution), sfn_local::engine::ExecutionStatus::Succeeded);
    // 41 variables of 256 KiB are more than 10 MiB.
    let mut states = serde_json::Map::new();
    for number in 0..41 {
        let (name, next) =
            (format!("v{number}.$"), if number == 40 { String::new() } else { format!("S{}", number + 1) });
        let mut step = state(&next);
        step["Assign"] = json!({name: "$"});
        states.insert(format!("S{number}"), step);
    }
    let execution = account.run(&Value::Object(states), &format!("\"{}\"", "x".repeat(262_142)));
    let (error, cause) = account.failure(&execution);
    assert_eq!(error, "States.DataLimitExceeded");
    assert!(cause.contains("S40") && cause.contains("10485760"), "{cause}");
}
