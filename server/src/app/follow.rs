//! Keeps what is in memory as the store has it: what other servers change of workflows and API tokens, and whether the
//! store answers at all.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use tracing::warn;

use crate::{
    auth::ApiTokens,
    grpc,
    store::{SharedStore, Standing, StoreError},
    workflows::Workflows,
};

/// What is followed for.
pub(super) struct Follower {
    pub(super) store: SharedStore,
    pub(super) workflows: Arc<Workflows>,
    pub(super) tokens: Arc<ApiTokens>,
    pub(super) health: HealthReporter,
    /// From then on no more calls should come, whatever the store says.
    pub(super) draining: CancellationToken,
}

impl Follower {
    /// Follows until told to stop. `known` is how the store stood when all that is in memory was read.
    pub(super) async fn run(self, known: Standing, stop: CancellationToken) {
        let mut standing: watch::Receiver<Standing> = self.store.standing();
        let (mut settings, mut reachable) = (known.settings, true);
        loop {
            let now = *standing.borrow_and_update();
            if now.settings != settings {
                match self.reload().await {
                    Ok(()) => settings = now.settings,
                    Err(error) => warn!(
                        error = &error as &dyn std::error::Error,
                        "what other servers changed was not read; it is tried again"
                    ),
                }
            }
            if now.reachable != reachable && !self.draining.is_cancelled() {
                reachable = now.reachable;
                match reachable {
                    true => grpc::serving(&self.health).await,
                    false => grpc::not_serving(&self.health).await,
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = standing.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn reload(&self) -> Result<(), StoreError> {
        self.workflows.reload(&self.store).await?;
        self.tokens.reload().await
    }
}
