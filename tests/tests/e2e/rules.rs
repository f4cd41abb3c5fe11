//! Rules over the wire: stages, outcomes, schemas, and what a task's input may ask for.

use approve_client::{
    ApplyOptions, Approval, ApprovalStatus, Client, Code, Decide, Decision, Error, Reason,
    proto::{ApproverSet, ExecutionStatus, ExpiryAction, Outcome, Rule, Stage, StageOrder, WorkflowSpec},
};
use approve_tests::{
    Server,
    approvals::{ask, delivered, ended, start, states},
    wait_for,
    workflows::{ASK, PASS_INPUT, apply, ask_input, of_group, spec, with_rule},
};
use serde_json::{Value, json};

fn set(members: &[&str]) -> ApproverSet {
    ApproverSet { any_of: members.iter().map(ToString::to_string).collect() }
}

fn stage(name: &str, members: &[&str], required_approvals: u32) -> Stage {
    Stage { name: name.to_owned(), approver_sets: vec![set(members)], required_approvals }
}

fn staged(order: StageOrder) -> Rule {
    let stages = vec![stage("legal", &["group:legal"], 1), stage("money", &["group:finance"], 1)];
    Rule { stages, stage_order: order.into(), ..Rule::default() }
}

async fn asked_under(client: &Client, rule: Rule) -> (String, Approval) {
    apply(client, with_rule(spec("pay", ASK), rule)).await;
    ask(client, "pay", &ask_input("Pay", "user:req")).await
}

fn assert_refused(error: &Error, code: Code, reason: &Reason) {
    assert_eq!((error.code(), error.reason()), (code, Some(reason)), "{error:?}");
}

fn open(approval: &Approval) -> Vec<&str> {
    approval.stages.iter().filter(|stage| stage.open).map(|stage| stage.name.as_str()).collect()
}

#[tokio::test]
async fn stages_in_order_wait_for_each_other() {
    let server = Server::empty().await;
    let lea = server.client_in("lea", &["legal"]).await;
    let fin = server.client_in("fin", &["finance"]).await;
    let (arn, approval) = asked_under(&lea, staged(StageOrder::Sequential)).await;
    assert_eq!(open(&approval), ["legal"]);
    assert_eq!(approval.rule_version.len(), 16);

    let early = fin.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_refused(&early, Code::FailedPrecondition, &Reason::StageNotOpen);
    assert_eq!(early.metadata("stages"), Some("money"));
    let stranger = server.client("mallory").await.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_refused(&stranger, Code::PermissionDenied, &Reason::NotAnApprover);

    let after = lea.decide(Decide::approve(&approval.id)).await.unwrap().approval;
    assert_eq!((open(&after), after.votes[0].stages.as_slice()), (vec!["money"], &["legal".to_owned()][..]));
    let decided = fin.decide(Decide::approve(&approval.id)).await.unwrap().approval;
    assert_eq!(decided.status(), ApprovalStatus::Approved);
    assert_eq!(decided.decided_by, ["user:lea", "user:fin"]);
    assert_eq!(ended(&fin, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn in_parallel_stages_one_person_counts_where_they_are_needed() {
    let server = Server::empty().await;
    let both = server.client_in("both", &["legal", "finance"]).await;
    let lea = server.client_in("lea", &["legal"]).await;
    let (arn, approval) = asked_under(&lea, staged(StageOrder::Parallel)).await;
    assert_eq!(open(&approval), ["legal", "money"]);

    let after = both.decide(Decide::approve(&approval.id)).await.unwrap().approval;
    assert_eq!(after.status(), ApprovalStatus::Pending, "one person is not two");
    let decided = lea.decide(Decide::approve(&approval.id)).await.unwrap().approval;
    assert_eq!(decided.status(), ApprovalStatus::Approved, "whoever came first is moved to the other stage");
    assert_eq!(ended(&lea, &arn).await.status(), ExecutionStatus::Succeeded);
}

fn with_outcomes() -> Rule {
    let outcome = |name: &str, decision: Decision| Outcome {
        name: name.to_owned(),
        label: String::new(),
        decision: decision.into(),
    };
    Rule {
        stages: vec![stage("", &["user:ana", "user:bo"], 2)],
        outcomes: vec![
            outcome("PAY_HALF", Decision::Approve),
            outcome("PAY_ALL", Decision::Approve),
            outcome("NEXT_YEAR", Decision::Reject),
        ],
        ..Rule::default()
    }
}

#[tokio::test]
async fn an_outcome_of_its_own_reaches_the_workflow() {
    let server = Server::empty().await;
    let ana = server.client("ana").await;
    let bo = server.client("bo").await;
    let (arn, approval) = asked_under(&ana, with_outcomes()).await;

    let error = ana.decide(Decide::outcome(&approval.id, "PAY_NOTHING")).await.unwrap_err();
    assert_refused(&error, Code::InvalidArgument, &Reason::OutcomeUnknown);
    assert_eq!(error.metadata("outcomes"), Some("PAY_HALF,PAY_ALL,NEXT_YEAR"));
    ana.decide(Decide::outcome(&approval.id, "PAY_ALL")).await.unwrap();
    let decided = bo.decide(Decide::outcome(&approval.id, "PAY_HALF")).await.unwrap().approval;

    assert_eq!((decided.status(), decided.outcome.as_str()), (ApprovalStatus::Approved, "PAY_HALF"));
    let execution = ended(&ana, &arn).await;
    let output: Value = serde_json::from_str(&execution.output_json).unwrap();
    assert_eq!((&output["outcome"], &output["status"]), (&json!("PAY_HALF"), &json!("APPROVED")));

    let (arn, approval) = ask(&ana, "pay", &ask_input("Pay", "user:req")).await;
    ana.decide(Decide::outcome(&approval.id, "NEXT_YEAR")).await.unwrap();
    let execution = ended(&ana, &arn).await;
    assert_eq!(execution.error, "Approval.Rejected");
    let cause: Value = serde_json::from_str(&execution.cause).unwrap();
    assert_eq!((&cause["outcome"], &cause["status"]), (&json!("NEXT_YEAR"), &json!("REJECTED")));
}

#[tokio::test]
async fn a_response_has_to_fit_its_schema_to_the_last_digit() {
    let server = Server::empty().await;
    let ana = server.client("ana").await;
    let schema = r#"{"type": "object", "required": ["amount"], "additionalProperties": false, "properties": {
        "amount": {"type": "number", "maximum": 1200.50}, "account": {"type": "integer"}}}"#;
    let rule = Rule { response_schema_json: schema.to_owned(), ..Rule::default() };
    let (arn, approval) = asked_under(&ana, rule).await;

    for (response, places) in [
        ("", &["response_json"][..]),
        (r#"{"amount": "1200"}"#, &["response_json/amount"]),
        (r#"{"amount": 1200.5000000000000000000000000001}"#, &["response_json/amount"]),
        (r#"{"amount": 1, "account": 1.5}"#, &["response_json/account"]),
    ] {
        let error = ana.decide(Decide::approve(&approval.id).response_json(response)).await.unwrap_err();
        assert_refused(&error, Code::InvalidArgument, &Reason::ResponseInvalid);
        let found: Vec<_> = error.field_violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(found, places, "{response}");
    }
    let exact = r#"{"amount":1200.50,"account":123456789012345678901234567890}"#;
    let decided = ana.decide(Decide::approve(&approval.id).response_json(exact)).await.unwrap().approval;
    assert_eq!(decided.votes[0].response_json, exact);
    let execution = ended(&ana, &arn).await;
    assert!(execution.output_json.contains(exact), "{}", execution.output_json);
}

/// A definition that lets whoever starts an execution say who approves it.
fn open_door() -> String {
    let mut definition: Value = serde_json::from_str(ASK).unwrap();
    definition["States"]["Ask"]["Parameters"]["approve"]["rule.$"] = "$.rule".into();
    definition.to_string()
}

fn mallorys_input(rule: &Value) -> String {
    json!({"title": "Pay me", "requester": "user:req", "labels": {}, "rule": rule}).to_string()
}

#[tokio::test]
async fn whoever_starts_an_execution_cannot_name_themselves_the_approver() {
    let server = Server::empty().await;
    let mallory = server.client("mallory").await;
    apply(&mallory, with_rule(spec("pay", &open_door()), of_group("finance", 1))).await;

    let (_, approval) = ask(&mallory, "pay", &mallorys_input(&json!({"approvers": ["user:mallory"]}))).await;
    let error = mallory.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_refused(&error, Code::PermissionDenied, &Reason::NotAnApprover);
    // In the group, and named: the stricter of both.
    let fin = server.client_in("fin", &["finance"]).await.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_refused(&fin, Code::PermissionDenied, &Reason::NotAnApprover);

    for (rule, field) in [
        (json!({"stages": [{"name": "mine", "approvers": ["user:mallory"]}, {"name": "mine"}]}), None),
        (json!({"trust_task_input": true, "approvers": ["user:mallory"]}), Some("trust_task_input")),
        (json!({"escalations": [{"after": "1s", "approvers": ["user:mallory"]}]}), Some("escalations")),
        (json!({"on_expiry": "approve", "expires_after": "1s"}), Some("on_expiry")),
        (json!({"outcomes": [{"name": "SKIP_CHECKS", "decision": "approve"}]}), Some("outcomes")),
        (json!({"on_reject": "output"}), Some("on_reject")),
    ] {
        let arn = start(&mallory, "pay", &mallorys_input(&rule)).await;
        match field {
            Some(field) => {
                let execution = ended(&mallory, &arn).await;
                assert_eq!(execution.error, "Approval.InvalidRequest", "{rule}");
                assert!(execution.cause.contains(&format!("approve.rule.{field}:")), "{}", execution.cause);
            }
            None => {
                let approval = pending_of(&mallory, &arn).await;
                let error = mallory.decide(Decide::approve(&approval.id)).await.unwrap_err();
                assert_refused(&error, Code::FailedPrecondition, &Reason::StageNotOpen);
            }
        }
    }
}

async fn pending_of(client: &Client, arn: &str) -> Approval {
    wait_for("the approval", async || {
        let list = approve_client::List::pending();
        let found = client.list(list).await.unwrap().approvals;
        found.into_iter().find(|approval| approval.source.as_ref().is_some_and(|source| source.execution_arn == arn))
    })
    .await
}

#[tokio::test]
async fn a_workflow_that_trusts_its_tasks_takes_their_rule() {
    let server = Server::empty().await;
    let mallory = server.client("mallory").await;
    let trusting = Rule { trust_task_input: true, ..of_group("finance", 1) };
    apply(&mallory, with_rule(spec("pay", &open_door()), trusting)).await;

    let (arn, approval) = ask(&mallory, "pay", &mallorys_input(&json!({"approvers": ["user:mallory"]}))).await;
    let decided = mallory.decide(Decide::approve(&approval.id)).await.unwrap().approval;
    assert_eq!(decided.status(), ApprovalStatus::Approved);
    assert_eq!(ended(&mallory, &arn).await.status(), ExecutionStatus::Succeeded);
}

async fn refusal_of(client: &Client, rule: Rule) -> Error {
    let spec: WorkflowSpec = with_rule(spec("pay", ASK), rule);
    let mut events = client.apply_workflow(spec, ApplyOptions::new());
    loop {
        match futures::TryStreamExt::try_next(&mut events).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the rule was accepted"),
            Err(error) => return error,
        }
    }
}

#[tokio::test]
async fn a_rule_that_could_never_be_met_is_refused() {
    let server = Server::empty().await;
    let client = server.client("ana").await;
    let parallel = vec![stage("a", &["user:ana"], 1), stage("b", &["user:ana"], 1)];
    let cases = [
        (Rule { stages: vec![stage("", &["user:ana"], 2)], ..Rule::default() }, "stages[0].required_approvals"),
        (Rule { stages: vec![stage("", &[], 1)], ..Rule::default() }, "stages[0].approver_sets[0].any_of"),
        (
            Rule { stages: parallel.clone(), stage_order: StageOrder::Parallel.into(), ..Rule::default() },
            "stages[1].required_approvals",
        ),
        (
            Rule { expiry_action: ExpiryAction::Outcome.into(), expiry_outcome: "LATER".to_owned(), ..Rule::default() },
            "expiry_outcome",
        ),
        (Rule { response_schema_json: r#"{"type": "nope"}"#.to_owned(), ..Rule::default() }, "response_schema_json"),
    ];
    for (rule, field) in cases {
        let error = refusal_of(&client, rule.clone()).await;
        assert_refused(&error, Code::InvalidArgument, &Reason::InvalidField);
        assert_eq!(error.field_violations()[0].field, format!("spec.rule.{field}"), "{error:?}");
        let checked = client.check_rule(rule, "", None).await.unwrap();
        assert_eq!(checked.problems[0].field, field);
        assert!(checked.explanation.is_none());
    }

    // At intake, where the requester is known.
    apply(
        &client,
        with_rule(spec("pay", PASS_INPUT), Rule { stages: parallel, allow_repeat_approvers: true, ..Rule::default() }),
    )
    .await;
    let arn = start(&client, "pay", r#"{"approve": {"requester": "ana"}}"#).await;
    let execution = ended(&client, &arn).await;
    assert_eq!((execution.error.as_str(), states(&execution)), ("Approval.InvalidRequest", vec!["Ask"]));
    let cause: Value = serde_json::from_str(&execution.cause).unwrap();
    assert!(cause["reason"].as_str().unwrap().contains("the only approver is the requester"), "{cause}");
    let kept = delivered(&client, cause["approval_id"].as_str().unwrap()).await;
    assert_eq!(kept.status(), ApprovalStatus::Invalid);
}
