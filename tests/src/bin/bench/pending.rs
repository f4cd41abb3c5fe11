//! Many pending at once: how they get in, what they cost, and that nothing waits for them.

use std::time::{Duration, Instant};

use approve_client::{Decide, List, View, Watch};
use futures::TryStreamExt;

use crate::{
    report::{Report, percentile},
    setup::Setup,
};

const SAMPLES: usize = 100;

pub(crate) async fn measure(setup: &mut Setup, count: usize, report: &mut Report) {
    report.add("memory with none pending", setup.rss(), "MiB");
    let started = Instant::now();
    let approvals = setup.make_pending(count).await;
    let took = started.elapsed();
    report.add(format!("from the first StartExecution until {count} are pending"), took.as_secs_f64(), "s");
    report.add("which is", count as f64 / took.as_secs_f64(), "/s");
    report.add(format!("memory with {count} pending"), setup.rss(), "MiB");

    let started = Instant::now();
    let mut events = setup.client.watch(Watch::new());
    let mut view = View::new();
    while !view.is_synced() {
        view.apply(events.try_next().await.unwrap().unwrap());
    }
    assert_eq!(view.len(), count);
    report.add_ms(format!("snapshot of {count}"), started.elapsed());
    drop(events);

    let mut pages = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        setup.client.list(List::pending()).await.unwrap();
        pages.push(started.elapsed());
    }
    report.add_ms(format!("a page of 50 of {count} p50"), percentile(&mut pages, 50));
    let mut decisions = Vec::new();
    for approval in approvals.iter().take(SAMPLES) {
        let started = Instant::now();
        setup.client.decide(Decide::approve(&approval.id)).await.unwrap();
        decisions.push(started.elapsed());
    }
    report.add_ms(format!("decide → answered with {count} pending p50"), percentile(&mut decisions, 50));
    setup.settled(&approvals[..SAMPLES.min(approvals.len())]).await;

    setup.server.kill();
    let started = Instant::now();
    setup.server.start().await;
    let ready: Duration = started.elapsed();
    report.add_ms(format!("start after a kill with {count} pending, until ready"), ready);
    report.add("memory after that start", setup.rss(), "MiB");
}
