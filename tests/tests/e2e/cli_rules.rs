//! Rules from the command line: tried, applied, explained and lived with.

use std::fs;

use approve_client::proto::ExecutionStatus;
use approve_tests::{Cli, Server, approvals::ended, cli::Output, wait_for};
use serde_json::Value;

const PAY: &str = r#"
name = "pay"

[state_machine]
timeout_seconds = 600
heartbeat_seconds = 60

[rule]
comment = "on_reject"
on_reject = "output"
response_schema = '{"type": ["object", "null"], "properties": {"limit": {"maximum": 1200.50}}}'

[[rule.stage]]
name = "finance"
approvers = ["group:finance"]
required = 2

[[rule.stage]]
name = "legal"
approvers = [["group:legal"], ["user:lea", "user:lou"]]

[[rule.outcome]]
name = "postpone"
label = "Ask again next month"
decision = "reject"

[[rule.outcome]]
name = "in_part"
decision = "approve"
"#;

/// A server with the workflow, and an execution of it that waits.
async fn waiting() -> (Server, String, String) {
    let server = Server::empty().await;
    fs::write(server.folder().join("pay.toml"), PAY).unwrap();
    let spec = server.folder().join("pay.toml").to_str().unwrap().to_owned();
    let cli = server.cli("op");
    cli.run(&["workflow", "apply", &spec]).await.ok();
    let started = cli.json(&["start", "--workflow", "pay", "--input", r#"{"amount":1200.50}"#]).await;
    let execution = started["execution_arn"].as_str().unwrap().to_owned();
    let id = wait_for("the approval to be listed", async || {
        let listed = cli.json(&["list"]).await;
        listed.as_array().unwrap().first().map(|approval| approval["id"].as_str().unwrap().to_owned())
    })
    .await;
    (server, id, execution)
}

/// A person in a group, at the command line.
struct Person {
    cli: Cli,
    group: &'static str,
}

impl Person {
    fn new(server: &Server, name: &str, group: &'static str) -> Self {
        Self { cli: server.cli(name), group }
    }

    async fn run(&self, args: &[&str]) -> Output {
        self.cli.run(&[args, &["--group", self.group]].concat()).await
    }

    /// Whether each decision would be allowed, and why not: "approve", "reject" and the outcomes.
    async fn could(&self, id: &str) -> Vec<String> {
        let explained = self.run(&["explain", id, "--output", "json"]).await.ok().json();
        let effects = explained["effects"].as_array().unwrap().iter();
        effects.map(|effect| effect["refusal_reason"].as_str().unwrap_or("yes").to_owned()).collect()
    }
}

#[tokio::test]
async fn stages_are_met_one_after_the_other_and_explained_on_the_way() {
    let (server, id, execution) = waiting().await;
    let person = |name, group| Person::new(&server, name, group);
    let (bo, cy, lea, lou) =
        (person("bo", "finance"), person("cy", "finance"), person("lea", "legal"), person("lou", "marketing"));
    let op = server.cli("op");

    assert_eq!(bo.could(&id).await, ["yes"; 4]);
    assert_eq!(lea.could(&id).await, ["STAGE_NOT_OPEN"; 4]);
    assert_eq!(lou.could(&id).await, ["NOT_AN_APPROVER"; 4]);
    lea.run(&["decide", &id, "--approve"]).await.exits(5).says(&["legal"]);
    lou.run(&["decide", &id, "--approve"]).await.exits(4);
    bo.run(&["decide", &id, "--approve", "--response", r#"{"limit": 1200.51}"#]).await.exits(6).says(&["limit"]);
    bo.run(&["decide", &id, "--approve", "--response", r#"{"limit": 1200.50}"#]).await.ok();
    assert_eq!(progress(&op, &id).await, [("finance".to_owned(), 1, true), ("legal".to_owned(), 0, false)]);

    // Whoever has it in hand keeps the others out; whoever passes it on, keeps it from coming back.
    cy.run(&["claim", &id, "--for", "2h"]).await.ok();
    bo.run(&["decide", &id, "--reject", "--comment", "no"]).await.exits(5).says(&["user:cy"]);
    cy.run(&["reassign", &id, "--to", "di", "--comment", "you know them"]).await.ok();
    person("di", "finance").run(&["reassign", &id, "--to", "cy"]).await.exits(5);
    op.run(&["release", &id]).await.ok();

    bo.run(&["withdraw", &id, "--comment", "a mistake"]).await.ok();
    assert_eq!(progress(&op, &id).await[0].1, 0);
    bo.run(&["decide", &id, "--approve"]).await.ok();
    cy.run(&["decide", &id, "--outcome", "in_part"]).await.ok();
    assert_eq!(progress(&op, &id).await, [("finance".to_owned(), 2, false), ("legal".to_owned(), 0, true)]);
    let shown = op.run(&["show", &id]).await.ok().stdout;
    assert!(shown.contains("finance: 2 of 2 from group:finance; user:bo approved "), "{shown}");
    assert!(shown.contains("approve user:cy as in_part, "), "{shown}");

    op.run(&["hold", &id, "--reason", "an audit", "--until", "2h"]).await.ok();
    assert_eq!(lea.could(&id).await, ["ON_HOLD"; 4]);
    lea.run(&["decide", &id, "--approve"]).await.exits(5).says(&["an audit"]);
    op.run(&["resume", &id]).await.ok();
    lea.run(&["decide", &id, "--outcome", "never"]).await.exits(6).says(&["postpone", "in_part"]);
    lea.run(&["decide", &id, "--approve"]).await.ok();

    let done = op.json(&["show", &id]).await;
    assert_eq!((done["status"].as_str(), done["outcome"].as_str()), (Some("approved"), Some("in_part")));
    lea.run(&["withdraw", &id]).await.exits(5).says(&["approved"]);
    let execution = ended(&server.client("op").await, &execution).await;
    assert_eq!(execution.status(), ExecutionStatus::Succeeded);
    let output: Value = serde_json::from_str(&execution.output_json).unwrap();
    assert_eq!(output["outcome"], "in_part", "{output}");
}

/// Each stage: its name, its approvals, and whether it is open.
async fn progress(cli: &Cli, id: &str) -> Vec<(String, u64, bool)> {
    let shown = cli.json(&["show", id]).await;
    let stages = shown["stages"].as_array().unwrap().iter();
    let stage = |stage: &Value| {
        let name = stage["name"].as_str().unwrap().to_owned();
        (name, stage["approvals"].as_u64().unwrap(), stage["open"].as_bool().unwrap())
    };
    stages.map(stage).collect()
}

#[tokio::test]
async fn a_canceled_one_ends_its_execution_and_all_of_it_is_on_record() {
    let (server, id, execution) = waiting().await;
    let op = server.cli("op");
    op.run(&["cancel", &id, "--reason", "paid already"]).await.ok();
    let failed = ended(&server.client("op").await, &execution).await;
    assert_eq!((failed.status(), failed.error.as_str()), (ExecutionStatus::Failed, "Approval.Canceled"));
    let shown = op.json(&["show", &id]).await;
    assert_eq!((shown["status"].as_str(), shown["reason"].as_str()), (Some("canceled"), Some("paid already")));
    server.cli("bo").run(&["decide", &id, "--approve", "--group", "finance"]).await.exits(5);

    let types = |logged: Value| -> Vec<String> {
        let events = logged.as_array().unwrap().iter();
        events.map(|event| event["record"]["type"].as_str().unwrap().to_owned()).collect()
    };
    let log = |more: &'static [&'static str]| {
        let (op, id) = (op.clone(), id.clone());
        async move { types(op.json(&[&["audit", "log", "--approval", &id[..12]], more].concat()).await) }
    };
    let all = log(&[]).await;
    assert!(all.ends_with(&["requested".to_owned()]), "{all:?}");
    assert_eq!(log(&["--actor", "bo"]).await, ["refused"]);
    assert_eq!(log(&["--type", "canceled", "--since", "1h"]).await, ["canceled"]);
    assert_eq!(log(&["--since", "2100-01-01"]).await, Vec::<String>::new());

    let file = server.folder().join("record.jsonl");
    let (path, text) = (file.to_str().unwrap(), server.folder().join("anchor.json"));
    op.run(&["audit", "export", "--out", path, "--omit-payloads"]).await.ok();
    fs::write(&text, op.run(&["audit", "head"]).await.ok().stdout).unwrap();
    let verify = ["audit", "verify", path, "--anchor", text.to_str().unwrap()];
    assert!(op.run(&verify).await.ok().stdout.contains("1 anchor agrees"));
    let whole = fs::read_to_string(&file).unwrap();
    assert!(!whole.contains("amount"), "a payload was not left out");
    fs::write(&file, whole.replacen("paid already", "lost already", 1)).unwrap();
    let found = op.run(&verify).await.exits(10).stdout;
    assert!(found.starts_with("not verified: event "), "{found}");
}

#[tokio::test]
async fn a_rule_that_could_never_be_met_is_found_before_it_is_applied_and_refused_when_it_is() {
    let server = Server::empty().await;
    let file = server.folder().join("pay.toml");
    let path = file.to_str().unwrap();
    let cli = server.cli("op");
    for (rule, named) in [
        ("approvers = ['user:ana', 'user:bo']\nrequired = 3", "stages[0].required_approvals"),
        ("[[rule.stage]]\nname = 'a'\n[[rule.stage]]\nname = 'a'", "stages[1].name"),
        ("response_schema = '{\"type\": 7}'", "response_schema_json"),
    ] {
        fs::write(&file, format!("name = 'pay'\n[rule]\n{rule}\n")).unwrap();
        let checked = cli.run(&["rule", "check", path]).await.exits(6);
        assert!(checked.stdout.starts_with("not acceptable\n") && checked.stdout.contains(named), "{checked}");
        cli.run(&["workflow", "apply", path]).await.exits(6).says(&[named]);
    }
    fs::write(&file, "approvers = ['user:ana']").unwrap();
    cli.run(&["rule", "check", path]).await.ok();
    let asked = cli.run(&["rule", "check", path, "--requester", "ana"]).await.exits(6).stdout;
    assert!(asked.contains("the requester"), "{asked}");
    // What the page on rules shows is one.
    let page = fs::read_to_string(approve_tests::binaries::repository().join("server/RULES.md")).unwrap();
    let shown = page.split("```toml\n").find(|block| block.contains("[[rule.stage]]")).unwrap();
    fs::write(&file, shown.split("```").next().unwrap()).unwrap();
    cli.run(&["rule", "check", path, "--requester", "ana"]).await.ok();
}
