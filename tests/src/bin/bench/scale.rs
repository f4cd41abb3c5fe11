//! Far more pending than people decide in a day: what keeping them costs. Filled the long way, by StartExecution and the
//! server's own intake; what happens is read from `/metrics` and `/proc`.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use approve_tests::{
    LocalAws, Server, aws, http, wait_for,
    workflows::{apply, ask_input, ask_retrying, spec},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tokio::time::sleep;

use crate::report::Report;

/// How many StartExecution are in flight.
const STARTS: usize = 64;
/// How often the server is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Longer than anything here.
const TIMEOUT_SECONDS: u32 = 86_400;
/// Ticks of processor time per second, as Linux counts them for everyone.
const TICKS: f64 = 100.0;

struct Crowd {
    server: Server,
    metrics: String,
    began: Instant,
    _aws: LocalAws,
}

impl Crowd {
    async fn gather(count: usize, heartbeat_seconds: u32, report: &mut Report) -> Self {
        let aws = LocalAws::start().await;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config =
            format!("metrics_listen = \"127.0.0.1:{port}\"\n[aws]\nregion = \"us-east-1\"\n[log]\nlevel = \"warn\"\n");
        let server = Server::serve_config(&config, aws.url()).await;
        let client = server.client("ana").await;
        let mut definition: Value = serde_json::from_str(&ask_retrying(heartbeat_seconds)).unwrap();
        definition["States"]["Ask"]["TimeoutSeconds"] = TIMEOUT_SECONDS.into();
        let machine = apply(&client, spec("crowd", &definition.to_string())).await.state_machine_arn;
        let step_functions = aws::step_functions(aws.url());
        let input = ask_input("Pay invoice 4711", "user:req");
        let crowd = Self { server, metrics: format!("http://127.0.0.1:{port}"), began: Instant::now(), _aws: aws };
        let start = || step_functions.start_execution().state_machine_arn(&machine).input(&input).send();
        stream::iter(0..count)
            .map(|_| start())
            .buffer_unordered(STARTS)
            .try_for_each(|_| async { Ok(()) })
            .await
            .unwrap();
        while crowd.metric("tasks_taken").await < count as f64 {
            sleep(LOOK).await;
        }
        report.add(format!("until {count} are pending"), crowd.began.elapsed().as_secs_f64(), "s");
        crowd
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = http::text("GET", &self.metrics, "/metrics", &Value::Null).await.unwrap();
        let prefix = format!("approve_{name}_total ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().parse().unwrap()
    }

    /// Processor time that the server has taken, in seconds.
    fn cpu(&mut self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.process().id())).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |at: usize| -> f64 { fields[at].parse().unwrap() };
        (ticks(11) + ticks(12)) / TICKS
    }
}

pub(crate) async fn heartbeats(count: usize, heartbeat_seconds: u32, window: Duration, report: &mut Report) {
    let mut crowd = Crowd::gather(count, heartbeat_seconds, report).await;
    sleep(Duration::from_secs(u64::from(heartbeat_seconds)).mul_f64(2.0 / 3.0)).await;
    let (sent, cpu, started) = (crowd.metric("heartbeats_sent").await, crowd.cpu(), Instant::now());
    sleep(window).await;
    let took = started.elapsed().as_secs_f64();
    let rate = (crowd.metric("heartbeats_sent").await - sent) / took;
    report.add(format!("heartbeats with {count} pending at HeartbeatSeconds {heartbeat_seconds}"), rate, "/s");
    report.add("processor time meanwhile", (crowd.cpu() - cpu) / took * 100.0, "% of a core");
    for (name, what) in [
        ("tasks_lost", "missed deadlines"),
        ("tasks_bound", "tasks handed out again"),
        ("heartbeats_in_danger", "heartbeats with less than half of their margin left"),
        ("heartbeats_failed", "heartbeats that failed"),
    ] {
        report.add(what, crowd.metric(name).await, "");
    }
}

pub(crate) async fn restart(count: usize, heartbeat_seconds: u32, report: &mut Report) {
    let mut crowd = Crowd::gather(count, heartbeat_seconds, report).await;
    // By then the first are due.
    let due = Duration::from_secs(u64::from(heartbeat_seconds)).mul_f64(2.0 / 3.0);
    crowd.server.kill();
    sleep(due.saturating_sub(crowd.began.elapsed())).await;
    let started = Instant::now();
    crowd.server.start().await;
    report.add_ms(format!("start after a kill with {count} pending, until it serves"), started.elapsed());
    wait_for("the first heartbeat", async || (crowd.metric("heartbeats_sent").await > 0.0).then_some(())).await;
    report.add_ms("the same, until its first heartbeat was accepted", started.elapsed());
}

pub(crate) async fn idle(count: usize, heartbeat_seconds: u32, window: Duration, report: &mut Report) {
    let mut crowd = Crowd::gather(count, heartbeat_seconds, report).await;
    // What the filling left to be done.
    sleep(Duration::from_secs(5)).await;
    let (cpu, started) = (crowd.cpu(), Instant::now());
    sleep(window).await;
    let share = (crowd.cpu() - cpu) / started.elapsed().as_secs_f64() * 100.0;
    report.add(format!("processor time when idle with {count} pending"), share, "% of a core");
}
