//! The wait for a database that is not there yet when the server starts.
//!
//! Whoever looks after servers starts those anew that end, later and later; one that waits is there as soon as the
//! database is. It says that it lives, and that it is not ready.

use std::{io, net::TcpListener as StdListener, os::fd::AsFd as _, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::AppError;
use crate::{config::Config, shutdown::Signals, store::postgres};

/// The first pause between tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How often the log says that it still waits.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Waits until the database answers, where there is one; whether to go on: a signal ends it. What a later try would not
/// mend, such as a wrong password, is not waited for.
pub(super) async fn answers(
    config: &Config,
    metrics: Option<&TcpListener>,
    signals: &mut Signals,
) -> Result<bool, AppError> {
    let Some((address, _)) = config.shared_store()? else { return Ok(true) };
    let Err(error) = postgres::answers(&address).await else { return Ok(true) };
    let mut told = None::<Instant>;
    let mut problem = error;
    let mut pause = PAUSES.0;
    let stop = CancellationToken::new();
    let alive = metrics.map(|listener| say_alive(listener, stop.clone())).transpose();
    let alive = alive.map_err(|error| AppError::system("cannot serve metrics_listen")(error.into()))?;
    let outcome = loop {
        if !postgres::may_pass(&problem) {
            break Err(AppError::store(config)(problem));
        }
        if told.is_none_or(|last| last.elapsed() >= TOLD_EVERY) {
            warn!(error = &problem as &dyn std::error::Error, "the database does not answer; waiting for it");
            told = Some(Instant::now());
        }
        tokio::select! {
            biased;
            signal = signals.next() => {
                info!(signal, "stopping before the database answered");
                break Ok(false);
            }
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSES.1);
        match postgres::answers(&address).await {
            Ok(()) => break Ok(true),
            Err(error) => problem = error,
        }
    };
    stop.cancel();
    if let Some(alive) = alive {
        let _ = alive.await;
    }
    outcome
}

/// Answers until told to stop, from the listener that others use after that.
fn say_alive(listener: &TcpListener, stop: CancellationToken) -> io::Result<JoinHandle<()>> {
    let listener = StdListener::from(listener.as_fd().try_clone_to_owned()?);
    let listener = TcpListener::from_std(listener)?;
    let away = async || (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n");
    let routes = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(away));
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
            warn!(error = &error as &dyn std::error::Error, "serving metrics_listen ended");
        }
    }))
}
