//! Tells the world outside what happens to approvals: webhooks, Slack, mail.
//!
//! The log of changes is the outbox. Each target has a place in it, kept in the store, and is told what comes after:
//! so a decision costs no more for being told, what was not told yet is told after a restart, and a target that stalls
//! keeps nothing but its own place. A message that fails has a row of its own from then on, and is tried again with
//! longer and longer waits; one that is given up is a dead letter, which an operator can have tried again.
//!
//! Of several servers one sends to a target, as long as its lease holds. A message is sent at least once: twice only
//! where a server died after it was sent and before that was noted, always with the same id.

mod address;
mod email;
mod failure;
mod lane;
mod link;
mod message;
mod notice;
mod pace;
mod post;
mod route;
mod sign;
mod slack;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod webhook;
mod words;

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::lane::Lane;
pub use self::{
    address::Reach,
    email::{Encryption, Server},
    link::{BadLink, Link, Links, MIN_KEY},
    message::Include,
    notice::{Kind, Notice, StageFacts, notices},
    route::{Directory, Recipient, Route, To},
    sign::{NotASecret, Signer},
    target::{ChannelSettings, HttpSettings, TargetSettings},
};
use crate::{clock::SharedClock, entropy::SharedEntropy, store::SharedStore, telemetry::metrics::SharedMetrics};

/// What is told to whom, as it was set.
#[derive(Debug, Default)]
pub struct Settings {
    /// Where people get their mail.
    pub directory: Directory,
    /// The targets.
    pub targets: Vec<TargetSettings>,
}

/// What messages need to know beside what happened.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) directory: Directory,
    /// Absent: there are no pages to link to.
    pub(crate) links: Option<Arc<Links>>,
    /// What events name as their source.
    pub(crate) source: String,
}

/// A target can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the target {target:?} can't be used")]
pub struct SetupError {
    /// Which.
    pub target: String,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What the targets share.
pub(crate) struct Shared {
    pub(crate) store: SharedStore,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    pub(crate) metrics: SharedMetrics,
    pub(crate) outside: Outside,
}

/// Sends to all targets.
pub(crate) struct Notifier(Vec<Lane>);

impl Notifier {
    /// Sends nothing yet.
    pub(crate) fn new(targets: Vec<TargetSettings>, shared: Shared) -> Result<Self, SetupError> {
        let shared = Arc::new(shared);
        let lane = |settings| target::Target::new(settings).map(|target| Lane::new(target, Arc::clone(&shared)));
        targets.into_iter().map(lane).collect::<Result<_, _>>().map(Self)
    }

    /// Sends until told to stop; what is under way then is finished.
    pub(crate) fn start(self, tasks: &TaskTracker, stop: &CancellationToken) {
        for lane in self.0 {
            tasks.spawn(lane.run(stop.clone()));
        }
    }
}

#[cfg(test)]
pub(crate) fn test_request(title: &str) -> crate::approval::Request {
    use proptest::{
        strategy::{Strategy as _, ValueTree as _},
        test_runner::TestRunner,
    };

    let any = crate::approval::arbitrary::requests().new_tree(&mut TestRunner::deterministic()).unwrap();
    crate::approval::Request {
        title: title.to_owned(),
        requester: Some("user:rita".parse().unwrap()),
        rule: crate::approval::Rule::default(),
        ..any.current()
    }
}

/// That somebody is asked to decide about something of this title.
#[cfg(test)]
pub(crate) fn test_notice(title: &str) -> Notice {
    let after = Arc::new(crate::approval::arbitrary::new_approval(test_request(title), "{}"));
    notices(&crate::store::Change { revision: 7, before: None, after }).remove(0)
}
