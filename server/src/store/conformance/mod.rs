//! What every store must do, as tests of the trait alone. `conformance!` runs them for one implementation.

pub(crate) mod admission;
pub(crate) mod commands;
pub(crate) mod due;
pub(crate) mod lists;
pub(crate) mod log;
mod model;
pub(crate) mod random;
pub(crate) mod rest;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Admission, Admitted, Change, Changes, Executed, IdentityUse, RequestKey, Revision, SharedStore};
pub(crate) use crate::approval::arbitrary::{seconds, start};
use crate::approval::{
    Approval, Command, Decision, Labels, Origin, Person, Priority, Refusal, Request, Rule, Source, TaskInput, TaskToken,
};

/// Where one store lives.
#[async_trait]
pub(crate) trait Bed: Send + Sync {
    /// Opens it: the same one each time, empty at first.
    async fn open(&self) -> SharedStore;
}

/// The tests of all rooms, for a bed.
macro_rules! conformance {
    ($bed:expr) => {
        $crate::store::conformance::conformance! { @each $bed;
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
            lists prefixes_find_ids,
            lists long_inputs_are_read_in_pieces,
            log changes_come_in_order_with_what_was_before,
            log what_was_pending_is_seen_as_it_was,
            log the_head_moves_with_every_change,
            log changes_have_no_gaps_under_load,
            rest history_tells_everything,
            rest pending_approvals_are_counted,
            rest workflows_are_kept,
            rest everything_survives_a_restart,
            rest nothing_acknowledged_is_lost_when_dropped,
            rest a_closed_store_says_so,
        }

        #[test]
        fn random_histories() {
            $crate::store::conformance::random::random_histories(|| $bed);
        }
    };
    (@each $bed:expr; $($room:ident $test:ident,)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
        rule: Rule { required_approvals: 2, ..Rule::default() },
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
    Command::Vote { by: person(name), decision, comment: "fine".to_owned(), response: None, etag: None, cast_by: None }
}

fn approve(name: &str) -> Command {
    vote(name, Decision::Approve)
}

/// Decides alone: one rejection is enough.
pub(crate) fn reject() -> Command {
    vote("bob", Decision::Reject)
}

fn cancel() -> Command {
    Command::Cancel { by: "user:ops".parse().unwrap(), reason: "stopped".to_owned() }
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
    loop {
        let after = all.last().map(|approval| approval.id.clone());
        let some = store.pending_at(as_of, after, piece).await.unwrap();
        let end = some.len() < piece;
        all.extend(some);
        if end {
            return all;
        }
    }
}
