//! What must hold after every simulation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use approve_client::{ApprovalStatus, audit::Replay};
use approve_server::{
    approval::{Approval, ApprovalId, DeliveryState, Status},
    audit::Hash,
    store::{ExportRange, Exported, Recorded, Store},
};
use serde_json::Value;
use sfn_local::engine::{EventDetail, ExecutionStatus};

use super::{
    Options, Started,
    aws::Aws,
    definitions::Kind,
    people::Ledger,
    port::Network,
    server::{MAX_POLLS, MIN_POLLS, Machine, Power},
};

pub(super) async fn check(
    aws: &Aws,
    network: &Network,
    machine: &Machine,
    power: &Power,
    started: &[Started],
    ledger: &Mutex<Ledger>,
    options: Options,
) -> Vec<String> {
    let calm = options.faults.is_none() && !options.outages && !options.kills;
    let prompt = options.faults.is_none() && !options.outages;
    let approvals = machine.all_approvals(power).await;
    let mut wrong = network.wrong();
    for execution in started {
        let own: Vec<_> = approvals
            .iter()
            .filter(|approval| approval.request.source.execution_arn.as_deref() == Some(&*execution.arn))
            .collect();
        check_execution(aws, execution, &own, calm, &mut wrong);
    }
    if calm {
        polls_follow_demand(aws, power.places(), &mut wrong).await;
    }
    once_asked(&approvals, &mut wrong);
    answers_agree(network, &approvals, &mut wrong);
    {
        let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        acknowledged_holds(&ledger, &approvals, &mut wrong);
    }
    if let Some(running) = power.running() {
        let mut histories: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
        for event in record(&*running.store, &mut wrong).await {
            let record: Value = serde_json::from_str(&event.record).unwrap_or_default();
            let approval = record["approval"].as_str().unwrap_or_default();
            histories.entry(approval.to_owned()).or_default().push(event);
        }
        for approval in &approvals {
            let history = histories.get(approval.id.as_str()).map_or(&[][..], Vec::as_slice);
            explained(approval, history, prompt, &mut wrong);
        }
    }
    wrong
}

/// Every execution ended as the recorded decisions say.
fn check_execution(aws: &Aws, execution: &Started, own: &[&Arc<Approval>], calm: bool, wrong: &mut Vec<String>) {
    let Ok(found) = aws.call(|engine, now| engine.describe_execution(&execution.arn, now)) else {
        return wrong.push(format!("{} is unknown", execution.arn));
    };
    let arrived = |status| own.iter().any(|one| one.status == status && one.delivery.state == DeliveryState::Delivered);
    let error = found.error.as_deref().unwrap_or("");
    let agrees = match found.status {
        ExecutionStatus::Running => false,
        ExecutionStatus::Aborted => execution.stopped,
        ExecutionStatus::TimedOut => false,
        ExecutionStatus::Succeeded => {
            let approved = own
                .iter()
                .filter(|one| one.status == Status::Approved && one.delivery.state == DeliveryState::Delivered);
            approved.count() == execution.kind.questions() && own.len() == execution.kind.questions()
        }
        ExecutionStatus::Failed => match error {
            "Approval.Rejected" => arrived(Status::Rejected),
            "Approval.Expired" => arrived(Status::Expired),
            _ => false,
        },
    };
    if !agrees {
        let own: Vec<_> = own
            .iter()
            .map(|one| {
                format!("{} {} {:?} {:?}", one.id, one.status.name(), one.delivery.state, one.delivery.last_error)
            })
            .collect();
        wrong.push(format!("{} is {:?} ({error}) but: {own:?}", execution.arn, found.status));
    }
    if found.status == ExecutionStatus::Succeeded {
        for one in own.iter().filter(|one| one.status != Status::Approved) {
            wrong.push(format!("{} succeeded although {} is {:?}", execution.arn, one.id, one.status));
        }
    }
    // With nothing going wrong, no heartbeat is ever late.
    let events = aws.call(|engine, now| engine.execution_history(&execution.arn, now).map(<[_]>::to_vec));
    let missed = |event: &sfn_local::engine::Event| matches!(&event.detail, EventDetail::ActivityTimedOut(_));
    if calm && events.is_ok_and(|events| events.iter().any(missed)) {
        wrong.push(format!("{} missed a heartbeat on a calm day", execution.arn));
    }
}

/// Each activity has its fewest polls once there is nothing to do, had more while there was, and never too many.
async fn polls_follow_demand(aws: &Aws, servers: usize, wrong: &mut Vec<String>) {
    let activities = Kind::ALL.len() * servers;
    // One that has just ended is about to be opened again.
    for _ in 0..20 {
        let (most, now) = aws.polls();
        if now == MIN_POLLS * activities && most > now && most <= MAX_POLLS * activities {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    wrong.push(format!("open polls: at most {} were, and {} are", aws.polls().0, aws.polls().1));
}

/// Nobody was asked twice for the same thing.
fn once_asked(approvals: &[Arc<Approval>], wrong: &mut Vec<String>) {
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for approval in approvals {
        match approval.request.source.identity() {
            Some(identity) => asked.entry(identity).or_default().push(approval.id.to_string()),
            None => wrong.push(format!("{} has no identity", approval.id)),
        }
    }
    for (identity, ids) in asked.into_iter().filter(|(_, ids)| ids.len() > 1) {
        wrong.push(format!("asked {} times: {identity:?}: {ids:?}", ids.len()));
    }
}

/// What Step Functions accepted is what is recorded, every time.
fn answers_agree(network: &Network, approvals: &[Arc<Approval>], wrong: &mut Vec<String>) {
    for answer in network.answers() {
        let Some(approval) = approvals.iter().find(|one| is_of(&answer.body, one)) else {
            wrong.push(format!("an answer of no approval: {}", answer.body));
            continue;
        };
        let outcome = approval.outcome.as_deref().unwrap_or(approval.status.name());
        let outcome = format!(",\"outcome\":\"{outcome}\",\"status\":\"{}\"", approval.status.name());
        if !answer.body.contains(&outcome) || answer.success != (approval.status == Status::Approved) {
            wrong.push(format!("{} is {:?} but was answered {}", approval.id, approval.status, answer.body));
        }
        if approval.delivery.state != DeliveryState::Delivered && approval.task.token.reveal() == answer.token {
            wrong.push(format!("{} was answered, and is {:?}", approval.id, approval.delivery.state));
        }
    }
}

/// An answer begins with its approval; the payload behind that may hold earlier ones.
fn is_of(body: &str, approval: &Approval) -> bool {
    body.starts_with(&format!("{{\"approval_id\":\"{}\"", approval.id))
}

/// Nothing that was acknowledged was lost.
fn acknowledged_holds(ledger: &Ledger, approvals: &[Arc<Approval>], wrong: &mut Vec<String>) {
    wrong.extend(ledger.wrong.iter().cloned());
    let find = |id: &ApprovalId| approvals.iter().find(|one| one.id == *id);
    for (id, status) in &ledger.acknowledged {
        if find(id).is_none_or(|one| one.status != *status) {
            wrong.push(format!("{id} was acknowledged as {status:?}, and is not"));
        }
    }
    for (id, voter, decision) in &ledger.votes {
        let kept = find(id).is_some_and(|one| one.votes.iter().any(|vote| vote.voter.as_str() == voter));
        if !kept {
            wrong.push(format!("the vote {decision:?} of {voter} on {id} was acknowledged, and is lost"));
        }
    }
}

/// The whole record, if its chain holds.
async fn record(store: &dyn Store, wrong: &mut Vec<String>) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    let Ok(head) = store.chain_head().await else { return all };
    let mut hash = Hash::ZERO;
    while let Ok(Exported::Some { events, .. }) = store
        .export(ExportRange {
            first: all.last().map(|last| last.revision + 1),
            last: head.revision,
            payloads: true,
            limit: 1_000,
        })
        .await
        && !events.is_empty()
    {
        for event in events {
            hash = hash.then(&event.record);
            if event.hash != hash || event.revision != all.last().map_or(0, |last| last.revision) + 1 {
                wrong.push(format!("the chain breaks at event {}", event.revision));
            }
            all.push(event);
        }
    }
    if (hash, all.last().map_or(0, |last| last.revision)) != (head.hash, head.revision) {
        wrong.push(format!("the chain ends at {}, and not with its head", head.revision));
    }
    all
}

/// The record explains every transition.
fn explained(approval: &Approval, history: &[Recorded], prompt: bool, wrong: &mut Vec<String>) {
    let mut replay = Replay::default();
    for event in history {
        let was_final = replay.status.is_some_and(|status| status != ApprovalStatus::Pending);
        let tasks = replay.tasks;
        if let Err(error) = replay.apply(&event.record) {
            wrong.push(format!("{}: {error}", approval.id));
        }
        // Without outages the outbox alone is enough: no decision has to wait for another task.
        if prompt && was_final && replay.tasks > tasks {
            wrong.push(format!("{}: the decision waited for a retry's task", approval.id));
        }
    }
    let status = replay.status.and_then(|status| status.as_str_name().strip_prefix("APPROVAL_STATUS_"));
    let as_told = status == Some(approval.status.name())
        && approval.task.count == replay.tasks
        && replay.delivered == (approval.delivery.state == DeliveryState::Delivered);
    if !as_told {
        wrong.push(format!("{} is not what its record says: {history:?}", approval.id));
    }
}
