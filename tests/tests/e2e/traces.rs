//! Traces, as a collector gets them.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use approve_client::{Client, Config, Credentials, Decide};
use approve_tests::{
    DEADLINE, LocalAws, Server,
    approvals::{ask, delivered, ended},
    collector::{Collector, Mood, attribute, hex},
    microburst::{Fault, Injector},
    server::write_config,
    workflows::{ASK, apply, ask_input, spec},
};
use tempfile::TempDir;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A server that sends its traces to a collector.
async fn traced(aws: &LocalAws, collector: &Collector, more: &str) -> Server {
    let folder = TempDir::new().unwrap();
    let headers = folder.path().join("headers");
    fs::write(&headers, "authorization: Bearer the-secret-header\n").unwrap();
    let config = format!(
        "[aws]\nregion = \"us-east-1\"\nendpoint = \"{}\"\n[log]\nformat = \"json\"\nlevel = \"info\"\n\
         [telemetry]\nendpoint = \"{}\"\nheaders_file = {headers:?}\ndelay_milliseconds = 20\n{more}",
        aws.url(),
        collector.url(),
    );
    write_config(folder.path(), &config);
    Server::serve_folder(folder, &[]).await
}

/// A client in a trace of its own.
async fn in_a_trace(server: &Server) -> Client {
    let credentials = Credentials::asserted("user:ana", Vec::<String>::new());
    let config = Config::new(server.url()).credentials(credentials).traceparent(|| Some(CALLER.to_owned()));
    Client::connect(config).await.unwrap()
}

#[tokio::test]
async fn an_approval_is_one_trace_from_task_to_delivery_whenever_the_server_is_killed() {
    let (aws, collector) = (LocalAws::start().await, Collector::start(Mood::Takes).await);
    let mut server = traced(&aws, &collector, "").await;
    let client = in_a_trace(&server).await;
    apply(&client, spec("payments", ASK)).await;
    let (arn, approval) = ask(&client, "payments", &ask_input("the-secret-title", "user:req")).await;
    let intake = collector.of_approval("intake", &approval.id).await;
    let injector = Injector::LocalAws(aws.url().to_owned());
    injector.set(&[("SendTaskSuccess", Fault::Status(500), u32::MAX)]).await;

    let decide = Decide::approve(&approval.id).comment("the-secret-comment").response_json(r#""the-secret-response""#);
    client.decide(decide).await.unwrap();
    let decided = collector.of_approval("decide", &approval.id).await;
    let failed = collector.of_approval("deliver", &approval.id).await;
    server.kill();
    injector.set(&[]).await;
    server.start().await;
    ended(&client, &arn).await;

    let root = collector.of_approval("approval", &approval.id).await;
    let pending = collector.of_approval("pending", &approval.id).await;
    let delivered = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
        span.name == "deliver" && attribute(span, "error.type").is_empty()
    };
    let delivered = collector.span("the delivery", delivered).await;
    assert_eq!((root.trace_id.len(), root.span_id.len(), root.parent_span_id.as_slice()), (16, 8, &[][..]));
    for span in [&intake, &pending, &decided, &failed, &delivered] {
        assert_eq!(hex(&span.trace_id), hex(&root.trace_id), "{}", span.name);
        assert_eq!(hex(&span.parent_span_id), hex(&root.span_id), "{}", span.name);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{}", span.name);
        assert_ne!(span.span_id, root.span_id);
    }
    assert_eq!(attribute(&failed, "error.type"), "Unknown");
    assert_eq!(attribute(&delivered, "rpc.method"), "SendTaskSuccess");
    assert_eq!(attribute(&root, "approve.status"), "APPROVED");
    assert_eq!(attribute(&root, "aws.step_functions.execution.arn"), arn);
    assert!(root.end_time_unix_nano >= delivered.start_time_unix_nano / 1_000_000 * 1_000_000);
    let all = collector.spans();
    let ids: BTreeSet<_> = all.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), all.len(), "a span was sent twice");

    // The call is in the caller's trace, and the decision is linked to it.
    let call = all.iter().find(|span| span.name == "approve.v1.ApprovalService/Decide").unwrap();
    assert_eq!(hex(&call.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&call.parent_span_id), "b7ad6b7169203331");
    assert_eq!(attribute(call, "rpc.grpc.status_code"), "0");
    let linked: Vec<_> = decided.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect();
    assert_eq!(linked, [(hex(&call.trace_id), hex(&call.span_id))]);

    // Log lines lead to it.
    let log = server.process().stderr();
    let line = |message: &str| -> serde_json::Value {
        let of_it = |line: &&str| line.contains(&approval.id) && line.contains(message);
        serde_json::from_str(log.lines().find(of_it).unwrap_or_else(|| panic!("{message}\n{log}"))).unwrap()
    };
    assert_eq!(line("\"asked\"")["trace_id"], hex(&root.trace_id));
    assert_eq!(line("delivery settled")["span_id"], hex(&root.span_id));

    assert_eq!(collector.headers()["authorization"], "Bearer the-secret-header");
    let everything = collector.everything().replace("Bearer the-secret-header", "");
    assert!(!everything.contains("the-secret"), "{everything}");
    assert!(!everything.contains("user:"), "somebody is named");
    assert!(!log.contains("the-secret"), "{log}");
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_does_not_answer() {
    let (aws, collector) = (LocalAws::start().await, Collector::start(Mood::Stalls).await);
    let mut server = traced(&aws, &collector, "queue = 4\ntimeout_seconds = 60\n").await;
    let client = in_a_trace(&server).await;
    apply(&client, spec("payments", ASK)).await;
    for n in 0..10 {
        let (arn, approval) = ask(&client, "payments", &ask_input(&format!("Pay {n}"), "user:req")).await;
        client.decide(Decide::approve(&approval.id)).await.unwrap();
        delivered(&client, &approval.id).await;
        ended(&client, &arn).await;
    }
    drop(client);
    let begun = Instant::now();
    assert_eq!(server.stop(DEADLINE).await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the collector: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_of_once() {
    let (aws, collector) = (LocalAws::start().await, Collector::start(Mood::Refuses).await);
    let mut server = traced(&aws, &collector, "").await;
    let client = in_a_trace(&server).await;
    apply(&client, spec("payments", ASK)).await;
    for n in 0..5 {
        let (arn, approval) = ask(&client, "payments", &ask_input(&format!("Pay {n}"), "user:req")).await;
        client.decide(Decide::approve(&approval.id)).await.unwrap();
        ended(&client, &arn).await;
    }
    drop(client);
    server.process().terminate();
    assert_eq!(server.process().exit(DEADLINE).await.code(), Some(0));
    let log = server.process().stderr();
    assert_eq!(log.matches("the collector takes no spans").count(), 1, "{log}");
}

#[tokio::test]
async fn callers_that_are_not_sampled_and_approvals_that_are_not_leave_no_spans() {
    let (aws, collector) = (LocalAws::start().await, Collector::start(Mood::Takes).await);
    let server = traced(&aws, &collector, "sample_ratio = 0.0\n").await;
    let sampled = AtomicU64::new(0);
    let flags = move || {
        let flag = sampled.fetch_add(1, Ordering::Relaxed) % 2;
        Some(format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0{flag}"))
    };
    let credentials = Credentials::asserted("user:ana", Vec::<String>::new());
    let client = Client::connect(Config::new(server.url()).credentials(credentials).traceparent(flags)).await.unwrap();
    // One of the two is sampled, by its caller.
    client.caller().await.unwrap();
    client.caller().await.unwrap();
    let call = collector.span("the call that is sampled", |span| span.name.ends_with("/GetCaller")).await;
    assert_eq!(hex(&call.parent_span_id), "b7ad6b7169203331");
    let plain = server.client("ana").await;
    apply(&plain, spec("payments", ASK)).await;
    let (arn, approval) = ask(&plain, "payments", &ask_input("Pay", "user:req")).await;
    plain.decide(Decide::approve(&approval.id)).await.unwrap();
    ended(&plain, &arn).await;
    delivered(&plain, &approval.id).await;
    // Spans are sent in their order: after this one comes no earlier one.
    while client.caller().await.is_ok() && collector.spans().len() < 2 {}
    let names: BTreeSet<_> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, BTreeSet::from(["approve.v1.AccessService/GetCaller".to_owned()]));
}
