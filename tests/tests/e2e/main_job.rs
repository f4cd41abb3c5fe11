//! A workflow pauses, people see it, decide, and it goes on: as the README tells it.

use std::time::Duration;

use approve_client::{
    ApprovalStatus, Client, Filter, Watch,
    proto::{DeliveryState, Execution, ExecutionStatus},
};
use approve_tests::{
    Cli, Server,
    approvals::{Watching, ask, delivered, delivery_state, ended, states},
    cli::json_lines,
    wait_for,
    workflows::{ASK, apply, ask_input, expiring, spec, with_rule},
};
use serde_json::Value;

const INPUT: &str = r#"{"invoice": 4711, "amount": 1200.50}"#;

/// Starts an execution and waits until its approval is listed; returns the execution's name and the approval's id.
pub(crate) async fn start_and_see(cli: &Cli, input: &str) -> (String, String) {
    let started = cli.json(&["start", "--input", input]).await;
    let arn = started["execution_arn"].as_str().unwrap().to_owned();
    let listed = wait_for("the approval to be listed", async || {
        let listed = cli.json(&["list", "--execution", &arn]).await;
        listed.as_array().unwrap().first().cloned()
    })
    .await;
    (started["name"].as_str().unwrap().to_owned(), listed["id"].as_str().unwrap().to_owned())
}

/// Waits for the end of an execution, as a script does.
pub(crate) async fn execution_ended(cli: &Cli, name: &str) -> Value {
    wait_for("the end of the execution", async || {
        let execution = cli.json(&["execution", name]).await;
        (execution["status"] != "running").then_some(execution)
    })
    .await
}

#[tokio::test]
async fn an_approved_execution_goes_on_with_the_decision_in_its_output() {
    let server = Server::dev().await;
    let cli = server.cli("ana");
    let watch = cli.spawn("watch", &["watch", "--output", "json"]);
    wait_for("the watch to be synced", async || {
        json_lines(&watch.stdout()).iter().any(|event| event["event"] == "synced").then_some(())
    })
    .await;

    let (name, id) = start_and_see(&cli, INPUT).await;

    wait_for("the watch to show it arrive", async || {
        let events = json_lines(&watch.stdout());
        events.iter().any(|event| event["event"] == "upserted" && event["approval"]["id"] == *id).then_some(())
    })
    .await;
    let table = cli.run(&["list"]).await.ok().stdout;
    let prefix = shortest_prefix(&table, &id);
    let shown = cli.run(&["show", &prefix, "--output", "json"]).await.ok();
    assert_eq!(shown.json()["status"], "pending");
    assert!(shown.stdout.contains("1200.50"), "the amount is not exact\n{shown}");

    cli.run(&["decide", &prefix, "--approve", "--comment", "ok"]).await.ok();

    let shown = cli.json(&["show", &id]).await;
    assert_eq!(shown["status"], "approved");
    assert_eq!(shown["delivery"]["state"], "delivered");
    assert_eq!(shown["decided_by"], serde_json::json!(["user:ana"]));
    let execution = execution_ended(&cli, &name).await;
    assert_eq!(execution["status"], "succeeded");
    let output = &execution["output"];
    assert_eq!(output["outcome"], "APPROVED");
    assert_eq!(output["approval_id"], *id);
    assert_eq!(output["comment"], "ok");
    assert_eq!(output["decided_by"], serde_json::json!(["user:ana"]));
    assert_eq!(output["input"]["amount"].to_string(), "1200.50");
    assert_eq!(names(&execution), ["ApprovalStep", "NextStep"]);
    wait_for("the watch to show it leave", async || {
        let events = json_lines(&watch.stdout());
        events.iter().any(|event| event["event"] == "removed" && event["id"] == *id).then_some(())
    })
    .await;
    let tables = cli.run(&["show", &id]).await.ok().stdout + &cli.run(&["execution", &name]).await.ok().stdout;
    assert!(tables.contains("DELIVERED") && tables.contains("SUCCEEDED"), "{tables}");
}

#[tokio::test]
async fn a_rejected_execution_fails_and_its_next_step_never_runs() {
    let server = Server::dev().await;
    let cli = server.cli("bo");
    let (name, id) = start_and_see(&cli, INPUT).await;

    cli.run(&["decide", &id, "--reject", "--comment", "too much"]).await.ok();

    let execution = execution_ended(&cli, &name).await;
    assert_eq!(execution["status"], "failed");
    assert_eq!(execution["error"], "Approval.Rejected");
    assert_eq!(execution["cause"]["outcome"], "REJECTED");
    assert_eq!(execution["cause"]["comment"], "too much");
    assert_eq!(execution["cause"]["input"]["amount"].to_string(), "1200.50");
    assert_eq!(names(&execution), ["ApprovalStep"]);
    let shown = cli.json(&["show", &id]).await;
    assert_eq!((&shown["status"], &shown["delivery"]["state"]), (&"rejected".into(), &"delivered".into()));
}

#[tokio::test]
async fn an_approval_that_nobody_decides_expires_and_fails_its_execution() {
    let server = Server::empty().await;
    let client = server.client("ana").await;
    apply(&client, with_rule(spec("quick", ASK), expiring(Duration::from_secs(2)))).await;

    let (arn, approval) = ask(&client, "quick", &ask_input("Decide quickly", "user:req")).await;
    assert_eq!(approval.status(), ApprovalStatus::Pending);
    assert!(approval.expire_time.is_some());

    let execution = ended(&client, &arn).await;
    assert_failed(&execution, "Approval.Expired");
    let approval = delivered(&client, &approval.id).await;
    assert_eq!(approval.status(), ApprovalStatus::Expired);
    assert_eq!(approval.decided_by, ["system:expiry"]);
}

#[tokio::test]
async fn waiting_for_the_delivery_answers_after_it() {
    let server = Server::dev().await;
    let client = server.client("ana").await;
    let (arn, approval) = ask(&client, "HumanApproval", INPUT).await;

    let decide = approve_client::Decide::approve(&approval.id).wait_for_delivery(true);
    let decided = client.decide(decide).await.unwrap();

    assert_eq!(delivery_state(&decided.approval), DeliveryState::Delivered);
    assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn many_executions_at_once_each_get_their_own_decision() {
    const EXECUTIONS: usize = 20;
    let server = Server::dev().await;
    let client = server.client("ana").await;
    let mut watching = Watching::synced(&client, Watch::new().filter(Filter::new().workflow("HumanApproval"))).await;
    let mut arns = Vec::new();
    for at in 0..EXECUTIONS {
        arns.push(approve_tests::approvals::start(&client, "HumanApproval", &format!(r#"{{"at": {at}}}"#)).await);
    }
    while watching.view.len() < EXECUTIONS {
        watching.next().await;
    }
    for approval in watching.view.iter() {
        let input: Value = serde_json::from_str(&approval.input_json).unwrap();
        let even = input["at"].as_u64().unwrap().is_multiple_of(2);
        decide(&client, &approval.id, even).await;
    }
    for (at, arn) in arns.iter().enumerate() {
        let execution = ended(&client, arn).await;
        let expected = if at % 2 == 0 { ExecutionStatus::Succeeded } else { ExecutionStatus::Failed };
        assert_eq!(execution.status(), expected, "{execution:?}");
        let told = if at % 2 == 0 { &execution.output_json } else { &execution.cause };
        let told: Value = serde_json::from_str(told).unwrap();
        assert_eq!(told["input"]["at"], at);
    }
}

async fn decide(client: &Client, id: &str, approve: bool) {
    let decide = if approve { approve_client::Decide::approve(id) } else { approve_client::Decide::reject(id) };
    client.decide(decide).await.unwrap();
}

fn assert_failed(execution: &Execution, error: &str) {
    assert_eq!(execution.status(), ExecutionStatus::Failed, "{execution:?}");
    assert_eq!(execution.error, error);
    assert!(!states(execution).contains(&"NextStep"), "{execution:?}");
}

fn names(execution: &Value) -> Vec<&str> {
    execution["states"].as_array().unwrap().iter().map(|state| state["name"].as_str().unwrap()).collect()
}

/// What a person would copy from the table.
fn shortest_prefix(table: &str, id: &str) -> String {
    let shown = table.split_whitespace().find(|word| id.starts_with(*word) && word.starts_with("apr_"));
    shown.unwrap_or_else(|| panic!("the table does not show {id}\n{table}")).to_owned()
}
