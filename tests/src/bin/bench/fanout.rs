//! One change to many streams, next to streams that tell the same bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use approve_client::{
    Filter, List,
    proto::{StreamPendingApprovalsResponse, approval_service_client::ApprovalServiceClient},
};
use futures::{StreamExt as _, TryStreamExt as _};
use prost::{Message as _, bytes::Bytes};
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::{
    decide::{decide, fresh},
    fill::Fill,
    floor::{Floor, Load},
    raw::{self, STREAM, STREAMS_PER_CONNECTION},
    report::{Report, Rounds},
    setup::{Setup, request},
};

/// Approvals that are voted on, again and again.
const APPROVALS: usize = 256;
/// Calls in flight that make changes.
const CALLS: usize = 16;
/// So much is told in a round, about.
const TOLD: usize = 200_000;
/// Fewer changes would be over before it begins; more are not kept in memory.
const CHANGES: (usize, usize) = (64, 4_000);

pub(crate) async fn measure(streams: &[usize], rounds: usize, report: &mut Report) {
    let mut setup = Setup::filled(&Fill::pending(APPROVALS, 1_024), None).await;
    let floor = Floor::start().await;
    let ids: Arc<[String]> = open_to_votes(&setup, 1_000).await.into();
    for count in streams {
        let changes = (TOLD / count).clamp(CHANGES.0, CHANGES.1);
        let (mut live, mut missed) = (Rounds::default(), Rounds::default());
        for _ in 0..rounds {
            let token = newest(&setup).await;
            let opened = open(setup.server.url(), *count, &token).await;
            let (ours, message) = tell(opened, changes, change(&setup, &ids, changes)).await;
            let load = Load { count: 0, message: message.clone(), last: message.clone() };
            floor.load(load).await;
            let opened = open(&floor.url, *count, "").await;
            let (least, _) = tell(opened, changes, publish(&floor, changes)).await;
            live.push(ours, least);

            // Those changes again, to streams that come later.
            let ours = catch_up(setup.server.url(), *count, &token, changes).await;
            floor.load(Load { count: changes as u64, message: message.clone(), last: message }).await;
            missed.push(ours, catch_up(&floor.url, *count, "", changes).await);
        }
        let (memory, _) = setup.rss();
        let name = format!("a change to {count} streams, changes × streams");
        live.report(report, name, "/s", "raw streams, × /s").ratio_at_least(0.7);
        let name = format!("{changes} missed changes to {count} streams, changes × streams");
        missed.report(report, name, "/s", "raw streams, × /s");
        let curve = ("Changes × streams", "open streams", "/s");
        report.point(curve, "watch", (*count as f64, live.ours()));
        report.point(curve, "raw streams", (*count as f64, live.floor()));
        report.point(("Memory", "open streams", "MiB"), "server", (*count as f64, memory));
    }
}

/// The ids of what may be voted on, as many as a page holds.
pub(crate) async fn open_to_votes(setup: &Setup, most: usize) -> Vec<String> {
    let pages = List::pending().filter(Filter::new().awaiting_me(true)).page_size(1_000);
    setup.client.list_all(pages).take(most).map_ok(|approval| approval.id).try_collect().await.unwrap()
}

/// Where to resume to get what comes from now on.
async fn newest(setup: &Setup) -> String {
    let mut stream = raw::open(&raw::connect(setup.server.url()).await, STREAM, &request("")).await;
    loop {
        let message = stream.next().await.unwrap().unwrap();
        let token = StreamPendingApprovalsResponse::decode(message).unwrap().resume_token;
        if !token.is_empty() {
            return token;
        }
    }
}

/// So many streams, each past its first message, which says that it is live.
async fn open(url: &str, count: usize, token: &str) -> Vec<Streaming<Bytes>> {
    let channels = raw::connections(url, count.div_ceil(STREAMS_PER_CONNECTION)).await;
    let mut opened = Vec::new();
    for at in 0..count {
        let mut stream = raw::open(&channels[at % channels.len()], STREAM, &request(token)).await;
        stream.next().await.unwrap().unwrap();
        opened.push(stream);
    }
    opened
}

/// Changes × streams per second until each stream has told all, and the last of them.
async fn tell(streams: Vec<Streaming<Bytes>>, changes: usize, cause: impl Future<Output = ()>) -> (f64, Bytes) {
    let told = streams.len() * changes;
    let mut readers = JoinSet::new();
    for stream in streams {
        readers.spawn(read(stream, changes));
    }
    let started = Instant::now();
    cause.await;
    let last = readers.join_all().await.pop().unwrap_or_default();
    (told as f64 / started.elapsed().as_secs_f64(), last)
}

async fn read(mut stream: Streaming<Bytes>, messages: usize) -> Bytes {
    let mut last = Bytes::new();
    for _ in 0..messages {
        last = stream.next().await.unwrap().unwrap();
    }
    last
}

/// Makes so many changes, each of which is told: votes that are not the last ones.
async fn change(setup: &Setup, ids: &Arc<[String]>, changes: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    let channel = raw::connect(setup.server.url()).await;
    for _ in 0..CALLS {
        let mut client = ApprovalServiceClient::new(channel.clone());
        let (ids, next) = (ids.clone(), next.clone());
        callers.spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= changes {
                    return;
                }
                decide(&mut client, &ids[at % ids.len()], fresh()).await;
            }
        });
    }
    callers.join_all().await;
}

async fn publish(floor: &Floor, changes: usize) {
    let channel = raw::connect(&floor.url).await;
    let calls = futures::stream::iter(0..changes).map(|_| Floor::publish(&channel));
    calls.buffer_unordered(CALLS).for_each(|()| async {}).await;
}

async fn catch_up(url: &str, count: usize, token: &str, changes: usize) -> f64 {
    let channels = raw::connections(url, count.div_ceil(STREAMS_PER_CONNECTION)).await;
    let mut readers = JoinSet::new();
    let started = Instant::now();
    for at in 0..count {
        let (channel, token) = (channels[at % channels.len()].clone(), token.to_owned());
        readers.spawn(async move { read(raw::open(&channel, STREAM, &request(&token)).await, changes).await });
    }
    readers.join_all().await;
    let took: Duration = started.elapsed();
    (count * changes) as f64 / took.as_secs_f64()
}
