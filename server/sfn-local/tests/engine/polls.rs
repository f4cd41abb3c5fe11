//! Activities, polls and tokens.

use serde_json::json;
use sfn_local::engine::{Effect, ExecutionStatus, Poll, PollId};

use crate::support::{Account, code};

fn poll(account: &mut Account, worker: &str) -> PollId {
    match account.engine.start_poll(&account.activity, Some(worker), account.now).unwrap() {
        Poll::Waiting(id) => id,
        Poll::Task(task) => panic!("got {task:?} at once"),
    }
}

/// The tokens that polls were answered with.
fn answers(account: &mut Account) -> Vec<(PollId, Option<String>)> {
    let effects = account.engine.take_effects().into_iter();
    effects
        .map(|effect| match effect {
            Effect::PollAnswered { poll, answer } => (poll, answer.unwrap().map(|task| task.token.to_string())),
        })
        .collect()
}

fn machine(account: &mut Account) -> String {
    let state = account.task(&json!({}));
    account.create("M", &json!({"StartAt": "T", "States": {"T": state}})).unwrap()
}

#[test]
fn tasks_go_to_the_polls_in_the_order_they_came() {
    let mut account = Account::new();
    let machine = machine(&mut account);
    let (first, second) = (poll(&mut account, "one"), poll(&mut account, "two"));
    let executions = [account.start(&machine, "{}"), account.start(&machine, "{}")];
    let got = answers(&mut account);
    assert_eq!([got[0].0, got[1].0], [first, second]);
    for (execution, worker) in executions.iter().zip(["one", "two"]) {
        let events = account.engine.execution_history(execution, account.now).unwrap();
        assert_eq!(events[3].to_json(4, true)["activityStartedEventDetails"]["workerName"], worker);
    }
}

#[test]
fn tasks_are_queued_oldest_first_and_handed_out_once() {
    let mut account = Account::new();
    let machine = machine(&mut account);
    for number in 0..3 {
        account.start(&machine, &number.to_string());
    }
    let taken: Vec<_> = std::iter::from_fn(|| account.take()).collect();
    let inputs: Vec<_> = taken.iter().map(|task| task.input.to_string()).collect();
    assert_eq!(inputs, ["0", "1", "2"]);
    assert!(taken[0].token != taken[1].token && taken[1].token != taken[2].token);
}

#[test]
fn a_poll_ends_empty_after_its_time() {
    let mut account = Account::new();
    let id = poll(&mut account, "w");
    account.advance(59.999);
    assert_eq!(answers(&mut account), []);
    account.advance(0.001);
    assert_eq!(answers(&mut account), [(id, None)]);
    assert_eq!(account.engine.open_polls(), 0);
}

#[test]
fn a_poll_whose_client_has_gone_swallows_no_task() {
    let mut account = Account::new();
    let machine = machine(&mut account);
    let (gone, there) = (poll(&mut account, "gone"), poll(&mut account, "there"));
    account.engine.cancel_poll(gone);
    account.start(&machine, "{}");
    let got = answers(&mut account);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].0, there);
    assert!(got[0].1.is_some());
}

#[test]
fn a_stopped_executions_task_is_never_handed_out() {
    let mut account = Account::new();
    let machine = machine(&mut account);
    let (stopped, other) = (account.start(&machine, "1"), account.start(&machine, "2"));
    account.engine.stop_execution(&stopped, Some("E"), Some("C"), account.now).unwrap();
    assert_eq!(account.status(&stopped), ExecutionStatus::Aborted);
    assert_eq!(account.failure(&stopped), ("E".to_owned(), "C".to_owned()));
    assert_eq!(account.history(&stopped)[3..], ["4<0 ExecutionAborted"]);
    let task = account.take().unwrap();
    assert_eq!(task.input.to_string(), "2");
    assert_eq!(account.take(), None);
    account.engine.stop_execution(&other, None, None, account.now).unwrap();
    assert_eq!(code(account.succeed(&task.token, "{}")), "TaskTimedOut");
    assert_eq!(account.status(&other), ExecutionStatus::Aborted);
    // Stopping again changes nothing.
    let stopped_at = account.describe(&other).stopped;
    account.advance(5.0);
    account.engine.stop_execution(&other, None, None, account.now).unwrap();
    assert_eq!(account.describe(&other).stopped, stopped_at);
}

#[test]
fn the_thousand_and_first_poll_is_refused() {
    let mut account = Account::new();
    let first = poll(&mut account, "w");
    for _ in 1..1000 {
        poll(&mut account, "w");
    }
    let activity = account.activity.clone();
    assert_eq!(code(account.engine.start_poll(&activity, None, account.now)), "ActivityWorkerLimitExceeded");
    account.engine.cancel_poll(first);
    assert!(account.engine.start_poll(&activity, None, account.now).is_ok());
}

#[test]
fn a_token_is_good_for_one_answer() {
    let mut account = Account::new();
    let machine = machine(&mut account);
    account.start(&machine, "{}");
    let task = account.take().unwrap();
    assert_eq!(code(account.succeed("nonsense", "{}")), "InvalidToken");
    let (head, last) = task.token.split_at(task.token.len() - 1);
    let unknown = format!("{head}{}", if last == "0" { "1" } else { "0" });
    assert_eq!(code(account.succeed(&unknown, "{}")), "TaskDoesNotExist");
    account.succeed(&task.token, "{}").unwrap();
    for result in [account.succeed(&task.token, "{}"), account.fail(&task.token, "E"), account.heartbeat(&task.token)] {
        assert_eq!(code(result), "TaskTimedOut");
    }
}

#[test]
fn a_refused_answer_leaves_the_task_open() {
    let mut account = Account::new();
    let machine = machine(&mut account);
    let execution = account.start(&machine, "{}");
    let token = account.take().unwrap().token;
    assert_eq!(code(account.succeed(&token, "{not json")), "InvalidOutput");
    assert_eq!(code(account.succeed(&token, &format!("\"{}\"", "x".repeat(262_143)))), "ValidationException");
    assert_eq!(code(account.succeed(&token, &format!("\"{}\"", "ü".repeat(131_072)))), "InvalidOutput");
    let engine = &mut account.engine;
    assert_eq!(
        code(engine.send_task_failure(&token, Some(&"e".repeat(257)), None, account.now)),
        "ValidationException"
    );
    assert_eq!(
        code(engine.send_task_failure(&token, None, Some(&"c".repeat(32_769)), account.now)),
        "ValidationException"
    );
    assert_eq!(account.status(&execution), ExecutionStatus::Running);
    let most = format!("\"{}\"", "x".repeat(262_142));
    account.succeed(&token, &most).unwrap();
    assert_eq!(account.output(&execution), most);
}

#[test]
fn an_activity_that_is_gone_refuses_polls_and_fails_the_state() {
    let mut account = Account::new();
    let machine = machine(&mut account);
    let open = poll(&mut account, "w");
    let activity = account.activity.clone();
    account.engine.delete_activity(&activity, account.now).unwrap();
    let effects = account.engine.take_effects();
    assert!(matches!(&effects[..], [Effect::PollAnswered { poll, answer: Err(error) }]
        if *poll == open && error.code == "ActivityDoesNotExist"));
    assert_eq!(code(account.engine.try_take_task(&activity, None, account.now)), "ActivityDoesNotExist");
    let execution = account.start(&machine, "{}");
    assert_eq!(account.failure(&execution).0, "States.Runtime");
    assert!(account.failure(&execution).1.ends_with(&format!("The activity {activity} does not exist.")));
    account.engine.delete_activity(&activity, account.now).unwrap();
}

#[test]
fn activities_are_idempotent_by_name_and_names_are_checked() {
    let mut account = Account::new();
    let tags = [("k".to_owned(), "v".to_owned())].into_iter().collect();
    account.advance(5.0);
    let again = account.engine.create_activity("us-east-1", "Approve", tags, account.now).unwrap();
    assert_eq!(again.arn, account.activity);
    assert_eq!(again.created, crate::support::start_of_time());
    assert!(account.engine.list_tags(&again.arn, account.now).unwrap().is_empty());
    for name in ["a b", "a/b", "a:b", "a$", "ü?", "a\u{7f}", "a`", "a~b", "a,b", "a|b"] {
        let result = account.engine.create_activity("us-east-1", name, Default::default(), account.now);
        assert_eq!(code(result), "InvalidName", "{name}");
    }
    for name in ["", &"x".repeat(81)] {
        let result = account.engine.create_activity("us-east-1", name, Default::default(), account.now);
        assert_eq!(code(result), "ValidationException", "{name}");
    }
    assert!(account.engine.create_activity("us-east-1", &"x".repeat(80), Default::default(), account.now).is_ok());
}
