//! Many streams for long, each of which is checked; some of them stall, some lose their connection again and again.

use std::time::{Duration, Instant};

use approve_tests::crowd::{Changes, Crowd, Size};

use crate::{report::Report, setup::Setup};

/// Approvals that are voted on.
const APPROVALS: usize = 256;
/// So long a stream does not read.
const STALLED_FOR: Duration = Duration::from_mins(1);
/// One of so many streams.
const STALLED_OF: usize = 10;
/// One of so many streams loses its connection.
const RECONNECTING_OF: usize = 10;

pub(crate) async fn measure(streams: usize, changes: usize, report: &mut Report) {
    // A tenth of the changes, and nobody who stalls, for comparison.
    let none_stalled =
        Size { streams, stalled_of: usize::MAX, stalled_for: Duration::ZERO, reconnecting_of: RECONNECTING_OF };
    let (calm, ..) = run(none_stalled, changes / 10).await;
    let size = Size { stalled_of: STALLED_OF, stalled_for: STALLED_FOR, ..none_stalled };
    let (rate, told, reconnected, memory) = run(size, changes).await;
    let name = format!("changes while {streams} streams are told, one of {STALLED_OF} stalled");
    report.add(name, rate, "/s").floor("none stalled, /s", calm, rate / calm);
    report.add("changes made", changes as f64, "");
    report.add("told to streams, each in order, and all of them", told as f64, "");
    report.add("streams that were resumed", reconnected as f64, "");
    report.add("memory before them", memory.0, "MiB");
    report.add("the most memory meanwhile", memory.1, "MiB");
}

async fn run(size: Size, count: usize) -> (f64, u64, u64, (f64, f64)) {
    let mut setup = Setup::start("").await;
    let changes = Changes::prepare(setup.server.url(), setup.client.clone(), APPROVALS).await;
    let (before, _) = setup.rss();
    let crowd = Crowd::open(setup.server.url(), size).await;
    let started = Instant::now();
    changes.make(count).await;
    let rate = count as f64 / started.elapsed().as_secs_f64();
    let summary = crowd.finish().await;
    let (_, most) = setup.rss();
    (rate, summary.told, summary.reconnected, (before, most))
}
