//! What people do with approvals beside deciding, and what they are told about it.

use std::time::{Duration, SystemTime};

use approve_client::{
    Approval, ApprovalStatus, Cancel, Client, Code, Decide, Decision, Error, Filter, Hold, List, Reason, Reassign,
    Watch, Withdraw,
    proto::{ApproverSet, Escalation, ExecutionStatus, Person, Rule, Stage},
};
use approve_tests::{
    Server,
    approvals::{Watching, ask, becomes, ended, start},
    workflows::{ASK, apply, ask_input, of_group, spec, with_rule},
};
use serde_json::Value;

async fn asked_of_finance(server: &Server, required: u32) -> (String, Approval) {
    let client = server.client("setup").await;
    apply(&client, with_rule(spec("pay", ASK), of_group("finance", required))).await;
    ask(&client, "pay", &ask_input("Pay", "user:req")).await
}

fn assert_refused(error: &Error, code: Code, reason: &Reason) {
    assert_eq!((error.code(), error.reason()), (code, Some(reason)), "{error:?}");
}

async fn awaits(client: &Client) -> usize {
    client.list(List::pending().filter(Filter::new().awaiting_me(true))).await.unwrap().approvals.len()
}

#[tokio::test]
async fn what_somebody_has_in_hand_nobody_else_decides() {
    let server = Server::empty().await;
    let (arn, approval) = asked_of_finance(&server, 1).await;
    let ana = server.client_in("ana", &["finance"]).await;
    let bo = server.client_in("bo", &["finance"]).await;
    let stranger = server.client("mallory").await;

    let claimed = ana.claim(&approval.id, None).await.unwrap();
    assert_eq!(claimed.assignment.as_ref().unwrap().assignee, "user:ana");
    assert_eq!((awaits(&ana).await, awaits(&bo).await), (1, 0));
    let error = bo.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_refused(&error, Code::FailedPrecondition, &Reason::Claimed);
    assert_eq!(error.metadata("assignee"), Some("user:ana"));
    assert_refused(&bo.claim(&approval.id, None).await.unwrap_err(), Code::FailedPrecondition, &Reason::Claimed);
    let error = stranger.claim(&approval.id, None).await.unwrap_err();
    assert_refused(&error, Code::PermissionDenied, &Reason::NotAnApprover);

    let given = ana.reassign(Reassign::new(&approval.id, "user:bo").comment("on leave")).await.unwrap();
    let assignment = given.assignment.unwrap();
    assert_eq!(
        (assignment.assignee.as_str(), assignment.assigned_by.as_slice()),
        ("user:bo", &["user:ana".to_owned()][..])
    );
    let back = bo.reassign(Reassign::new(&approval.id, "user:ana")).await.unwrap_err();
    assert_refused(&back, Code::FailedPrecondition, &Reason::ReassignmentLoop);
    // To have it in hand makes nobody an approver.
    bo.reassign(Reassign::new(&approval.id, "user:mallory")).await.unwrap();
    let error = stranger.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_refused(&error, Code::PermissionDenied, &Reason::NotAnApprover);

    assert!(stranger.release(&approval.id).await.unwrap().assignment.is_none());
    bo.decide(Decide::approve(&approval.id)).await.unwrap();
    assert_eq!(ended(&ana, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn a_vote_can_be_taken_back_until_it_is_final() {
    let server = Server::empty().await;
    let (_, approval) = asked_of_finance(&server, 2).await;
    let ana = server.client_in("ana", &["finance"]).await;
    let bo = server.client_in("bo", &["finance"]).await;
    ana.decide(Decide::approve(&approval.id)).await.unwrap();

    let without = ana.withdraw(Withdraw::new(&approval.id).comment("too soon")).await.unwrap();
    assert!(without.votes.is_empty());
    assert_eq!(ana.withdraw(Withdraw::new(&approval.id)).await.unwrap().etag, without.etag, "it changes nothing");
    let after = bo.decide(Decide::approve(&approval.id)).await.unwrap().approval;
    assert_eq!(after.status(), ApprovalStatus::Pending);
    ana.decide(Decide::approve(&approval.id)).await.unwrap();
    let error = ana.withdraw(Withdraw::new(&approval.id)).await.unwrap_err();
    assert_refused(&error, Code::FailedPrecondition, &Reason::AlreadyDecided);
}

#[tokio::test]
async fn what_is_canceled_fails_the_execution() {
    let server = Server::empty().await;
    let (arn, approval) = asked_of_finance(&server, 1).await;
    let requester = server.client("req").await;

    let canceled = requester.cancel(Cancel::new(&approval.id, "not needed any more")).await.unwrap();
    assert_eq!(
        (canceled.status(), canceled.decided_by.as_slice()),
        (ApprovalStatus::Canceled, &["user:req".to_owned()][..])
    );

    let execution = ended(&requester, &arn).await;
    assert_eq!((execution.status(), execution.error.as_str()), (ExecutionStatus::Failed, "Approval.Canceled"));
    let cause: Value = serde_json::from_str(&execution.cause).unwrap();
    assert_eq!((&cause["outcome"], &cause["reason"]), (&"CANCELED".into(), &"not needed any more".into()));
    let error = requester.cancel(Cancel::new(&approval.id, "again")).await.unwrap_err();
    assert_refused(&error, Code::FailedPrecondition, &Reason::AlreadyDecided);
}

#[tokio::test]
async fn what_is_on_hold_nobody_decides() {
    let server = Server::empty().await;
    let (arn, approval) = asked_of_finance(&server, 1).await;
    let ana = server.client_in("ana", &["finance"]).await;
    let end = SystemTime::now() + Duration::from_secs(3_600);

    let held = ana.hold(Hold::new(&approval.id, "the year ends").until(end)).await.unwrap();
    assert_eq!(held.hold.unwrap().held_by, "user:ana");
    let error = ana.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_refused(&error, Code::FailedPrecondition, &Reason::OnHold);
    assert_eq!(error.metadata("reason"), Some("the year ends"));
    assert!(error.metadata("until").is_some());
    let explanation = ana.explain(&approval.id, None).await.unwrap();
    assert!(explanation.blocked.contains("the year ends"), "{}", explanation.blocked);
    let past = ana.hold(Hold::new(&approval.id, "late").until(SystemTime::UNIX_EPOCH)).await.unwrap_err();
    assert_refused(&past, Code::InvalidArgument, &Reason::InvalidField);

    assert!(ana.resume(&approval.id).await.unwrap().hold.is_none());
    ana.decide(Decide::approve(&approval.id)).await.unwrap();
    assert_eq!(ended(&ana, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn after_a_time_people_are_reminded_and_others_may_decide() {
    let server = Server::empty().await;
    let boss = server.client_in("boss", &["bosses"]).await;
    let second = || prost_types::Duration { seconds: 1, nanos: 0 };
    let bosses = ApproverSet { any_of: vec!["group:bosses".to_owned()] };
    let rule = Rule {
        remind_after: vec![second()],
        escalations: vec![Escalation { after: Some(second()), approvers: Some(bosses), stage: String::new() }],
        ..of_group("finance", 1)
    };
    apply(&boss, with_rule(spec("pay", ASK), rule)).await;
    let mut mine = Watching::synced(&boss, Watch::new().filter(Filter::new().awaiting_me(true))).await;
    let arn = start(&boss, "pay", &ask_input("Pay", "user:req")).await;

    // The stream tells as soon as it is the boss's.
    let approval = mine.upserted("the escalation", |approval| approval.workflow == "pay").await;
    boss.decide(Decide::approve(&approval.id)).await.unwrap();
    assert_eq!(ended(&boss, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let server = Server::empty().await;
    let (_, approval) = asked_of_finance(&server, 2).await;
    let ana = server.client_in("ana", &["finance"]).await;
    ana.decide(Decide::approve(&approval.id)).await.unwrap();

    let explanation = ana.explain(&approval.id, Some(person("user:bo", &["group:finance"]))).await.unwrap();
    assert_eq!(explanation.summary, "waits for 1 more approval, by group:finance");
    assert_eq!(explanation.stages[0].approved_by, ["user:ana"]);
    let [approve, reject] = explanation.effects.as_slice() else { panic!("{explanation:?}") };
    assert!(approve.allowed && reject.allowed);
    assert_eq!(approve.status_after(), ApprovalStatus::Approved);
    assert_eq!((reject.decision(), reject.status_after()), (Decision::Reject, ApprovalStatus::Rejected));

    let explanation = ana.explain(&approval.id, Some(person("user:mallory", &[]))).await.unwrap();
    assert_eq!(explanation.effects[0].refusal_reason, "NOT_AN_APPROVER");
    assert_eq!(explanation.effects[0].status_after(), ApprovalStatus::Unspecified);
    assert_eq!(ana.get(&approval.id).await.unwrap().votes.len(), 1, "nothing was changed");

    let rule = Rule { stages: vec![Stage::default()], ..Rule::default() };
    let checked = ana.check_rule(rule, "user:req", Some(person("user:req", &[]))).await.unwrap();
    assert!(checked.problems.is_empty());
    assert_eq!(checked.explanation.unwrap().effects[0].refusal_reason, "SELF_APPROVAL");
    becomes(&ana, &approval.id, "still pending", |approval| approval.status() == ApprovalStatus::Pending).await;
}

fn person(principal: &str, groups: &[&str]) -> Person {
    Person { principal: principal.to_owned(), groups: groups.iter().map(ToString::to_string).collect() }
}
