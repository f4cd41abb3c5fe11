//! How the server stops: in named phases, before a deadline, or at once on a second signal.

use std::{future::Future, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use tracing::{info, warn};

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both over from their default, which is to die.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP: settings are to be read again.
#[derive(Debug)]
pub(crate) struct Hangups(Signal);

impl Hangups {
    /// Takes it over from its default, which is to die.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// How stopping ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything in hand was finished.
    Cleanly,
    /// The deadline passed, or a second signal came. Nothing that was acknowledged is lost: it is in the store.
    Early,
}

/// Phases on their way to a deadline.
pub(crate) struct Drain<'a> {
    signals: &'a mut Signals,
    deadline: Instant,
    ended: Ended,
}

impl<'a> Drain<'a> {
    pub(crate) fn begin(signals: &'a mut Signals, within: Duration) -> Self {
        Self { signals, deadline: Instant::now() + within, ended: Ended::Cleanly }
    }

    /// Runs a phase; `limit` is a bound of its own, whose passing is no failure.
    pub(crate) async fn phase(&mut self, name: &str, limit: Option<Duration>, work: impl Future<Output = ()>) {
        if self.ended == Ended::Early {
            return;
        }
        let limit = limit.map_or(self.deadline, |limit| self.deadline.min(Instant::now() + limit));
        tokio::select! {
            () = work => info!(phase = name, "shutdown phase done"),
            () = tokio::time::sleep_until(limit) => {
                if limit < self.deadline {
                    info!(phase = name, "shutdown phase cut short");
                } else {
                    warn!(phase = name, "shutdown deadline passed");
                    self.ended = Ended::Early;
                }
            }
            signal = self.signals.next() => {
                warn!(phase = name, signal, "second signal; exiting now");
                self.ended = Ended::Early;
            }
        }
    }

    pub(crate) fn ended(self) -> Ended {
        self.ended
    }
}
