//! The way in: from Step Functions' queue to people, next to polls that keep nothing.

use std::time::{Duration, Instant};

use approve_tests::workflows::ask_input;
use futures::StreamExt as _;
use tokio::time::sleep;

use crate::{
    bare::Bare,
    floor::{Floor, Load},
    raw::{self, STREAM},
    report::{Report, Rounds, median, millis, percentile},
    setup::{Setup, request},
};

/// As many polls as the server keeps open.
const POLLS: usize = 100;
/// Tasks in a round that are timed one after the other.
const ONE_BY_ONE: usize = 100;
/// By then a poll that was begun waits.
const A_MOMENT: Duration = Duration::from_millis(3);

/// From a full queue.
pub(crate) async fn intake(tasks: usize, rounds: usize, report: &mut Report) {
    let mut setup = Setup::start("").await;
    let bare = Bare::new(&setup).await;
    let input = ask_input("Pay invoice 4711", "user:req");
    let machine = setup.machine.clone();
    let mut rates = Rounds::default();
    for _ in 0..rounds {
        let (mut stream, _) = setup.watch().await;
        // Polls are open meanwhile, and get a task each, which waits in their connection.
        setup.server.process().pause();
        setup.queue(&machine, tasks, &input).await;
        let started = Instant::now();
        setup.server.process().resume();
        for _ in 0..tasks {
            stream.next().await.unwrap().unwrap();
        }
        let taken = tasks as f64 / started.elapsed().as_secs_f64();
        setup.queue(&bare.machine, tasks, &input).await;
        let started = Instant::now();
        bare.take_all(tasks, POLLS).await;
        rates.push(taken, tasks as f64 / started.elapsed().as_secs_f64());
    }
    rates.report(report, "intake: from the queue to pending", "/s", "bare GetActivityTask /s").ratio_at_least(0.6);
}

/// From the call that starts an execution to a watcher.
pub(crate) async fn seen(rounds: usize, report: &mut Report) {
    let setup = Setup::start("").await;
    let bare = Bare::new(&setup).await;
    let floor = Floor::start().await;
    let input = ask_input("Pay invoice 4711", "user:req");
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    let (mut stream, _) = setup.watch().await;
    for _ in 0..rounds {
        let (mut seen, mut taken, mut told) = (Vec::new(), Vec::new(), Vec::new());
        let mut message = None;
        for _ in 0..ONE_BY_ONE {
            let started = Instant::now();
            let queued = setup.queue(&setup.machine, 1, &input);
            let (_, came) = tokio::join!(queued, async { (stream.next().await.unwrap().unwrap(), started.elapsed()) });
            seen.push(came.1);
            message = Some(came.0);
        }
        for _ in 0..ONE_BY_ONE {
            let start = async {
                sleep(A_MOMENT).await;
                let started = Instant::now();
                setup.queue(&bare.machine, 1, &input).await;
                started
            };
            let (started, came) = tokio::join!(start, async { (bare.take().await, Instant::now()) });
            taken.push(came.1 - started);
        }
        let message = message.unwrap_or_default();
        floor.load(Load { count: 0, last: message.clone(), message }).await;
        let channel = raw::connect(&floor.url).await;
        let mut told_by = raw::open(&channel, STREAM, &request("")).await;
        told_by.next().await.unwrap().unwrap();
        for _ in 0..ONE_BY_ONE {
            let started = Instant::now();
            let (_, came) = tokio::join!(Floor::publish(&channel), async {
                told_by.next().await.unwrap().unwrap();
                started.elapsed()
            });
            told.push(came);
        }
        ours.push(millis(percentile(&mut seen, 50)));
        floors.push(millis(percentile(&mut taken, 50) + percentile(&mut told, 50)));
    }
    let (ours, floor) = (median(ours), median(floors));
    let figure = report.add("StartExecution → seen by a watcher, p50", ours, "ms");
    figure.floor("→ bare poll, and a raw stream, ms", floor, ours / floor).at_most(2.0);
}
