//! SIGTERM: what is in hand is finished, streams end with a status to resume from, the exit code is 0.

use std::time::Duration;

use approve_client::{ApprovalStatus, Code, Decide, Watch, WatchEvent, proto::ExecutionStatus};
use approve_proto::v1::StreamPendingApprovalsRequest;
use approve_tests::{
    DEADLINE, LocalAws, Server,
    approvals::{Watching, ask, delivered, ended},
    server::request_as,
    wait_for, within,
    workflows::{ASK, apply, ask_input, spec},
};
use tonic_types::StatusExt;

/// The server's own deadline, and a little.
const DRAIN: Duration = Duration::from_secs(90);

#[tokio::test]
async fn streams_end_with_a_status_to_resume_from_and_the_exit_code_is_0() {
    let mut server = Server::dev().await;
    let mut raw = server.raw_approvals().await;
    let request = StreamPendingApprovalsRequest::default();
    let mut stream = raw.stream_pending_approvals(request_as("ana", request)).await.unwrap().into_inner();
    within("the bookmark", stream.message()).await.unwrap().unwrap();

    server.process().terminate();

    let status = within("the end of the stream", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a status"),
                Err(status) => return status,
            }
        }
    })
    .await;
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "SHUTTING_DOWN");
    assert!(details.retry_info().is_some(), "{status:?}");
    assert_eq!(server.process().exit(DRAIN).await.code(), Some(0));
}

#[tokio::test]
async fn a_decision_that_was_acknowledged_is_delivered_after_a_stop_and_a_start() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve(aws.url()).await;
    let client = server.client("ana").await;
    apply(&client, spec("payments", ASK)).await;
    let (arn, approval) = ask(&client, "payments", &ask_input("Pay", "user:req")).await;
    let mut watching = Watching::synced(&client, Watch::new()).await;
    aws.process().pause();
    client.decide(Decide::approve(&approval.id)).await.unwrap();

    assert_eq!(server.stop(DRAIN).await, Some(0));
    aws.process().resume();
    server.start().await;

    delivered(&client, &approval.id).await;
    assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
    assert_eq!(watching.removed(&approval.id).await, ApprovalStatus::Approved);
    assert!(!watching.events.iter().any(|event| matches!(event, WatchEvent::Reset)), "{:?}", watching.events);
}

#[tokio::test]
async fn a_second_signal_exits_now() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve(aws.url()).await;
    let client = server.client("ana").await;
    apply(&client, spec("payments", ASK)).await;
    let (_, approval) = ask(&client, "payments", &ask_input("Pay", "user:req")).await;
    // What can't be finished keeps the server from ending.
    aws.process().pause();
    client.decide(Decide::approve(&approval.id)).await.unwrap();

    let process = server.process();
    process.terminate();
    wait_for("the server to say that it drains", async || {
        (process.stdout() + &process.stderr()).contains("stopping").then_some(())
    })
    .await;
    process.terminate();

    let status = process.exit(Duration::from_secs(5)).await;
    assert_ne!(status.code(), Some(0), "it did not finish what it had in hand");
}

#[tokio::test]
async fn ctrl_c_ends_a_watch_cleanly() {
    let mut server = Server::dev().await;
    let mut watch = server.cli("ana").spawn("watch", &["watch"]);
    wait_for("the watch to be synced", async || watch.stderr().contains("pending").then_some(())).await;
    watch.interrupt();
    assert_eq!(watch.exit(DEADLINE).await.code(), Some(130));
    assert!(!watch.stderr().contains("panicked"), "{}", watch.stderr());
    assert!(server.process().ended().is_none());
}
