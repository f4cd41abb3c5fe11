//! All that is pending to a new stream, next to a stream of the same bytes.

use std::{path::Path, time::Instant};

use futures::StreamExt as _;
use prost::bytes::Bytes;

use crate::{
    fill::Fill,
    floor::{Floor, Load},
    raw::{self, STREAM},
    report::{Report, Rounds},
    setup::{Setup, is_synced, request},
};

pub(crate) async fn measure(pending: usize, rounds: usize, stores: Option<&Path>, report: &mut Report) {
    let mut setup = Setup::filled(&Fill::pending(pending, 1_024), stores).await;
    let floor = Floor::start().await;
    let (before, _) = setup.rss();
    let mut rates = Rounds::default();
    for _ in 0..rounds {
        let (ours, message, last) = read(setup.server.url(), pending).await;
        floor.load(Load { count: pending as u64, message, last }).await;
        let (least, ..) = read(&floor.url, pending).await;
        rates.push(ours, least);
    }
    let (after, most) = setup.rss();
    rates.report(report, format!("snapshot of {pending}"), "/s", "raw stream /s").ratio_at_least(0.5);
    report.add("memory before that snapshot", before, "MiB");
    report.add("memory after it", after, "MiB");
    report.add("the most memory meanwhile", most, "MiB").at_most(150.0);
}

/// Approvals per second, one of them, and the bookmark after them.
pub(crate) async fn read(url: &str, pending: usize) -> (f64, Bytes, Bytes) {
    let channel = raw::connect(url).await;
    let started = Instant::now();
    let mut stream = raw::open(&channel, STREAM, &request("")).await;
    let (mut count, mut one) = (0, Bytes::new());
    loop {
        let message = stream.next().await.unwrap().unwrap();
        if is_synced(&message) {
            assert_eq!(count, pending);
            return (count as f64 / started.elapsed().as_secs_f64(), one, message);
        }
        count += 1;
        one = message;
    }
}
