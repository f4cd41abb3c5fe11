//! Parallel and Map.

use serde_json::json;
use sfn_local::engine::ExecutionStatus;

use crate::support::{Account, code};

#[test]
fn parallel_branches_join_in_order() {
    let mut account = Account::new();
    let (left, right) = (account.task(&json!({})), account.task(&json!({})));
    let states = json!({"P": {
        "Type": "Parallel",
        "Branches": [{"StartAt": "L", "States": {"L": left}}, {"StartAt": "R", "States": {"R": right}}],
        "ResultPath": "$.both",
        "End": true,
    }});
    let execution = account.run(&states, r#"{"x":1.0}"#);
    let (first, second) = (account.take().unwrap(), account.take().unwrap());
    account.succeed(&second.token, "\"r\"").unwrap();
    assert_eq!(account.status(&execution), ExecutionStatus::Running);
    account.succeed(&first.token, "1.50").unwrap();
    assert_eq!(account.output(&execution), r#"{"x":1.0,"both":[1.50,"r"]}"#);
}

#[test]
fn a_failing_branch_ends_the_others_and_can_be_caught() {
    let mut account = Account::new();
    let (left, right) = (account.task(&json!({})), account.task(&json!({})));
    let states = json!({
        "P": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "L", "States": {"L": left}}, {"StartAt": "R", "States": {"R": right}}],
            "Retry": [{"ErrorEquals": ["Again"], "MaxAttempts": 1}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}],
            "End": true,
        },
        "C": {"Type": "Succeed"},
    });
    let execution = account.run(&states, "{}");
    let (first, second) = (account.take().unwrap(), account.take().unwrap());
    account.fail(&first.token, "Again").unwrap();
    assert_eq!(code(account.succeed(&second.token, "1")), "TaskTimedOut");
    account.advance(1.0);
    let (_, second) = (account.take().unwrap(), account.take().unwrap());
    account.fail(&second.token, "Final").unwrap();
    assert_eq!(account.output(&execution), r#"{"Error":"Final","Cause":"why"}"#);
    assert_eq!(account.take(), None);
    assert_eq!(account.next_in(), None);
}

#[test]
fn a_branch_that_fails_at_once_keeps_the_later_ones_from_starting() {
    let mut account = Account::new();
    let task = account.task(&json!({}));
    let states = json!({"P": {
        "Type": "Parallel",
        "Branches": [{"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E"}}}, {"StartAt": "T", "States": {"T": task}}],
        "End": true,
    }});
    let execution = account.run(&states, "{}");
    assert_eq!(account.failure(&execution).0, "E");
    assert_eq!(account.take(), None);
    assert_eq!(
        account.history(&execution),
        [
            "1<0 ExecutionStarted",
            "2<0 ParallelStateEntered",
            "3<2 ParallelStateStarted",
            "4<3 FailStateEntered",
            "5<4 ParallelStateFailed",
            "6<5 ExecutionFailed"
        ]
    );
}

#[test]
fn map_runs_the_items_with_their_context() {
    let mut account = Account::new();
    let states = json!({"M": {
        "Type": "Map",
        "ItemsPath": "$.items",
        "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "all.$": "$.k"},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": "P",
            "States": {"P": {"Type": "Pass", "Parameters": {"in.$": "$", "value.$": "$$.Map.Item.Value"}, "End": true}},
        },
        "End": true,
    }});
    let execution = account.run(&states, r#"{"items":[1.50,"b"],"k":true}"#);
    assert_eq!(
        account.output(&execution),
        r#"[{"in":{"i":0,"v":1.50,"all":true},"value":1.50},{"in":{"i":1,"v":"b","all":true},"value":"b"}]"#
    );
    let empty = account.run(&states, r#"{"items":[],"k":true}"#);
    assert_eq!(account.output(&empty), "[]");
    let wrong = account.run(&states, r#"{"items":{},"k":true}"#);
    assert_eq!(account.failure(&wrong).0, "States.Runtime");
}

#[test]
fn map_holds_to_its_concurrency_and_tolerance() {
    let mut account = Account::new();
    let task = account.task(&json!({}));
    let states = json!({"M": {
        "Type": "Map",
        "MaxConcurrency": 2,
        "ToleratedFailureCount": 1,
        "ItemProcessor": {"StartAt": "T", "States": {"T": task}},
        "End": true,
    }});
    let execution = account.run(&states, "[1,2,3,4]");
    let (one, two) = (account.take().unwrap(), account.take().unwrap());
    assert_eq!(account.take(), None);
    account.fail(&two.token, "Tolerated").unwrap();
    let three = account.take().unwrap();
    assert_eq!(three.input.to_string(), "3");
    account.succeed(&one.token, "\"one\"").unwrap();
    let four = account.take().unwrap();
    account.succeed(&three.token, "\"three\"").unwrap();
    account.succeed(&four.token, "\"four\"").unwrap();
    assert_eq!(account.output(&execution), r#"["one",{"Error":"Tolerated","Cause":"why"},"three","four"]"#);

    let execution = account.run(&states, "[1,2,3,4]");
    let (one, two) = (account.take().unwrap(), account.take().unwrap());
    account.fail(&one.token, "First").unwrap();
    account.fail(&two.token, "Second").unwrap();
    assert_eq!(account.failure(&execution).0, "States.ExceedToleratedFailureThreshold");
    assert_eq!(account.take(), None);
}

#[test]
fn of_two_tolerances_the_lower_one_holds() {
    let mut account = Account::new();
    let processor = json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericLessThan": 3, "Next": "F"}], "Default": "S"},
        "F": {"Type": "Fail", "Error": "Bad"},
        "S": {"Type": "Succeed"},
    }});
    let outcome = |account: &mut Account, tolerances: serde_json::Value| {
        let mut map = json!({"Type": "Map", "ItemProcessor": processor, "End": true});
        map.as_object_mut().unwrap().extend(tolerances.as_object().unwrap().clone());
        let execution = account.run(&json!({"M": map}), "[1,2,3,4]");
        account.failure(&execution).0
    };
    let exceeded = "States.ExceedToleratedFailureThreshold";
    for (tolerances, error) in [
        (json!({}), "Bad"),
        (json!({"ToleratedFailureCount": 1}), exceeded),
        (json!({"ToleratedFailureCount": 2}), ""),
        (json!({"ToleratedFailurePercentage": 49}), exceeded),
        (json!({"ToleratedFailurePercentage": 50}), ""),
        (json!({"ToleratedFailurePercentage": 100, "ToleratedFailureCount": 1}), exceeded),
        (json!({"ToleratedFailurePercentage": 25, "ToleratedFailureCount": 4}), exceeded),
        (json!({"ToleratedFailurePercentage": 50, "ToleratedFailureCount": 2}), ""),
    ] {
        assert_eq!(outcome(&mut account, tolerances.clone()), error, "{tolerances}");
    }
}

#[test]
fn containers_nest() {
    let mut account = Account::new();
    let task = account.task(&json!({}));
    let states = json!({"Outer": {
        "Type": "Parallel",
        "Branches": [{"StartAt": "Inner", "States": {"Inner": {
            "Type": "Map",
            "ItemProcessor": {"StartAt": "T", "States": {"T": task}},
            "End": true,
        }}}],
        "End": true,
    }});
    let execution = account.run(&states, "[[1], [2]]");
    while let Some(task) = account.take() {
        account.succeed(&task.token, task.input.as_str()).unwrap();
    }
    assert_eq!(account.output(&execution), "[[[1],[2]]]");
    let stopped = account.run(&states, "[[1], [2]]");
    let open = account.take().unwrap();
    account.engine.stop_execution(&stopped, None, None, account.now).unwrap();
    assert_eq!(code(account.succeed(&open.token, "1")), "TaskTimedOut");
    assert_eq!(account.take(), None);
}
