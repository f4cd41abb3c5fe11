//! A database that is not there when a server starts.

use std::{fs, net::TcpListener, time::Duration};

use approve_tests::{
    LocalAws, binaries, http,
    postgres::{Database, SHORT_LEASE},
    process::{Process, command},
    server::write_config,
    wait_for,
    way::Passing,
};
use serde_json::Value;
use tempfile::TempDir;

/// A server that is started in a folder, and its place for metrics.
fn launch(folder: &TempDir, url: &str, aws: &str) -> (Process, String) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let config =
        write_config(folder.path(), &format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{aws}\"\n\n{SHORT_LEASE}"));
    let mut command = command(binaries::server(), folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config);
    command.arg("--ready-file").arg(folder.path().join("ready.json")).env("APPROVE_SERVER__STORE", url);
    command.env("APPROVE_SERVER__METRICS_LISTEN", &address);
    (Process::spawn("approve-server", command, folder.path()), format!("http://{address}"))
}

async fn says(metrics: &str, path: &str, ok: bool) {
    wait_for(path, async || (http::text("GET", metrics, path, &Value::Null).await.is_ok() == ok).then_some(())).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_server_waits_for_its_database() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let way = database.way().await;
    way.set(Passing::Cut);
    let folder = TempDir::new().unwrap();
    let (mut process, metrics) = launch(&folder, &database.url_by(&way), aws.url());
    // Nobody starts it anew, and nobody calls it.
    says(&metrics, "/healthz", true).await;
    says(&metrics, "/readyz", false).await;
    assert!(process.ended().is_none());

    way.set(Passing::Open);
    says(&metrics, "/readyz", true).await;
    let ready = folder.path().join("ready.json");
    wait_for("the ready file", async || ready.exists().then_some(())).await;
    process.terminate();
    assert_eq!(process.exit(Duration::from_secs(20)).await.code(), Some(0));

    // One that is told to stop while it waits does.
    fs::remove_file(&ready).unwrap();
    way.set(Passing::Cut);
    let (mut process, metrics) = launch(&folder, &database.url_by(&way), aws.url());
    says(&metrics, "/healthz", true).await;
    process.terminate();
    assert_eq!(process.exit(Duration::from_secs(5)).await.code(), Some(0));
    assert!(!ready.exists());
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_waiting_would_not_mend_is_told() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let folder = TempDir::new().unwrap();
    let nobodys = database.url().replace("/approve_", "/not_there_");
    let (mut process, _) = launch(&folder, &nobodys, aws.url());
    assert_eq!(process.exit(Duration::from_secs(20)).await.code(), Some(5));
    let said = fs::read_to_string(folder.path().join("approve-server.err")).unwrap();
    assert!(said.contains("does not exist"), "{said}");
}
