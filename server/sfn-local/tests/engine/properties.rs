//! Random calls at random times: what must hold after each of them, and that all of it can be repeated.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use sfn_local::engine::{Effect, EngineOptions, ExecutionStatus, Poll};

use crate::support::Account;

#[derive(Clone, Debug)]
enum Step {
    Start,
    Take,
    Poll,
    CancelPoll(usize),
    Succeed(usize),
    Fail(usize),
    Heartbeat(usize),
    Stop(usize),
    Advance(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Start),
        3 => Just(Step::Take),
        2 => Just(Step::Poll),
        1 => any::<usize>().prop_map(Step::CancelPoll),
        2 => any::<usize>().prop_map(Step::Succeed),
        1 => any::<usize>().prop_map(Step::Fail),
        2 => any::<usize>().prop_map(Step::Heartbeat),
        1 => any::<usize>().prop_map(Step::Stop),
        4 => (0..40_000_u16).prop_map(Step::Advance),
    ]
}

#[derive(Default)]
struct Seen {
    executions: Vec<String>,
    polls: Vec<sfn_local::engine::PollId>,
    /// Every token handed out.
    tokens: Vec<String>,
    /// Tokens that were answered with success or failure.
    answered: BTreeSet<String>,
    ended: BTreeMap<String, (ExecutionStatus, usize)>,
    log: Vec<String>,
}

fn pick<T: Clone>(items: &[T], index: usize) -> Option<T> {
    (!items.is_empty()).then(|| items[index % items.len()].clone())
}

/// Carries the steps out, checking after each; gives a log of everything seen.
fn run(seed: u64, steps: &[Step]) -> Vec<String> {
    run_through(seed, steps, |_| {})
}

/// The same, with something done to the account after each step.
fn run_through(seed: u64, steps: &[Step], after: impl Fn(&mut Account)) -> Vec<String> {
    let options = EngineOptions { seed, check_roles: false, ..EngineOptions::default() };
    let mut account = Account::with(options);
    let task = |account: &Account| {
        account.task(&json!({
            "TimeoutSeconds": 50, "HeartbeatSeconds": 20,
            "Retry": [{"ErrorEquals": ["States.Timeout", "Again"], "MaxAttempts": 2, "JitterStrategy": "FULL"}],
        }))
    };
    let (left, right) = (task(&account), task(&account));
    let machine = account
        .create(
            "M",
            &json!({"StartAt": "P", "TimeoutSeconds": 200, "States": {"P": {
                "Type": "Parallel",
                "Branches": [{"StartAt": "L", "States": {"L": left}}, {"StartAt": "R", "States": {"R": right}}],
                "End": true,
            }}}),
        )
        .unwrap();
    let mut seen = Seen::default();
    for step in steps {
        let outcome = apply(&mut account, &machine, step, &mut seen);
        // Full jitter may choose no delay at all: such a retry is due now, and happens with the next tick.
        account.engine.tick(account.now);
        seen.log.push(format!("{step:?} {outcome}"));
        for effect in account.engine.take_effects() {
            let Effect::PollAnswered { poll, answer } = effect;
            seen.polls.retain(|open| *open != poll);
            if let Some(task) = answer.unwrap() {
                seen.tokens.push(task.token.to_string());
            }
        }
        check(&mut account, &mut seen);
        after(&mut account);
    }
    for execution in &seen.executions {
        seen.log.extend(account.history(execution));
    }
    seen.log
}

fn apply(account: &mut Account, machine: &str, step: &Step, seen: &mut Seen) -> String {
    match step {
        Step::Start => {
            let execution = account.start(machine, "{}");
            seen.executions.push(execution.clone());
            execution
        }
        Step::Take => match account.take() {
            Some(task) => {
                seen.tokens.push(task.token.to_string());
                task.token.to_string()
            }
            None => "nothing".to_owned(),
        },
        Step::Poll => match account.engine.start_poll(&account.activity, None, account.now).unwrap() {
            Poll::Task(task) => {
                seen.tokens.push(task.token.to_string());
                task.token.to_string()
            }
            Poll::Waiting(id) => {
                seen.polls.push(id);
                "waits".to_owned()
            }
        },
        Step::CancelPoll(index) => {
            let poll = pick(&seen.polls, *index);
            if let Some(poll) = poll {
                account.engine.cancel_poll(poll);
                seen.polls.retain(|open| *open != poll);
            }
            String::new()
        }
        Step::Succeed(index) | Step::Fail(index) => {
            let Some(token) = pick(&seen.tokens, *index) else { return String::new() };
            let result = if matches!(step, Step::Succeed(_)) {
                account.succeed(&token, "1.50")
            } else {
                account.fail(&token, if index % 3 == 0 { "Final" } else { "Again" })
            };
            if result.is_ok() {
                assert!(seen.answered.insert(token), "a token took two answers");
            }
            format!("{result:?}")
        }
        Step::Heartbeat(index) => {
            let Some(token) = pick(&seen.tokens, *index) else { return String::new() };
            let result = account.heartbeat(&token);
            assert!(result.is_err() || !seen.answered.contains(&token), "an answered token took a heartbeat");
            format!("{result:?}")
        }
        Step::Stop(index) => {
            let Some(execution) = pick(&seen.executions, *index) else { return String::new() };
            account.engine.stop_execution(&execution, None, None, account.now).unwrap().to_string()
        }
        Step::Advance(millis) => {
            account.advance(f64::from(*millis) / 1000.0);
            account.now.to_string()
        }
    }
}

fn check(account: &mut Account, seen: &mut Seen) {
    let distinct: BTreeSet<&String> = seen.tokens.iter().collect();
    assert_eq!(distinct.len(), seen.tokens.len(), "a token was handed out twice");
    assert!(account.engine.next_wakeup().is_none_or(|due| due > account.now), "something due did not happen");
    assert_eq!(account.engine.open_polls(), seen.polls.len());
    let mut running = 0;
    for execution in &seen.executions {
        let status = account.status(execution);
        let events = account.engine.execution_history(execution, account.now).unwrap();
        for (index, event) in events.iter().enumerate() {
            assert!(event.previous <= index as u64, "an event points ahead");
            assert!(index == 0 || events[index - 1].time <= event.time, "time goes back");
        }
        let last = events.last().unwrap().type_name();
        assert_eq!(
            last.strip_prefix("Execution").filter(|last| *last != "Started").is_some(),
            status != ExecutionStatus::Running,
            "{last} but {status:?}"
        );
        let count = events.len();
        if status == ExecutionStatus::Running {
            running += 1;
        } else {
            let before = seen.ended.entry(execution.clone()).or_insert((status, count));
            assert_eq!(*before, (status, count), "an ended execution changed");
        }
    }
    if running == 0 && seen.polls.is_empty() {
        assert_eq!(account.engine.next_wakeup(), None, "a timer is left over");
    }
}

#[test]
fn a_retry_may_come_without_delay() {
    run(4_023_547_556_149_612_472, &[Step::Poll, Step::Start, Step::Fail(6_861_689_531_181_517_045)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_handed_out_or_answered_twice(seed: u64, steps in prop::collection::vec(step(), 1..80)) {
        run(seed, &steps);
    }

    #[test]
    fn the_same_calls_give_the_same_log(seed: u64, steps in prop::collection::vec(step(), 1..40)) {
        prop_assert_eq!(run(seed, &steps), run(seed, &steps));
    }

    #[test]
    fn saved_and_restored_after_each_call_it_is_the_same(seed: u64, steps in prop::collection::vec(step(), 1..40)) {
        prop_assert_eq!(run_through(seed, &steps, Account::save_and_restore), run(seed, &steps));
    }
}
