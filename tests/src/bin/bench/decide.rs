//! Decisions, durable before they are answered, next to empty calls and to the disk's own time.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use approve_client::proto::{DecideRequest, Decision, approval_service_client::ApprovalServiceClient};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    fanout::open_to_votes,
    fill::Fill,
    floor::Floor,
    raw,
    report::{Report, Rounds, median, millis, percentile},
    setup::{Setup, processor_time},
};

/// Calls in flight for each connection, at most.
const PER_CONNECTION: usize = 16;
/// Decisions of a round, for each that is in flight; within bounds.
const EACH: usize = 32;
const BOUNDS: (usize, usize) = (200, 4_096);
/// What a decision may take more than a flush, where it is alone.
const MORE_THAN_FLUSH: f64 = 0.150;
/// Bytes of the input of what is voted on first.
const INPUT: usize = 256;

/// How many at once it takes to tell how it grows.
const CURVE: [usize; 7] = [1, 4, 16, 32, 64, 128, 256];

/// Decisions that end an approval, whose delivery takes the machine's time, too; then votes that end nothing.
pub(crate) async fn measure(concurrency: &[usize], rounds: usize, report: &mut Report) {
    let floor = Floor::start().await;
    last_votes(&floor, concurrency, rounds, report).await;
    first_votes(&floor, concurrency, rounds, report).await;
}

async fn last_votes(floor: &Floor, concurrency: &[usize], rounds: usize, report: &mut Report) {
    let mut setup = Setup::start("").await;
    let server = setup.server.process().id();
    for at_once in concurrency {
        let mut figures = Figures::new("Decide", *at_once);
        for _ in 0..rounds {
            let approvals = setup.make_pending(figures.count).await;
            let ids: Arc<[String]> = approvals.iter().map(|approval| approval.id.clone()).collect();
            figures.decide(server, setup.server.url(), &ids).await;
            setup.settled(&approvals).await;
            figures.floor(floor, &setup, &ids).await;
        }
        figures.report(report);
    }
}

/// The first of two votes that each approval takes. Nothing is delivered meanwhile.
async fn first_votes(floor: &Floor, concurrency: &[usize], rounds: usize, report: &mut Report) {
    let all = concurrency.iter().map(|at_once| count(*at_once) * rounds).sum();
    let mut setup = Setup::filled(&Fill::pending(all, INPUT), None).await;
    let server = setup.server.process().id();
    let ids = open_to_votes(&setup, all).await;
    let mut rest = &ids[..];
    for at_once in concurrency {
        let mut figures = Figures::new("Decide, no last vote", *at_once);
        for _ in 0..rounds {
            let (some, others) = rest.split_at(figures.count.min(rest.len()));
            rest = others;
            figures.decide(server, setup.server.url(), &some.into()).await;
            figures.floor(floor, &setup, &some.into()).await;
        }
        figures.report(report);
    }
}

/// How many decisions a round has.
fn count(at_once: usize) -> usize {
    (at_once * EACH).clamp(BOUNDS.0, BOUNDS.1)
}

/// What is known of one number of calls in flight.
struct Figures {
    what: &'static str,
    at_once: usize,
    count: usize,
    rates: Vec<f64>,
    costs: Vec<f64>,
    alone: Vec<f64>,
    floor: Vec<Least>,
}

/// The floor of one round.
struct Least {
    rate: f64,
    cost: f64,
    call: f64,
    flush: f64,
}

impl Figures {
    fn new(what: &'static str, at_once: usize) -> Self {
        let (rates, costs, alone, floor) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { what, at_once, count: count(at_once), rates, costs, alone, floor }
    }

    async fn decide(&mut self, server: u32, url: &str, ids: &Arc<[String]>) {
        let (decisions, p50, cost) = self.round(server, url, ids).await;
        self.rates.push(decisions);
        self.alone.push(p50);
        self.costs.push(cost);
    }

    async fn floor(&mut self, floor: &Floor, setup: &Setup, ids: &Arc<[String]>) {
        let (rate, call, cost) = self.round(floor.id(), &floor.url, ids).await;
        let flush = match self.at_once {
            1 => millis(percentile(&mut flush_times(setup.server.folder(), self.count), 50)),
            _ => 0.0,
        };
        self.floor.push(Least { rate, cost, call, flush });
    }

    /// Calls per second, the p50 of a call in ms, and the processor time for each in µs.
    async fn round(&self, process: u32, url: &str, ids: &Arc<[String]>) -> (f64, f64, f64) {
        let begun = processor_time(process);
        let (rate, mut times) = rate(url, self.at_once, ids.clone()).await;
        let took = processor_time(process).saturating_sub(begun);
        (rate, millis(percentile(&mut times, 50)), millis(took) * 1e3 / ids.len() as f64)
    }

    fn report(self, report: &mut Report) {
        let Self { what, at_once, rates, costs, alone, floor, .. } = self;
        let least = |of: fn(&Least) -> f64| floor.iter().map(of).collect::<Vec<_>>();
        let rates = Rounds::of(rates, least(|least| least.rate));
        let figure = rates.report(report, format!("{what}, {at_once} at once"), "/s", "empty calls /s");
        if at_once == 64 {
            figure.ratio_at_least(0.4);
        }
        let costs = Rounds::of(costs, least(|least| least.cost));
        costs.report(report, "the server's processor time for each", "µs", "empty call, µs");
        if at_once == 1 {
            let (alone, flush, call) =
                (median(alone), median(least(|least| least.flush)), median(least(|least| least.call)));
            let figure = report.add(format!("{what}, one at a time, p50"), alone, "ms");
            figure.floor("flush of 4 KiB, ms", flush, alone / flush).at_most(flush + MORE_THAN_FLUSH);
            let figure = report.add("the same, over an empty call", alone - call, "ms");
            figure.floor("flush of 4 KiB, ms", flush, (alone - call) / flush).at_most(flush + MORE_THAN_FLUSH);
        }
    }
}

/// How the rate grows with what is in flight. The votes are not the last ones, so that nothing is delivered meanwhile.
pub(crate) async fn curve(setup: &Setup, ids: &[String], report: &mut Report) {
    let floor = Floor::start().await;
    for at_once in CURVE {
        let count = count(at_once).min(ids.len());
        let ids: Arc<[String]> = ids[..count].into();
        let (decisions, _) = rate(setup.server.url(), at_once, ids.clone()).await;
        let (empty, _) = rate(&floor.url, at_once, ids).await;
        let curve = ("Decide", "calls in flight", "/s");
        report.point(curve, "Decide", (at_once as f64, decisions));
        report.point(curve, "empty call", (at_once as f64, empty));
    }
}

/// Calls per second, and what each took; each id is decided once.
pub(crate) async fn rate(url: &str, concurrency: usize, ids: Arc<[String]>) -> (f64, Vec<Duration>) {
    rate_over(&[url], concurrency, ids).await
}

/// The same, over servers that share a store.
pub(crate) async fn rate_over(urls: &[&str], concurrency: usize, ids: Arc<[String]>) -> (f64, Vec<Duration>) {
    let mut channels = Vec::new();
    for at in 0..concurrency.div_ceil(PER_CONNECTION).clamp(urls.len(), 16) {
        channels.push(raw::connect(urls[at % urls.len()]).await);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    let run = fresh();
    let started = Instant::now();
    for worker in 0..concurrency {
        let mut client = ApprovalServiceClient::new(channels[worker % channels.len()].clone());
        let (ids, next) = (ids.clone(), next.clone());
        workers.spawn(async move {
            let mut times = Vec::new();
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                let started = Instant::now();
                decide(&mut client, id, run).await;
                times.push(started.elapsed());
            }
            times
        });
    }
    let times = workers.join_all().await.concat();
    (ids.len() as f64 / started.elapsed().as_secs_f64(), times)
}

/// Votes for it. `run` makes it another vote than the one before.
pub(crate) async fn decide(client: &mut ApprovalServiceClient<Channel>, id: &str, run: u64) {
    let request = DecideRequest {
        approval_id: id.to_owned(),
        decision: Decision::Approve.into(),
        comment: format!("looks right, {run:016x}"),
        request_id: format!("{run:016x}-{id}"),
        ..DecideRequest::default()
    };
    client.decide(raw::request(request)).await.unwrap();
}

/// Of no other run.
pub(crate) fn fresh() -> u64 {
    rand::random()
}

/// One durable write: what a page of the store's log costs on this disk. Like that log, the file has its length already.
fn flush_times(folder: &Path, count: usize) -> Vec<Duration> {
    let mut file = File::create(folder.join("flush")).unwrap();
    let page = [7; 4_096];
    file.write_all(&page.repeat(count)).unwrap();
    file.sync_all().unwrap();
    file.rewind().unwrap();
    let flush = |_| {
        let started = Instant::now();
        file.write_all(&page).unwrap();
        file.sync_data().unwrap();
        started.elapsed()
    };
    (0..count).map(flush).collect()
}
