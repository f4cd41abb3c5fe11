//! `/metrics` of a server that worked.

use std::{collections::BTreeSet, fs, net::TcpListener};

use approve_client::{Decide, Watch};
use approve_tests::{
    LocalAws, Server,
    approvals::{Watching, ask, delivered, ended},
    binaries::repository,
    http,
    server::write_config,
    wait_for,
    workflows::{ASK, apply, ask_input, spec},
};
use serde_json::Value;
use tempfile::TempDir;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn scrape(port: u16) -> String {
    http::text("GET", &format!("http://127.0.0.1:{port}"), "/metrics", &Value::Null).await.unwrap()
}

/// The value of a sample, by name and labels.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn what_happened_is_counted_under_the_documented_names() {
    let (aws, folder, port) = (LocalAws::start().await, TempDir::new().unwrap(), free_port());
    let endpoint = aws.url();
    write_config(
        folder.path(),
        &format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{endpoint}\"\n[worker]\nmin_polls = 3\nmax_polls = 3\n"),
    );
    let listen = format!("127.0.0.1:{port}");
    let server = Server::serve_folder(folder, &[("APPROVE_SERVER__METRICS_LISTEN", &listen)]).await;
    let client = server.client("ana").await;
    apply(&client, spec("payments", ASK)).await;
    let watching = Watching::synced(&client, Watch::new()).await;
    let (arn, approval) = ask(&client, "payments", &ask_input("Pay", "user:req")).await;
    client.decide(Decide::approve(&approval.id)).await.unwrap();
    client.decide(Decide::reject(&approval.id)).await.unwrap_err();
    ended(&client, &arn).await;
    delivered(&client, &approval.id).await;

    let text = scrape(port).await;
    for (sample, expected) in [
        ("approve_approvals_created_total", 1.0),
        ("approve_approvals_finished_total{status=\"APPROVED\"}", 1.0),
        ("approve_approval_pending_seconds_count", 1.0),
        ("approve_deliveries_total{settled=\"Delivered\"}", 1.0),
        ("approve_delivery_delay_seconds_count", 1.0),
        ("approve_calls_total{method=\"ApprovalService/Decide\",code=\"OK\"}", 1.0),
        ("approve_calls_total{method=\"ApprovalService/Decide\",code=\"FAILED_PRECONDITION\"}", 1.0),
        ("approve_call_duration_seconds_count{method=\"ApprovalService/Decide\"}", 2.0),
        ("approve_tasks_taken_total", 1.0),
        ("approve_store_reachable", 1.0),
        ("approve_servers", 1.0),
    ] {
        assert_eq!(value(&text, sample), Some(expected), "{sample}\n{text}");
    }
    // The watch, and the apply before it has ended.
    assert_eq!(value(&text, "approve_streams"), Some(1.0), "{text}");
    drop((watching, client));
    wait_for("the end of the stream", async || {
        (value(&scrape(port).await, "approve_streams") == Some(0.0)).then_some(())
    })
    .await;

    let docs = fs::read_to_string(repository().join("server/OPERATE.md")).unwrap();
    let names: BTreeSet<_> = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = family.split_once(' ').unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let name = format!("{name}{suffix}");
        assert!(names.contains(name.as_str()), "{name} is in no table");
    }
    // A caller makes up no labels.
    let nobody = server.channel().await;
    let mut unknown = tonic::client::Grpc::new(nobody);
    unknown.ready().await.unwrap();
    let path = http_path("/approve.v1.ApprovalService/MadeUp");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    unknown.unary(tonic::Request::new(()), path, codec).await.unwrap_err();
    let text = scrape(port).await;
    assert!(!text.contains("MadeUp") && text.contains("method=\"other\""), "{text}");
}

fn http_path(path: &'static str) -> axum::http::uri::PathAndQuery {
    axum::http::uri::PathAndQuery::from_static(path)
}
