//! Three servers behind the load balancer of `server/DEPLOY.md`: each is stopped in turn, and no call fails.

use std::{
    fs,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use approve_client::{ApprovalStatus, Client, Config, Credentials, Watch};
use approve_proto::v1::{DecideRequest, Decision, GetApprovalRequest, approval_service_client::ApprovalServiceClient};
use approve_tests::{
    LocalAws, Server,
    approvals::{Watching, start},
    binaries::repository,
    postgres::Database,
    process::{Process, command},
    server::{request_as, write_config},
    wait_for,
    workflows::{ASK, apply, ask_input, spec},
};
use tempfile::TempDir;
use tokio::{sync::Mutex, time::sleep};
use tonic::transport::Endpoint;

const CALLERS: usize = 4;
const APPROVALS: usize = 60;
const STOP: Duration = Duration::from_secs(40);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn server(database: &Database, aws: &str, metrics: u16) -> Server {
    let folder = TempDir::new().unwrap();
    let aws = format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{aws}\"\n");
    write_config(
        folder.path(),
        &format!("{aws}[worker]\nmin_polls = 4\nmax_polls = 16\n[postgres]\nlease_seconds = 3\n"),
    );
    let metrics = format!("127.0.0.1:{metrics}");
    let environment = [
        ("APPROVE_SERVER__STORE", database.url()),
        ("APPROVE_SERVER__METRICS_LISTEN", &metrics),
        // The balancer has so long to notice: it looks each second.
        ("APPROVE_SERVER__SHUTDOWN__POLL_SECONDS", "6"),
    ];
    Server::serve_folder(folder, &environment).await
}

/// The documented configuration, with these addresses.
fn configuration(port: u16, servers: &[(Server, u16)]) -> String {
    let page = fs::read_to_string(repository().join("server/DEPLOY.md")).unwrap();
    let block = page.split_once("```haproxy\n").expect("there is a configuration").1.split_once("```").unwrap().0;
    let mut text = block.replace("bind :50051", &format!("bind 127.0.0.1:{port}"));
    for (number, (server, metrics)) in (1..).zip(servers) {
        let documented = format!("10.0.0.{number}:50051 port 9464");
        assert!(text.contains(&documented), "{text}");
        let address = server.url().rsplit('/').next().unwrap();
        text = text.replace(&documented, &format!("{address} port {metrics}"));
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL and HAProxy"]
async fn a_server_that_is_stopped_fails_no_call() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let mut servers = Vec::new();
    for _ in 0..3 {
        let metrics = free_port();
        servers.push((server(&database, aws.url(), metrics).await, metrics));
    }
    let folder = TempDir::new().unwrap();
    let port = free_port();
    let file = folder.path().join("haproxy.cfg");
    fs::write(&file, configuration(port, &servers)).unwrap();
    let mut balancer = command("haproxy", folder.path());
    balancer.arg("-db").arg("-f").arg(&file);
    let _balancer = Process::spawn("haproxy", balancer, folder.path());
    let url = format!("http://127.0.0.1:{port}");
    let endpoint = Endpoint::from_shared(url.clone()).unwrap();
    let channel = wait_for("the balancer", async || endpoint.connect().await.ok()).await;
    drop(channel);
    let ana = Client::connect(Config::new(&url).credentials(Credentials::asserted("user:ana".to_owned(), [""; 0])))
        .await
        .unwrap();
    apply(&ana, spec("balanced", ASK)).await;
    for (server, _) in &servers {
        let there = server.client("ana").await;
        wait_for("each server to know the workflow", async || there.get_workflow("balanced").await.ok()).await;
    }
    for _ in 0..APPROVALS {
        start(&ana, "balanced", &ask_input("Pay", "user:req")).await;
    }
    let mut watching = Watching::synced(&ana, Watch::new()).await;
    while watching.view.iter().count() < APPROVALS {
        watching.next().await;
    }
    let waiting = Arc::new(Mutex::new(watching.view.iter().map(|approval| approval.id.clone()).collect::<Vec<_>>()));

    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let (endpoint, waiting) = (endpoint.clone(), Arc::clone(&waiting));
        let (done, calls) = (Arc::clone(&done), Arc::clone(&calls));
        callers.push(tokio::spawn(async move {
            // No retries but the balancer's.
            let mut client = ApprovalServiceClient::new(endpoint.connect().await.unwrap());
            let mut failed = Vec::new();
            let mut last = waiting.lock().await[0].clone();
            while !done.load(Ordering::Acquire) {
                let get = GetApprovalRequest { approval_id: last.clone() };
                for _ in 0..20 {
                    let answer = client.get_approval(request_as("ana", get.clone())).await;
                    failed.extend(answer.err());
                    calls.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(5)).await;
                }
                let next = waiting.lock().await.pop();
                if let Some(next) = next {
                    let decide = DecideRequest {
                        approval_id: next.clone(),
                        decision: Decision::Approve.into(),
                        ..DecideRequest::default()
                    };
                    failed.extend(client.decide(request_as("ana", decide)).await.err());
                    calls.fetch_add(1, Ordering::Relaxed);
                    last = next;
                }
            }
            failed
        }));
    }
    for (server, _) in &mut servers {
        assert_eq!(server.stop(STOP).await, Some(0));
        server.start().await;
        // Until the balancer has seen that it is back.
        sleep(Duration::from_secs(3)).await;
    }
    done.store(true, Ordering::Release);
    let mut failed = Vec::new();
    for caller in callers {
        failed.extend(caller.await.unwrap());
    }
    println!("{} calls, {} failed", calls.load(Ordering::Relaxed), failed.len());
    assert!(failed.is_empty(), "{failed:?}");
    assert!(waiting.lock().await.is_empty(), "too few decisions were made");
    // The watch went on over all of it.
    while watching.view.iter().count() > 0 {
        watching.next().await;
    }
    let approvals = approve_tests::ledger::all_approvals(&ana).await;
    assert!(approvals.iter().all(|approval| approval.status() == ApprovalStatus::Approved));
    // Without any server a call may be tried again.
    for (server, _) in &mut servers {
        server.kill();
    }
    wait_for("the balancer to see that nobody is there", async || {
        let mut client = ApprovalServiceClient::new(endpoint.connect().await.ok()?);
        let get = GetApprovalRequest { approval_id: approvals[0].id.clone() };
        let error = client.get_approval(request_as("ana", get)).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::Unavailable, "{error:?}");
        (error.message() == "no server is ready").then_some(())
    })
    .await;
}
