//! An engine that is written down in the midst of everything, and goes on elsewhere.

use serde_json::json;
use sfn_local::{engine::EngineOptions, iam::CreateRole};

use crate::support::{Account, same};

const TRUST: &str = r#"{"Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"},
    "Action": "sts:AssumeRole"}]}"#;

/// A Map whose iterations wait in an activity, at a Retry and in a Wait, with variables of two scopes.
fn busy() -> (Account, String) {
    let mut account = Account::with(EngineOptions { check_roles: false, seed: 7, ..EngineOptions::default() });
    let role = CreateRole { name: "R".to_owned(), trust_policy: TRUST.to_owned(), ..CreateRole::default() };
    account.engine.iam().create_role(role, account.now).unwrap();
    let task = account.task(&json!({
        "TimeoutSeconds": 900, "HeartbeatSeconds": 300,
        "Retry": [{"ErrorEquals": ["Again"], "IntervalSeconds": 9, "JitterStrategy": "FULL"}],
        "Parameters": {"item.$": "$$.Map.Item.Value", "sum.$": "$sum", "own.$": "$own"},
    }));
    let run = account.run(
        &json!({
            "A": {"Type": "Pass", "Assign": {"sum": 12.5, "deep": {"a": [1, {"b": null}]}}, "Next": "M"},
            "M": {"Type": "Map", "MaxConcurrency": 3, "End": true, "ItemProcessor": {"StartAt": "I", "States": {
                "I": {"Type": "Pass", "Assign": {"own.$": "$"}, "Next": "C"},
                "C": {"Type": "Choice", "Default": "T", "Choices": [
                    {"Variable": "$", "NumericEquals": 2, "Next": "W"}]},
                "W": {"Type": "Wait", "Seconds": 20, "Next": "T"},
                "T": task,
            }}},
        }),
        "[1, 2, 3, 4.50, 5]",
    );
    let token = account.take().unwrap().token;
    account.fail(&token, "Again").unwrap();
    let taken = account.take().unwrap().token.to_string();
    assert!(account.history(&run).len() > 10);
    (account, taken)
}

/// Takes and answers until the end.
fn finish((account, taken): &mut (Account, String)) -> (String, Vec<String>) {
    let mut tokens = vec![taken.clone()];
    account.succeed(taken, "1").unwrap();
    for _ in 0..40 {
        account.advance(3.0);
        while let Some(task) = account.take() {
            tokens.push(format!("{} {}", task.token, task.input));
            account.succeed(&task.token, task.input.as_str()).unwrap();
        }
    }
    (account.saved(), tokens)
}

#[test]
fn it_goes_on_as_it_would_have() {
    let (mut here, mut there) = (busy(), busy());
    there.0.save_and_restore();
    let (end, tokens) = finish(&mut here);
    let (other_end, other_tokens) = finish(&mut there);
    assert!(same(&end, &other_end));
    assert_eq!(tokens, other_tokens);
    assert!(end.contains("ExecutionSucceeded"));
    assert_eq!(tokens.len(), 5, "{tokens:#?}");
    assert!(tokens.iter().any(|task| task.contains(r#"{"item":4.50,"sum":12.5,"own":4.50}"#)), "{tokens:#?}");
}

#[test]
fn what_is_no_engine_is_refused() {
    let text = busy().0.saved();
    let options = EngineOptions::default();
    for broken in
        ["{}", "", &text.replacen("StartAt", "StartIn", 1), &text.replacen("\"machine\":0", "\"machine\":9", 1)]
    {
        assert!(sfn_local::engine::Engine::restore(options.clone(), broken).is_err());
    }
}
