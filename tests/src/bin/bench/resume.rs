//! From the call of Decide to the end of the execution, next to the bare call that ends it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use approve_client::{Approval, Decide};
use approve_tests::http;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    bare::{Bare, since_1970, succeeded},
    report::{Report, Rounds, median, millis, percentile},
    setup::{Setup, UNTHROTTLED},
};

/// What is timed one after the other, in a round.
const ONE_BY_ONE: usize = 100;
/// In flight, and how many in a round.
const AT_ONCE: usize = 32;
const CONNECTIONS: usize = 4;
const MANY: usize = 1_500;
/// Polls of the floor.
const POLLS: usize = 32;
/// Fewer polls are kept open than this many tasks lead to.
const WARM_UP: usize = 600;

pub(crate) async fn measure(rounds: usize, report: &mut Report) {
    let setup = Setup::start(UNTHROTTLED).await;
    let bare = Bare::new(&setup).await;
    let (mut ours, mut floors, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let ended = one_by_one(&setup).await;
        let floor = bare_one_by_one(&setup, &bare).await;
        ours.push(ended);
        floors.push(floor);
        more.push(ended - floor);
    }
    let (ours, floor, more) = (median(ours), median(floors), median(more));
    let figure = report.add("decide → execution SUCCEEDED, one at a time, p50", ours, "ms");
    figure.floor("bare SendTaskSuccess → SUCCEEDED, ms", floor, ours / floor);
    report.add("the same, more than the bare call", more, "ms").at_most(1.0);

    let mut rates = Rounds::default();
    for _ in 0..rounds {
        let ended = many(&setup).await;
        rates.push(ended, bare_many(&setup, &bare).await);
    }
    let name = format!("decided → executions SUCCEEDED, {AT_ONCE} at once");
    rates.report(report, name, "/s", "bare SendTaskSuccess /s").at_least(3_000.0);
}

pub(crate) async fn one_by_one(setup: &Setup) -> f64 {
    let mut times = Vec::new();
    for approval in setup.make_pending(ONE_BY_ONE).await {
        let started = Instant::now();
        setup.client.decide(Decide::approve(&approval.id)).await.unwrap();
        succeeded(&setup.step_functions, &execution(&approval)).await;
        times.push(started.elapsed());
    }
    millis(percentile(&mut times, 50))
}

async fn bare_one_by_one(setup: &Setup, bare: &Bare) -> f64 {
    setup.queue(&bare.machine, ONE_BY_ONE, &input()).await;
    let mut times = Vec::new();
    for task in bare.take_all(ONE_BY_ONE, POLLS).await {
        let started = Instant::now();
        bare.succeed(&task).await;
        succeeded(&setup.step_functions, &task.execution).await;
        times.push(started.elapsed());
    }
    millis(percentile(&mut times, 50))
}

/// Executions ended per second: by their own times, as looking at them all the while would take its share.
async fn many(setup: &Setup) -> f64 {
    many_over(setup, &[setup.server.url()]).await
}

/// The same, over servers that share a store.
pub(crate) async fn many_over(setup: &Setup, urls: &[&str]) -> f64 {
    let approvals: Arc<[Approval]> = setup.make_pending(MANY).await.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for at in 0..CONNECTIONS.max(urls.len()) {
        clients.extend(Setup::clients(urls[at % urls.len()], 1).await);
    }
    let started = since_1970();
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let client = clients[worker % clients.len()].clone();
        let (approvals, next) = (approvals.clone(), next.clone());
        workers.spawn(async move {
            while let Some(approval) = approvals.get(next.fetch_add(1, Ordering::Relaxed)) {
                // One is in flight until the workflow has heard of it.
                client.decide(Decide::approve(&approval.id).wait_for_delivery(true)).await.unwrap();
            }
        });
    }
    workers.join_all().await;
    rate(setup, started, approvals.iter().map(execution)).await
}

async fn bare_many(setup: &Setup, bare: &Bare) -> f64 {
    setup.queue(&bare.machine, MANY, &input()).await;
    let tasks = bare.take_all(MANY, POLLS).await;
    let started = since_1970();
    stream::iter(&tasks).for_each_concurrent(AT_ONCE, |task| bare.succeed(task)).await;
    rate(setup, started, tasks.into_iter().map(|task| task.execution)).await
}

async fn rate(setup: &Setup, started: f64, executions: impl Iterator<Item = String>) -> f64 {
    let client = &setup.step_functions;
    let ends = stream::iter(executions).map(|arn| async move { succeeded(client, &arn).await });
    let ends: Vec<_> = ends.buffer_unordered(POLLS).collect().await;
    ends.len() as f64 / (ends.iter().copied().fold(0.0, f64::max) - started)
}

fn execution(approval: &Approval) -> String {
    approval.source.as_ref().unwrap().execution_arn.clone()
}

fn input() -> String {
    approve_tests::workflows::ask_input("Pay invoice 4711", "user:req")
}

/// What the server asks of Step Functions for an approval that is decided soon.
pub(crate) async fn calls(report: &mut Report) {
    const COUNTED: [&str; 6] = [
        "GetActivityTask",
        "SendTaskSuccess",
        "SendTaskFailure",
        "SendTaskHeartbeat",
        "DescribeExecution",
        "GetExecutionHistory",
    ];
    let setup = Setup::start(UNTHROTTLED).await;
    // By then there are as many polls as there ever are.
    let approvals = setup.make_pending(WARM_UP).await;
    decide_all(&setup, &approvals).await;
    // A fault that changes nothing counts calls.
    let rule = |operation: &str| json!({"operation": operation, "kind": "delay", "millis": 0});
    let plan = json!({"rules": COUNTED.map(rule)});
    http::json("POST", setup.aws.url(), "/_sfn-local/faults", &plan).await.unwrap();
    let approvals = setup.make_pending(WARM_UP).await;
    decide_all(&setup, &approvals).await;
    let counted = http::json("GET", setup.aws.url(), "/_sfn-local/faults", &Value::Null).await.unwrap();
    let mut all = 0.0;
    for (at, operation) in COUNTED.iter().enumerate() {
        let each = counted["rules"][at]["fired"].as_f64().unwrap() / approvals.len() as f64;
        report.add(format!("{operation} per approval"), each, "");
        all += each;
    }
    report.add("calls of AWS per approval", all, "").at_most(2.0);
}

async fn decide_all(setup: &Setup, approvals: &[Approval]) {
    let client = &setup.client;
    let decided = stream::iter(approvals).map(|approval| client.decide(Decide::approve(&approval.id)));
    decided.buffer_unordered(AT_ONCE).for_each(|decided| async { drop(decided.unwrap()) }).await;
    setup.settled(approvals).await;
}
