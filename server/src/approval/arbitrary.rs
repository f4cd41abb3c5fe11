//! Arbitrary requests and commands, for property tests. Few names and tokens, so that they meet.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*, sample::select};
use uuid::Uuid;

use super::{
    Approval, ApproverSet, Command, CommentPolicy, Decision, ExpiryAction, Labels, Person, Principal, Priority,
    RejectAction, Request, Rule, RuleRequest, Source, Task, TaskState, TaskToken, create,
};

/// The time that tests begin at.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// So many seconds after [`start`].
pub(crate) fn seconds(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// One of a few tokens.
pub(crate) fn token(number: u32) -> TaskToken {
    TaskToken::from(format!("token-{number}"))
}

pub(crate) fn principals() -> impl Strategy<Value = Principal> {
    select(vec!["user:ana", "user:bob", "user:cyd", "group:finance", "group:ops"])
        .prop_map(|name| name.parse().unwrap())
}

pub(crate) fn people() -> impl Strategy<Value = Person> {
    let names = select(vec!["user:ana", "user:bob", "user:cyd", "user:dan"]);
    let groups = proptest::sample::subsequence(vec!["group:finance", "group:ops"], 0..=2);
    (names, groups).prop_map(|(name, groups)| Person {
        principal: name.parse().unwrap(),
        groups: groups.into_iter().map(|group| group.parse().unwrap()).collect(),
    })
}

fn sets() -> impl Strategy<Value = ApproverSet> {
    vec(principals(), 1..4).prop_map(ApproverSet)
}

fn comments() -> impl Strategy<Value = CommentPolicy> {
    select(vec![CommentPolicy::Never, CommentPolicy::OnReject, CommentPolicy::Always])
}

fn on_expiry() -> impl Strategy<Value = ExpiryAction> {
    select(vec![ExpiryAction::Expire, ExpiryAction::Reject, ExpiryAction::Approve])
}

fn on_reject() -> impl Strategy<Value = RejectAction> {
    select(vec![RejectAction::Fail, RejectAction::Output])
}

fn lives() -> impl Strategy<Value = SignedDuration> {
    (0_i64..200).prop_map(SignedDuration::from_secs)
}

pub(crate) fn rules() -> impl Strategy<Value = Rule> {
    let who = (prop_oneof![3 => Just(Vec::new()), 1 => vec(sets(), 1..3)], any::<bool>());
    let counts = (1_u32..4, 1_u32..3);
    (who, counts, comments(), option::of(lives()), on_expiry(), on_reject()).prop_map(
        |((approvers, allow_self_approval), (approvals, rejections), comment, expire_after, on_expiry, on_reject)| {
            Rule {
                approvers,
                required_approvals: approvals,
                required_rejections: rejections,
                allow_self_approval,
                comment,
                expire_after,
                on_expiry,
                on_reject,
            }
        },
    )
}

pub(crate) fn rule_requests() -> impl Strategy<Value = RuleRequest> {
    let who = (option::of(sets()), option::of(any::<bool>()));
    let counts = (option::of(0_u32..5), option::of(0_u32..5));
    let actions = (option::of(on_expiry()), option::of(on_reject()));
    (who, counts, option::of(comments()), option::of(lives()), actions).prop_map(
        |((approvers, allow_self_approval), (approvals, rejections), comment, expire_after, (on_expiry, on_reject))| {
            RuleRequest {
                approvers,
                required_approvals: approvals,
                required_rejections: rejections,
                allow_self_approval,
                comment,
                expire_after,
                on_expiry,
                on_reject,
            }
        },
    )
}

pub(crate) fn sources() -> impl Strategy<Value = Source> {
    let identity = (option::weighted(0.8, 0_u32..3), 0_i64..2, option::weighted(0.2, Just("key".to_owned())));
    (select(vec!["Payments", "Releases"]), identity).prop_map(|(workflow, (execution, entered, key))| Source {
        workflow: workflow.to_owned(),
        activity_arn: format!("arn:aws:states:eu-west-1:123456789012:activity:{workflow}"),
        execution_arn: execution.map(|number| format!("arn:aws:states:eu-west-1:123456789012:execution:m:{number}")),
        state_machine_arn: execution.map(|_| "arn:aws:states:eu-west-1:123456789012:stateMachine:m".to_owned()),
        state_name: execution.map(|_| "Approve".to_owned()),
        state_entered: execution.map(|_| seconds(entered)),
        key,
    })
}

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let labels = proptest::sample::subsequence(vec![("env", "prod"), ("team", "a"), ("region", "eu")], 0..=3);
    let priorities = select(vec![Priority::Low, Priority::Normal, Priority::High, Priority::Urgent]);
    let requesters = option::of(select(vec!["user:ana", "user:bob"]));
    let titles = select(vec!["Pay invoice 4711", "Deploy to Zürich", "Delete the data"]);
    (titles, requesters, rules(), sources(), labels, priorities).prop_map(
        |(title, requester, rule, source, labels, priority)| Request {
            title: title.to_owned(),
            description: "Please look at \"this\"\nsoon".to_owned(),
            requester: requester.map(|name| name.parse().unwrap()),
            rule,
            source,
            labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<Labels>(),
            priority,
        },
    )
}

pub(crate) fn tokens() -> impl Strategy<Value = TaskToken> {
    (0_u32..4).prop_map(token)
}

pub(crate) fn votes() -> impl Strategy<Value = Command> {
    let decisions = prop_oneof![2 => Just(Decision::Approve), 1 => Just(Decision::Reject)];
    let comments = select(vec!["", " ", "because"]);
    let responses = option::weighted(0.3, Just(r#"{"amount":1200.50}"#.to_owned()));
    let etags = option::weighted(0.2, (1_u32..5).prop_map(|etag| etag.to_string()));
    (people(), decisions, comments, responses, etags).prop_map(|(by, decision, comment, response, etag)| {
        Command::Vote { by, decision, comment: comment.to_owned(), response, etag, cast_by: None }
    })
}

pub(crate) fn commands() -> impl Strategy<Value = Command> {
    let heartbeats = option::of((10_i64..100).prop_map(|third| SignedDuration::from_secs(third * 3)));
    prop_oneof![
        8 => votes(),
        2 => Just(Command::Expire),
        1 => people().prop_map(|by| Command::Cancel { by: by.principal, reason: "stopped".to_owned() }),
        3 => (tokens(), 0_u32..5, heartbeats)
            .prop_map(|(token, attempt, heartbeat)| Command::Bind { token, attempt, heartbeat }),
        3 => tokens().prop_map(|token| Command::Detach { token, reason: "timed out".to_owned() }),
        3 => (tokens(), any::<u32>()).prop_map(|(token, attempts)| Command::Delivered { token, attempts }),
        1 => (tokens(), 0_u32..3).prop_map(|(token, attempts)| Command::Undeliverable {
            token,
            attempts,
            reason: "gone".to_owned(),
        }),
    ]
}

/// A new approval of a request, whose task has token 0.
pub(crate) fn new_approval(request: Request, input: &str) -> Approval {
    let task = Task {
        state: TaskState::Open,
        token: token(0),
        taken: start(),
        attempt: 0,
        count: 1,
        heartbeat: None,
        detached: None,
    };
    create(Uuid::from_u128(1 << 64), request, Arc::from(input), task, None, start()).approval
}
