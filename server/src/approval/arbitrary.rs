//! Arbitrary requests and commands, for property tests. Few names and tokens, so that they meet.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*, sample::select};
use uuid::Uuid;

use super::{
    Approval, ApproverSet, Choice, Command, CommentPolicy, Decision, Escalation, ExpiryAction, Freeze, Labels, Outcome,
    Person, Principal, Priority, RejectAction, Request, Rule, RuleRequest, Source, Stage, StageOrder, StageRequest,
    Task, TaskState, TaskToken, create,
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
    select(vec![
        ExpiryAction::Expire,
        ExpiryAction::Reject,
        ExpiryAction::Approve,
        ExpiryAction::Outcome("LATER".to_owned()),
        ExpiryAction::Outcome("PARTLY".to_owned()),
    ])
}

fn on_reject() -> impl Strategy<Value = RejectAction> {
    select(vec![RejectAction::Fail, RejectAction::Output])
}

fn lives() -> impl Strategy<Value = SignedDuration> {
    (0_i64..200).prop_map(SignedDuration::from_secs)
}

fn orders() -> impl Strategy<Value = StageOrder> {
    select(vec![StageOrder::Sequential, StageOrder::Parallel])
}

/// Few names, so that they meet. One stage mostly.
fn stages() -> impl Strategy<Value = Vec<Stage>> {
    let stage =
        (prop_oneof![3 => Just(Vec::new()), 2 => vec(sets(), 1..3)], prop_oneof![3 => Just(1_u32), 1 => 2_u32..4]);
    prop_oneof![1 => vec(stage.clone(), 1), 2 => vec(stage, 2..4)].prop_map(|stages| {
        let names = ["", "legal", "money"];
        let named = stages.into_iter().zip(names);
        named.map(|((approvers, required), name)| Stage { name: name.to_owned(), approvers, required }).collect()
    })
}

/// A schema that takes what [`fitting`] is, but not everything.
pub(crate) const SCHEMA: &str = r#"{"type": "object", "required": ["amount"]}"#;

/// A response that fits [`SCHEMA`].
pub(crate) fn fitting() -> String {
    r#"{"amount":1200.50}"#.to_owned()
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let outcome = |name: &str, decision| Outcome { name: name.to_owned(), label: String::new(), decision };
    let all = vec![
        outcome("PARTLY", Decision::Approve),
        outcome("FULLY", Decision::Approve),
        outcome("LATER", Decision::Reject),
    ];
    proptest::sample::subsequence(all, 0..=3)
}

fn escalations() -> impl Strategy<Value = Vec<Escalation>> {
    let stages = select(vec!["", "legal"]);
    let escalation = (lives(), sets(), stages).prop_map(|(after, approvers, stage)| Escalation {
        after,
        approvers,
        stage: stage.to_owned(),
    });
    prop_oneof![2 => Just(Vec::new()), 1 => vec(escalation, 1..3)]
}

fn freezes() -> impl Strategy<Value = Vec<Freeze>> {
    let freeze = (0_i64..300, 1_i64..100, option::of(sets())).prop_map(|(from, lasts, except)| Freeze {
        start: seconds(from),
        end: seconds(from + lasts),
        except,
        reason: "the end of the year".to_owned(),
    });
    prop_oneof![4 => Just(Vec::new()), 1 => vec(freeze, 1..3)]
}

/// Rules in which all names are known; some could never be met.
pub(crate) fn rules() -> impl Strategy<Value = Rule> {
    let who = (stages(), orders(), any::<bool>(), any::<bool>(), 1_u32..3);
    let what = (comments(), outcomes(), option::weighted(0.2, Just(SCHEMA.to_owned())), on_reject());
    let when = (option::of(lives()), on_expiry(), vec(lives(), 0..3), escalations(), freezes());
    (who, what, when).prop_map(
        |(
            (stages, order, allow_self_approval, allow_repeat_approvers, required_rejections),
            (comment, outcomes, response_schema, on_reject),
            (expire_after, on_expiry, remind_after, mut escalations, freezes),
        )| {
            escalations.retain(|more| more.stage.is_empty() || stages.iter().any(|stage| stage.name == more.stage));
            let on_expiry = match on_expiry {
                ExpiryAction::Outcome(name) if outcomes.iter().all(|outcome| outcome.name != name) => {
                    ExpiryAction::Expire
                }
                known => known,
            };
            Rule {
                stages,
                order,
                required_rejections,
                allow_self_approval,
                allow_repeat_approvers,
                comment,
                outcomes,
                response_schema,
                expire_after,
                on_expiry,
                on_reject,
                remind_after,
                escalations,
                freezes,
                trust_task_input: false,
            }
        },
    )
}

pub(crate) fn rule_requests() -> impl Strategy<Value = RuleRequest> {
    let stage = (select(vec!["", "legal", "money", "board"]), option::of(sets()), option::of(1_u32..4));
    let stage =
        stage.prop_map(|(name, approvers, required)| StageRequest { name: name.to_owned(), approvers, required });
    let who = (option::of(sets()), option::of(0_u32..5), option::of(vec(stage, 0..3)), option::weighted(0.3, orders()));
    let flags = (option::of(any::<bool>()), option::of(any::<bool>()), option::of(0_u32..5));
    let what = (option::of(comments()), option::weighted(0.2, Just(SCHEMA.to_owned())), option::of(on_reject()));
    let when = (option::of(lives()), option::of(on_expiry()), option::of(vec(lives(), 0..2)), option::of(freezes()));
    (who, flags, what, when).prop_map(
        |(
            (approvers, required, stages, order),
            (allow_self_approval, allow_repeat_approvers, required_rejections),
            (comment, response_schema, on_reject),
            (expire_after, on_expiry, remind_after, freezes),
        )| RuleRequest {
            approvers,
            required,
            stages,
            order,
            required_rejections,
            allow_self_approval,
            allow_repeat_approvers,
            comment,
            outcomes: None,
            response_schema,
            expire_after,
            on_expiry,
            on_reject,
            remind_after,
            escalations: None,
            freezes,
            trust_task_input: None,
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
            rule_version: rule.version(),
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

fn choices() -> impl Strategy<Value = Choice> {
    let decisions = || prop_oneof![2 => Just(Decision::Approve), 1 => Just(Decision::Reject)];
    let names = select(vec!["PARTLY", "FULLY", "LATER", "NEVER"]);
    prop_oneof![
        4 => decisions().prop_map(Choice::Plain),
        1 => (names, option::of(decisions()))
            .prop_map(|(name, decision)| Choice::Outcome { name: name.to_owned(), decision }),
    ]
}

pub(crate) fn votes() -> impl Strategy<Value = Command> {
    let comments = select(vec!["", " ", "because"]);
    let responses = option::weighted(0.6, prop_oneof![4 => Just(fitting()), 1 => Just("[]".to_owned())]);
    let etags = option::weighted(0.2, (1_u32..5).prop_map(|etag| etag.to_string()));
    (people(), choices(), comments, responses, etags).prop_map(|(by, choice, comment, response, etag)| Command::Vote {
        by,
        choice,
        comment: comment.to_owned(),
        response,
        etag,
        cast_by: None,
    })
}

/// What people do beside voting.
fn handling() -> impl Strategy<Value = Command> {
    let until = || (1_i64..300).prop_map(seconds);
    let name = || select(vec!["user:ana", "user:bob", "user:cyd", "user:dan"]).prop_map(|name| name.parse().unwrap());
    let why = || "so it is".to_owned();
    prop_oneof![
        3 => people().prop_map(move |by| Command::Withdraw { by, comment: why() }),
        3 => (people(), until()).prop_map(|(by, until)| Command::Claim { by, until }),
        1 => (name(), any::<bool>()).prop_map(|(by, operator)| Command::Release { by, operator }),
        3 => (people(), any::<bool>(), name(), until()).prop_map(move |(by, operator, to, until)| Command::Reassign {
            by, operator, to, comment: why(), until,
        }),
        1 => (name(), option::of(until())).prop_map(move |(by, until)| Command::Hold { by, until, reason: why() }),
        2 => name().prop_map(|by| Command::Resume { by }),
        1 => (name(), prop::bool::weighted(0.3))
            .prop_map(move |(by, operator)| Command::Cancel { by, operator, reason: why() }),
    ]
}

pub(crate) fn commands() -> impl Strategy<Value = Command> {
    let heartbeats = option::of((10_i64..100).prop_map(|third| SignedDuration::from_secs(third * 3)));
    prop_oneof![
        10 => votes(),
        5 => handling(),
        3 => Just(Command::Timer),
        1 => people().prop_map(|by| Command::Abandon { by: by.principal, reason: "stopped".to_owned() }),
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
