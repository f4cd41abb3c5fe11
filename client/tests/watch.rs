//! The watch against a fake server, on paused time.

mod common;

use std::time::Duration;

use approve_client::{Code, Error, View, Watch, WatchEvent, WatchStream};
use common::{Fake, Say, bookmark, refusal, upserted};
use futures::StreamExt;
use tokio::time::Instant;

const HEARTBEAT: Duration = Duration::from_secs(5);

fn watch(fake: &Fake) -> WatchStream {
    fake.client().watch(Watch::new().heartbeat_interval(HEARTBEAT))
}

fn name(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Upserted(approval) => format!("+{}", approval.id),
        WatchEvent::Removed { id, .. } => format!("-{id}"),
        WatchEvent::Synced { .. } => "synced".into(),
        WatchEvent::Reset => "reset".into(),
        WatchEvent::Disconnected { .. } => "lost".into(),
        other => format!("{other:?}"),
    }
}

/// The names of the next `n` events.
async fn take(events: &mut WatchStream, n: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..n {
        match tokio::time::timeout(Duration::from_secs(600), events.next()).await {
            Ok(Some(Ok(event))) => names.push(name(&event)),
            other => {
                names.push(format!("{other:?}"));
                break;
            }
        }
    }
    names
}

fn tokens(fake: &Fake) -> Vec<String> {
    fake.state().stream_requests.iter().map(|request| request.resume_token.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_is_resumed_where_it_ended() {
    let fake = Fake::default();
    fake.state().streams = [
        vec![upserted("a", ""), bookmark(true, "t1"), upserted("b", "t2"), bookmark(false, "t3"), Say::Cut],
        vec![upserted("c", "t4"), bookmark(true, "t4")],
    ]
    .into();
    let mut events = watch(&fake);
    assert_eq!(events.resume_token(), None);
    assert_eq!(take(&mut events, 6).await, ["+a", "synced", "+b", "lost", "+c", "synced"]);
    assert_eq!(tokens(&fake), ["", "t3"]);
    assert_eq!(events.resume_token(), Some("t4"));
    let state = fake.state();
    assert_eq!(state.stream_requests[0].heartbeat_interval.unwrap().seconds, 5);
    let metadata = state.metadata.as_ref().unwrap();
    assert_eq!(metadata.get("approve-actor").unwrap(), "user:ana");
    assert_eq!(metadata.get("approve-groups").unwrap(), "finance,legal");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_was_cut_starts_over_after_a_reset() {
    let fake = Fake::default();
    fake.state().streams =
        [vec![upserted("a", ""), upserted("b", ""), Say::Cut], vec![upserted("b", ""), bookmark(true, "t2")]].into();
    let mut events = watch(&fake);
    assert_eq!(take(&mut events, 6).await, ["+a", "+b", "lost", "reset", "+b", "synced"]);
    assert_eq!(tokens(&fake), ["", ""]);
}

#[tokio::test(start_paused = true)]
async fn a_compacted_revision_leads_to_a_reset_and_a_snapshot_at_once() {
    let fake = Fake::default();
    fake.state().streams = [
        vec![Say::Fail(refusal(Code::OutOfRange, "REVISION_COMPACTED"))],
        vec![upserted("a", ""), bookmark(true, "t9")],
    ]
    .into();
    let started = Instant::now();
    let mut events = fake.client().watch(Watch::new().resume_token("t1"));
    assert_eq!(take(&mut events, 3).await, ["reset", "+a", "synced"]);
    assert_eq!(tokens(&fake), ["t1", ""]);
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_given_up_after_three_heartbeats() {
    let fake = Fake::default();
    fake.state().streams = [
        vec![bookmark(true, "t1"), Say::Wait(HEARTBEAT * 2), bookmark(false, "t2"), Say::Silence],
        vec![bookmark(true, "t3")],
    ]
    .into();
    let mut events = watch(&fake);
    assert_eq!(take(&mut events, 1).await, ["synced"]);
    let started = Instant::now();
    let Some(Ok(WatchEvent::Disconnected { cause, .. })) = events.next().await else {
        panic!("not disconnected");
    };
    assert!(matches!(*cause, Error::Timeout { .. }), "{cause:?}");
    let silent = started.elapsed();
    // Two intervals until the bookmark, three of silence after it.
    assert!(silent >= HEARTBEAT * 5 && silent < HEARTBEAT * 5 + Duration::from_secs(1), "{silent:?}");
    assert_eq!(take(&mut events, 1).await, ["synced"]);
    assert_eq!(tokens(&fake), ["", "t2"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_tried_ever_more_rarely_and_found_again() {
    let fake = Fake::default();
    fake.state().streams = [vec![bookmark(true, "t1"), Say::Cut], vec![bookmark(true, "t2")]].into();
    let (min, max) = (Duration::from_millis(200), Duration::from_secs(4));
    let mut events = fake.client().watch(Watch::new().reconnect_delay(min, max));
    assert_eq!(take(&mut events, 1).await, ["synced"]);
    fake.state().down = true;
    for tried in 0..20 {
        let started = Instant::now();
        let Some(Ok(WatchEvent::Disconnected { retry_in, cause })) = events.next().await else {
            panic!("not disconnected");
        };
        assert!((min..=max).contains(&retry_in), "{retry_in:?}");
        assert!(tried == 0 || started.elapsed() >= min, "{:?}", started.elapsed());
        assert_eq!(cause.code(), Code::Unavailable, "{cause:?}");
    }
    fake.state().down = false;
    assert_eq!(take(&mut events, 1).await, ["synced"]);
    assert_eq!(tokens(&fake), ["", "t1"]);
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_is_left_and_found_again() {
    let fake = Fake::default();
    fake.state().streams = [
        vec![bookmark(true, "t1"), Say::Fail(refusal(Code::Unavailable, "SHUTTING_DOWN"))],
        vec![bookmark(true, "t1")],
    ]
    .into();
    assert_eq!(take(&mut watch(&fake), 3).await, ["synced", "lost", "synced"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_stays_ends_the_stream() {
    for code in [Code::InvalidArgument, Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented] {
        let fake = Fake::default();
        fake.state().streams = [vec![Say::Fail(refusal(code, "SOME_REASON"))]].into();
        let mut events = watch(&fake);
        let error = events.next().await.unwrap().unwrap_err();
        assert_eq!(error.code(), code);
        assert!(events.next().await.is_none());
        assert_eq!(fake.state().stream_requests.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_is_whole_after_cuts_and_resets() {
    let fake = Fake::default();
    fake.state().streams = [
        vec![upserted("a", ""), upserted("b", ""), Say::Cut],
        vec![upserted("b", ""), bookmark(true, "t1"), upserted("c", "t2"), Say::Cut],
        vec![Say::Fail(refusal(Code::OutOfRange, "REVISION_COMPACTED"))],
        vec![upserted("c", ""), upserted("d", ""), bookmark(true, "t9")],
    ]
    .into();
    let mut events = watch(&fake);
    let mut view = View::new();
    let mut synced = Vec::new();
    while synced.len() < 2 {
        let event = events.next().await.unwrap().unwrap();
        let is_synced = matches!(event, WatchEvent::Synced { .. });
        view.apply(event);
        if is_synced {
            assert!(view.is_synced());
            synced.push(view.iter().map(|approval| approval.id.clone()).collect::<Vec<_>>());
        }
    }
    assert_eq!(synced, [vec!["b"], vec!["c", "d"]]);
}
