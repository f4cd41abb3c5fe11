//! Follows how the store stands: takes no tasks while it does not answer, and looks for what is due when it took over what
//! another server had.

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Shared;
use crate::store::StoreError;

pub(super) async fn run(shared: &Shared, stop: &CancellationToken) -> Result<(), StoreError> {
    let mut standing = shared.standing.clone();
    let mut taken_over = 0;
    let mut closed = None;
    loop {
        let now = *standing.borrow_and_update();
        if !now.reachable {
            closed.get_or_insert_with(|| {
                info!("taking no tasks until the store answers");
                shared.intake.close(None)
            });
        } else {
            closed = None;
        }
        if now.taken_over != taken_over {
            taken_over = now.taken_over;
            let due = shared.clock.now();
            for alarm in [&shared.heartbeat, &shared.delivery, &shared.timers, &shared.detached] {
                alarm.set(due);
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            changed = standing.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}
