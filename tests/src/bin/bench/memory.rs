//! What many approvals cost: memory, time to start, and nothing else.

use std::{path::Path, time::Instant};

use approve_client::List;
use futures::StreamExt as _;
use serde_json::json;

use crate::{
    decide::{self, rate},
    fanout::open_to_votes,
    fill::Fill,
    report::{Report, millis, percentile},
    setup::Setup,
    snapshot::read,
};

/// The most of them that are read, voted on, and the like.
const SOME: usize = 1_000;
/// What a list is asked for how often.
const SAMPLES: usize = 50;
/// Starts that are timed.
const STARTS: usize = 3;
/// Calls at once.
const AT_ONCE: usize = 64;
/// No more are read by a stream, as that takes long and says nothing new.
const READ: usize = 100_000;

/// With inputs of 1 KB, which came in as they do: by polls.
pub(crate) async fn pending(sizes: &[usize], report: &mut Report) {
    for size in sizes {
        let mut setup = Setup::start("").await;
        let (none, _) = setup.rss();
        let (mut stream, _) = setup.watch().await;
        let note = "x".repeat(1_000);
        let input = json!({"title": "Pay invoice 4711", "requester": "user:req", "labels": {}, "note": note});
        let started = Instant::now();
        let (machine, input) = (setup.machine.clone(), input.to_string());
        let queued = setup.queue(&machine, *size, &input);
        let seen = async {
            for _ in 0..*size {
                stream.next().await.unwrap().unwrap();
            }
        };
        tokio::join!(queued, seen);
        let took = started.elapsed().as_secs_f64();
        let (now, most) = setup.rss();
        report.add("memory with none pending", none, "MiB");
        report.add(format!("memory with {size} pending"), now, "MiB").at_most(150.0);
        report.add("the most memory until then", most, "MiB");
        report.add("started and taken in", *size as f64 / took, "/s");
    }
}

/// From the start of the process to its ready file.
pub(crate) async fn start(stored: usize, pending: usize, stores: Option<&Path>, report: &mut Report) {
    let mut setup = Setup::filled(&Fill { approvals: stored, pending, input: 256 }, stores).await;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        setup.server.kill();
        let started = Instant::now();
        setup.server.start().await;
        times.push(started.elapsed());
    }
    let name = format!("from start to serving, {stored} stored, {pending} pending");
    report.add_ms(name, percentile(&mut times, 50)).at_most(1_000.0);
    report.add("memory then", setup.rss().0, "MiB");
}

/// How things grow with what is pending, and with what is in flight.
pub(crate) async fn curves(sizes: &[usize], stores: Option<&Path>, report: &mut Report) {
    let of = "pending approvals";
    for (at, size) in sizes.iter().enumerate() {
        let x = *size as f64;
        let mut setup = Setup::filled(&Fill::pending(*size, 1_024), stores).await;
        let ids = open_to_votes(&setup, 1_000).await;
        let (decisions, _) = rate(setup.server.url(), AT_ONCE, ids[..SOME.min(ids.len())].into()).await;
        report.point(("Throughput", of, "/s"), "Decide, 64 at once", (x, decisions));
        let mut pages = Vec::new();
        for _ in 0..SAMPLES {
            let started = Instant::now();
            setup.client.list(List::pending()).await.unwrap();
            pages.push(started.elapsed());
        }
        report.point(("A page", of, "ms"), "ListApprovals", (x, millis(percentile(&mut pages, 50))));
        report.point(("Memory", of, "MiB"), "before a snapshot", (x, setup.rss().0));
        if *size <= READ {
            let (told, ..) = read(setup.server.url(), *size).await;
            report.point(("Throughput", of, "/s"), "snapshot", (x, told));
        }
        report.point(("Memory", of, "MiB"), "the most", (x, setup.rss().1));
        if at == 0 {
            decide::curve(&setup, &ids, report).await;
        }
    }
}
