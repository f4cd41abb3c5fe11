//! From the call of Decide to the end of the execution, one at a time.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use approve_client::Decide;
use aws_sdk_sfn::types::ExecutionStatus;

use crate::{
    report::{Report, percentile},
    setup::Setup,
};

/// How often the execution is looked at: what is measured is at most this much too long.
const LOOK: Duration = Duration::from_millis(1);

/// The floor of an answer: one durable write. What a page of the store's log costs on this disk.
fn flush_times(folder: &Path, count: usize) -> Vec<Duration> {
    let mut file = File::create(folder.join("flush")).unwrap();
    let page = [7; 4_096];
    let flush = |_| {
        let started = Instant::now();
        file.write_all(&page).unwrap();
        file.sync_data().unwrap();
        started.elapsed()
    };
    (0..count).map(flush).collect()
}

pub(crate) async fn measure(setup: &mut Setup, count: usize, report: &mut Report) {
    let mut acknowledged = Vec::new();
    let mut ended = Vec::new();
    for approval in setup.make_pending(count).await {
        let arn = approval.source.unwrap().execution_arn;
        let started = Instant::now();
        setup.client.decide(Decide::approve(&approval.id)).await.unwrap();
        acknowledged.push(started.elapsed());
        loop {
            let execution = setup.step_functions.describe_execution().execution_arn(&arn).send().await.unwrap();
            match execution.status {
                ExecutionStatus::Succeeded => break,
                ExecutionStatus::Running => tokio::time::sleep(LOOK).await,
                other => panic!("{other:?}"),
            }
        }
        ended.push(started.elapsed());
    }
    report.add_ms(
        "floor: one flushed write of 4 KiB p50",
        percentile(&mut flush_times(setup.server.folder(), count), 50),
    );
    for (name, times) in [("answered", &mut acknowledged), ("execution SUCCEEDED", &mut ended)] {
        for percent in [50, 99] {
            report.add_ms(format!("decide → {name} p{percent}"), percentile(times, percent));
        }
    }
}
