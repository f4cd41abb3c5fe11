//! The server while it serves, and how it stops.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{AppError, VERSION, parts::Parts};
use crate::{
    approval::Origin,
    audit::AdminEvent,
    config, grpc,
    shutdown::{Drain, Ended, Signals},
};

/// How long the last spans may take.
const TRACES: Duration = Duration::from_secs(5);

/// The server, serving.
pub(super) struct Running {
    pub(super) parts: Parts,
    pub(super) scheme: &'static str,
    pub(super) address: SocketAddr,
    pub(super) draining: CancellationToken,
    pub(super) closing: CancellationToken,
    pub(super) calls: TaskTracker,
    pub(super) hub_stop: CancellationToken,
    pub(super) hub: TaskTracker,
    pub(super) health: tonic_health::server::HealthReporter,
}

impl Running {
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Waits for a signal, then stops: first what brings work in, then what carries it out, last what keeps it.
    pub(super) async fn until_stopped(
        self,
        signals: &mut Signals,
        settings: &config::Shutdown,
    ) -> Result<(), AppError> {
        let signal = signals.next().await;
        info!(signal, "stopping");
        self.draining.cancel();
        grpc::not_serving(&self.health).await;
        let mut drain = Drain::begin(signals, Duration::from_secs(settings.deadline_seconds.into()));
        let polls = Duration::from_secs(settings.poll_seconds.into());
        drain.phase("open polls", Some(polls), self.parts.worker.stop_polling()).await;
        // Streams end with a status to resume on; calls in hand are answered, and those that wait for a delivery get it.
        self.closing.cancel();
        drain.phase("calls and streams", None, self.calls.wait()).await;
        drain.phase("deliveries", None, self.parts.worker.stop()).await;
        let store = Arc::clone(&self.parts.store);
        drain
            .phase("record", None, async {
                let stopped = AdminEvent::ServerStopped { version: VERSION.to_owned() };
                let at = self.parts.clock.now();
                if let Err(error) = store.record(Origin::system("server"), None, None, stopped, at).await {
                    warn!(error = &error as &dyn std::error::Error, "the stop was not recorded");
                }
            })
            .await;
        // The last anchor is of all that.
        self.hub_stop.cancel();
        drain.phase("watch, messages, metrics and anchors", None, self.hub.wait()).await;
        let tracer = self.parts.tracer.clone();
        drain
            .phase("traces", Some(TRACES), async move {
                // Blocks while the collector answers.
                let _ = tokio::task::spawn_blocking(move || tracer.finish()).await;
            })
            .await;
        drain
            .phase("store", None, async move {
                if let Err(error) = store.close().await {
                    warn!(error = &error as &dyn std::error::Error, "the store did not close well");
                }
            })
            .await;
        match drain.ended() {
            Ended::Cleanly => Ok(()),
            Ended::Early => Err(AppError::StoppedEarly),
        }
    }
}
