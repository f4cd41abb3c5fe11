//! A day's work at a terminal: several approvals at once, the live table, and what doctor says.

use std::{io::Write as _, process::Stdio};

use approve_client::{Approval, ApprovalStatus, proto::ExecutionStatus};
use approve_tests::{
    Server,
    approvals::{ask, becomes, ended},
    binaries,
    process::command,
    wait_for,
    workflows::{ASK, apply, ask_input, of_group, spec, with_rule},
};

/// So many approvals that one member of finance decides.
async fn asked(server: &Server, several: usize) -> Vec<(String, Approval)> {
    let client = server.client("setup").await;
    apply(&client, with_rule(spec("pay", ASK), of_group("finance", 1))).await;
    let mut asked = Vec::new();
    for n in 0..several {
        asked.push(ask(&client, "pay", &ask_input(&format!("Pay-{n}"), "user:req")).await);
    }
    asked
}

#[tokio::test]
async fn several_are_decided_at_once_and_a_second_time_changes_nothing() {
    let server = Server::empty().await;
    let asked = asked(&server, 4).await;
    let (bo, mallory) = (server.cli("bo").env("APPROVE_GROUPS", "finance"), server.cli("mallory"));
    let ids: Vec<&str> = asked.iter().map(|(_, approval)| approval.id.as_str()).collect();

    let refused = mallory.run(&["bulk", "approve", "--workflow", "pay", "--yes", "--output", "json"]).await.exits(12);
    let results = refused.json_lines();
    assert_eq!(results.len(), 5);
    assert!(results[..4].iter().all(|line| line["reason"] == "NOT_AN_APPROVER"), "{refused}");
    let shown = bo.run(&["bulk", "approve", "--mine", "--dry-run"]).await.ok();
    assert!(shown.stderr.contains("Pay-3") && shown.stderr.contains("approves it"), "{shown}");

    // One of them is gone by the time that it is its turn.
    server.cli("cy").run(&["decide", ids[0], "--reject", "--group", "finance"]).await.ok();
    let all = [&["bulk", "approve", "--yes", "--comment", "checked"], &ids[..]].concat();
    let first = bo.run(&all).await.exits(12);
    assert_eq!(first.stdout.lines().filter(|line| line.contains("DELIVERED")).count(), 3, "{first}");
    assert!(first.stdout.contains("REJECTED already") && first.stderr.contains("3 decided, 1 failed of 4"), "{first}");
    let client = server.client_in("bo", &["finance"]).await;
    for (execution, approval) in &asked[1..] {
        let approved = becomes(&client, &approval.id, "approved", |now| now.status() == ApprovalStatus::Approved).await;
        assert_eq!(approved.votes.len(), 1);
        assert_eq!(ended(&client, execution).await.status(), ExecutionStatus::Succeeded);
    }
    let again = [&["bulk", "approve", "--yes", "--comment", "checked"], &ids[1..]].concat();
    let again = bo.run(&again).await.ok();
    assert!(again.stderr.contains("0 decided, 3 so before of 3"), "{again}");
    bo.run(&["bulk", "approve", "--mine", "--yes"]).await.ok().says(&["there is none to decide"]);
}

#[tokio::test]
async fn the_live_table_decides_what_it_shows() {
    let server = Server::empty().await;
    let asked = asked(&server, 2).await;
    let watch = format!("stty cols 100 rows 24; exec '{}' watch --group finance", binaries::cli().display());
    let mut script = command("script", server.folder());
    script.args(["--quiet", "--return", "--command", &watch, "/dev/null"]);
    script.env("TERM", "xterm").env("APPROVE_SERVER", server.url()).env("APPROVE_ACTOR", "bo");
    let output = std::fs::File::create(server.folder().join("table")).unwrap();
    let mut table = script.stdin(Stdio::piped()).stdout(output).spawn().unwrap();
    let mut keys = table.stdin.take().unwrap();
    let shown = || String::from_utf8_lossy(&std::fs::read(server.folder().join("table")).unwrap()).into_owned();
    // Only what differs from the picture before is written: words, but not what is between them.
    wait_for("both to be shown", async || (shown().contains("Pay-0") && shown().contains("Pay-1")).then_some(())).await;
    // The one that came first has the lower id, and neither has a deadline.
    keys.write_all(b"\x1b[B").unwrap();
    keys.write_all(b"r").unwrap();
    wait_for("the question", async || shown().contains("Reject?").then_some(())).await;
    keys.write_all(b"too late\r").unwrap();
    let client = server.client_in("bo", &["finance"]).await;
    let rejected = becomes(&client, &asked[0].1.id, "rejected", |now| now.status() == ApprovalStatus::Rejected).await;
    assert_eq!(rejected.votes[0].comment, "too late");
    assert_eq!(client.get(asked[1].1.id.as_str()).await.unwrap().status(), ApprovalStatus::Pending);
    keys.write_all(b"q").unwrap();
    let status = tokio::task::spawn_blocking(move || table.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", shown());
    assert!(shown().contains("\x1b[?1049l"), "the terminal is not given back");
}

#[tokio::test]
async fn doctor_looks_through_the_server_to_aws() {
    let server = Server::dev().await;
    let report = server.cli("ana").json(&["doctor"]).await;
    assert_eq!(report["status"], "ok", "{report}");
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["settings", "address", "connection", "tls", "identity", "version", "clock", "health", "store", "aws"]
    );
    assert!(checks.iter().all(|check| check["status"] == "ok"), "{report}");
    // AWS refuses the server: the server is well, and yet there is something wrong.
    let denied = serde_json::json!({"rules": [{"operation": "DescribeStateMachine", "kind": "deny"}]});
    approve_tests::http::json("POST", server.aws(), "/_sfn-local/faults", &denied).await.unwrap();
    let ill = server.cli("ana").run(&["doctor", "--timeout", "3s"]).await;
    assert!(ill.code != 0 && ill.stdout.contains("fail  aws"), "{ill}");
}
