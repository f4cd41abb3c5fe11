//! Whether a server of a simulation lives. A dead one's calls never return: nothing that it was about to do happens. One
//! that is paused goes on later, where it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How often a paused server is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// One server's life.
#[derive(Debug, Clone, Default)]
pub(super) struct Life(Arc<State>);

#[derive(Debug, Default)]
struct State {
    ended: AtomicBool,
    paused: AtomicBool,
    cut: AtomicBool,
}

impl Life {
    /// Ends it, as `kill -9` would: between any two effects.
    pub(super) fn end(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }

    /// Stops it where it is, as SIGSTOP does, or lets it go on.
    pub(super) fn set_paused(&self, paused: bool) {
        self.0.paused.store(paused, Ordering::SeqCst);
    }

    /// It can't reach Step Functions, or can again.
    pub(super) fn set_cut(&self, cut: bool) {
        self.0.cut.store(cut, Ordering::SeqCst);
    }

    /// Whether it can't reach Step Functions.
    pub(super) fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::SeqCst)
    }

    /// Whether it goes on.
    #[must_use]
    pub(super) fn goes_on(&self) -> bool {
        !self.0.ended.load(Ordering::SeqCst)
    }

    /// Returns while it goes on, and never after.
    pub(super) async fn check(&self) {
        while self.0.paused.load(Ordering::SeqCst) {
            tokio::time::sleep(LOOK).await;
        }
        if !self.goes_on() {
            std::future::pending::<()>().await;
        }
    }
}
