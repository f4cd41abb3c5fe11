//! Timeouts, heartbeats, retries, waits.

use serde_json::json;
use sfn_local::engine::ExecutionStatus;

use crate::support::{Account, code};

#[test]
fn timeout_counts_from_when_a_worker_takes_the_task() {
    let mut account = Account::new();
    let state = account.task(&json!({"TimeoutSeconds": 300}));
    let execution = account.run(&json!({"A": state}), "{}");
    account.advance(1000.0);
    assert_eq!(account.status(&execution), ExecutionStatus::Running);
    let task = account.take().unwrap();
    account.advance(299.999);
    assert_eq!(account.status(&execution), ExecutionStatus::Running);
    account.advance(0.001);
    assert_eq!(account.status(&execution), ExecutionStatus::Failed);
    assert_eq!(account.failure(&execution), ("States.Timeout".to_owned(), String::new()));
    assert_eq!(code(account.succeed(&task.token, "{}")), "TaskTimedOut");
}

#[test]
fn a_heartbeat_restarts_its_own_clock_and_not_the_timeout() {
    let mut account = Account::new();
    let state = account.task(&json!({"TimeoutSeconds": 100, "HeartbeatSeconds": 30}));
    let execution = account.run(&json!({"A": state}), "{}");
    let task = account.take().unwrap();
    for _ in 0..4 {
        account.advance(24.0);
        account.heartbeat(&task.token).unwrap();
    }
    assert_eq!(account.next_in(), Some(4.0));
    account.advance(4.0);
    assert_eq!(account.failure(&execution).0, "States.Timeout");
    assert_eq!(code(account.heartbeat(&task.token)), "TaskTimedOut");
}

#[test]
fn after_a_heartbeat_the_next_is_due_a_whole_interval_later() {
    let mut account = Account::new();
    let state = account.task(&json!({"HeartbeatSeconds": 30}));
    let execution = account.run(&json!({"A": state}), "{}");
    let task = account.take().unwrap();
    account.advance(29.0);
    account.heartbeat(&task.token).unwrap();
    assert_eq!(account.next_in(), Some(30.0));
    account.advance(30.0);
    assert_eq!(account.failure(&execution).0, "States.HeartbeatTimeout");
}

#[test]
fn a_missed_heartbeat_has_its_own_error_name() {
    let mut account = Account::new();
    let state = account.task(&json!({"TimeoutSeconds": 300, "HeartbeatSeconds": 60}));
    let execution = account.run(&json!({"A": state}), "{}");
    account.take().unwrap();
    account.advance(60.0);
    assert_eq!(account.failure(&execution).0, "States.HeartbeatTimeout");
    assert_eq!(account.history(&execution)[4..], ["5<4 ActivityTimedOut", "6<5 ExecutionFailed"]);
}

#[test]
fn a_retry_is_a_new_token_for_the_same_entry() {
    let mut account = Account::new();
    let state = account.task(&json!({
        "Parameters": {
            "entered.$": "$$.State.EnteredTime", "attempt.$": "$$.State.RetryCount",
            "id.$": "$$.Execution.Id", "name.$": "$$.Execution.Name", "machine.$": "$$.StateMachine.Id",
        },
        "HeartbeatSeconds": 60,
        "Retry": [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 99, "BackoffRate": 1.5, "MaxDelaySeconds": 3}],
    }));
    let execution = account.run(&json!({"A": state}), "{}");
    let mut tokens = Vec::new();
    for (attempt, delay) in [1.0, 1.5, 2.25, 3.0, 3.0].into_iter().enumerate() {
        let task = account.take().unwrap();
        let name = execution.rsplit(':').next().unwrap();
        assert_eq!(
            task.input.to_string(),
            format!(
                r#"{{"entered":"2026-01-02T03:04:05.678Z","attempt":{attempt},"id":"{execution}","name":"{name}","machine":"arn:aws:states:us-east-1:000000000000:stateMachine:M0"}}"#
            )
        );
        assert!(!tokens.contains(&task.token));
        account.advance(60.0);
        assert_eq!(code(account.succeed(&task.token, "{}")), "TaskTimedOut");
        assert_eq!(account.next_in(), Some(delay));
        assert_eq!(account.take(), None);
        account.advance(delay);
        tokens.push(task.token);
    }
    let task = account.take().unwrap();
    account.succeed(&task.token, "1").unwrap();
    assert_eq!(account.output(&execution), "1");
}

#[test]
fn entering_a_state_again_is_a_new_entry() {
    let mut account = Account::new();
    let again = account.task(&json!({
        "Parameters": {"entered.$": "$$.State.EnteredTime", "attempt.$": "$$.State.RetryCount"},
        "Retry": [{"ErrorEquals": ["Again"], "MaxAttempts": 1}],
        "Next": "B",
    }));
    let states = json!({
        "A": again,
        "B": {"Type": "Choice", "Choices": [{"Variable": "$.done", "BooleanEquals": false, "Next": "A"}], "Default": "C"},
        "C": {"Type": "Succeed"},
    });
    account.run(&states, "{}");
    let first = account.take().unwrap();
    account.fail(&first.token, "Again").unwrap();
    account.advance(1.0);
    let retried = account.take().unwrap();
    account.advance(1.0);
    account.succeed(&retried.token, r#"{"done":false}"#).unwrap();
    let second = account.take().unwrap();
    assert_eq!(first.input.to_string(), r#"{"entered":"2026-01-02T03:04:05.678Z","attempt":0}"#);
    assert_eq!(retried.input.to_string(), r#"{"entered":"2026-01-02T03:04:05.678Z","attempt":1}"#);
    assert_eq!(second.input.to_string(), r#"{"entered":"2026-01-02T03:04:07.678Z","attempt":0}"#);
    // Its retries are its own again.
    account.fail(&second.token, "Again").unwrap();
    assert_eq!(account.next_in(), Some(1.0));
}

#[test]
fn retriers_count_each_for_itself_and_then_catch_applies() {
    let mut account = Account::new();
    let state = account.task(&json!({
        "Retry": [
            {"ErrorEquals": ["A"], "MaxAttempts": 1},
            {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1, "IntervalSeconds": 7},
        ],
        "Catch": [{"ErrorEquals": ["B"], "Next": "Wrong"}, {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Done"}],
    }));
    let states = json!({"T": state, "Wrong": {"Type": "Fail"}, "Done": {"Type": "Succeed"}});
    let execution = account.run(&states, r#"{"keep":1.10}"#);
    for (error, delay) in [("A", 1.0), ("X", 7.0)] {
        let task = account.take().unwrap();
        account.fail(&task.token, error).unwrap();
        assert_eq!(account.next_in(), Some(delay));
        account.advance(delay);
    }
    let task = account.take().unwrap();
    account.fail(&task.token, "A").unwrap();
    assert_eq!(account.output(&execution), r#"{"keep":1.10,"error":{"Error":"A","Cause":"why"}}"#);
}

#[test]
fn task_failed_matches_everything_but_timeouts() {
    let mut account = Account::new();
    let state = account.task(&json!({
        "TimeoutSeconds": 10,
        "Catch": [
            {"ErrorEquals": ["States.TaskFailed"], "Next": "Failed"},
            {"ErrorEquals": ["States.HeartbeatTimeout"], "Next": "Failed"},
            {"ErrorEquals": ["States.Timeout"], "Next": "TimedOut"},
        ],
    }));
    let states = json!({
        "T": state,
        "Failed": {"Type": "Pass", "Result": "failed", "End": true},
        "TimedOut": {"Type": "Pass", "Result": "timed out", "End": true},
    });
    let failed = account.run(&states, "{}");
    let task = account.take().unwrap();
    account.fail(&task.token, "Whatever").unwrap();
    assert_eq!(account.output(&failed), r#""failed""#);
    let timed_out = account.run(&states, "{}");
    account.take().unwrap();
    account.advance(10.0);
    assert_eq!(account.output(&timed_out), r#""timed out""#);
}

#[test]
fn full_jitter_stays_between_nothing_and_the_delay() {
    let mut account = Account::new();
    let state = account.task(&json!({
        "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 10, "MaxAttempts": 50, "BackoffRate": 1.0, "JitterStrategy": "FULL"}],
    }));
    account.run(&json!({"T": state}), "{}");
    let mut delays = Vec::new();
    for _ in 0..50 {
        let task = account.take().unwrap();
        account.fail(&task.token, "X").unwrap();
        let delay = account.next_in().unwrap();
        assert!((0.0..=10.0).contains(&delay));
        account.advance(delay);
        delays.push(delay);
    }
    assert!(delays.iter().any(|delay| *delay < 4.0) && delays.iter().any(|delay| *delay > 6.0));
}

#[test]
fn the_machines_own_timeout_ends_the_execution_with_its_tasks() {
    let mut account = Account::new();
    let state = account.task(&json!({"Retry": [{"ErrorEquals": ["States.ALL"]}]}));
    let definition = json!({"StartAt": "T", "TimeoutSeconds": 50, "States": {"T": state}});
    let machine = account.create("M", &definition).unwrap();
    let (queued, taken) = (account.start(&machine, "{}"), account.start(&machine, "{}"));
    let task = account.take().unwrap();
    account.advance(50.0);
    assert_eq!(account.status(&queued), ExecutionStatus::TimedOut);
    assert_eq!(account.status(&taken), ExecutionStatus::TimedOut);
    assert_eq!(account.failure(&taken).0, "States.Timeout");
    assert_eq!(code(account.succeed(&task.token, "{}")), "TaskTimedOut");
    assert_eq!(account.take(), None);
    assert_eq!(account.next_in(), None);
}

#[test]
fn waits_end_when_they_should() {
    let mut account = Account::new();
    let input = r#"{"s":20,"t":"2026-01-02T03:05:05.678Z","past":"2020-01-01T00:00:00Z"}"#;
    for (wait, seconds) in [
        (json!({"Seconds": 5}), 5.0),
        (json!({"SecondsPath": "$.s"}), 20.0),
        (json!({"Timestamp": "2026-01-02T04:04:06.678+01:00"}), 1.0),
        (json!({"TimestampPath": "$.t"}), 60.0),
        (json!({"TimestampPath": "$.past"}), 0.0),
        (json!({"Seconds": 0}), 0.0),
    ] {
        let mut account = Account::new();
        let mut state = json!({"Type": "Wait", "Next": "Done"});
        state.as_object_mut().unwrap().extend(wait.as_object().unwrap().clone());
        let execution = account.run(&json!({"W": state, "Done": {"Type": "Succeed"}}), input);
        assert_eq!(account.next_in(), Some(seconds), "{wait}");
        account.advance(seconds);
        assert_eq!(account.output(&execution), input);
        assert_eq!(account.history(&execution)[1..3], ["2<0 WaitStateEntered", "3<2 WaitStateExited"]);
    }
    let bad = account.run(&json!({"W": {"Type": "Wait", "SecondsPath": "$.none", "End": true}}), "{}");
    assert_eq!(
        account.failure(&bad),
        (
            "States.Runtime".to_owned(),
            "An error occurred while executing the state 'W' (entered at the event id #2). The SecondsPath parameter \
             does not reference an input value: $.none"
                .to_owned()
        )
    );
}

#[test]
fn timers_fire_at_their_own_times_however_late_the_engine_is_told() {
    let mut account = Account::new();
    let state = account
        .task(&json!({"HeartbeatSeconds": 10, "Retry": [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 5}]}));
    let execution = account.run(&json!({"T": state}), "{}");
    account.take().unwrap();
    account.advance(3600.0);
    let events = account.engine.execution_history(&execution, account.now).unwrap();
    let times: Vec<i64> =
        events.iter().map(|event| event.time.as_second() - crate::support::start_of_time().as_second()).collect();
    assert_eq!(times, [0, 0, 0, 0, 10, 15]);
}
