//! Does what comes with time alone: deadlines, reminders, escalations, the ends of holds and assignments. The store decides
//! between an expiry and a decision.

use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Shared;
use crate::{
    approval::{ApprovalId, Command, Origin},
    store::{Executed, StoreError},
};

/// How many are read and written together.
const BATCH: usize = 256;

pub(super) async fn run(shared: &Shared, stop: &CancellationToken) -> Result<(), StoreError> {
    shared.timers.set(shared.clock.now());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = shared.timers.ring(&*shared.clock) => {}
        }
        let due = shared.store.due_timers(shared.clock.now(), BATCH).await?;
        if let Some(next) = due.next {
            shared.timers.set(next);
        }
        let mut rung = stream::iter(due.items).map(|id| ring(shared, id)).buffer_unordered(BATCH);
        while let Some(result) = rung.next().await {
            result?;
        }
    }
}

async fn ring(shared: &Shared, id: ApprovalId) -> Result<(), StoreError> {
    let at = shared.clock.now();
    let executed = shared.store.execute(&id, Command::Timer, Origin::system("timer"), at, None).await?;
    if let Executed::Done { approval, .. } = executed {
        if approval.status.is_final() {
            shared.metrics.expired.inc();
            info!(approval = %approval.id, status = approval.status.name(), "expired");
        } else {
            info!(approval = %approval.id, reminders = approval.reminders, escalations = approval.escalations, "timer");
        }
        shared.changed(&approval, at);
    }
    Ok(())
}
