//! Tells workflows what was decided: from the store's outbox, oldest first, many at once, so that one that fails holds
//! up no other.
//!
//! A fresh decision takes the fast lane: it is handed over in memory right after its commit. The outbox has it too, and
//! is what counts: it is read at start, when a try failed, and when the fast lane is full.

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Shared,
    backoff::Backoff,
    closed::{Fate, fate},
};
use crate::{
    approval::{Answer, Approval, ApprovalId, Command, Origin, TaskToken},
    stepfunctions::{CallError, Failure},
    store::{DeliveryTry, Executed, StoreError},
    telemetry::metrics::{Settled, SettledLabel},
};

/// How many decisions may wait in the fast lane.
const FAST_LANE: usize = 1_024;

/// Hands fresh decisions to the delivery loop.
pub(super) struct FastLane(mpsc::Sender<Arc<Approval>>);

impl FastLane {
    pub(super) fn new() -> (Self, mpsc::Receiver<Arc<Approval>>) {
        let (sender, receiver) = mpsc::channel(FAST_LANE);
        (Self(sender), receiver)
    }

    /// Whether there was room.
    pub(super) fn offer(&self, approval: &Arc<Approval>) -> bool {
        self.0.try_send(Arc::clone(approval)).is_ok()
    }
}

pub(super) async fn run(
    shared: &Shared,
    decided: &mut mpsc::Receiver<Arc<Approval>>,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut under_way = FuturesUnordered::new();
    let mut taken: HashSet<Key> = HashSet::new();
    shared.delivery.set(shared.clock.now());
    loop {
        let room = taken.len() < shared.options.deliveries;
        let mut fresh = Vec::new();
        tokio::select! {
            biased;
            Some((key, result)) = under_way.next() => {
                taken.remove(&key);
                result?;
            }
            Some(approval) = decided.recv(), if room => fresh.push(approval),
            () = shared.delivery.ring(&*shared.clock), if room => {
                // Those under way are still due by the store: read past them.
                let limit = shared.options.deliveries + taken.len();
                let due = shared.store.due_deliveries(shared.clock.now(), limit).await?;
                if let Some(next) = due.next {
                    shared.delivery.set(next);
                }
                fresh = due.items;
            }
            () = stop.cancelled() => break,
        }
        for approval in fresh {
            let key = key(&approval);
            if taken.insert(key.clone()) {
                under_way.push(async move { (key, deliver(shared, &approval).await) });
            }
        }
    }
    drain(shared, under_way, taken).await
}

/// Before the worker stops: what is in hand is finished, and what else is due is tried once.
async fn drain<W>(
    shared: &Shared,
    mut under_way: FuturesUnordered<W>,
    mut tried: HashSet<Key>,
) -> Result<(), StoreError>
where
    W: Future<Output = (Key, Result<(), StoreError>)>,
{
    while let Some((_, result)) = under_way.next().await {
        result?;
    }
    loop {
        let limit = shared.options.deliveries + tried.len();
        let due = shared.store.due_deliveries(shared.clock.now(), limit).await?;
        let fresh: Vec<_> = due.items.into_iter().filter(|approval| tried.insert(key(approval))).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let mut tries: FuturesUnordered<_> = fresh.iter().map(|approval| deliver(shared, approval)).collect();
        while let Some(result) = tries.next().await {
            result?;
        }
    }
}

/// An answer to one task: an approval that is bound anew is answered anew.
type Key = (ApprovalId, TaskToken);

fn key(approval: &Approval) -> Key {
    (approval.id.clone(), approval.task.token.clone())
}

/// Tries once, and records what came of it.
async fn deliver(shared: &Shared, approval: &Arc<Approval>) -> Result<(), StoreError> {
    let Some(answer) = Answer::of(approval).filter(|_| approval.wants_delivery()) else {
        return Ok(());
    };
    let token = approval.task.token.clone();
    shared.delivery_rate.ready().await;
    if !shared.may_act() {
        // It stays in the outbox, for whoever has it by then.
        return Ok(());
    }
    let from = SystemTime::now();
    let (operation, sent) = match &answer {
        Answer::Success { output } => ("SendTaskSuccess", shared.stepfunctions.send_task_success(&token, output).await),
        Answer::Failure { error, cause } => {
            ("SendTaskFailure", shared.stepfunctions.send_task_failure(&token, error, cause).await)
        }
    };
    let failure = sent.as_ref().err().map(|error| format!("{:?}", error.failure));
    shared.options.tracer.tried(approval, operation, from, failure.as_deref());
    match sent {
        Ok(()) => settle(shared, approval, Command::Delivered { token, attempts: 1 }).await,
        Err(CallError { failure: Failure::Gone | Failure::TimedOut, message, .. }) => {
            closed(shared, approval, message).await
        }
        Err(error @ CallError { failure: Failure::Refused, .. }) => {
            warn!(approval = %approval.id, %error, "Step Functions refuses the answer");
            settle(shared, approval, Command::Undeliverable { token, attempts: 1, reason: error.to_string() }).await
        }
        Err(error) => again(shared, approval, &error).await,
    }
}

/// The task is closed. That is what an answer looks like, too, whose own answer was lost.
async fn closed(shared: &Shared, approval: &Arc<Approval>, message: String) -> Result<(), StoreError> {
    let token = approval.task.token.clone();
    let command = match fate(shared, approval).await {
        Ok(Fate::Answered) => Command::Delivered { token, attempts: 1 },
        Ok(Fate::Running) => {
            Command::Detach { token, reason: "the task was closed before its answer arrived".to_owned() }
        }
        Ok(Fate::Ended(reason)) => Command::Undeliverable { token, attempts: 1, reason },
        Ok(Fate::Unknown) => Command::Undeliverable { token, attempts: 1, reason: message },
        Err(error) => return again(shared, approval, &error).await,
    };
    settle(shared, approval, command).await
}

async fn settle(shared: &Shared, approval: &Arc<Approval>, command: Command) -> Result<(), StoreError> {
    let settled = match &command {
        Command::Delivered { .. } => Settled::Delivered,
        Command::Detach { .. } => Settled::Detached,
        _ => Settled::Undeliverable,
    };
    let at = shared.clock.now();
    let executed = shared.store.execute(&approval.id, command, Origin::system("delivery"), at, None).await?;
    if let Executed::Done { approval, .. } = executed {
        shared.metrics.deliveries.get_or_create(&SettledLabel { settled }).inc();
        if let (Settled::Delivered, Some(decided)) = (settled, approval.decided) {
            shared.metrics.delivery_delay.observe(at.duration_since(decided).as_secs_f64().max(0.0));
        }
        info!(
            approval = %approval.id,
            status = approval.status.name(),
            delivery = ?approval.delivery.state,
            task = ?approval.task.state,
            error = approval.delivery.last_error,
            "delivery settled"
        );
        shared.changed(&approval, at);
    }
    Ok(())
}

/// Throttling is no failure: it counts no try.
async fn again(shared: &Shared, approval: &Arc<Approval>, error: &CallError) -> Result<(), StoreError> {
    let attempts = match error.failure {
        Failure::Throttled => 0,
        Failure::Gone | Failure::TimedOut | Failure::Denied | Failure::Refused | Failure::Unknown => 1,
    };
    shared.metrics.delivery_retries.inc();
    let tries = approval.delivery.attempts + 1;
    let due = shared.clock.now() + Backoff::CALLS.wait(tries, shared.random());
    debug!(approval = %approval.id, %error, tries, "delivery failed; trying again");
    let noted = DeliveryTry {
        id: approval.id.clone(),
        token: approval.task.token.clone(),
        attempts,
        error: error.to_string(),
        due,
    };
    shared.store.note_deliveries(vec![noted]).await?;
    shared.delivery.set(due);
    Ok(())
}
