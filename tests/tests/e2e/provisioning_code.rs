//! Beginning a workflow, adding a step to one, exporting it as code, and working for one that others provision.

use std::fs;

use approve_tests::{Cli, Server, aws, binaries};
use serde_json::{Value, json};

use super::main_job::execution_ended;

/// Waits until an approval is listed, and approves it.
pub(crate) async fn approve_next(cli: &Cli, title: &str) {
    let id = approve_tests::wait_for(title, async || {
        let listed = cli.json(&["list"]).await;
        let found = listed.as_array().unwrap().iter().find(|approval| approval["title"] == title)?;
        Some(found["id"].as_str().unwrap().to_owned())
    })
    .await;
    cli.run(&["decide", &id, "--approve"]).await.ok();
}

#[tokio::test]
async fn a_spec_is_begun_a_step_is_added_and_the_workflow_asks() {
    let server = Server::empty().await;
    let cli = server.cli("ana");
    let path = |name: &str| server.folder().join(name).to_str().unwrap().to_owned();
    let (spec, flow) = (path("pay.toml"), path("pay.asl.json"));

    cli.run(&["workflow", "init", &spec, "--name", "pay"]).await.ok();
    cli.run(&["workflow", "init", &spec]).await.exits(6).says(&["exists"]);
    let definition = r#"{
  "StartAt": "Read",
  "TimeoutSeconds": 86400,
  "States": {
    "Read": {"Type": "Pass", "Next": "Pay"},
    "Pay": {"Type": "Pass", "End": true}
  }
}
"#;
    fs::write(&flow, definition).unwrap();
    let legal = ["--title", "Legal?", "--state", "AskLegal", "--activity", "${activity_arn.legal}"];
    let scaffold = ["workflow", "scaffold", &flow, "--before", "Pay"];
    let dry = cli.run(&[&scaffold[..], &["--title", "Pay?", "--dry-run"]].concat()).await.ok().stdout;
    assert!(dry.contains("-     \"Read\": {\"Type\": \"Pass\", \"Next\": \"Pay\"}"), "{dry}");
    assert!(dry.contains("+     \"Read\": {\"Type\": \"Pass\", \"Next\": \"ApprovalStep\"}"), "{dry}");
    assert_eq!(fs::read_to_string(&flow).unwrap(), definition);
    cli.run(&[&scaffold[..], &["--title", "Pay?"]].concat()).await.ok();
    cli.run(&[&scaffold[..], &legal].concat()).await.ok();
    cli.run(&scaffold).await.exits(6).says(&["already"]);

    // The file with its own definition, and the second activity.
    let text = fs::read_to_string(&spec).unwrap();
    let text = text.replace("timeout_seconds = 86400", "definition_file = \"pay.asl.json\"");
    let text = text.replace("[state_machine]\n", "[activities]\nlegal = \"Legal\"\n\n[state_machine]\n");
    fs::write(&spec, text).unwrap();
    let plan = cli.run(&["workflow", "plan", &spec, "--output", "json"]).await.exits(11).json();
    assert_eq!(plan["warnings"], json!([]), "a scaffolded step is a correct one");
    let events = cli.run(&["workflow", "apply", &spec, "--output", "json"]).await.ok().json_lines();
    let workflow = &events.last().unwrap()["workflow"];
    assert!(workflow["more_activity_arns"]["legal"].as_str().unwrap().ends_with(":activity:Legal"), "{workflow}");

    let started = cli.json(&["start", "--workflow", "pay", "--input", r#"{"amount": 99.90}"#]).await;
    let execution = started["execution_arn"].as_str().unwrap();
    approve_next(&cli, "Pay?").await;
    approve_next(&cli, "Legal?").await;
    let ended = execution_ended(&cli, execution).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["output"]["amount"].to_string(), "99.90");
    assert_eq!(ended["output"]["approval"]["outcome"], "APPROVED");
}

/// The decision reaches the state after the step, and a refusal the one that fails.
#[tokio::test]
async fn a_step_in_jsonata_is_added_applied_and_decided() {
    let server = Server::empty().await;
    let cli = server.cli("ana");
    let path = |name: &str| server.folder().join(name).to_str().unwrap().to_owned();
    let (spec, flow) = (path("pay.toml"), path("pay.asl.json"));
    let definition = r#"{
  "QueryLanguage": "JSONata",
  "StartAt": "Pay",
  "TimeoutSeconds": 86400,
  "States": {
    "Pay": {"Type": "Pass", "End": true, "Output": {
      "paid": "{% $states.input.amount %}", "by": "{% $states.input.approval.decided_by[0] %}"}}
  }
}
"#;
    fs::write(&flow, definition).unwrap();
    fs::write(
        &spec,
        "name = \"pay\"\n[state_machine]\ndefinition_file = \"pay.asl.json\"\n[role]\nmanaged_policies = []\n",
    )
    .unwrap();
    cli.run(&["workflow", "scaffold", &flow, "--before", "Pay", "--title", "Pay?"]).await.ok();
    let plan = cli.run(&["workflow", "plan", &spec, "--output", "json"]).await.exits(11).json();
    assert_eq!(plan["warnings"], json!([]), "a scaffolded step is a correct one");
    cli.run(&["workflow", "apply", &spec]).await.ok();

    let start = async || cli.json(&["start", "--workflow", "pay", "--input", r#"{"amount": 99.90}"#]).await;
    let started = start().await;
    approve_next(&cli, "Pay?").await;
    let ended = execution_ended(&cli, started["execution_arn"].as_str().unwrap()).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["output"]["paid"].to_string(), "99.90");
    assert!(ended["output"]["by"].to_string().contains("ana"), "{ended}");

    let started = start().await;
    let id = approve_tests::wait_for("the approval", async || {
        let listed = cli.json(&["list"]).await;
        Some(listed.as_array().unwrap().first()?["id"].as_str().unwrap().to_owned())
    })
    .await;
    cli.run(&["decide", &id, "--reject", "--comment", "no"]).await.ok();
    let ended = execution_ended(&cli, started["execution_arn"].as_str().unwrap()).await;
    assert_eq!((&ended["status"], &ended["error"]), (&json!("failed"), &json!("Approval.Rejected")), "{ended}");
}

#[tokio::test]
async fn a_state_machine_that_others_made_is_worked_for_and_left_alone() {
    let server = Server::empty().await;
    let cli = server.cli("ana");
    let (sfn, iam) = (aws::step_functions(server.aws()), aws::iam(server.aws()));
    let activity = sfn.create_activity().name("Theirs").send().await.unwrap().activity_arn;
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "states.amazonaws.com"}}]});
    let role = iam.create_role().role_name("Theirs").path("/code/").assume_role_policy_document(trust.to_string());
    let role = role.send().await.unwrap().role.unwrap().arn;
    let definition = json!({"StartAt": "Ask", "TimeoutSeconds": 9000, "States": {"Ask": {"Type": "Task",
        "Resource": activity, "TimeoutSeconds": 300, "HeartbeatSeconds": 60, "End": true}}});
    let machine = approve_tests::wait_for("the role", async || {
        let create = sfn.create_state_machine().name("Theirs").definition(definition.to_string()).role_arn(&role);
        Some(create.send().await.ok()?.state_machine_arn)
    })
    .await;

    let attach = ["workflow", "attach", "theirs", "--state-machine", &machine];
    let attached = cli.run(&attach).await.ok().says(&["no Retry"]);
    assert!(attached.stdout.contains(&activity), "{attached}");
    cli.run(&attach).await.ok();
    cli.run(&["workflow", "drift", "theirs"]).await.ok();
    let started = cli.json(&["start", "--workflow", "theirs", "--input", r#"{"n": 1}"#]).await;
    let listed = approve_tests::wait_for("the approval", async || {
        let listed = cli.json(&["list"]).await;
        listed.as_array().unwrap().first().cloned()
    })
    .await;
    cli.run(&["decide", listed["id"].as_str().unwrap(), "--approve"]).await.ok();
    let ended = execution_ended(&cli, started["execution_arn"].as_str().unwrap()).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");

    let spec = server.folder().join("theirs.toml");
    fs::write(&spec, "name = \"theirs\"\n").unwrap();
    cli.run(&["workflow", "apply", spec.to_str().unwrap(), "--adopt"]).await.exits(5).says(&["provisioned by code"]);
    cli.run(&["workflow", "destroy", "theirs"]).await.ok();
    let machines = sfn.list_state_machines().send().await.unwrap();
    assert_eq!(machines.state_machines().len(), 1, "destroy deleted what is not the server's");
    let nowhere = machine.replace("Theirs", "Nowhere");
    cli.run(&["workflow", "attach", "x", "--state-machine", &nowhere]).await.exits(6).says(&["no such state machine"]);
}

#[tokio::test]
async fn a_stack_is_exported_in_three_languages_without_asking_aws() {
    let server = Server::empty().await;
    let cli = server.cli("ana");
    let spec = server.folder().join("pay.toml");
    fs::write(&spec, "name = \"pay\"\n").unwrap();
    let export = |format: &'static str| ["workflow", "export", spec.to_str().unwrap(), "--format", format];
    let template = cli.run(&export("cloudformation")).await.ok().stdout;
    assert!(template.starts_with("AWSTemplateFormatVersion: \"2010-09-09\"\n"), "{template}");
    assert!(template.contains("  StateMachine:\n    Type: AWS::StepFunctions::StateMachine\n"), "{template}");
    let terraform: Value = serde_json::from_str(&cli.run(&export("terraform")).await.ok().stdout).unwrap();
    assert_eq!(terraform["resource"]["aws_sfn_activity"]["workflow"]["name"], "pay-activity");
    let pulumi = cli.run(&export("pulumi")).await.ok().stdout;
    assert!(pulumi.contains("    type: \"aws:sfn:StateMachine\"\n"), "{pulumi}");
    cli.run(&["workflow", "export", "--name", "pay", "--format", "pulumi"]).await.exits(3);
    assert!(aws::step_functions(server.aws()).list_activities().send().await.unwrap().activities().is_empty());
}

#[test]
fn the_server_prints_the_policy_that_it_needs() {
    let run = |more: &[&str]| -> Value {
        let output = std::process::Command::new(binaries::server()).arg("iam-policy").args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let whole = run(&["--account", "123456789012", "--region", "eu-west-1", "--workflow", "pay"]).to_string();
    for part in ["arn:aws:iam::123456789012:role/pay-role", "iam:PassRole", "arn:aws:states:eu-west-1:123456789012:"] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    let attached = run(&["--attach-only"]).to_string();
    assert!(attached.contains("states:GetActivityTask"), "{attached}");
    assert!(!attached.contains("Create") && !attached.contains("Delete") && !attached.contains("Pass"), "{attached}");
}
