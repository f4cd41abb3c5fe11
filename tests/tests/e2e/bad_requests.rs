//! Requests that can't be carried out: each gets its stable reason, and changes nothing.

use approve_client::{Approval, ApprovalStatus, Client, Code, Decide, Error, Filter, List, Reason};
use approve_proto::v1::{DecideRequest, Decision, ListApprovalsRequest, StreamPendingApprovalsRequest};
use approve_tests::{
    Server,
    approvals::{ask, start},
    server::request_as,
    wait_for,
    workflows::{ASK, apply, ask_input, of_group, spec, with_rule},
};
use tonic_types::StatusExt;

const NO_SUCH_ID: &str = "apr_01j9zq4m8k7v2c5x3n6b1w0tyd";

async fn server_with_one() -> (Server, Client, Approval) {
    let server = Server::dev().await;
    let client = server.client("ana").await;
    let (_, approval) = ask(&client, "HumanApproval", r#"{"invoice": 4711}"#).await;
    (server, client, approval)
}

#[tokio::test]
async fn a_comment_that_is_too_long_is_refused_and_the_longest_is_kept() {
    let (server, client, approval) = server_with_one().await;

    let error = client.decide(Decide::approve(&approval.id).comment("x".repeat(4_097))).await.unwrap_err();

    assert_field(&error, "comment");
    assert_eq!(client.get(&approval.id).await.unwrap(), approval);
    let long = "é".repeat(2_048);
    let output = server.cli("ana").run(&["decide", &approval.id, "--approve", "-m", &"x".repeat(5_000)]).await;
    output.exits(6).says(&["comment"]);
    let decided = client.decide(Decide::approve(&approval.id).comment(&long)).await.unwrap();
    assert_eq!(decided.approval.votes[0].comment, long);
}

#[tokio::test]
async fn ids_that_are_unknown_or_none_are_told_apart() {
    let (server, client, approval) = server_with_one().await;

    let error = client.get(NO_SUCH_ID).await.unwrap_err();
    assert_reason(&error, Code::NotFound, &Reason::ApprovalNotFound);
    let error = client.decide(Decide::approve(NO_SUCH_ID)).await.unwrap_err();
    assert_reason(&error, Code::NotFound, &Reason::ApprovalNotFound);
    for none in ["", "apr_", "apr_01", "4711", "apr_UPPERCASE", "apr_01j9zq4m8k7v2c5x3n6b1w0tyd7", "apr_../../etc"] {
        assert_field(&client.get(none).await.unwrap_err(), "approval_id");
        assert_field(&client.decide(Decide::approve(none)).await.unwrap_err(), "approval_id");
    }
    // A decision names the whole id.
    assert_field(&client.decide(Decide::approve(&approval.id[..12])).await.unwrap_err(), "approval_id");
    let cli = server.cli("ana");
    cli.run(&["show", NO_SUCH_ID]).await.exits(3);
    cli.run(&["show", "nothing"]).await.exits(6);
    cli.run(&["decide", NO_SUCH_ID, "--approve"]).await.exits(3);
    cli.run(&["decide", &approval.id]).await.exits(2).says(&["--approve"]);
    cli.run(&["execution", "nothing"]).await.exits(3);
}

#[tokio::test]
async fn a_prefix_that_fits_several_is_refused_with_their_ids() {
    let (_server, client, first) = server_with_one().await;
    start(&client, "HumanApproval", "{}").await;
    let both = wait_for("both approvals", async || {
        Some(client.list(List::pending()).await.unwrap().approvals).filter(|all| all.len() == 2)
    })
    .await;

    let error = client.get(&first.id[..8]).await.unwrap_err();

    assert_reason(&error, Code::InvalidArgument, &Reason::AmbiguousId);
    let matches = error.metadata("matches").unwrap();
    assert!(both.iter().all(|approval| matches.contains(&approval.id)), "{matches}");
}

#[tokio::test]
async fn a_second_decision_hears_who_was_first() {
    let (server, client, approval) = server_with_one().await;
    let first = Decide::approve(&approval.id);
    let decided = client.decide(first.clone()).await.unwrap();
    let bo = server.client("bo").await;

    let error = bo.decide(Decide::reject(&approval.id)).await.unwrap_err();

    assert_reason(&error, Code::FailedPrecondition, &Reason::AlreadyDecided);
    assert_eq!(error.metadata("status"), Some("APPROVED"));
    assert_eq!(error.metadata("decided_by"), Some("user:ana"));
    assert!(error.metadata("decided_at").is_some_and(|at| at.ends_with('Z')), "{error:?}");
    assert!(!error.is_retryable());
    server.cli("bo").run(&["decide", &approval.id, "--reject"]).await.exits(5).says(&["user:ana"]);
    let again = client.decide(first.clone()).await.unwrap();
    assert_eq!(again, decided, "the same request gets the first answer");
    let other_body = first.comment("changed my mind");
    let error = client.decide(other_body).await.unwrap_err();
    assert_reason(&error, Code::InvalidArgument, &Reason::RequestIdReused);
}

#[tokio::test]
async fn who_may_not_decide_does_not() {
    let server = Server::empty().await;
    let ana = server.client_in("ana", &["finance"]).await;
    apply(&ana, with_rule(spec("payments", ASK), of_group("finance", 1))).await;
    let (_, approval) = ask(&ana, "payments", &ask_input("Pay", "user:ana")).await;

    let own = ana.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_reason(&own, Code::PermissionDenied, &Reason::SelfApproval);
    let outsider = server.client_in("mal", &["sales"]).await.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_reason(&outsider, Code::PermissionDenied, &Reason::NotAnApprover);
    server.cli("mal").run(&["decide", &approval.id, "--approve"]).await.exits(4);
    let bo = server.client_in("bo", &["finance"]).await;
    let stale = bo.decide(Decide::approve(&approval.id).etag("stale")).await.unwrap_err();
    assert_reason(&stale, Code::Aborted, &Reason::EtagMismatch);
    assert_eq!(stale.metadata("etag"), Some(approval.etag.as_str()));
    assert_eq!(ana.get(&approval.id).await.unwrap(), approval);
    let decided = bo.decide(Decide::approve(&approval.id).etag(&approval.etag)).await.unwrap();
    assert_eq!(decided.approval.status(), ApprovalStatus::Approved);
}

#[tokio::test]
async fn who_does_not_say_who_they_are_decides_nothing() {
    let (server, client, approval) = server_with_one().await;
    let request = || DecideRequest {
        approval_id: approval.id.clone(),
        decision: Decision::Approve.into(),
        ..DecideRequest::default()
    };
    let mut raw = server.raw_approvals().await;
    let mut nobody = vec![tonic::Request::new(request())];
    for actor in ["", "user:", "group:finance", "robot:r2", "system:expiry"] {
        let mut request = tonic::Request::new(request());
        request.metadata_mut().insert(approve_proto::ACTOR_METADATA, actor.parse().unwrap());
        nobody.push(request);
    }
    for request in nobody {
        let actor = format!("{:?}", request.metadata().get(approve_proto::ACTOR_METADATA));
        let status = raw.decide(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{actor}: {status:?}");
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "UNAUTHENTICATED");
    }
    assert_eq!(client.get(&approval.id).await.unwrap(), approval);
}

#[tokio::test]
async fn fields_that_are_malformed_are_named() {
    let (server, client, approval) = server_with_one().await;
    let decide = |change: fn(&mut DecideRequest)| {
        let mut request = DecideRequest {
            approval_id: approval.id.clone(),
            decision: Decision::Approve.into(),
            ..DecideRequest::default()
        };
        change(&mut request);
        request
    };
    let mut raw = server.raw_approvals().await;
    for (field, request) in [
        ("decision", decide(|request| request.decision = 0)),
        ("decision", decide(|request| request.decision = 99)),
        ("response_json", decide(|request| request.response_json = "{oops".into())),
        ("response_json", decide(|request| request.response_json = format!("\"{}\"", "x".repeat(65_535)))),
        ("request_id", decide(|request| request.request_id = "x".repeat(129))),
        ("request_id", decide(|request| request.request_id = "tab\there".into())),
    ] {
        let status = raw.decide(request_as("ana", request)).await.unwrap_err();
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELD", "approve.v1"));
        let named: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|bad| &bad.field).collect();
        assert_eq!(named, [field], "{status:?}");
    }
    assert_eq!(client.get(&approval.id).await.unwrap(), approval);
    let error = client.list(List::new().filter(Filter::new().text("x".repeat(257)))).await.unwrap_err();
    assert_field(&error, "filter.text");
}

#[tokio::test]
async fn page_tokens_belong_to_their_query() {
    let (server, client, _) = server_with_one().await;
    for _ in 0..4 {
        start(&client, "HumanApproval", "{}").await;
    }
    wait_for("all approvals", async || {
        (client.list(List::pending()).await.unwrap().approvals.len() == 5).then_some(())
    })
    .await;
    let query = List::pending().page_size(2);
    let first = client.list(query.clone()).await.unwrap();
    let token = first.next.unwrap();

    let second = client.list(query.clone().page_token(&token)).await.unwrap();
    assert_eq!(second.approvals.len(), 2);
    assert!(first.approvals.iter().all(|one| second.approvals.iter().all(|other| one.id != other.id)));
    for other in [
        List::new().page_size(2).page_token(&token),
        List::pending().page_size(2).oldest_first().page_token(&token),
        List::pending().filter(Filter::new().workflow("HumanApproval")).page_token(&token),
        query.clone().page_token("bm90IG9uZQ"),
        query.clone().page_token(format!("{token}x")),
        query.clone().page_token("ü"),
    ] {
        let error = client.list(other).await.unwrap_err();
        assert_reason(&error, Code::InvalidArgument, &Reason::PageTokenInvalid);
    }
    // A stream's token is none of a list, and the other way round.
    let mut raw = server.raw_approvals().await;
    let resume = StreamPendingApprovalsRequest { resume_token: token, ..StreamPendingApprovalsRequest::default() };
    let status = match raw.stream_pending_approvals(request_as("ana", resume)).await {
        Ok(mut stream) => stream.get_mut().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "RESUME_TOKEN_INVALID");
    let huge = ListApprovalsRequest { page_token: "x".repeat(100_000), ..ListApprovalsRequest::default() };
    assert_eq!(raw.list_approvals(request_as("ana", huge)).await.unwrap_err().code(), Code::InvalidArgument);
}

fn assert_reason(error: &Error, code: Code, reason: &Reason) {
    assert_eq!((error.code(), error.reason()), (code, Some(reason)), "{error:?}");
}

fn assert_field(error: &Error, field: &str) {
    assert_reason(error, Code::InvalidArgument, &Reason::InvalidField);
    let named: Vec<_> = error.field_violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(named, [field], "{error:?}");
}
