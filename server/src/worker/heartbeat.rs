//! Keeps the tasks of pending approvals open: what is due by the store's index, earliest first, under a rate that leaves
//! room for decisions.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Shared,
    closed::{Fate, fate},
};
use crate::{
    approval::{Command, Principal},
    stepfunctions::{CallError, Failure},
    store::{DEFAULT_HEARTBEAT, HeartbeatDue, NextHeartbeat, StoreError},
};

/// How many are read and sent together.
const BATCH: usize = 256;
/// How many may be under way at once.
const CONCURRENCY: usize = 32;

pub(super) async fn run(shared: &Shared, stop: &CancellationToken) -> Result<(), StoreError> {
    shared.heartbeat.set(shared.clock.now());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = shared.heartbeat.ring(&*shared.clock) => {}
        }
        let due = shared.store.due_heartbeats(shared.clock.now(), BATCH).await?;
        if let Some(next) = due.next {
            shared.heartbeat.set(next);
        }
        let next: Vec<_> = stream::iter(due.items)
            .map(|item| beat(shared, item))
            .buffer_unordered(CONCURRENCY)
            .filter_map(|next| async { next.transpose() })
            .collect()
            .await;
        let next = next.into_iter().collect::<Result<Vec<_>, _>>()?;
        if let Some(earliest) = next.iter().map(|next| next.due).min() {
            shared.heartbeat.set(earliest);
            shared.store.set_heartbeats(next).await?;
        }
    }
}

/// Sends one heartbeat; its next time, unless its task turned out to be closed.
async fn beat(shared: &Shared, item: HeartbeatDue) -> Result<Option<NextHeartbeat>, StoreError> {
    shared.heartbeat_rate.ready().await;
    let interval = item.heartbeat.map_or(DEFAULT_HEARTBEAT, |known| known * 2 / 3);
    let wait = match shared.stepfunctions.send_task_heartbeat(&item.token).await {
        Ok(()) => interval.mul_f64(1.0 - 0.1 * shared.random()),
        Err(CallError { failure: Failure::Gone | Failure::TimedOut, .. }) => match lost(shared, &item).await? {
            None => return Ok(None),
            Some(wait) => wait,
        },
        Err(error) => {
            warn!(approval = %item.id, %error, "heartbeat failed");
            SignedDuration::from_secs(1) + interval.mul_f64(0.05 * shared.random())
        }
    };
    Ok(Some(NextHeartbeat { id: item.id, token: item.token, due: shared.clock.now() + wait }))
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
    end(shared, &Arc::clone(&approval).id, command).await?;
    Ok(None)
}

/// The command that ends an approval whose workflow is gone.
pub(super) fn cancel(reason: String) -> Command {
    Command::Cancel { by: Principal::system("worker"), reason }
}

/// Carries out a command that follows from what Step Functions said. A refusal means that somebody was faster.
pub(super) async fn end(shared: &Shared, id: &crate::approval::ApprovalId, command: Command) -> Result<(), StoreError> {
    let at = shared.clock.now();
    if let crate::store::Executed::Done { approval, .. } = shared.store.execute(id, command, at, None).await? {
        info!(
            approval = %approval.id,
            status = approval.status.name(),
            task = ?approval.task.state,
            reason = approval.reason,
            "task closed"
        );
        shared.schedule(&approval);
    }
    Ok(())
}
