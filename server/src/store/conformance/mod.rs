//! What every store must do, as tests of the trait alone. `conformance!` runs them for one implementation.

pub(crate) mod admission;
pub(crate) mod commands;
pub(crate) mod due;
pub(crate) mod lists;
pub(crate) mod log;
pub(crate) mod messages;
mod model;
pub(crate) mod random;
pub(crate) mod record;
pub(crate) mod rest;
pub(crate) mod retention;
pub(crate) mod tokens;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    Admission, Admitted, Change, Changes, EventQuery, Executed, ExportRange, Exported, IdentityUse, Recorded,
    RequestKey, Revision, SharedStore,
};
pub(crate) use crate::approval::arbitrary::{seconds, start};
use crate::approval::{
    Approval, ApprovalId, Command, Decision, Labels, Origin, Person, Priority, Refusal, Request, Rule, Source,
    TaskInput, TaskToken, Via,
};
use crate::audit::{Described, Hash};

/// Where one store lives.
#[async_trait]
pub(crate) trait Bed: Send + Sync {
    /// Opens it: the same one each time, empty at first.
    async fn open(&self) -> SharedStore;
}

/// The tests of all rooms, for a bed; with an attribute for each, where one is given.
macro_rules! conformance {
    ($bed:expr) => {
        $crate::store::conformance::conformance!($bed, cfg(test));
    };
    ($bed:expr, $attribute:meta) => {
        $crate::store::conformance::conformance! { @each $bed, $attribute;
            admission a_new_task_is_a_new_approval,
            admission a_token_is_known_again,
            admission a_task_that_was_not_understood_is_kept,
            admission tasks_without_an_identity_are_never_the_same,
            admission an_identity_has_to_be_checked_first,
            admission a_checked_task_is_bound,
            admission an_old_token_neither_creates_nor_steals,
            admission a_decided_approval_answers_a_new_task_at_once,
            admission a_distrusted_task_gets_nothing_of_the_identity,
            admission a_canceled_approval_loses_its_identity_to_a_new_one,
            admission one_of_many_equal_tasks_is_created,
            commands a_command_does_what_the_domain_says,
            commands what_is_refused_writes_nothing,
            commands what_changes_nothing_writes_nothing,
            commands a_request_key_gives_the_first_answer,
            commands a_request_key_is_for_one_body_and_one_caller,
            commands only_what_was_done_is_kept_for_a_request_key,
            commands a_request_key_dies_of_age,
            commands one_request_key_at_once_is_one_vote,
            commands concurrent_commands_are_all_kept_in_order,
            due heartbeats_fall_due,
            due a_heartbeat_is_moved_for_the_token_it_is_of,
            due votes_leave_a_heartbeat_where_it_is,
            due what_is_final_wants_no_heartbeat,
            due deadlines_fall_due,
            due a_deadline_between_milliseconds_is_not_early,
            due a_decision_is_to_be_delivered_at_once,
            due a_try_moves_a_delivery,
            due a_detached_task_is_sent_nothing,
            due due_work_comes_in_order_and_in_pieces,
            lists a_list_is_filtered,
            lists a_list_has_pages_without_gaps_or_repeats,
            lists pages_hold_while_approvals_come,
            lists a_rare_match_is_found_page_by_page,
            lists what_is_rare_is_on_the_first_page,
            lists prefixes_find_ids,
            lists long_inputs_are_read_in_pieces,
            log changes_come_in_order_with_what_was_before,
            log what_was_pending_is_seen_as_it_was,
            log the_head_moves_with_every_change,
            log changes_have_no_gaps_under_load,
            record each_event_says_who_when_what_and_why,
            record the_chain_holds_and_is_what_was_written,
            record payloads_are_beside_the_record,
            record an_attempt_that_was_refused_is_recorded_and_changes_nothing,
            record repeated_refusals_are_counted,
            record what_the_server_can_not_do_is_no_attempt,
            record what_is_of_no_approval_is_recorded,
            record events_are_found_by_what_they_are_about,
            record pages_of_events_have_no_gaps,
            record an_export_is_of_a_range,
            record watchers_pass_over_what_changes_nothing,
            messages a_target_is_told_what_comes_after_it,
            messages what_was_not_sent_is_kept_until_it_is,
            messages dead_letters_are_found_and_tried_again,
            messages what_is_old_or_too_much_is_forgotten,
            rest pending_approvals_are_counted,
            rest any_character_is_kept,
            rest workflows_are_kept,
            rest everything_survives_a_restart,
            rest nothing_acknowledged_is_lost_when_dropped,
            rest a_closed_store_says_so,
            retention finished_approvals_go_with_their_events,
            retention what_something_happened_to_stays,
            retention the_newest_event_stays,
            tokens a_token_is_kept_until_it_is_revoked,
            tokens what_is_done_with_tokens_is_recorded,
        }

        #[test]
        #[$attribute]
        fn random_histories() {
            $crate::store::conformance::random::random_histories(|| $bed);
        }
    };
    (@each $bed:expr, $attribute:meta; $($room:ident $test:ident,)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[$attribute]
        async fn $test() {
            let bed = $bed;
            $crate::store::conformance::$room::$test(&bed).await;
        }
    )* };
}
pub(crate) use conformance;

/// The task of execution `number`, with a token, an identity and an id of its own.
pub(crate) fn task(number: u32) -> Admission {
    Admission {
        uuid: uuid(number),
        token: TaskToken::from(format!("token-{number}")),
        task: TaskInput { request: request(number), input: Arc::from(INPUT), attempt: 0, error: None },
        heartbeat: Some(SignedDuration::from_secs(60)),
        identity: IdentityUse::Trusted { checked: None },
        at: start(),
    }
}

/// A task of the same state of the same execution, with another token: a retry's.
fn retry(of: u32, number: u32) -> Admission {
    let mut admission = task(number);
    admission.task.request.source = request(of).source;
    admission.task.attempt = 1;
    admission
}

const INPUT: &str = r#"{ "amount": 1200.50 }"#;

/// Ids in the order of their numbers.
fn uuid(number: u32) -> Uuid {
    Uuid::from_u128((0x0190_0000_0000_u128 + u128::from(number)) << 80 | 0x7000 << 64 | 1 << 63)
}

fn request(number: u32) -> Request {
    Request {
        title: format!("Pay invoice {number}"),
        description: "As agreed".to_owned(),
        requester: Some("user:rita".parse().unwrap()),
        rule: Rule::single(Vec::new(), 2),
        rule_version: Rule::single(Vec::new(), 2).version(),
        source: Source {
            workflow: "Payments".to_owned(),
            activity_arn: "arn:aws:states:eu-west-1:123456789012:activity:Payments".to_owned(),
            execution_arn: Some(format!("arn:aws:states:eu-west-1:123456789012:execution:pay:{number}")),
            state_machine_arn: Some("arn:aws:states:eu-west-1:123456789012:stateMachine:pay".to_owned()),
            state_name: Some("Approve".to_owned()),
            state_entered: Some(start()),
            key: None,
        },
        labels: Labels::new(),
        priority: Priority::Normal,
    }
}

fn person(name: &str) -> Person {
    Person { principal: name.parse().unwrap(), groups: Vec::new() }
}

fn vote(name: &str, decision: Decision) -> Command {
    Command::Vote {
        by: person(name),
        choice: decision.into(),
        comment: "fine".to_owned(),
        response: None,
        etag: None,
        cast_by: None,
    }
}

fn approve(name: &str) -> Command {
    vote(name, Decision::Approve)
}

/// Decides alone: one rejection is enough.
pub(crate) fn reject() -> Command {
    vote("bob", Decision::Reject)
}

fn cancel() -> Command {
    Command::Abandon { by: "user:ops".parse().unwrap(), reason: "stopped".to_owned() }
}

fn key(caller: &str, id: &str, body: u8) -> Option<RequestKey> {
    Some(RequestKey { caller: caller.to_owned(), id: id.to_owned(), fingerprint: [body; 32] })
}

pub(crate) async fn created(store: &SharedStore, admission: Admission) -> Arc<Approval> {
    match store.admit(admission).await.unwrap() {
        Admitted::Created(approval) => approval,
        other => panic!("not created: {other:?}"),
    }
}

/// Binds a task to what has its identity.
async fn bound(store: &SharedStore, mut admission: Admission, to: &Approval) -> Arc<Approval> {
    admission.identity = IdentityUse::Trusted { checked: Some((to.id.clone(), to.task.token.clone())) };
    match store.admit(admission).await.unwrap() {
        Admitted::Bound(approval) => approval,
        other => panic!("not bound: {other:?}"),
    }
}

pub(crate) fn origin() -> Origin {
    Origin::system("conformance")
}

/// Somebody who calls, for themselves or for somebody else.
fn caller(name: &str, on_behalf_of: Option<&str>) -> Origin {
    Origin {
        by: name.parse().unwrap(),
        on_behalf_of: on_behalf_of.map(|name| name.parse().unwrap()),
        via: Via::Certificate,
        address: Some("192.0.2.7:4711".to_owned()),
    }
}

async fn executed(store: &SharedStore, to: &Approval, command: Command, at: Timestamp) -> Executed {
    store.execute(&to.id, command, origin(), at, None).await.unwrap()
}

pub(crate) async fn done(store: &SharedStore, to: &Approval, command: Command, at: Timestamp) -> Arc<Approval> {
    done_of(executed(store, to, command, at).await)
}

fn done_of(executed: Executed) -> Arc<Approval> {
    match executed {
        Executed::Done { approval, revision } => {
            assert_eq!(approval.revision, revision);
            approval
        }
        other => panic!("not done: {other:?}"),
    }
}

async fn refused(store: &SharedStore, to: &Approval, command: Command, at: Timestamp) -> Refusal {
    match executed(store, to, command, at).await {
        Executed::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

async fn get(store: &SharedStore, approval: &Approval) -> Arc<Approval> {
    store.get(&approval.id).await.unwrap().unwrap()
}

pub(crate) fn head(store: &SharedStore) -> Revision {
    *store.head().borrow()
}

/// All changes after a revision, in pieces.
pub(crate) async fn changes(store: &SharedStore, mut after: Revision, piece: usize) -> Vec<Change> {
    let mut all = Vec::new();
    loop {
        match store.changes_after(after, piece).await.unwrap() {
            Changes::Some(some) if some.is_empty() => return all,
            Changes::Some(some) => {
                assert!(some.len() <= piece);
                all.extend(some);
            }
            Changes::Compacted(oldest) => panic!("compacted up to {oldest}"),
        }
        after = all.last().unwrap().revision;
    }
}

/// All that was pending at a revision, in pieces.
async fn pending_at(store: &SharedStore, as_of: Revision, piece: usize) -> Vec<Arc<Approval>> {
    let mut all: Vec<Arc<Approval>> = Vec::new();
    let mut after = None;
    loop {
        let page = store.pending_at(as_of, after, piece).await.unwrap();
        assert!(page.approvals.len() <= piece);
        all.extend(page.approvals.iter().map(|one| one.read().unwrap()));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// An event, as its record tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) revision: Revision,
    pub(crate) at: Timestamp,
    pub(crate) what: Described,
}

impl Line {
    fn of(event: &Recorded) -> Self {
        let record = json(event);
        let kind = record["type"].as_str().unwrap().to_owned();
        let detail: Detail<'_> = serde_json::from_str(&event.record).unwrap();
        let what = Described { kind, detail: detail.detail.map(|detail| detail.get().to_owned()) };
        assert_eq!(record["revision"], event.revision);
        Self { revision: event.revision, at: record["at"].as_str().unwrap().parse().unwrap(), what }
    }
}

/// The exact text of it.
#[derive(serde::Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    detail: Option<&'a serde_json::value::RawValue>,
}

fn json(event: &Recorded) -> serde_json::Value {
    serde_json::from_str(&event.record).unwrap()
}

/// An approval's events, oldest first.
pub(crate) async fn history(store: &SharedStore, id: &ApprovalId) -> Vec<Line> {
    let page = store.events(EventQuery { approval: Some(id.clone()), limit: 1_000, ..EventQuery::default() }).await;
    let page = page.unwrap();
    assert_eq!(page.next, None);
    page.events.iter().rev().map(Line::of).collect()
}

/// The whole record, whose chain holds.
pub(crate) async fn record(store: &SharedStore, limit: usize) -> Vec<Recorded> {
    let head = store.chain_head().await.unwrap();
    let (mut all, mut hash) = (Vec::new(), Hash::ZERO);
    while all.len() < usize::try_from(head.revision).unwrap() {
        let first = Revision::try_from(all.len()).unwrap() + 1;
        let range = ExportRange { first: Some(first), last: head.revision, payloads: true, limit };
        let Exported::Some { previous, events } = store.export(range).await.unwrap() else { panic!("compacted") };
        assert_eq!(previous, hash);
        for event in events {
            assert_eq!(event.revision, Revision::try_from(all.len()).unwrap() + 1);
            hash = hash.then(&event.record);
            assert_eq!(event.hash, hash, "{}", event.record);
            all.push(event);
        }
    }
    assert_eq!(head.hash, hash);
    all
}
