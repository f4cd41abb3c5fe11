//! Exported CloudFormation templates: cfn-lint has nothing to say of them, CloudFormation deploys them, what it made
//! is what `apply` would have made, and the server works for it.
//!
//! `tests/run` installs LocalStack and cfn-lint, and runs these.

use std::{
    fs,
    path::{Path, PathBuf},
};

use approve_tests::{Cli, Server, localstack::LocalStack};
use serde_json::Value;

use super::{main_job::execution_ended, provisioning_code::approve_next};

struct Workflow {
    name: &'static str,
    spec: &'static str,
    /// What its approval steps ask, one after the other. None: LocalStack can't deploy it.
    asks: &'static [&'static str],
}

/// By the account that LocalStack gives its callers, and its region here.
const WORKFLOWS: [Workflow; 5] = [
    Workflow { name: "plain", spec: "", asks: &["Approval for plain"] },
    Workflow {
        name: "bounded",
        spec: r#"
            activity_name = "Bounded.Ask"
            [state_machine]
            name = "Bounded"
            timeout_seconds = 86400
            [role]
            name = "Bounded"
            path = "/approvals/"
            managed_policies = []
            permissions_boundary = "arn:aws:iam::aws:policy/AmazonSQSFullAccess"
            [tags]
            team = "payments""#,
        asks: &["Approval for bounded"],
    },
    Workflow {
        name: "watched",
        spec: r#"
            [state_machine]
            tracing = true
            [state_machine.logging]
            level = "error"
            log_group = "arn:aws:logs:us-east-1:000000000000:log-group:/approvals:*"
            include_execution_data = true
            [role]
            managed_policies = []
            [role.inline_policies]
            watched = "own.policy.json""#,
        asks: &["Approval for watched"],
    },
    Workflow {
        name: "own",
        spec: r#"
            [activities]
            legal-team = "LegalTeam"
            [state_machine]
            definition_file = "own.asl.json"
            [role]
            managed_policies = ["arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess"]
            [role.inline_policies]
            own = "own.policy.json""#,
        asks: &["Pay?", "Legal?"],
    },
    // LocalStack's CloudFormation leaves out how an activity is encrypted, and takes `${!other}` for a reference.
    Workflow {
        name: "sealed",
        spec: r#"
            [state_machine]
            definition_file = "dollars.asl.json"
            [encryption]
            kms_key = "arn:aws:kms:us-east-1:000000000000:key/12345678-1234-1234-1234-123456789012"
            data_key_reuse_seconds = 300"#,
        asks: &[],
    },
];

/// What LocalStack's CloudFormation leaves out of a state machine.
const LEFT_OUT: [&str; 2] = ["tags.team", "tracing"];

const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage",
    "Resource": "arn:aws:sqs:us-east-1:000000000000:${aws:PrincipalTag/team}-*"}]}"#;

const DOLLARS: &str = r#"{"StartAt": "Ask", "States": {"Ask": {"Type": "Task", "Resource": "${activity_arn}",
    "Comment": "costs ${other} $5 $${x}", "HeartbeatSeconds": 60, "End": true}}}"#;

const OWN: &str = r#"{
  "Comment": "${workflow} in ${region}",
  "StartAt": "Read",
  "TimeoutSeconds": 86400,
  "States": {
    "Read": {"Type": "Pass", "Next": "Pay"},
    "Pay": {"Type": "Pass", "ResultPath": "$.said", "End": true, "Result": {
      "machine": "${state_machine_arn}", "role": "${role_arn}", "by": "${partition} ${account_id}"}}
  }
}
"#;

const LOG_GROUP: &str = r#"
Resources:
  Group:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: /approvals}
"#;

#[tokio::test]
#[ignore = "needs LocalStack: run tests/run"]
async fn what_is_exported_is_sound_and_what_it_deploys_is_worked_for() {
    let localstack = LocalStack::start().await;
    let server = Server::serve(localstack.url()).await;
    let cli = server.cli("ana");
    let path = |name: &str| server.folder().join(name);
    fs::write(path("own.policy.json"), POLICY).unwrap();
    fs::write(path("dollars.asl.json"), DOLLARS).unwrap();
    fs::write(path("own.asl.json"), OWN).unwrap();
    let flow = path("own.asl.json").to_str().unwrap().to_owned();
    let scaffold = ["workflow", "scaffold", &flow, "--before", "Pay", "--title"];
    cli.run(&[&scaffold[..], &["Pay?"]].concat()).await.ok();
    let legal = ["Legal?", "--state", "AskLegal", "--activity", "${activity_arn.legal-team}"];
    cli.run(&[&scaffold[..], &legal].concat()).await.ok();

    let mut templates: Vec<PathBuf> = Vec::new();
    for Workflow { name, spec, .. } in WORKFLOWS {
        let file = path(&format!("{name}.toml"));
        fs::write(&file, format!("name = \"{name}\"\n{spec}\n")).unwrap();
        let export = ["workflow", "export", file.to_str().unwrap(), "--format", "cloudformation"];
        templates.push(path(&format!("{name}.template.yaml")));
        fs::write(templates.last().unwrap(), cli.run(&export).await.ok().stdout).unwrap();
    }
    // cfn-lint reads a definition only where nothing has to be put into it.
    let resolved = templates.iter().map(|template| write_resolved(template, "resolved", |text| text));
    let all: Vec<PathBuf> = templates.iter().cloned().chain(resolved).collect();
    assert_eq!(localstack.lint(&all).await.ok().stdout, "");
    type Damage = fn(String) -> String;
    let damages: [(&str, Damage); 2] = [
        ("SLOW", |text| text.replace("STANDARD", "SLOW")),
        ("HeartbeatSecond", |text| text.replace("HeartbeatSeconds", "HeartbeatSecond")),
    ];
    for (wrong, damage) in damages {
        let told = localstack.lint(&[write_resolved(&templates[0], wrong, damage)]).await;
        assert!(told.code != 0 && told.stdout.contains(wrong), "cfn-lint did not see what is wrong: {told}");
    }

    let group = path("group.template.yaml");
    fs::write(&group, LOG_GROUP).unwrap();
    localstack.deploy("group", &group).await.ok();
    for (Workflow { name, asks, .. }, template) in WORKFLOWS.iter().zip(&templates) {
        if !asks.is_empty() {
            let outputs = localstack.deploy(name, template).await.ok().json();
            is_as_applied(&cli, path(&format!("{name}.toml")).to_str().unwrap()).await;
            is_worked_for(&cli, name, outputs["StateMachineArn"].as_str().unwrap(), asks).await;
        }
    }
}

/// A template beside the given one, with an ARN wherever CloudFormation would put something into the definition.
fn write_resolved(template: &Path, suffix: &str, edit: impl Fn(String) -> String) -> PathBuf {
    let text = fs::read_to_string(template).unwrap();
    let (head, definition) = text.split_once("DefinitionString:\n        Fn::Sub: ").unwrap();
    let mut resolved = format!("{head}DefinitionString: ");
    let mut parts = definition.split("${");
    resolved.push_str(parts.next().unwrap());
    for part in parts {
        resolved.push_str("arn:aws:states:us-east-1:000000000000:activity:A");
        resolved.push_str(part.split_once('}').unwrap().1);
    }
    let path = template.with_extension(format!("{suffix}.yaml"));
    fs::write(&path, edit(resolved)).unwrap();
    path
}

/// What CloudFormation made differs from what `apply` would make in nothing but the tags that tell whose it is.
async fn is_as_applied(cli: &Cli, spec: &str) {
    let plan = cli.run(&["workflow", "plan", spec, "--output", "json"]).await.exits(11).json();
    for resource in plan["resources"].as_array().unwrap() {
        let action = &resource["action"];
        assert!(action == "update" || action == "no_op", "{spec}: {resource}");
        let fields = resource["fields"].as_array().unwrap().iter().map(|field| field["field"].as_str().unwrap());
        let left_out = |field: &str| resource["resource_type"] == "state_machine" && LEFT_OUT.contains(&field);
        let others: Vec<&str> =
            fields.filter(|field| !field.starts_with("tags.approve:") && !left_out(field)).collect();
        assert_eq!(others, [""; 0], "{spec}: {resource}");
    }
}

async fn is_worked_for(cli: &Cli, name: &str, machine: &str, asks: &[&str]) {
    cli.run(&["workflow", "attach", name, "--state-machine", machine]).await.ok();
    cli.run(&["workflow", "drift", name]).await.ok();
    let started = cli.json(&["start", "--workflow", name, "--input", r#"{"amount": 99.90}"#]).await;
    for title in asks {
        approve_next(cli, title).await;
    }
    let ended: Value = execution_ended(cli, started["execution_arn"].as_str().unwrap()).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    if name == "own" {
        assert_eq!(ended["output"]["said"]["machine"], machine, "{ended}");
        assert_eq!(ended["output"]["said"]["by"], "aws 000000000000", "{ended}");
    }
}
