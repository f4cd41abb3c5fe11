//! The whole main job against a Step Functions that is not ours, with the binaries as they are: `serve` finds it
//! through the usual environment variables, `approve-cli` provisions and drives. Then the scenarios, against ours and it.
//!
//! `tests/run` installs LocalStack and runs these.

use std::fs;

use approve_tests::{LocalAws, Server, aws, localstack::LocalStack, scenarios};

use super::main_job::{execution_ended, start_and_see};

const SPEC: &str = r#"
name = "payments"
activity_name = "HumanApprovalActivity"

[state_machine]
name = "HumanApprovalStateMachine"

[role]
name = "HumanApprovalRole"
managed_policies = ["arn:aws:iam::aws:policy/AWSStepFunctionsFullAccess"]
"#;

/// One after the other on one LocalStack, which takes long to start.
#[tokio::test]
#[ignore = "needs LocalStack: run tests/run"]
async fn the_main_job_runs_unchanged_and_every_scenario_as_here() {
    let localstack = LocalStack::start().await;
    the_main_job_runs_unchanged(&localstack).await;
    let ours = LocalAws::start().await;
    scenarios::compare(localstack.python(), ours.url(), localstack.url()).await;
}

async fn the_main_job_runs_unchanged(localstack: &LocalStack) {
    let server = Server::serve_with_environment(localstack.url()).await;
    let spec = server.folder().join("payments.toml");
    fs::write(&spec, SPEC).unwrap();
    let cli = server.cli("ana");

    let apply = ["workflow", "apply", spec.to_str().unwrap(), "--output", "json"];
    let events = cli.run(&apply).await.ok().json_lines();
    let workflow = &events.last().unwrap()["workflow"];
    let arn = workflow["state_machine_arn"].as_str().unwrap();
    let machines = aws::step_functions(localstack.url()).list_state_machines().send().await.unwrap();
    let arns: Vec<_> = machines.state_machines().iter().map(|machine| machine.state_machine_arn()).collect();
    assert_eq!(arns, [arn]);
    let again = cli.run(&apply).await.ok().json_lines();
    let steps = again.iter().filter(|event| event["event"] == "step");
    assert!(steps.into_iter().all(|event| event["step"]["action"] == "unchanged"), "{again:?}");

    let (approved, id) = start_and_see(&cli, r#"{"invoice": 4711, "amount": 1200.50}"#).await;
    cli.run(&["decide", &id, "--approve", "--comment", "ok"]).await.ok();
    assert_eq!(cli.json(&["show", &id]).await["delivery"]["state"], "delivered");
    let execution = execution_ended(&cli, &approved).await;
    assert_eq!(execution["status"], "succeeded", "{execution}");
    assert_eq!(execution["output"]["outcome"], "APPROVED");
    assert_eq!(execution["output"]["comment"], "ok");

    let (rejected, id) = start_and_see(&cli, r#"{"invoice": 4712}"#).await;
    cli.run(&["decide", &id, "--reject", "--comment", "no order"]).await.ok();
    let execution = execution_ended(&cli, &rejected).await;
    assert_eq!(execution["status"], "failed", "{execution}");
    assert_eq!(execution["error"], "Approval.Rejected");
    assert_eq!(execution["cause"]["comment"], "no order");
    let states: Vec<_> = execution["states"].as_array().unwrap().iter().map(|state| state["name"].clone()).collect();
    assert_eq!(states, ["ApprovalStep"]);
}
