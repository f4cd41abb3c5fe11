//! How long a task takes from StartExecution to a waiting poll, over the wire, and what waiting executions weigh.
//! `cargo run --release -p sfn-local --example bench [-- DATA_FILE]`. Linux only, for the memory.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement talks to its user, and ends when it cannot go on"
)]

use std::time::{Duration, Instant};

use aws_sdk_sfn::{
    Client,
    config::{Credentials, Region, retry::RetryConfig},
};
use sfn_local::{Options, Server};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 1000;
const WAITING: usize = 10_000;
const AT_ONCE: usize = 50;

#[tokio::main]
async fn main() {
    let data_file = std::env::args().nth(1).map(std::path::PathBuf::from);
    let options = Options { check_roles: false, data_file: data_file.clone(), ..Options::default() };
    let server = Server::bind(options.clone()).await.unwrap();
    let endpoint = server.endpoint();
    let cancel = CancellationToken::new();
    let serving = tokio::spawn(server.serve(cancel.clone()));
    let config = aws_sdk_sfn::Config::builder()
        .behavior_version_latest()
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .retry_config(RetryConfig::disabled())
        .build();
    let sfn = Client::from_conf(config);
    let activity = sfn.create_activity().name("Bench").send().await.unwrap().activity_arn;
    let definition = serde_json::json!({
        "StartAt": "T",
        "States": {"T": {
            "Type": "Task",
            "Resource": activity,
            "Parameters": {"title": "Pay", "input.$": "$"},
            "TimeoutSeconds": 86_400,
            "HeartbeatSeconds": 3_600,
            "End": true,
        }},
    });
    let machine = sfn.create_state_machine().name("Bench").definition(definition.to_string());
    let machine = machine.role_arn("arn:aws:iam::000000000000:role/R").send().await.unwrap().state_machine_arn;

    let delays = deliveries(&sfn, &activity, &machine).await;
    let at = |share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = (delays.len() as f64 * share) as usize;
        delays.get(index.min(delays.len() - 1)).copied().unwrap_or_default()
    };
    println!("StartExecution to a waiting poll, {ROUNDS} times: p50 {:?}, p99 {:?}", at(0.50), at(0.99));

    let before = resident();
    let started = Instant::now();
    let mut starts = tokio::task::JoinSet::new();
    for worker in 0..AT_ONCE {
        let (sfn, machine) = (sfn.clone(), machine.clone());
        starts.spawn(async move {
            for number in (worker..WAITING).step_by(AT_ONCE) {
                let input = format!(r#"{{"invoice": {number}, "amount": 1200.50, "supplier": "ACME Ltd"}}"#);
                sfn.start_execution().state_machine_arn(&machine).input(input).send().await.unwrap();
            }
        });
    }
    starts.join_all().await;
    let after = resident();
    println!(
        "{WAITING} executions waiting in an activity: {} MiB more, {} MiB in all, client included; started in {:?}",
        after.saturating_sub(before) / 1024,
        after / 1024,
        started.elapsed(),
    );
    cancel.cancel();
    serving.await.unwrap().unwrap();
    if let Some(file) = data_file {
        let size = std::fs::metadata(&file).unwrap().len();
        let started = Instant::now();
        drop(Server::bind(options).await.unwrap());
        println!("a start from the file of {} MiB: {:?}", size / 1024 / 1024, started.elapsed());
    }
}

/// Delays, shortest first.
async fn deliveries(sfn: &Client, activity: &str, machine: &str) -> Vec<Duration> {
    let mut delays = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let poll = tokio::spawn({
            let call = sfn.get_activity_task().activity_arn(activity);
            async move {
                let task = call.send().await.unwrap();
                (task.task_token.unwrap(), Instant::now())
            }
        });
        // The poll is to wait before the execution starts.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let started = Instant::now();
        sfn.start_execution().state_machine_arn(machine).input("{}").send().await.unwrap();
        let (token, delivered) = poll.await.unwrap();
        delays.push(delivered.duration_since(started));
        sfn.send_task_success().task_token(token).output("{}").send().await.unwrap();
    }
    delays.sort_unstable();
    delays
}

/// KiB of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}
