//! Looks after approvals that wait for a retry's task, so that none waits for ever: the workflow may have ended, or gone
//! on without a retry.

use futures::{StreamExt as _, stream};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Shared,
    closed::{Fate, fate},
    heartbeat::{cancel, end},
};
use crate::{
    approval::{Approval, Command, Status},
    store::{NextDue, StoreError},
};

/// How many are looked at together.
const BATCH: usize = 256;
/// How many may be looked at at once: each look is a call or two.
const CONCURRENCY: usize = 8;
/// The longest time from look to look.
const MAX_WAIT: SignedDuration = SignedDuration::from_mins(2);

pub(super) async fn run(shared: &Shared, stop: &CancellationToken) -> Result<(), StoreError> {
    shared.detached.set(shared.clock.now());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = shared.detached.ring(&*shared.clock) => {}
        }
        let due = shared.store.due_detached(shared.clock.now(), BATCH).await?;
        if let Some(next) = due.next {
            shared.detached.set(next);
        }
        let looks: Vec<_> = stream::iter(due.items)
            .map(|approval| async move { look(shared, &approval).await })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        let mut again = Vec::new();
        for looked in looks {
            again.extend(looked?);
        }
        if let Some(earliest) = again.iter().map(|next: &NextDue| next.due).min() {
            shared.store.set_detached(again).await?;
            shared.detached.set(earliest);
        }
    }
}

/// Ends the wait where its end is known; else when to look again.
async fn look(shared: &Shared, approval: &Approval) -> Result<Option<NextDue>, StoreError> {
    let now = shared.clock.now();
    let since = approval.task.detached.unwrap_or(now);
    let waited = now.duration_since(since);
    let why = match fate(shared, approval).await {
        Ok(Fate::Answered) => {
            let command = Command::Delivered { token: approval.task.token.clone(), attempts: 0 };
            end(shared, &approval.id, command).await?;
            return Ok(None);
        }
        Ok(Fate::Ended(reason)) => Some(reason),
        Ok(Fate::Running | Fate::Unknown) if waited > shared.options.detached_for => {
            Some("its task was lost, and no retry came".to_owned())
        }
        Ok(Fate::Running | Fate::Unknown) => None,
        Err(error) => {
            warn!(approval = %approval.id, %error, "cannot tell what became of a workflow");
            None
        }
    };
    let Some(why) = why else {
        let wait = (waited / 2).clamp(SignedDuration::from_secs(5), MAX_WAIT);
        let due = shared.clock.now() + wait.mul_f64(0.8 + 0.2 * shared.random());
        return Ok(Some(NextDue { id: approval.id.clone(), token: approval.task.token.clone(), due }));
    };
    let command = if approval.status == Status::Pending {
        cancel(why)
    } else {
        Command::Undeliverable { token: approval.task.token.clone(), attempts: 0, reason: why }
    };
    end(shared, &approval.id, command).await?;
    Ok(None)
}
