//! Single calls against a fake server, on paused time.

mod common;

use std::time::Duration;

use approve_client::{
    Cancel, Code, Config, CreateToken, Decide, Error, Events, ExportEvents, List, Reason, Withdraw,
    proto::{AuditEvent, DecideResponse, ExportEventsResponse},
};
use common::{Fake, approval, later, refusal};
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;

fn decided() -> DecideResponse {
    DecideResponse { approval: Some(approval("a")), revision: 3 }
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_sent_again_with_the_same_request_id_until_it_is_answered() {
    let fake = Fake::default();
    fake.state().decisions =
        [None, Some(Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE"))), Some(Ok(decided()))].into();
    let decide = Decide::approve("a").comment("ok").etag("e").response_json("1.50").wait_for_delivery(true);
    let answer = fake.client().decide(decide.clone()).await.unwrap();
    assert_eq!((answer.approval.id.as_str(), answer.revision), ("a", 3));
    let sent = &fake.state().decide_requests;
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|request| *request == decide.clone().into()), "{sent:?}");
    assert_eq!((sent[0].comment.as_str(), sent[0].response_json.as_str()), ("ok", "1.50"));
    assert_eq!(sent[0].request_id.len(), 36);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_server_asks_for_is_kept() {
    let fake = Fake::default();
    let busy = later(Code::Unavailable, "STORE_UNAVAILABLE", Duration::from_secs(3));
    fake.state().decisions = [Some(Err(busy)), Some(Ok(decided()))].into();
    let started = Instant::now();
    fake.client().decide(Decide::reject("a")).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_repeated_is_not() {
    for (code, reason) in [
        (Code::FailedPrecondition, Reason::AlreadyDecided),
        (Code::PermissionDenied, Reason::NotAnApprover),
        (Code::Aborted, Reason::EtagMismatch),
        (Code::Internal, Reason::Internal),
    ] {
        let fake = Fake::default();
        fake.state().decisions = [Some(Err(refusal(code, reason.as_str()))), Some(Ok(decided()))].into();
        let error = fake.client().decide(Decide::approve("a")).await.unwrap_err();
        assert_eq!(error.reason(), Some(&reason));
        assert_eq!(fake.state().decide_requests.len(), 1);
    }
    let fake = Fake::default();
    fake.state().decisions = [Some(Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE")))].into();
    let unprotected = Decide::approve("a").with_request_id("");
    fake.client().decide(unprotected).await.unwrap_err();
    assert_eq!(fake.state().decide_requests.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_request_timeout_bounds_a_decision_with_all_its_retries() {
    let timeout = Duration::from_secs(2);
    let fake = Fake::default();
    let client = fake.client_with(Config::new("http://fake").request_timeout(timeout));
    let started = Instant::now();
    let error = client.decide(Decide::approve("a")).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { after } if after == timeout), "{error:?}");
    assert!(started.elapsed() <= timeout + Duration::from_millis(10), "{:?}", started.elapsed());
    assert!(fake.state().metadata.as_ref().unwrap().contains_key("grpc-timeout"));

    fake.state().down = true;
    fake.cut();
    let started = Instant::now();
    let error = client.decide(Decide::approve("a")).await.unwrap_err();
    assert!(matches!(error, Error::Connect { ref server, .. } if server == "http://fake"), "{error:?}");
    assert!(started.elapsed() <= timeout, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_over_its_pages_as_they_are_taken() {
    let fake = Fake::default();
    fake.state().approvals = (0..25).map(|n| approval(&format!("a{n:02}"))).collect();
    let client = fake.client();
    let list = List::pending().page_size(10);
    let first: Vec<_> = client.list_all(list.clone()).take(10).try_collect().await.unwrap();
    assert_eq!((first.len(), fake.state().list_requests.len()), (10, 1));
    let all: Vec<_> = client.list_all(list.clone()).map_ok(|approval| approval.id).try_collect().await.unwrap();
    assert_eq!((all.len(), all[24].as_str(), fake.state().list_requests.len()), (25, "a24", 4));
    let page = client.list(list.page_token("20")).await.unwrap();
    assert_eq!((page.approvals.len(), page.next), (5, None));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_has_its_reason() {
    let fake = Fake::default();
    fake.state().approvals = vec![approval("a")];
    assert_eq!(fake.client().get("a").await.unwrap().title, "title of a");
    let error = fake.client().get("b").await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::NotFound, Some(&Reason::ApprovalNotFound)));
}

#[tokio::test(start_paused = true)]
async fn what_a_request_id_protects_is_sent_again_and_nothing_else() {
    let unavailable = || refusal(Code::Unavailable, "STORE_UNAVAILABLE");
    let fake = Fake::default();
    fake.state().refusals = [unavailable(), unavailable()].into();
    let withdraw = Withdraw::new("a");
    let id = withdraw.request_id().to_owned();
    assert_eq!(fake.client().withdraw(withdraw).await.unwrap().id, "a");
    assert_eq!(std::mem::take(&mut fake.state().acted), vec![("withdraw", id); 3]);
    fake.state().refusals = [unavailable()].into();
    fake.client().cancel(Cancel::new("a", "not needed").with_request_id("mine")).await.unwrap();
    assert_eq!(std::mem::take(&mut fake.state().acted), vec![("cancel", "mine".into()); 2]);
    fake.state().refusals = [unavailable()].into();
    fake.client().claim("a", Some(Duration::from_secs(90))).await.unwrap_err();
    assert_eq!(std::mem::take(&mut fake.state().acted), [("claim", "Some(90)".into())]);
    fake.state().refusals = [unavailable()].into();
    fake.client().create_token(CreateToken::new("bot")).await.unwrap_err();
    assert_eq!(fake.state().acted, [("create_token", "bot".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_reached_limit_is_waited_for_within_the_deadline() {
    let limit = |seconds| later(Code::ResourceExhausted, "LIMIT_EXCEEDED", Duration::from_secs(seconds));
    let fake = Fake::default();
    let client = fake.client_with(Config::new("http://fake").request_timeout(Duration::from_secs(10)));
    fake.state().refusals = [limit(2), limit(1)].into();
    let started = Instant::now();
    client.claim("a", None).await.unwrap();
    assert_eq!((started.elapsed().as_secs(), fake.state().acted.len()), (3, 3));
    fake.state().refusals = vec![limit(4); 9].into();
    let started = Instant::now();
    let error = client.claim("a", None).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::LimitExceeded));
    assert_eq!((started.elapsed().as_secs(), fake.state().acted.len()), (8, 6));
    fake.state().refusals = [refusal(Code::ResourceExhausted, "LIMIT_EXCEEDED")].into();
    client.claim("a", None).await.unwrap_err();
    assert_eq!(fake.state().acted.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn events_come_page_after_page() {
    let fake = Fake::default();
    fake.state().events = (1..=7).map(|revision| AuditEvent { revision, ..AuditEvent::default() }).collect();
    let all = fake.client().events_all(Events::new().actor("user:ana").page_size(3));
    let revisions: Vec<_> = all.map_ok(|event| event.revision).try_collect().await.unwrap();
    assert_eq!(revisions, [7, 6, 5, 4, 3, 2, 1]);
    let asked: Vec<_> = fake.state().acted.iter().map(|(_, query)| query.clone()).collect();
    assert_eq!(asked, ["user:ana ", "user:ana 4", "user:ana 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_export_goes_on_to_its_end_or_its_first_error() {
    let part = |revision: i64| ExportEventsResponse {
        events: vec![AuditEvent { revision, ..AuditEvent::default() }],
        previous_hash: if revision == 5 { "00ff".into() } else { String::new() },
    };
    let fake = Fake::default();
    let export = ExportEvents::new().from_revision(5).to_revision(9).omit_payloads(true);
    fake.state().export = vec![Ok(part(5)), Ok(part(6))];
    let parts: Vec<_> = fake.client().export_events(export.clone()).try_collect().await.unwrap();
    assert_eq!((parts.len(), parts[0].previous_hash.as_str(), parts[1].events[0].revision), (2, "00ff", 6));
    assert_eq!(fake.state().acted, [("export", "5..9 without payloads".into())]);

    fake.state().export = vec![Ok(part(5)), Err(refusal(Code::OutOfRange, "REVISION_COMPACTED")), Ok(part(6))];
    let mut parts = fake.client().export_events(export.clone());
    assert!(parts.next().await.unwrap().is_ok());
    let error = parts.next().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::RevisionCompacted));
    assert!(parts.next().await.is_none());

    fake.state().export = vec![Ok(part(5))];
    fake.state().export_stalls = true;
    let mut parts = fake.client().export_events(export);
    assert!(parts.next().await.unwrap().is_ok());
    assert!(matches!(parts.next().await, Some(Err(Error::Timeout { .. }))));
    assert!(parts.next().await.is_none());
}
