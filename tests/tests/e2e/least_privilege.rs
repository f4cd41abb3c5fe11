//! The policy that `iam-policy` prints allows each call that the server makes on the wire, and no other.

use std::{collections::BTreeMap, fs, process::Command};

use approve_tests::{Cli, LocalAws, Server, aws, binaries, http, wait_for};
use serde_json::{Value, json};

use super::main_job::{execution_ended, start_and_see};

const FULL: &str = r#"
name = "pay"

[activities]
legal = "Legal"

[state_machine]
definition_file = "pay.asl.json"
tracing = true

[state_machine.logging]
level = "error"
log_group = "arn:aws:logs:us-east-1:123456789012:log-group:approvals:*"

[role]
path = "/approvals/"
managed_policies = ["arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess"]
permissions_boundary = "arn:aws:iam::aws:policy/AmazonSQSFullAccess"

[role.inline_policies]
own = "own.policy.json"

[encryption]
kms_key = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"

[tags]
team = "payments"
"#;

/// The same with all changed that can be changed in place.
const EDITED: &str = r#"
name = "pay"

[activities]
legal = "Legal"

[state_machine]
definition_file = "pay.asl.json"

[role]
path = "/approvals/"
managed_policies = []

[encryption]
kms_key = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"

[tags]
team = "risk"
"#;

const DEFINITION: &str = r#"{"StartAt": "Ask", "States": {"Ask": {"Type": "Task", "Resource": "${activity_arn}",
    "Parameters": {"approve": {"title": "Pay?", "execution.$": "$$.Execution.Id", "state.$": "$$.State.Name",
        "state_machine.$": "$$.StateMachine.Id", "entered_at.$": "$$.State.EnteredTime"}, "input.$": "$"},
    "TimeoutSeconds": 300, "HeartbeatSeconds": 2, "Catch": [{"ErrorEquals": ["Other"], "Next": "Legal"}], "End": true},
    "Legal": {"Type": "Task", "Resource": "${activity_arn.legal}", "HeartbeatSeconds": 60, "End": true}}}"#;

const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["logs:*", "xray:*", "kms:*"], "Resource": "*"}]}"#;

/// The actions that a policy names, but for what is no call: passing a role.
fn actions(more: &[&str]) -> Vec<String> {
    let output = Command::new(binaries::server()).arg("iam-policy").args(more).output().unwrap();
    let policy: Value = serde_json::from_slice(&output.stdout).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let all = statements.flat_map(|statement| statement["Action"].as_array().unwrap().clone());
    let all = all.map(|action| action.as_str().unwrap().to_owned());
    all.filter(|action| action != "iam:PassRole").collect()
}

/// Counts calls from here on: rules that delay by nothing. What is not in `operations` is counted last, under "".
async fn count(aws: &str, operations: &[String]) {
    let rule = |operation: Option<&str>| json!({"operation": operation, "kind": "delay", "millis": 0});
    let rules: Vec<Value> =
        operations.iter().map(|action| rule(action.split(':').nth(1))).chain([rule(None)]).collect();
    http::json("POST", aws, "/_sfn-local/faults", &json!({"rules": rules})).await.unwrap();
}

async fn counted(aws: &str) -> BTreeMap<String, u64> {
    let plan = http::json("GET", aws, "/_sfn-local/faults", &Value::Null).await.unwrap();
    let rules = plan["rules"].as_array().unwrap().iter();
    rules
        .map(|rule| {
            let operation = rule["rule"]["operation"].as_str().unwrap_or_default().to_owned();
            (operation, rule["fired"].as_u64().unwrap())
        })
        .collect()
}

/// Lets one approval through and rejects another, with a heartbeat between.
async fn work(cli: &Cli, aws: &str) {
    let (approved, id) = start_and_see(cli, r#"{"n": 1}"#).await;
    wait_for("a heartbeat", async || (counted(aws).await["SendTaskHeartbeat"] > 0).then_some(())).await;
    cli.run(&["decide", &id, "--approve"]).await.ok();
    assert_eq!(execution_ended(cli, &approved).await["status"], "succeeded");
    let (rejected, id) = start_and_see(cli, r#"{"n": 2}"#).await;
    cli.run(&["decide", &id, "--reject", "--comment", "no"]).await.ok();
    assert_eq!(execution_ended(cli, &rejected).await["status"], "failed");
}

async fn check(aws: &str, of: &str) {
    let counted = counted(aws).await;
    let unused: Vec<&String> =
        counted.iter().filter(|(name, fired)| !name.is_empty() && **fired == 0).map(|one| one.0).collect();
    assert_eq!(unused, [""; 0], "{of} allows what is never called: {counted:?}");
    assert_eq!(counted[""], 0, "calls were made that {of} does not allow: {counted:?}");
}

#[tokio::test]
async fn the_policy_allows_each_call_on_the_wire_and_no_other() {
    let aws = LocalAws::start().await;
    let server = Server::serve(aws.url()).await;
    let cli = server.cli("ana");
    let path = |name: &str| server.folder().join(name).to_str().unwrap().to_owned();
    fs::write(path("pay.asl.json"), DEFINITION).unwrap();
    fs::write(path("own.policy.json"), POLICY).unwrap();
    let (full, edited) = (path("full.toml"), path("edited.toml"));
    fs::write(&full, FULL).unwrap();
    fs::write(&edited, EDITED).unwrap();
    let apply = async |spec: &str| cli.run(&["workflow", "apply", spec]).await.ok();

    // Every part of the spec arrives, and comes back as it was sent.
    let plan = cli.run(&["workflow", "plan", &full, "--output", "json"]).await.exits(11).json();
    let warnings = plan["warnings"].to_string();
    assert!(!warnings.contains("the role needs"), "its inline policy allows it: {warnings}");
    apply(&full).await;
    cli.run(&["workflow", "drift", "pay"]).await.ok();
    let iam = aws::iam(aws.url());
    let role = iam.get_role().role_name("pay-role").send().await.unwrap().role.unwrap();
    assert_eq!(role.path, "/approvals/");
    assert!(role.permissions_boundary.unwrap().permissions_boundary_arn.unwrap().ends_with("AmazonSQSFullAccess"));
    let sfn = aws::step_functions(aws.url());
    let machine = sfn.list_state_machines().send().await.unwrap().state_machines[0].state_machine_arn.clone();
    let machine = sfn.describe_state_machine().state_machine_arn(machine).send().await.unwrap();
    assert!(machine.tracing_configuration.unwrap().enabled);
    assert_eq!(machine.logging_configuration.unwrap().level.unwrap().as_str(), "ERROR");
    let key = machine.encryption_configuration.unwrap().kms_key_id.unwrap();
    assert!(key.ends_with(":key/12345678-1234-1234-1234-123456789012"), "{key}");
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": ["states.amazonaws.com", "ec2.amazonaws.com"]}}]});
    iam.update_assume_role_policy().role_name("pay-role").policy_document(trust.to_string()).send().await.unwrap();

    count(aws.url(), &actions(&[])).await;
    for spec in [&full, &edited, &full] {
        apply(spec).await;
        cli.run(&["workflow", "plan", spec]).await.ok();
    }
    work(&cli, aws.url()).await;
    cli.run(&["workflow", "destroy", "pay"]).await.ok();
    apply(&full).await;
    check(aws.url(), "iam-policy").await;
}

#[tokio::test]
async fn the_policy_of_a_server_that_provisions_nothing_allows_each_call_and_no_other() {
    let aws = LocalAws::start().await;
    let maker = Server::serve(aws.url()).await;
    let spec = maker.folder().join("pay.toml");
    let text = "name = \"pay\"\n[state_machine]\ntimeout_seconds = 60\nheartbeat_seconds = 2\n\
                [role.inline_policies]\nown = \"own.policy.json\"\n";
    fs::write(&spec, text).unwrap();
    fs::write(maker.folder().join("own.policy.json"), POLICY).unwrap();
    let applied = maker.cli("ana").run(&["workflow", "apply", spec.to_str().unwrap(), "--output", "json"]).await.ok();
    let machine = applied.json_lines().last().unwrap()["workflow"]["state_machine_arn"].as_str().unwrap().to_owned();
    drop(maker);

    let server = Server::serve(aws.url()).await;
    let cli = server.cli("ana");
    count(aws.url(), &actions(&["--attach-only"])).await;
    cli.run(&["workflow", "attach", "pay", "--state-machine", &machine]).await.ok();
    cli.run(&["workflow", "drift", "pay"]).await.ok();
    work(&cli, aws.url()).await;
    check(aws.url(), "iam-policy --attach-only").await;
}
