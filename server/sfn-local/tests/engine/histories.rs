//! Event sequences as AWS was recorded to give them.

use serde_json::json;

use crate::support::Account;

#[test]
fn an_activity_that_succeeds() {
    let mut account = Account::new();
    let state = account.task(&json!({"TimeoutSeconds": 60, "HeartbeatSeconds": 10}));
    let execution = account.run(&json!({"T": state}), r#"{"a":1.0}"#);
    let task = account.take().unwrap();
    account.succeed(&task.token, r#"{"b":2.0}"#).unwrap();
    assert_eq!(
        account.history(&execution),
        [
            "1<0 ExecutionStarted",
            "2<0 TaskStateEntered",
            "3<2 ActivityScheduled",
            "4<3 ActivityStarted",
            "5<4 ActivitySucceeded",
            "6<5 TaskStateExited",
            "7<6 ExecutionSucceeded"
        ]
    );
    let activity = account.activity.clone();
    let events = account.engine.execution_history(&execution, account.now).unwrap();
    assert_eq!(
        events[2].to_json(3, true),
        json!({
            "timestamp": serde_json::from_str::<serde_json::Value>("1767323045.678").unwrap(),
            "type": "ActivityScheduled",
            "id": 3,
            "previousEventId": 2,
            "activityScheduledEventDetails": {
                "input": "{\"a\":1.0}",
                "inputDetails": {"truncated": false},
                "resource": activity,
                "timeoutInSeconds": 60,
                "heartbeatInSeconds": 10,
            },
        })
    );
    assert_eq!(
        events[0].to_json(1, false)["executionStartedEventDetails"],
        json!({"inputDetails": {"truncated": false}, "roleArn": "arn:aws:iam::000000000000:role/R"})
    );
    assert_eq!(
        events[5].to_json(6, true)["stateExitedEventDetails"],
        json!({"output": "{\"b\":2.0}", "outputDetails": {"truncated": false}, "name": "T"})
    );
}

#[test]
fn a_retry_schedules_again_after_the_event_that_failed() {
    let mut account = Account::new();
    let state =
        account.task(&json!({"Retry": [{"ErrorEquals": ["E"]}], "Catch": [{"ErrorEquals": ["F"], "Next": "D"}]}));
    let execution = account.run(&json!({"T": state, "D": {"Type": "Succeed"}}), "{}");
    let task = account.take().unwrap();
    account.fail(&task.token, "E").unwrap();
    account.advance(1.0);
    let task = account.take().unwrap();
    account.fail(&task.token, "F").unwrap();
    assert_eq!(
        account.history(&execution)[2..],
        [
            "3<2 ActivityScheduled",
            "4<3 ActivityStarted",
            "5<4 ActivityFailed",
            "6<5 ActivityScheduled",
            "7<6 ActivityStarted",
            "8<7 ActivityFailed",
            "9<8 TaskStateExited",
            "10<9 SucceedStateEntered",
            "11<10 SucceedStateExited",
            "12<11 ExecutionSucceeded"
        ]
    );
}

#[test]
fn a_map_that_fails_retries_without_saying_so() {
    let mut account = Account::new();
    let states = json!({"M": {
        "Type": "Map",
        "ItemProcessor": {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E"}}},
        "Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 1}],
        "End": true,
    }});
    let execution = account.run(&states, "[1]");
    account.advance(1.0);
    assert_eq!(
        account.history(&execution),
        [
            "1<0 ExecutionStarted",
            "2<0 MapStateEntered",
            "3<2 MapStateStarted",
            "4<3 MapIterationStarted",
            "5<4 FailStateEntered",
            "6<5 MapIterationFailed",
            "7<5 MapStateStarted",
            "8<7 MapIterationStarted",
            "9<8 FailStateEntered",
            "10<9 MapIterationFailed",
            "11<9 MapStateFailed",
            "12<11 ExecutionFailed"
        ]
    );
}

#[test]
fn a_map_that_times_out_ends_its_iterations() {
    let mut account = Account::new();
    let task = account.task(&json!({"TimeoutSeconds": 5}));
    let states = json!({"M": {
        "Type": "Map",
        "ItemProcessor": {"StartAt": "T", "States": {"T": task}},
        "End": true,
    }});
    let execution = account.run(&states, "[1,2]");
    account.take().unwrap();
    account.take().unwrap();
    account.advance(5.0);
    assert_eq!(
        account.history(&execution)[3..],
        [
            "4<3 MapIterationStarted",
            "5<3 MapIterationStarted",
            "6<4 TaskStateEntered",
            "7<6 ActivityScheduled",
            "8<5 TaskStateEntered",
            "9<8 ActivityScheduled",
            "10<7 ActivityStarted",
            "11<9 ActivityStarted",
            "12<10 ActivityTimedOut",
            "13<12 MapIterationFailed",
            "14<12 TaskStateAborted",
            "15<12 MapIterationAborted",
            "16<12 MapStateFailed",
            "17<16 ExecutionFailed"
        ]
    );
}

#[test]
fn parallel_success_points_at_the_branch_that_ended_last() {
    let mut account = Account::new();
    let branch = |name: &str| json!({"StartAt": name, "States": {name: {"Type": "Pass", "End": true}}});
    let states = json!({"P": {"Type": "Parallel", "Branches": [branch("A"), branch("B")], "End": true}});
    let execution = account.run(&states, "{}");
    assert_eq!(
        account.history(&execution)[2..],
        [
            "3<2 ParallelStateStarted",
            "4<3 PassStateEntered",
            "5<4 PassStateExited",
            "6<3 PassStateEntered",
            "7<6 PassStateExited",
            "8<7 ParallelStateSucceeded",
            "9<7 ParallelStateExited",
            "10<9 ExecutionSucceeded"
        ]
    );
}

#[test]
fn iterations_one_after_another_follow_the_last_event_of_the_one_before() {
    let mut account = Account::new();
    let states = json!({"M": {
        "Type": "Map",
        "MaxConcurrency": 1,
        "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}},
        "End": true,
    }});
    let execution = account.run(&states, r#"["Hello", "World"]"#);
    assert_eq!(
        account.history(&execution)[2..],
        [
            "3<2 MapStateStarted",
            "4<3 MapIterationStarted",
            "5<4 PassStateEntered",
            "6<5 PassStateExited",
            "7<6 MapIterationSucceeded",
            "8<6 MapIterationStarted",
            "9<8 PassStateEntered",
            "10<9 PassStateExited",
            "11<10 MapIterationSucceeded",
            "12<11 MapStateSucceeded",
            "13<11 MapStateExited",
            "14<13 ExecutionSucceeded"
        ]
    );
}
