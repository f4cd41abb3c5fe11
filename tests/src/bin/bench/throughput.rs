//! Decisions per second next to empty calls per second, in alternating rounds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use approve_client::{Client, Decide};
use tokio::task::JoinSet;

use crate::{
    Args,
    floor::Floor,
    report::{Report, median},
    setup::{Setup, is_approved},
};

pub(crate) async fn measure(setup: &mut Setup, args: &Args, report: &mut Report) {
    let floor = Floor::start().await;
    let mut decisions = Vec::new();
    let mut empty = Vec::new();
    for _ in 0..args.rounds {
        let approvals = setup.make_pending(args.decisions).await;
        let ids: Arc<[String]> = approvals.iter().map(|approval| approval.id.clone()).collect();
        let clients = Setup::clients(setup.server.url(), args.connections).await;
        decisions.push(rate(clients, args.concurrency, ids.clone(), true).await);
        setup.settled(&approvals).await;
        let clients = Setup::clients(&floor.url, args.connections).await;
        empty.push(rate(clients, args.concurrency, ids, false).await);
    }
    let ratios = decisions.iter().zip(&empty).map(|(decision, empty)| decision / empty).collect();
    let (decisions, empty) = (median(decisions), median(empty));
    let at = format!("at concurrency {}", args.concurrency);
    report.add(format!("decisions {at}"), decisions, "/s");
    report.add(format!("empty calls {at}"), empty, "/s");
    report.add("decisions to empty calls, median of rounds", median(ratios), "");
}

/// Calls per second; each id is decided once.
async fn rate(clients: Vec<Client>, concurrency: usize, ids: Arc<[String]>, checked: bool) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    let started = Instant::now();
    for worker in 0..concurrency {
        let client = clients[worker % clients.len()].clone();
        let (ids, next) = (ids.clone(), next.clone());
        workers.spawn(async move {
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                let decided = client.decide(Decide::approve(id)).await.unwrap();
                assert!(!checked || is_approved(&decided.approval));
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    ids.len() as f64 / started.elapsed().as_secs_f64()
}
