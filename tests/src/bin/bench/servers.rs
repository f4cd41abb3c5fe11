//! Several servers on one PostgreSQL, next to one with SQLite, and to what the database does without any: inserts, each
//! committed, from as many connections as there are calls in flight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use approve_client::Decide;
use approve_proto::v1::{StreamPendingApprovalsResponse, stream_pending_approvals_response::Change};
use approve_tests::{
    LocalAws, Server,
    fleet::{Fleet, Probe},
    postgres::{Postgres, connect, serve},
    workflows::{self, ask_retrying},
};
use prost::Message as _;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    decide::rate_over,
    raw::{self, STREAM},
    report::{Report, Rounds, median, millis, percentile},
    resume::{many_over, one_by_one},
    setup::{Setup, UNTHROTTLED, is_synced, request},
};

const MOST: usize = 3;
/// Decisions of a round, for each that is in flight.
const EACH: usize = 32;
/// Changes of a round that are told at another server, one after the other.
const TOLD: usize = 200;
/// As long as what a decision writes, about.
const ROW_BYTES: usize = 2_048;

/// Servers that share a database.
struct Shared {
    /// The first one.
    setup: Setup,
    others: Vec<Server>,
    postgres: Postgres,
}

impl Shared {
    async fn start(servers: usize) -> Self {
        let (aws, postgres) = tokio::join!(LocalAws::start(), Postgres::start());
        let database = postgres.database().await;
        let config = format!("[worker]\n{UNTHROTTLED}");
        let mut all = Vec::new();
        for _ in 0..servers {
            all.push(serve(database.url(), aws.url(), &config).await);
        }
        let setup = Setup::of(all.remove(0), aws).await;
        Self { setup, others: all, postgres }
    }

    fn urls(&self) -> Vec<&str> {
        [&self.setup.server].into_iter().chain(&self.others).map(Server::url).collect()
    }
}

pub(crate) async fn measure(concurrency: usize, rounds: usize, report: &mut Report) {
    let count = concurrency * EACH;
    let embedded = Setup::start(UNTHROTTLED).await;
    let (mut rates, mut alone, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        rates.push(decided(&embedded, &[embedded.server.url()], concurrency, count).await);
        alone.push(one_by_one(&embedded).await);
        ended.push(many_over(&embedded, &[embedded.server.url()]).await);
    }
    report.add(format!("Decide, {concurrency} at once, SQLite"), median(rates), "/s");
    report.add("decide → execution SUCCEEDED, p50, SQLite", median(alone), "ms");
    report.add("decided → executions SUCCEEDED, SQLite", median(ended), "/s");
    drop(embedded);

    for servers in 1..=MOST {
        let shared = Shared::start(servers).await;
        let (urls, setup) = (shared.urls(), &shared.setup);
        let (mut rates, mut alone, mut ended) = (Rounds::default(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ours = decided(setup, &urls, concurrency, count).await;
            rates.push(ours, inserted(&shared.postgres.url(), concurrency, count).await);
            alone.push(one_by_one(setup).await);
            ended.push(many_over(setup, &urls).await);
        }
        let of = format!("PostgreSQL, {servers} server{}", if servers == 1 { "" } else { "s" });
        rates.report(report, format!("Decide, {concurrency} at once, {of}"), "/s", "INSERT … COMMIT /s");
        report.add(format!("decide → execution SUCCEEDED, p50, {of}"), median(alone), "ms");
        report.add(format!("decided → executions SUCCEEDED, {of}"), median(ended), "/s");
        if servers == MOST {
            told_elsewhere(&shared, rounds, report).await;
        }
    }
}

async fn decided(setup: &Setup, urls: &[&str], concurrency: usize, count: usize) -> f64 {
    let approvals = setup.make_pending(count).await;
    let ids: Arc<[String]> = approvals.iter().map(|approval| approval.id.clone()).collect();
    let (decisions, _) = rate_over(urls, concurrency, ids).await;
    setup.settled(&approvals).await;
    decisions
}

/// Rows per second, each committed before the next one of its connection.
async fn inserted(url: &str, connections: usize, count: usize) -> f64 {
    let client = connect(url).await;
    let table = "CREATE TABLE IF NOT EXISTS bare (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)";
    client.batch_execute(table).await.unwrap();
    let left = Arc::new(AtomicUsize::new(count));
    let mut clients = Vec::new();
    for _ in 0..connections {
        let client = connect(url).await;
        let insert = client.prepare("INSERT INTO bare (body) VALUES ($1)").await.unwrap();
        clients.push((client, insert));
    }
    let started = Instant::now();
    let mut inserting = JoinSet::new();
    for (client, insert) in clients {
        let left = left.clone();
        inserting.spawn(async move {
            let body = "x".repeat(ROW_BYTES);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                client.execute(&insert, &[&body]).await.unwrap();
            }
        });
    }
    inserting.join_all().await;
    count as f64 / started.elapsed().as_secs_f64()
}

/// From the answer to a decision at one server, which comes right after its commit, until a stream of another one tells.
async fn told_elsewhere(shared: &Shared, rounds: usize, report: &mut Report) {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let approvals = shared.setup.make_pending(TOLD).await;
        let other = shared.others.last().expect("there are several");
        let mut stream = raw::open(&raw::connect(other.url()).await, STREAM, &request("")).await;
        while !is_synced(&stream.message().await.unwrap().unwrap()) {}
        let (tell, mut told) = mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            while let Ok(Some(bytes)) = stream.message().await {
                let at = Instant::now();
                let response = StreamPendingApprovalsResponse::decode(bytes).unwrap();
                if let Some(Change::Removed(removed)) = response.change
                    && tell.send((removed.id, at)).is_err()
                {
                    return;
                }
            }
        });
        for approval in &approvals {
            shared.setup.client.decide(Decide::approve(&approval.id)).await.unwrap();
            let answered = Instant::now();
            let (id, at) = told.recv().await.unwrap();
            assert_eq!(id, approval.id);
            times.push(at.saturating_duration_since(answered));
        }
        reading.abort();
        shared.setup.settled(&approvals).await;
    }
    report.add_ms("commit → told by another server, p50", percentile(&mut times, 50)).at_most(50.0);
    report.add_ms("commit → told by another server, p99", percentile(&mut times, 99)).at_most(1_000.0);
}

/// From kill -9 of a server until another one has delivered what that one had to.
pub(crate) async fn take_over(kills: usize, lease_seconds: u32, report: &mut Report) {
    if kills == 0 {
        return;
    }
    let config = format!("[postgres]\nlease_seconds = {lease_seconds}\n\n[worker]\nmin_polls = 4\nmax_polls = 16\n");
    let mut fleet = Fleet::start(MOST, &config).await;
    let client = fleet.places[0].server.client("ana").await;
    let machine = workflows::apply(&client, workflows::spec("probe", &ask_retrying(2 * lease_seconds))).await;
    let mut times: Vec<Duration> = Vec::new();
    for kill in 0..kills {
        let at = kill % MOST;
        let probe = Probe::place(&fleet, at, &machine.state_machine_arn).await;
        fleet.places[at].server.kill();
        times.push(probe.answered(Instant::now()).await);
        fleet.places[at].aws.set(approve_tests::way::Passing::Open);
        fleet.places[at].server.start().await;
        fleet.all_serve().await;
        eprintln!("take-over {kill}: {:.2} s", times.last().map_or(0.0, Duration::as_secs_f64));
    }
    let most = f64::from(lease_seconds) * 1_000.0 + 2_000.0;
    report.add(format!("kill -9 → taken over, lease {lease_seconds} s, p50"), millis(percentile(&mut times, 50)), "ms");
    report
        .add(format!("kill -9 → taken over, max of {kills}"), millis(percentile(&mut times, 100)), "ms")
        .at_most(most);
}
