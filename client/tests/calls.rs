//! Single calls against a fake server, on paused time.

mod common;

use std::time::Duration;

use approve_client::{Code, Config, Decide, Error, List, Reason, proto::DecideResponse};
use common::{Fake, approval, refusal};
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

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
    let mut details = ErrorDetails::with_error_info("STORE_UNAVAILABLE", approve_proto::ERROR_DOMAIN, []);
    details.set_retry_info(Some(Duration::from_secs(3)));
    let fake = Fake::default();
    fake.state().decisions =
        [Some(Err(Status::with_error_details(Code::Unavailable, "busy", details))), Some(Ok(decided()))].into();
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
