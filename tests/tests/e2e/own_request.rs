//! One's own request and others': nobody approves what they asked for under another name, and nobody but the requester
//! and operators ends it.

use approve_client::{
    Cancel, Decide, Hold, Reason,
    proto::{ApprovalStatus, DecideRequest, Decision, ExecutionStatus},
};
use approve_proto::v1::approval_service_client::ApprovalServiceClient;
use approve_tests::{
    SecureServer,
    approvals::{ask, ended},
    issuer::claims,
    secure::{expect, with_metadata},
    workflows::{ASK, apply, ask_input, spec},
};
use serde_json::json;
use tonic::Code;

/// Approvers of everything, who operate nothing.
const APPROVERS: &str = r#"
[[role]]
name = "approvers"
members = ["group:finance", "user:bob"]
permissions = ["view", "decide"]
"#;

#[tokio::test]
async fn another_name_beside_ones_own_approves_nothing() {
    let server = SecureServer::start(APPROVERS).await;
    let admin = server.admin().await;
    apply(&admin, spec("pay", ASK)).await;
    let (_, approval) = ask(&admin, "pay", &ask_input("pay me", "user:ana")).await;
    let decide = DecideRequest {
        approval_id: approval.id.clone(),
        decision: Decision::Approve.into(),
        ..DecideRequest::default()
    };
    let certificate = server.authority.client("spiffe://test/bot");
    let mut plain = ApprovalServiceClient::new(server.channel(None).await.unwrap());
    let mut certified = ApprovalServiceClient::new(server.channel(Some(&certificate)).await.unwrap());

    let mut more = claims("ana", &["finance"], 600);
    for (name, value) in [("email", "bob"), ("preferred_username", "bob"), ("user", "user:bob"), ("act", "bob")] {
        more[name] = json!(value);
    }
    let bearer = |token: String| format!("Bearer {token}");
    let (own, more) = (bearer(server.issuer.token("ana", &["finance"])), bearer(server.issuer.signer.sign(&more)));
    let own = ("authorization", own.as_str());
    let attempts = [
        ("her own name", &[own][..], Code::PermissionDenied, "SELF_APPROVAL"),
        ("other claims", &[("authorization", &more)], Code::PermissionDenied, "SELF_APPROVAL"),
        ("another actor", &[own, ("approve-actor", "user:bob")], Code::Unauthenticated, "UNAUTHENTICATED"),
        ("other groups", &[own, ("approve-groups", "admins")], Code::Unauthenticated, "UNAUTHENTICATED"),
        ("on behalf", &[own, ("approve-on-behalf-of", "user:bob")], Code::PermissionDenied, "PERMISSION_MISSING"),
    ];
    for (how, metadata, code, reason) in attempts {
        // With a certificate of another as well: what the bearer says counts.
        for service in [&mut plain, &mut certified] {
            let message = expect(service.decide(with_metadata(decide.clone(), metadata)).await, code, reason);
            assert!(!message.is_empty(), "{how}");
        }
    }
    assert_eq!(admin.get(&approval.id).await.unwrap().votes.len(), 0);
    server.client("bob", &[]).await.decide(Decide::approve(&approval.id)).await.unwrap();
}

#[tokio::test]
async fn only_the_requester_and_operators_end_a_request() {
    let server = SecureServer::start(APPROVERS).await;
    let admin = server.admin().await;
    apply(&admin, spec("pay", ASK)).await;
    let (own_execution, own) = ask(&admin, "pay", &ask_input("mine", "user:ana")).await;
    let (_, of_another) = ask(&admin, "pay", &ask_input("another's", "user:rita")).await;
    let ana = server.client("ana", &["finance"]).await;
    let bob = server.client("bob", &["finance"]).await;

    let error = bob.cancel(Cancel::new(&own.id, "not yours")).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, Some(&Reason::NotTheRequester)), "{error:?}");
    let canceled = ana.cancel(Cancel::new(&own.id, "paid already")).await.unwrap();
    assert_eq!(canceled.status(), ApprovalStatus::Canceled);
    let execution = ended(&admin, &own_execution).await;
    assert_eq!((execution.status(), execution.error.as_str()), (ExecutionStatus::Failed, "Approval.Canceled"));

    // What somebody has in hand is theirs, or an operator's, to let go; a hold is an operator's.
    ana.claim(&of_another.id, None).await.unwrap();
    let error = bob.release(&of_another.id).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::FailedPrecondition, Some(&Reason::Claimed)), "{error:?}");
    let error = bob.hold(Hold::new(&of_another.id, "wait")).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, Some(&Reason::PermissionMissing)), "{error:?}");
    assert!(admin.release(&of_another.id).await.unwrap().assignment.is_none());
    admin.cancel(Cancel::new(&of_another.id, "stopped by operations")).await.unwrap();
}
