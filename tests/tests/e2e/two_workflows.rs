//! Two workflows on one server: nothing of one shows in the other.

use std::fs;

use approve_client::proto::ExecutionStatus;
use approve_tests::{
    Server,
    approvals::{ended, states},
    aws, wait_for,
};
use serde_json::Value;

const INVOICES: &str = r#"
name = "invoices"

[state_machine]
timeout_seconds = 600
heartbeat_seconds = 60

[rule]
comment = "on_reject"

[tags]
team = "billing"
"#;

const RELEASES: &str = r#"
name = "releases"
activity_name = "ReleaseApproval"

[state_machine]
name = "Releases"
definition_file = "releases.asl.json"

[role]
name = "releases-role"
managed_policies = []
"#;

#[tokio::test]
async fn both_are_provisioned_and_decided_apart() {
    let server = Server::empty().await;
    let folder = server.folder();
    fs::write(folder.join("invoices.toml"), INVOICES).unwrap();
    fs::write(folder.join("releases.toml"), RELEASES).unwrap();
    fs::write(folder.join("releases.asl.json"), approve_tests::workflows::PASS_INPUT).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let cli = server.cli("ana");

    for name in ["invoices", "releases"] {
        let apply = ["workflow", "apply", &path(&format!("{name}.toml")), "--output", "json"];
        let first = cli.run(&apply).await.ok().json_lines();
        assert_eq!(first.last().unwrap()["event"], "applied", "{first:?}");
        assert!(steps(&first).iter().all(|(_, action)| action == "created"), "{first:?}");
        let again = cli.run(&apply).await.ok().json_lines();
        assert!(steps(&again).iter().all(|(_, action)| action == "unchanged"), "{again:?}");
    }
    let listed = cli.json(&["workflow", "list"]).await;
    let listed: Vec<_> = listed.as_array().unwrap().iter().map(|workflow| workflow["name"].clone()).collect();
    assert_eq!(listed, ["invoices", "releases"]);

    cli.run(&["start"]).await.exits(6).says(&["workflow"]);
    let invoice = start(&server, "invoices", r#"{"amount":10.00}"#).await;
    let release = start(&server, "releases", r#"{"version":"1.2.3"}"#).await;
    assert_ne!(invoice.id, release.id);
    assert_eq!(invoice.input, r#"{"amount":10.00}"#);
    assert_eq!(release.input, r#"{"version":"1.2.3"}"#);

    cli.run(&["decide", &invoice.id, "--reject"]).await.exits(6).says(&["comment"]);
    cli.run(&["decide", &invoice.id, "--reject", "--comment", "no order"]).await.ok();
    let pending = cli.json(&["list"]).await;
    assert_eq!(pending.as_array().unwrap().len(), 1, "{pending}");
    assert_eq!(pending[0]["id"], *release.id);
    cli.run(&["decide", &release.id, "--approve"]).await.ok();

    let client = server.client("ana").await;
    let rejected = ended(&client, &invoice.execution).await;
    assert_eq!((rejected.status(), rejected.error.as_str()), (ExecutionStatus::Failed, "Approval.Rejected"));
    let approved = ended(&client, &release.execution).await;
    assert_eq!(approved.status(), ExecutionStatus::Succeeded);
    assert_eq!(states(&approved), ["Ask", "NextStep"]);
    assert_ne!(rejected.state_machine_arn, approved.state_machine_arn);
}

#[tokio::test]
async fn the_reference_stack_is_what_the_design_says() {
    let server = Server::dev().await;
    let iam = aws::iam(server.aws());
    let step_functions = aws::step_functions(server.aws());
    let arn = server.ready().state_machine_arn.clone().expect("dev names the state machine");

    let machine = step_functions.describe_state_machine().state_machine_arn(&arn).send().await.unwrap();
    assert_eq!(machine.name, "HumanApprovalStateMachine");
    let definition: Value = serde_json::from_str(&machine.definition).unwrap();
    let step = &definition["States"]["ApprovalStep"];
    assert_eq!((&step["TimeoutSeconds"], &step["HeartbeatSeconds"]), (&300.into(), &60.into()));
    assert_eq!(definition["StartAt"], "ApprovalStep");
    assert_eq!(step["Next"], "NextStep");
    assert!(step["Resource"].as_str().unwrap().ends_with(":activity:HumanApprovalActivity"), "{step}");
    let role = machine.role_arn.rsplit('/').next().unwrap();
    let trust = iam.get_role().role_name(role).send().await.unwrap().role.unwrap().assume_role_policy_document.unwrap();
    assert!(trust.contains("states.amazonaws.com"), "{trust}");
    let policies = iam.list_attached_role_policies().role_name(role).send().await.unwrap();
    let policies: Vec<_> = policies.attached_policies().iter().filter_map(|policy| policy.policy_arn()).collect();
    assert_eq!(policies, ["arn:aws:iam::aws:policy/AWSStepFunctionsFullAccess"]);

    let said = {
        let mut server = server;
        let process = server.process();
        process.stdout() + &process.stderr()
    };
    assert!(said.contains(&arn), "dev does not print the state machine's ARN\n{said}");
    for command in [" start --input", " list", " decide "] {
        let mut lines = said.lines().filter(|line| line.trim_start().starts_with("approve-cli"));
        assert!(lines.any(|line| line.contains(command)), "dev does not print {command:?}\n{said}");
    }
}

#[tokio::test]
async fn a_destroyed_workflow_is_gone_and_its_approvals_are_kept() {
    let server = Server::empty().await;
    let folder = server.folder();
    fs::write(folder.join("invoices.toml"), INVOICES).unwrap();
    let cli = server.cli("ana");
    cli.run(&["workflow", "apply", folder.join("invoices.toml").to_str().unwrap()]).await.ok();
    let invoice = start(&server, "invoices", "{}").await;

    cli.run(&["workflow", "destroy", "invoices"]).await.exits(5).says(&["pending"]);
    cli.run(&["workflow", "destroy", "invoices", "--force"]).await.ok();

    let shown = cli.json(&["show", &invoice.id]).await;
    assert_eq!(shown["status"], "canceled");
    cli.run(&["workflow", "get", "invoices"]).await.exits(3);
    let machines = aws::step_functions(server.aws()).list_state_machines().send().await.unwrap();
    assert!(machines.state_machines().is_empty(), "{machines:?}");
    let activities = aws::step_functions(server.aws()).list_activities().send().await.unwrap();
    assert!(activities.activities().is_empty(), "{activities:?}");
}

struct Started {
    execution: String,
    id: String,
    input: String,
}

async fn start(server: &Server, workflow: &str, input: &str) -> Started {
    let cli = server.cli("ana");
    let execution = cli.json(&["start", "--workflow", workflow, "--input", input]).await["execution_arn"].clone();
    let id = wait_for("the approval to be listed", async || {
        let listed = cli.json(&["list", "--workflow", workflow]).await;
        listed.as_array().unwrap().first().map(|approval| approval["id"].as_str().unwrap().to_owned())
    })
    .await;
    let approval = server.client("ana").await.get(&id).await.unwrap();
    assert_eq!(approval.workflow, workflow);
    Started { execution: execution.as_str().unwrap().to_owned(), id, input: approval.input_json }
}

/// The resource and what was done with it.
fn steps(events: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let steps: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "step")
        .map(|event| (text(&event["step"]["resource_type"]), text(&event["step"]["action"])))
        .collect();
    assert!(steps.iter().any(|(resource, _)| resource == "activity"), "{events:?}");
    assert!(steps.iter().any(|(resource, _)| resource == "state_machine"), "{events:?}");
    steps
}
