//! The client crate next to the generated client, on a server that does nothing.

use std::time::{Duration, Instant};

use approve_client::{
    Decide, Watch, WatchEvent,
    proto::{
        Approval, Bookmark, DecideRequest, Decision, StreamPendingApprovalsResponse,
        approval_service_client::ApprovalServiceClient, stream_pending_approvals_response::Change,
    },
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::{
    floor::{Floor, Load},
    raw,
    report::{Report, Rounds},
    setup::{Setup, request},
};

/// Messages of a round.
const MESSAGES: usize = 100_000;
/// Calls of a round, and in flight.
const CALLS: usize = 20_000;
const AT_ONCE: usize = 64;
/// What the client crate is to reach of the generated client.
const AIM: f64 = 0.95;

pub(crate) async fn measure(rounds: usize, report: &mut Report) {
    let floor = Floor::start().await;
    let message = |change, token: &str| {
        let response = StreamPendingApprovalsResponse { change: Some(change), resume_token: token.to_owned() };
        response.encode_to_vec().into()
    };
    let approval = Approval {
        id: "apr_01j9zq4m8k7v2c5x3n6b1w0tyd".to_owned(),
        title: "Pay invoice 4711".to_owned(),
        input_json: format!("{{\"note\": \"{}\"}}", "x".repeat(1_000)),
        ..Approval::default()
    };
    let load = Load {
        count: MESSAGES as u64,
        message: message(Change::Upserted(approval), "0123456789abcdef"),
        last: message(Change::Bookmark(Bookmark { synced: true, revision: 1 }), "0123456789abcdef"),
    };
    floor.load(load).await;
    let (mut watches, mut decisions) = (Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        let ours = watch(&floor).await;
        watches.push(ours, generated_watch(&floor).await);
        let ours = decide_all(&floor).await;
        decisions.push(ours, generated_decide_all(&floor).await);
    }
    watches.report(report, "client: watch()", "/s", "generated client /s").ratio_at_least(AIM);
    decisions.report(report, "client: decide(), 64 at once", "/s", "generated client /s").ratio_at_least(AIM);
}

async fn watch(floor: &Floor) -> f64 {
    let client = Setup::clients(&floor.url, 1).await.remove(0);
    let started = Instant::now();
    let mut events = client.watch(Watch::new());
    while !matches!(events.try_next().await.unwrap().unwrap(), WatchEvent::Synced { .. }) {}
    MESSAGES as f64 / started.elapsed().as_secs_f64()
}

async fn generated_watch(floor: &Floor) -> f64 {
    let mut client = ApprovalServiceClient::new(connect(&floor.url).await);
    let started = Instant::now();
    let mut responses = client.stream_pending_approvals(raw::request(request(""))).await.unwrap().into_inner();
    while !matches!(responses.try_next().await.unwrap().unwrap().change, Some(Change::Bookmark(_))) {}
    MESSAGES as f64 / started.elapsed().as_secs_f64()
}

async fn decide_all(floor: &Floor) -> f64 {
    let clients = Setup::clients(&floor.url, 4).await;
    let started = Instant::now();
    let calls = stream::iter(0..CALLS).map(|at| {
        let client = clients[at % clients.len()].clone();
        tokio::spawn(async move {
            client.decide(Decide::approve("apr_01j9zq4m8k7v2c5x3n6b1w0tyd").comment("looks right")).await.unwrap();
        })
    });
    calls.buffer_unordered(AT_ONCE).for_each(|call| async { call.unwrap() }).await;
    CALLS as f64 / started.elapsed().as_secs_f64()
}

async fn generated_decide_all(floor: &Floor) -> f64 {
    let mut channels = Vec::new();
    for _ in 0..4 {
        channels.push(connect(&floor.url).await);
    }
    let started = Instant::now();
    let calls = stream::iter(0..CALLS).map(|at| {
        let mut client = ApprovalServiceClient::new(channels[at % channels.len()].clone());
        tokio::spawn(async move { client.decide(call()).await.unwrap() })
    });
    calls.buffer_unordered(AT_ONCE).for_each(|call| async { drop(call.unwrap()) }).await;
    CALLS as f64 / started.elapsed().as_secs_f64()
}

/// A connection as the client crate makes it, so that the two differ in nothing else.
async fn connect(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap().tcp_nodelay(true);
    let endpoint = endpoint.initial_stream_window_size(1 << 20).initial_connection_window_size(8 << 20);
    // What keeps a connection alive takes the time of each frame.
    let endpoint = endpoint.http2_keep_alive_interval(Duration::from_secs(20));
    endpoint.keep_alive_timeout(Duration::from_secs(10)).connect().await.unwrap()
}

/// What the client crate sends.
fn call() -> Request<DecideRequest> {
    let mut request = raw::request(DecideRequest {
        approval_id: "apr_01j9zq4m8k7v2c5x3n6b1w0tyd".to_owned(),
        decision: Decision::Approve.into(),
        comment: "looks right".to_owned(),
        request_id: Uuid::new_v4().to_string(),
        ..DecideRequest::default()
    });
    request.set_timeout(Duration::from_secs(30));
    request
}
