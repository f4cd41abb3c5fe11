//! What goes wrong on real processes: a server killed, stopped, and cut off from Step Functions; several that share a
//! database, and the database itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive;
mod drain;
mod injected;
mod kill;
mod postgres;

use std::time::Duration;

use approve_client::{ApprovalStatus, Client, proto::DeliveryState};
use approve_tests::{approvals::delivery_state, ledger::all_approvals, wait::wait_until};

/// A server's configuration: few polls, so that many servers fit a machine.
const CONFIG: &str = "[aws]\nregion = \"us-east-1\"\n\n[worker]\nmin_polls = 4\nmax_polls = 16\n";

/// Waits until all that was asked is answered, but for so many that are left pending, and each answer has arrived.
async fn settled(client: &Client, left: impl Fn(&str) -> bool, within: Duration) {
    wait_until("everything to settle", within, async || {
        let approvals = all_approvals(client).await;
        let settled = approvals.iter().all(|approval| match approval.status() {
            ApprovalStatus::Pending => left(&approval.workflow),
            _ => delivery_state(approval) != DeliveryState::Recorded,
        });
        if !settled {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        settled.then_some(())
    })
    .await;
}
