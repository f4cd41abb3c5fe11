//! What was asked of the system and what it acknowledged, held against what it says in the end.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use approve_client::{
    Approval, ApprovalStatus, Client, Decision, List,
    proto::{DeliveryState, Vote},
};
use aws_sdk_sfn::types::ExecutionStatus;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::{approvals::delivery_state, watcher::Seen};

/// How many executions are looked at together.
const LOOKS: usize = 16;

/// A vote that a caller sent, until it had an answer that means something.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The approval.
    pub id: String,
    /// Who.
    pub voter: String,
    /// What.
    pub decision: Decision,
    /// One of its own, so that the vote is known again.
    pub comment: String,
}

/// A vote that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The vote.
    pub sent: Sent,
    /// The revision that the answer named.
    pub revision: i64,
    /// The status that the answer named.
    pub status: ApprovalStatus,
}

/// What was asked and what was answered.
#[derive(Debug, Default)]
pub struct Entries {
    /// ARNs of executions.
    pub started: Vec<String>,
    /// ARNs of executions that were told to stop.
    pub stopped: BTreeSet<String>,
    /// Votes that count.
    pub acknowledged: Vec<Acknowledged>,
    /// Votes that do not count, with the reason.
    pub refused: Vec<(Sent, String)>,
    /// How often a vote had to be sent again.
    pub resent: usize,
}

/// [`Entries`] that many write to.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Entries>);

impl Ledger {
    /// What it holds.
    pub fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where all that was started has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Executions.
    pub started: usize,
    /// Approved or rejected.
    pub decided: usize,
    /// Expired.
    pub expired: usize,
    /// Cancelled.
    pub canceled: usize,
    /// Pending.
    pub pending: usize,
    /// Tasks beyond the first, over all approvals.
    pub reattached: usize,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { started, decided, expired, canceled, pending, reattached } = self;
        write!(
            f,
            "started {started} = decided {decided} + expired {expired} + canceled {canceled} + pending {pending}; \
             {reattached} tasks bound anew"
        )
    }
}

/// All approvals of the store.
pub async fn all_approvals(client: &Client) -> Vec<Approval> {
    client.list_all(List::new().oldest_first().page_size(500)).try_collect().await.unwrap()
}

/// Holds a settled system against the ledger and against what one watch told.
///
/// # Panics
/// With all that does not agree.
pub async fn check(ledger: &Ledger, seen: &Seen, client: &Client, step_functions: &aws_sdk_sfn::Client) -> Balance {
    let approvals = all_approvals(client).await;
    let mut wrong: Vec<String> = seen.wrong.clone();
    let by_id: HashMap<&str, &Approval> = approvals.iter().map(|approval| (approval.id.as_str(), approval)).collect();
    let mut by_execution: BTreeMap<&str, Vec<&Approval>> = BTreeMap::new();
    for approval in &approvals {
        by_execution.entry(&approval.source.as_ref().unwrap().execution_arn).or_default().push(approval);
    }
    let mut balance = Balance::default();
    let started = {
        let entries = ledger.entries();
        votes_hold(&entries, &by_id, seen, &mut wrong);
        for arn in by_execution.keys() {
            if !entries.started.iter().any(|started| started == arn) {
                wrong.push(format!("an approval of {arn}, which nobody started"));
            }
        }
        entries.started.clone()
    };
    balance.started = started.len();
    let looks = stream::iter(&started)
        .map(|arn| async move { (arn, step_functions.describe_execution().execution_arn(arn).send().await.unwrap()) });
    let executions: Vec<_> = looks.buffer_unordered(LOOKS).collect().await;
    for (arn, execution) in &executions {
        let [approval] = by_execution.get(arn.as_str()).map(Vec::as_slice).unwrap_or_default() else {
            let ids: Vec<_> = by_execution.get(arn.as_str()).into_iter().flatten().map(|found| &found.id).collect();
            wrong.push(format!("{arn} entered one state and has the approvals {ids:?}"));
            continue;
        };
        balance.reattached += approval.task_count.saturating_sub(1) as usize;
        match approval.status() {
            ApprovalStatus::Approved | ApprovalStatus::Rejected => balance.decided += 1,
            ApprovalStatus::Expired => balance.expired += 1,
            ApprovalStatus::Canceled => balance.canceled += 1,
            ApprovalStatus::Pending => balance.pending += 1,
            other => wrong.push(format!("{} is {other:?}", approval.id)),
        }
        if let Err(what) = agrees(approval, execution) {
            wrong.push(format!("{} is {:?}, but {what}", approval.id, approval.status()));
        }
    }
    watch_agrees(&approvals, seen, &mut wrong);
    let sum = balance.decided + balance.expired + balance.canceled + balance.pending;
    if sum != balance.started {
        wrong.push(format!("does not balance: {balance}"));
    }
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    balance
}

fn votes_hold(entries: &Entries, by_id: &HashMap<&str, &Approval>, seen: &Seen, wrong: &mut Vec<String>) {
    let is = |vote: &Vote, sent: &Sent| vote.voter == sent.voter && vote.comment == sent.comment;
    for Acknowledged { sent, revision, status } in &entries.acknowledged {
        let Some(approval) = by_id.get(sent.id.as_str()) else {
            wrong.push(format!("lost the approval of {sent:?}"));
            continue;
        };
        if !approval.votes.iter().any(|vote| is(vote, sent) && vote.decision() == sent.decision) {
            wrong.push(format!("lost {sent:?}, which was acknowledged: {:?}", approval.votes));
        }
        if *status != ApprovalStatus::Pending && *status != approval.status() {
            wrong.push(format!("{sent:?} was told {status:?}, it is {:?}", approval.status()));
        }
        if !seen.revisions.contains(revision) {
            wrong.push(format!("the watch did not tell of revision {revision}, {sent:?}"));
        }
    }
    for (sent, reason) in &entries.refused {
        let votes = by_id.get(sent.id.as_str()).map(|approval| approval.votes.as_slice()).unwrap_or_default();
        if votes.iter().any(|vote| is(vote, sent)) {
            wrong.push(format!("{sent:?} was refused ({reason}) and counts"));
        }
    }
}

/// Whether an execution is where its approval says.
fn agrees(
    approval: &Approval,
    execution: &aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput,
) -> Result<(), String> {
    let status = &execution.status;
    let told = |text: Option<&str>| -> Value { serde_json::from_str(text.unwrap_or("null")).unwrap_or_default() };
    let delivered = || match delivery_state(approval) {
        DeliveryState::Delivered => Ok(()),
        other => Err(format!("its delivery is {other:?}: {:?}", approval.delivery)),
    };
    let failed = |error: &str| {
        delivered()?;
        if *status != ExecutionStatus::Failed || execution.error() != Some(error) {
            return Err(format!("its execution is {status:?} {:?}", execution.error()));
        }
        names(approval, &told(execution.cause()))
    };
    match approval.status() {
        ApprovalStatus::Approved => {
            delivered()?;
            if *status != ExecutionStatus::Succeeded {
                return Err(format!("its execution is {status:?} {:?}", execution.error()));
            }
            names(approval, &told(execution.output()))
        }
        ApprovalStatus::Rejected => failed("Approval.Rejected"),
        ApprovalStatus::Expired => failed("Approval.Expired"),
        ApprovalStatus::Canceled if *status == ExecutionStatus::Aborted => Ok(()),
        ApprovalStatus::Pending if *status == ExecutionStatus::Running => Ok(()),
        _ => Err(format!("its execution is {status:?} {:?}", execution.error())),
    }
}

fn names(approval: &Approval, told: &Value) -> Result<(), String> {
    let by: Vec<_> = told["decided_by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if told["approval_id"] != *approval.id || by != approval.decided_by {
        return Err(format!("decided by {:?}, and its execution was told {told}", approval.decided_by));
    }
    Ok(())
}

/// What the watch told ends where the store is, and told of each approval's end once.
fn watch_agrees(approvals: &[Approval], seen: &Seen, wrong: &mut Vec<String>) {
    for approval in approvals {
        let removed = seen.removed.get(&approval.id).map(Vec::as_slice).unwrap_or_default();
        let expected: &[ApprovalStatus] =
            if approval.status() == ApprovalStatus::Pending { &[] } else { &[approval.status()] };
        if removed != expected {
            wrong.push(format!("{} is {:?}, the watch told {removed:?}", approval.id, approval.status()));
        }
        if !seen.upserted.contains(&approval.id) {
            wrong.push(format!("the watch never told of {}", approval.id));
        }
    }
    wrong.extend(view_differs(approvals, seen));
}

/// In what a watch's view differs from the store's pending approvals.
pub fn view_differs(approvals: &[Approval], seen: &Seen) -> Option<String> {
    let pending = approvals.iter().filter(|approval| approval.status() == ApprovalStatus::Pending);
    let stored: BTreeMap<_, _> = pending.map(|approval| (approval.id.as_str(), approval.revision)).collect();
    let viewed: BTreeMap<_, _> = seen.view.iter().map(|approval| (approval.id.as_str(), approval.revision)).collect();
    (stored != viewed).then(|| format!("pending by the store {stored:?}, by the watch {viewed:?}"))
}
