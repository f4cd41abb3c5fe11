//! A workflow's resources through the command line: what would be done, what is done, what has changed behind our back.

use std::{fs, path::PathBuf};

use approve_tests::{Server, aws};
use serde_json::Value;

const SPEC: &str = r#"
name = "invoices"

[role]
managed_policies = []
"#;

fn write(server: &Server, text: &str) -> PathBuf {
    let path = server.folder().join("invoices.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Type, action and number of fields of each resource.
fn told(plan: &Value) -> Vec<(String, String)> {
    let resources = plan["resources"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    resources.map(|resource| (text(&resource["resource_type"]), text(&resource["action"]))).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[tokio::test]
async fn a_plan_changes_nothing_and_apply_does_what_it_said() {
    let server = Server::empty().await;
    let path = write(&server, SPEC);
    let spec = path.to_str().unwrap();
    let cli = server.cli("ana");

    let plan = cli.run(&["workflow", "plan", spec, "--output", "json"]).await.exits(11).json();
    assert_eq!(told(&plan), pairs(&[("activity", "create"), ("role", "create"), ("state_machine", "create")]));
    let again = cli.run(&["workflow", "plan", spec, "--output", "json"]).await.exits(11).json();
    assert_eq!(plan, again, "the first plan changed something");
    assert!(plan["warnings"].to_string().contains("waits in the queue"), "{plan}");

    let events = cli.run(&["workflow", "apply", spec, "--output", "json"]).await.ok().json_lines();
    assert_eq!(events[0]["event"], "planned");
    let done: Vec<&Value> = events.iter().filter(|event| event["event"] == "step").collect();
    assert_eq!(done.len(), 3, "{events:?}");
    assert!(done.iter().all(|event| event["step"]["action"] == "created"), "{events:?}");
    cli.run(&["workflow", "plan", spec]).await.ok();
    cli.run(&["workflow", "drift", "invoices"]).await.ok();

    // The outputs come last, the state machine's ARN first.
    let lines = cli.run(&["workflow", "apply", spec]).await.ok().stdout;
    let outputs = lines.split("\n\n").last().unwrap();
    let second = outputs.lines().nth(1).unwrap();
    assert!(second.contains("state machine") && second.contains(":stateMachine:invoices-state-machine"), "{lines}");

    let longer = SPEC.replace("[role]", "[state_machine]\ntimeout_seconds = 600\n\n[role]");
    write(&server, &longer);
    let page = cli.run(&["workflow", "plan", spec]).await.exits(11).stdout;
    assert!(page.contains("definition/States/ApprovalStep/TimeoutSeconds: 300 → 600"), "{page}");
    assert!(page.ends_with("1 to update\n"), "{page}");
}

#[tokio::test]
async fn drift_is_told_and_mended() {
    let server = Server::empty().await;
    let path = write(&server, SPEC);
    let cli = server.cli("ana");
    let apply = ["workflow", "apply", path.to_str().unwrap(), "--output", "json"];
    let events = cli.run(&apply).await.ok().json_lines();
    let activity = events.last().unwrap()["workflow"]["activity_arn"].as_str().unwrap();

    let sfn = aws::step_functions(server.aws());
    sfn.delete_activity().activity_arn(activity).send().await.unwrap();
    let iam = aws::iam(server.aws());
    let stranger = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": ["states.amazonaws.com", "ec2.amazonaws.com"]}, "Action": "sts:AssumeRole"}]}"#;
    iam.update_assume_role_policy().role_name("invoices-role").policy_document(stranger).send().await.unwrap();

    let drift = cli.run(&["workflow", "drift", "invoices", "--output", "json"]).await.exits(11).json();
    let expected = [("activity", "create"), ("role", "update"), ("state_machine", "update")];
    assert_eq!(told(&drift), pairs(&expected), "{drift}");
    let fields = drift["resources"][1]["fields"].to_string();
    assert!(fields.contains("trust_policy/Statement/0/Principal"), "{fields}");
    cli.run(&apply).await.ok();
    cli.run(&["workflow", "drift", "invoices"]).await.ok();
    cli.run(&["workflow", "drift", "nothing"]).await.exits(3);
}

#[tokio::test]
async fn mistakes_are_told_before_anything_is_done() {
    let server = Server::empty().await;
    let cli = server.cli("ana");
    for (text, field) in [
        ("name = \"a\"\n[state_machine]\ntype = \"EXPRESS\"\n", "can't wait for an activity"),
        ("name = \"a\"\n[role]\npath = \"team\"\n", "role.path"),
        ("name = \"a\"\n[encryption]\nkms_key = \"alias/k\"\ndata_key_reuse_seconds = 59\n", "data_key_reuse"),
    ] {
        let path = write(&server, text);
        for command in ["plan", "apply"] {
            cli.run(&["workflow", command, path.to_str().unwrap()]).await.exits(6).says(&[field]);
        }
    }
    let sfn = aws::step_functions(server.aws());
    assert!(sfn.list_activities().send().await.unwrap().activities().is_empty());
}
