//! Keeps the tasks of pending approvals open: what is due by the store's index, the earliest deadline first, under a rate
//! that leaves room for decisions. A heartbeat that gets no answer holds up no other.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Shared,
    closed::{Fate, fate},
};
use crate::{
    approval::{Approval, ApprovalId, Command, Origin, Principal, TaskToken},
    stepfunctions::{CallError, Failure},
    store::{DEFAULT_HEARTBEAT, Executed, HeartbeatDue, NextDue, StoreError},
};

/// How many are in hand at once: read and not yet sent, under way, or sent and not yet noted.
const IN_HAND: usize = 1_024;
/// How many are under way at once.
const UNDER_WAY: usize = 64;
/// How many are noted together.
const NOTED: usize = 256;

/// A heartbeat is of one task.
type Key = (ApprovalId, TaskToken);

fn key(item: &HeartbeatDue) -> Key {
    (item.id.clone(), item.token.clone())
}

fn interval(item: &HeartbeatDue) -> SignedDuration {
    item.heartbeat.unwrap_or(DEFAULT_HEARTBEAT * 3 / 2)
}

/// When Step Functions gives the task up.
fn deadline(item: &HeartbeatDue) -> Timestamp {
    item.due.checked_add(interval(item) / 3).unwrap_or(Timestamp::MAX)
}

/// When new tasks want their first heartbeat, until it is noted. If it never is, the store's own time holds.
#[derive(Default)]
pub(super) struct First(Mutex<Vec<NextDue>>);

impl First {
    fn take(&self) -> Vec<NextDue> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Spreads the first heartbeats of tasks that came together: all at two thirds of the interval, they would be more than
/// the rate allows before their deadline.
pub(super) fn spread(shared: &Shared, approval: &Approval) {
    let Some(interval) = approval.task.heartbeat.filter(|_| approval.wants_heartbeats()) else { return };
    let wait = interval.mul_f64(1.0 / 6.0 + 0.5 * shared.random());
    let due = approval.task.taken.checked_add(wait).unwrap_or(approval.task.taken);
    let next = NextDue { id: approval.id.clone(), token: approval.task.token.clone(), due };
    shared.first_heartbeats.0.lock().unwrap_or_else(PoisonError::into_inner).push(next);
    shared.heartbeat.set(due);
}

pub(super) async fn run(shared: &Shared, stop: &CancellationToken) -> Result<(), StoreError> {
    let mut waiting: BTreeMap<(Timestamp, ApprovalId), HeartbeatDue> = BTreeMap::new();
    let mut under_way = FuturesUnordered::new();
    let mut sent: Vec<NextDue> = Vec::new();
    let mut in_hand: HashSet<Key> = HashSet::new();
    let mut danger = Danger::default();
    shared.heartbeat.set(shared.clock.now());
    loop {
        if sent.len() >= NOTED || (under_way.is_empty() && waiting.is_empty() && !sent.is_empty()) {
            note(shared, &mut sent, &mut in_hand).await?;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some((item, result)) = under_way.next() => {
                danger.look(shared, &item);
                match result? {
                    Some(next) => sent.push(next),
                    None => drop(in_hand.remove(&key(&item))),
                }
            }
            () = shared.heartbeat_rate.ready(), if !waiting.is_empty() && under_way.len() < UNDER_WAY => {
                if let Some((_, item)) = waiting.pop_first() {
                    under_way.push(async move {
                        let result = beat(shared, &item).await;
                        (item, result)
                    });
                }
            }
            () = shared.heartbeat.ring(&*shared.clock), if in_hand.len() <= IN_HAND / 2 => {
                note(shared, &mut sent, &mut in_hand).await?;
                for first in shared.first_heartbeats.take().chunks(NOTED) {
                    shared.store.set_heartbeats(first.to_vec()).await?;
                }
                // Those in hand are still due by the store: read past them.
                let due = shared.store.due_heartbeats(shared.clock.now(), IN_HAND + in_hand.len()).await?;
                if let Some(next) = due.next {
                    shared.heartbeat.set(next);
                }
                for item in due.items {
                    if in_hand.insert(key(&item)) {
                        waiting.insert((deadline(&item), item.id.clone()), item);
                    }
                }
            }
        }
    }
    // What is under way is finished; what is not is due at the next start.
    while let Some((_, result)) = under_way.next().await {
        sent.extend(result?);
    }
    note(shared, &mut sent, &mut in_hand).await
}

/// Writes down when what was sent is due again.
async fn note(shared: &Shared, sent: &mut Vec<NextDue>, in_hand: &mut HashSet<Key>) -> Result<(), StoreError> {
    if sent.is_empty() {
        return Ok(());
    }
    let noted = std::mem::take(sent);
    let earliest = noted.iter().map(|next| next.due).min();
    shared.store.set_heartbeats(noted.clone()).await?;
    for next in noted {
        in_hand.remove(&(next.id, next.token));
    }
    if let Some(earliest) = earliest {
        shared.heartbeat.set(earliest);
    }
    Ok(())
}

/// Heartbeats that come late: counted each, logged once until it is over.
#[derive(Default)]
struct Danger {
    since: Option<Timestamp>,
}

impl Danger {
    fn look(&mut self, shared: &Shared, item: &HeartbeatDue) {
        let now = shared.clock.now();
        let late = now > item.due.checked_add(interval(item) / 6).unwrap_or(Timestamp::MAX);
        if late {
            shared.metrics.heartbeats_in_danger.inc();
            if self.since.is_none() {
                self.since = Some(now);
                warn!(
                    approval = %item.id,
                    "heartbeats are late: less than half of their margin is left; see heartbeats_per_second"
                );
            }
        } else if let Some(since) = self.since.take() {
            info!(seconds = now.duration_since(since).as_secs(), "heartbeats are in time again");
        }
    }
}

/// Sends one heartbeat; its next time, unless its task turned out to be closed.
async fn beat(shared: &Shared, item: &HeartbeatDue) -> Result<Option<NextDue>, StoreError> {
    if !shared.may_act() {
        // Whoever has it by then finds it due.
        return Ok(None);
    }
    let wait = match shared.stepfunctions.send_task_heartbeat(&item.token).await {
        Ok(()) => {
            shared.metrics.heartbeats_sent.inc();
            (interval(item) * 2 / 3).mul_f64(1.0 - 0.15 * shared.random())
        }
        Err(CallError { failure: Failure::Gone | Failure::TimedOut, .. }) => match lost(shared, item).await? {
            None => return Ok(None),
            Some(wait) => wait,
        },
        Err(error) => {
            shared.metrics.heartbeats_failed.inc();
            debug!(approval = %item.id, %error, "heartbeat failed; trying again");
            let wait = (interval(item) / 20).clamp(SignedDuration::from_millis(200), SignedDuration::from_secs(5));
            wait.mul_f64(0.5 + 0.5 * shared.random())
        }
    };
    Ok(Some(NextDue { id: item.id.clone(), token: item.token.clone(), due: shared.clock.now() + wait }))
}

/// A task is closed: its approval waits for a retry, or ends with its workflow. How long to wait before asking again,
/// where that can't be told now.
async fn lost(shared: &Shared, item: &HeartbeatDue) -> Result<Option<SignedDuration>, StoreError> {
    let Some(approval) = shared.store.get(&item.id).await? else {
        return Ok(None);
    };
    if !approval.wants_heartbeats() || approval.task.token != item.token {
        return Ok(None);
    }
    shared.metrics.tasks_lost.inc();
    let command = match fate(shared, &approval).await {
        Ok(Fate::Running) => Command::Detach {
            token: item.token.clone(),
            reason: "the task was closed while its execution runs on".to_owned(),
        },
        Ok(Fate::Ended(reason)) => cancel(reason),
        Ok(Fate::Answered | Fate::Unknown) => cancel("its task was closed".to_owned()),
        Err(error) => {
            warn!(approval = %approval.id, %error, "cannot tell what became of a workflow");
            return Ok(Some(SignedDuration::from_secs(5)));
        }
    };
    end(shared, &approval.id, command).await?;
    Ok(None)
}

/// The command that ends an approval whose workflow is gone.
pub(super) fn cancel(reason: String) -> Command {
    Command::Abandon { by: Principal::system("worker"), reason }
}

/// Carries out a command that follows from what Step Functions said. A refusal means that somebody was faster.
pub(super) async fn end(shared: &Shared, id: &ApprovalId, command: Command) -> Result<(), StoreError> {
    let at = shared.clock.now();
    let origin = Origin::system("worker");
    if let Executed::Done { approval, .. } = shared.store.execute(id, command, origin, at, None).await? {
        info!(
            approval = %approval.id,
            status = approval.status.name(),
            task = ?approval.task.state,
            reason = approval.reason,
            "task closed"
        );
        shared.changed(&approval, at);
    }
    Ok(())
}
