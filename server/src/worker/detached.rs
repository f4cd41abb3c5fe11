//! Looks after approvals that wait for a retry's task, so that none waits for ever: the workflow may have ended, or gone
//! on without a retry.

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
    store::StoreError,
};

/// How often they are looked at.
const INTERVAL: SignedDuration = SignedDuration::from_secs(15);
/// How many are looked at together.
const BATCH: usize = 256;

pub(super) async fn run(shared: &Shared, stop: &CancellationToken) -> Result<(), StoreError> {
    loop {
        let now = shared.clock.now();
        for approval in shared.store.detached_since(now - INTERVAL / 3, BATCH).await? {
            look(shared, &approval).await?;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = shared.clock.sleep_until(now + INTERVAL) => {}
        }
    }
}

async fn look(shared: &Shared, approval: &Approval) -> Result<(), StoreError> {
    let given_up = approval.task.detached.is_some_and(|since| shared.clock.now() > since + shared.options.detached_for);
    let why = match fate(shared, approval).await {
        Ok(Fate::Answered) => {
            let command = Command::Delivered { token: approval.task.token.clone(), attempts: 0 };
            return end(shared, &approval.id, command).await;
        }
        Ok(Fate::Ended(reason)) => reason,
        Ok(Fate::Running | Fate::Unknown) if given_up => "its task was lost, and no retry came".to_owned(),
        Ok(Fate::Running | Fate::Unknown) => return Ok(()),
        Err(error) => {
            warn!(approval = %approval.id, %error, "cannot tell what became of a workflow");
            return Ok(());
        }
    };
    let command = if approval.status == Status::Pending {
        cancel(why)
    } else {
        Command::Undeliverable { token: approval.task.token.clone(), attempts: 0, reason: why }
    };
    end(shared, &approval.id, command).await
}
