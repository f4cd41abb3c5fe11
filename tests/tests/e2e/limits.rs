//! What one caller may take, and what the others still get.

use std::time::{Duration, Instant};

use approve_client::proto::{
    DecideRequest, GetCallerRequest, ListApprovalsRequest, StreamPendingApprovalsRequest,
    access_service_client::AccessServiceClient,
};
use approve_tests::{
    SecureServer,
    issuer::{Signer, claims},
    secure::{error_info, expect, with_metadata},
    wait_for, within,
};
use futures::{StreamExt as _, future::join_all, stream};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

fn limited(status: &Status) -> String {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let info = error_info(status);
    assert_eq!(info.reason, "LIMIT_EXCEEDED");
    let retry = status.get_details_retry_info().expect("RetryInfo").retry_delay.expect("a delay");
    assert!(retry > Duration::ZERO && retry <= Duration::from_secs(10), "{retry:?}");
    info.metadata["limit"].clone()
}

#[tokio::test]
async fn one_caller_that_calls_too_often_leaves_another_in_peace() {
    let server = SecureServer::start("[limits]\nrequests_per_second = 20\nburst = 20\n").await;
    let channel = server.channel(None).await.unwrap();
    let [greedy, modest] = ["greedy", "modest"].map(|name| format!("Bearer {}", server.issuer.token(name, &[])));
    let call = |authorization: &str| {
        let mut client = AccessServiceClient::new(channel.clone());
        let request = with_metadata(GetCallerRequest {}, &[("authorization", authorization)]);
        async move { client.get_caller(request).await.map(drop) }
    };
    // One of them on and on, the other once in a while, over the same connection.
    let flood = join_all((0..300).map(|_| call(&greedy)));
    let others = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            let begun = Instant::now();
            within("a call of the other", call(&modest)).await.unwrap();
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    };
    let (flood, slowest) = tokio::join!(flood, others);
    let refused: Vec<_> = flood.into_iter().filter_map(Result::err).collect();
    assert!(refused.len() > 100, "only {} of 300 were refused", refused.len());
    refused.iter().for_each(|status| assert_eq!(limited(status), "requests_per_second"));
    println!("the other's slowest call took {slowest:?}");
    // It is let in again once its time has come.
    wait_for("the first to be let in again", async || call(&greedy).await.ok()).await;
}

#[tokio::test]
async fn open_streams_and_calls_have_a_number() {
    let server = SecureServer::start("[limits]\nstreams = 2\nconcurrent_lists = 1\n").await;
    let mut client = server.raw_approvals().await;
    let watch = |name: &str| server.request(name, &["admins"], StreamPendingApprovalsRequest::default());
    let first = client.stream_pending_approvals(watch("ana")).await.unwrap();
    let _second = client.stream_pending_approvals(watch("ana")).await.unwrap();
    let refused = client.stream_pending_approvals(watch("ana")).await.unwrap_err();
    assert_eq!(limited(&refused), "streams");
    let _others = client.stream_pending_approvals(watch("bob")).await.unwrap();
    client.list_approvals(server.request("ana", &["admins"], ListApprovalsRequest::default())).await.unwrap();
    drop(first);
    wait_for("a stream's place to be free", async || client.clone().stream_pending_approvals(watch("ana")).await.ok())
        .await;
}

#[tokio::test]
async fn an_address_that_guesses_is_slowed_and_known_callers_go_on() {
    let server = SecureServer::start("[limits]\nlogins_per_second = 5\n").await;
    let channel = server.channel(None).await.unwrap();
    let known = server.issuer.token("ana", &[]);
    let call = |token: &str| {
        let mut client = AccessServiceClient::new(channel.clone());
        let request = with_metadata(GetCallerRequest {}, &[("authorization", &format!("Bearer {token}"))]);
        async move { client.get_caller(request).await.map(drop) }
    };
    wait_for("a first call", async || call(&known).await.ok()).await;
    let forger = Signer::new("first");
    let guesses = (0..100).map(|at| forger.sign(&claims(&format!("guess{at}"), &["admins"], 60)));
    let guesses: Vec<_> =
        stream::iter(guesses).map(|token| async move { call(&token).await }).buffered(16).collect().await;
    let codes: Vec<_> = guesses.into_iter().map(|guess| guess.unwrap_err()).collect();
    let slowed = codes
        .iter()
        .filter(|status| status.code() == Code::ResourceExhausted)
        .inspect(|status| assert_eq!(limited(status), "logins_per_second"));
    assert!(slowed.count() > 50, "{:?}", codes.iter().map(Status::code).collect::<Vec<_>>());
    call(&known).await.unwrap();
    let guesses: Vec<_> = (0..100).map(|at| format!("apt_{at:043}")).collect();
    let answers = join_all(guesses.iter().map(|token| call(token))).await;
    assert!(answers.iter().any(|answer| answer.as_ref().unwrap_err().code() == Code::ResourceExhausted));
    call(&known).await.unwrap();
    // So are those who show nothing, and those who say who they are.
    for metadata in [&[][..], &[("approve-actor", "user:root")]] {
        let answers = join_all((0..100).map(|_| {
            let mut client = AccessServiceClient::new(channel.clone());
            let request = with_metadata(GetCallerRequest {}, metadata);
            async move { client.get_caller(request).await.map(drop) }
        }));
        let limited = answers.await.iter().any(|answer| answer.as_ref().unwrap_err().code() == Code::ResourceExhausted);
        assert!(limited, "{metadata:?}");
    }
    call(&known).await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_server_goes_on() {
    let server = SecureServer::start("").await;
    let mut client = server.raw_approvals().await;
    let decide = |message: DecideRequest| server.request("ana", &["admins"], message);
    let id = "apr_01zzzzzzzzzzzzzzzzzzzzzzzz".to_owned();
    let base = DecideRequest { approval_id: id, decision: 1, ..DecideRequest::default() };
    let huge = DecideRequest { comment: "x".repeat(3 << 20), ..base.clone() };
    let status = client.decide(decide(huge)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [200, 10_000] {
        let message = DecideRequest { response_json: deep(depth), ..base.clone() };
        let status = client.decide(decide(message)).await.unwrap_err();
        assert!(matches!(status.code(), Code::InvalidArgument | Code::NotFound), "{depth}: {status:?}");
    }
    let mut metadata = server.request("ana", &["admins"], base.clone());
    metadata.metadata_mut().insert("x-huge", "x".repeat(60_000).parse().unwrap());
    let status = client.decide(metadata).await.unwrap_err();
    assert_ne!(status.code(), Code::NotFound, "{status:?}");
    let token = format!("Bearer {}", "x".repeat(17_000));
    let long = with_metadata(base.clone(), &[("authorization", &token)]);
    assert_eq!(client.decide(long).await.unwrap_err().code(), Code::Unauthenticated);
    let status = client.decide(decide(base)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
}

#[tokio::test]
async fn a_client_that_does_not_go_on_is_let_go() {
    let server = SecureServer::start("[limits]\nrequest_seconds = 1\n").await;
    // A handshake that is never finished.
    let address = server.server.url().trim_start_matches("https://").to_owned();
    let mut silent = TcpStream::connect(&address).await.unwrap();
    silent.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let mut rest = Vec::new();
    let ended = within("the end of the handshake", silent.read_to_end(&mut rest)).await;
    assert!(ended.is_err() || rest.len() < 100);
    // A request whose message never comes.
    let mut grpc = tonic::client::Grpc::new(server.channel(None).await.unwrap());
    grpc.ready().await.unwrap();
    let codec: tonic_prost::ProstCodec<GetCallerRequest, ()> = tonic_prost::ProstCodec::default();
    let (_held, messages) = tokio::sync::mpsc::channel(1);
    let request: Request<_> = server.request("ana", &[], tokio_stream::wrappers::ReceiverStream::new(messages));
    let path = "/approve.v1.AccessService/GetCaller".parse().unwrap();
    let late = within("the end of the request", grpc.streaming(request, path, codec)).await;
    let status = match late {
        Err(status) => status,
        Ok(mut answer) => within("the answer", answer.get_mut().message()).await.unwrap_err(),
    };
    assert_eq!(limited(&status), "request_seconds");
}

#[tokio::test]
async fn connections_of_an_address_have_a_number() {
    let server = SecureServer::start("[limits]\nconnections_per_address = 3\n").await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(server.channel(None).await.unwrap());
    }
    assert!(server.channel(None).await.is_err(), "a fourth connection");
    open.pop();
    wait_for("a connection's place to be free", async || server.channel(None).await.ok()).await;
    let mut first = AccessServiceClient::new(open.remove(0));
    first.get_caller(server.request("ana", &[], GetCallerRequest {})).await.unwrap();
}

#[tokio::test]
async fn nonsense_is_answered_and_nothing_else_happens() {
    let server = SecureServer::start("").await;
    let mut grpc = tonic::client::Grpc::new(server.channel(None).await.unwrap());
    grpc.ready().await.unwrap();
    let codec: tonic_prost::ProstCodec<GetCallerRequest, ()> = tonic_prost::ProstCodec::default();
    let path = "/approve.v1.AccessService/NoSuchCall".parse().unwrap();
    let status = grpc.unary(server.request("ana", &[], GetCallerRequest {}), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let unknown = server.bearer("nonsense").await;
    expect(unknown, Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(GetCallerRequest {}.encode_to_vec().is_empty());
}
