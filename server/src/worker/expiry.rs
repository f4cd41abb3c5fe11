//! Ends approvals whose own deadline has passed. The store decides between an expiry and a decision.

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
    shared.expiry.set(shared.clock.now());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = shared.expiry.ring(&*shared.clock) => {}
        }
        let due = shared.store.due_expiries(shared.clock.now(), BATCH).await?;
        if let Some(next) = due.next {
            shared.expiry.set(next);
        }
        let mut expired = stream::iter(due.items).map(|id| expire(shared, id)).buffer_unordered(BATCH);
        while let Some(result) = expired.next().await {
            result?;
        }
    }
}

async fn expire(shared: &Shared, id: ApprovalId) -> Result<(), StoreError> {
    let executed = shared.store.execute(&id, Command::Timer, Origin::system("timer"), shared.clock.now(), None).await?;
    if let Executed::Done { approval, .. } = executed {
        if approval.status.is_final() {
            shared.metrics.expired.inc();
            info!(approval = %approval.id, status = approval.status.name(), "expired");
        } else {
            info!(approval = %approval.id, reminders = approval.reminders, escalations = approval.escalations, "timer");
        }
        shared.schedule(&approval);
    }
    Ok(())
}
