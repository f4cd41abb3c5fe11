//! SIGTERM under load: what is in hand is finished, and nothing waits for the next start that need not.

use std::{sync::Arc, time::Duration};

use approve_client::{ApprovalStatus, Decide};
use approve_tests::{
    LocalAws, Server,
    approvals::ask,
    aws,
    ledger::all_approvals,
    load::{Load, provision},
    wait::wait_until,
    wait_for,
    watcher::Watcher,
    workflows::{ASK, apply, ask_input, spec},
};
use aws_sdk_sfn::types::ExecutionStatus;
use tokio::time::sleep;

use super::CONFIG;

/// Longer than the test waits for anything: a task that was lost would show.
const HEARTBEAT_SECONDS: u32 = 120;
const SOON: Duration = Duration::from_secs(30);
/// What the server may take to stop: polls of two seconds, and the rest.
const DRAIN: Duration = Duration::from_secs(30);
/// AWS's polls are longer; what matters is that they are let end.
const SHORT_POLLS: &[&str] = &["--long-poll-seconds", "2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_strands_no_task_and_leaves_no_decision_undelivered() {
    let aws = LocalAws::start_with(SHORT_POLLS).await;
    let mut server = Server::serve_config(CONFIG, aws.url()).await;
    let ana = server.client("ana").await;
    let machines = provision(&ana, HEARTBEAT_SECONDS).await;
    let watcher = Arc::new(Watcher::start(&ana).await);
    let step_functions = aws::step_functions(aws.url());
    // Starts go on while it drains, so that open polls are given tasks to the last.
    let mut load = Load::start(&[&server], aws.url(), &machines, &watcher, 400, Duration::from_millis(60)).await;
    sleep(Duration::from_secs(3)).await;

    server.process().terminate();
    let status = server.process().exit(DRAIN).await;

    assert_eq!(status.code(), Some(0), "it did not finish what it had in hand");
    server.kill();
    load.stop_starts().await;
    let final_by_then: Vec<_> = {
        let entries = load.ledger().entries();
        let decided = entries.acknowledged.iter().filter(|vote| vote.status != ApprovalStatus::Pending);
        decided.map(|vote| (vote.sent.id.clone(), vote.status)).collect()
    };
    assert!(!final_by_then.is_empty(), "nobody decided anything");
    let started = load.ledger().entries().started.clone();
    let told = told_answers(&step_functions, &started).await;
    for (id, status) in &final_by_then {
        assert!(told.contains(id), "{id} was acknowledged as {status:?}, and its workflow has not heard of it");
    }

    server.start().await;

    wait_until("every task to be there without a retry", SOON, async || {
        (all_approvals(&ana).await.len() == started.len()).then_some(())
    })
    .await;
    load.stop_votes().await;
    for approval in all_approvals(&ana).await {
        let attempt = approval.source.as_ref().unwrap().attempt;
        assert_eq!((approval.task_count, attempt), (1, 0), "{} was handed out again", approval.id);
    }
    println!("{} started, {} decided and delivered before the exit", started.len(), final_by_then.len());
}

/// The ids of the approvals whose answers are in their executions.
async fn told_answers(step_functions: &aws_sdk_sfn::Client, arns: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    for arn in arns {
        let execution = step_functions.describe_execution().execution_arn(arn).send().await.unwrap();
        let text = match execution.status {
            ExecutionStatus::Succeeded => execution.output(),
            ExecutionStatus::Failed => execution.cause(),
            _ => None,
        };
        let answer: serde_json::Value = serde_json::from_str(text.unwrap_or("null")).unwrap();
        told.extend(answer["approval_id"].as_str().map(str::to_owned));
    }
    told
}

#[tokio::test]
async fn a_second_signal_exits_now_with_code_7() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve_config(CONFIG, aws.url()).await;
    let client = server.client("ana").await;
    apply(&client, spec("payments", ASK)).await;
    ask(&client, "payments", &ask_input("Pay", "user:req")).await;

    // Polls of a minute are open.
    let process = server.process();
    process.terminate();
    wait_for("the server to say that it drains", async || {
        (process.stdout() + &process.stderr()).contains("stopping").then_some(())
    })
    .await;
    assert!(process.ended().is_none(), "it let no poll end");
    process.terminate();

    assert_eq!(process.exit(Duration::from_secs(10)).await.code(), Some(7));
}

#[tokio::test]
async fn a_deadline_that_passes_exits_with_code_7_and_loses_nothing() {
    let aws = LocalAws::start().await;
    let config = format!("{CONFIG}\n[shutdown]\npoll_seconds = 1\ndeadline_seconds = 3\n");
    let mut server = Server::serve_config(&config, aws.url()).await;
    let client = server.client("ana").await;
    apply(&client, spec("payments", ASK)).await;
    let (arn, approval) = ask(&client, "payments", &ask_input("Pay", "user:req")).await;
    // What can't be delivered is tried for longer than the deadline allows.
    aws.process().pause();
    client.decide(Decide::approve(&approval.id)).await.unwrap();

    let code = server.stop(Duration::from_secs(15)).await;

    aws.process().resume();
    assert_eq!(code, Some(7));
    server.start().await;
    approve_tests::approvals::delivered(&client, &approval.id).await;
    let execution = approve_tests::approvals::ended(&client, &arn).await;
    assert_eq!(execution.status(), approve_client::proto::ExecutionStatus::Succeeded);
}
