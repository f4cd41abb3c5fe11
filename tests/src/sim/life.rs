//! Whether a server of a simulation lives. A dead one's calls never return: nothing that it was about to do happens.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// One server's life.
#[derive(Debug, Clone, Default)]
pub(super) struct Life(Arc<AtomicBool>);

impl Life {
    /// Ends it, as `kill -9` would: between any two effects.
    pub(super) fn end(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it goes on.
    #[must_use]
    pub(super) fn goes_on(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }

    /// Returns while it goes on, and never after.
    pub(super) async fn check(&self) {
        if !self.goes_on() {
            std::future::pending::<()>().await;
        }
    }
}
