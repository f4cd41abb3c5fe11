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
mod forget;
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

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

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
#[derive(Debug, Clone, Default)]
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
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) store: SharedStore,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    pub(crate) metrics: SharedMetrics,
    pub(crate) outside: Outside,
}

/// Ways to all targets, which are not begun yet.
pub(crate) struct Lanes(Vec<Lane>);

impl Lanes {
    fn new(targets: Vec<TargetSettings>, shared: Shared) -> Result<Self, SetupError> {
        let shared = Arc::new(shared);
        let lane = |settings| target::Target::new(settings).map(|target| Lane::new(target, Arc::clone(&shared)));
        targets.into_iter().map(lane).collect::<Result<_, _>>().map(Self)
    }
}

/// Sends to all targets, which can be others while it does.
pub(crate) struct Notifier {
    shared: Shared,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// By the target's name.
    begun: BTreeMap<String, Begun>,
}

/// A lane that was begun.
struct Begun {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Sends nothing yet. Its tasks are among `tasks`, and end once `stop` is cancelled.
    pub(crate) fn new(shared: Shared, tasks: TaskTracker, stop: CancellationToken) -> Self {
        tasks.spawn(forget::run(Arc::clone(&shared.store), Arc::clone(&shared.clock), stop.clone()));
        Self { shared, tasks, stop, begun: BTreeMap::new() }
    }

    /// Lanes that go by these settings, for [`Notifier::replace`]. Changes nothing.
    pub(crate) fn read(&self, settings: Settings) -> Result<Lanes, SetupError> {
        let mut shared = self.shared.clone();
        shared.outside.directory = settings.directory;
        Lanes::new(settings.targets, shared)
    }

    /// Sends by these from here on; a target that is new is told what comes after this. What is under way is finished first:
    /// a lane begins once the one before it to the same target has ended, and noted how far it came.
    pub(crate) async fn replace(&mut self, lanes: Lanes) {
        for lane in lanes.0.iter().filter(|lane| !self.begun.contains_key(lane.name())) {
            if let Err(error) = self.shared.store.take_target(lane.name()).await {
                let error = &error as &dyn std::error::Error;
                warn!(to = lane.name(), error, "a target is told what comes once the store answers");
            }
        }
        let mut before = std::mem::take(&mut self.begun);
        for lane in lanes.0 {
            let name = lane.name().to_owned();
            let earlier = before.remove(&name);
            if let Some(earlier) = &earlier {
                earlier.stop.cancel();
            }
            let stop = self.stop.child_token();
            let stopping = stop.clone();
            let task = self.tasks.spawn(async move {
                if let Some(earlier) = earlier {
                    // However it ended.
                    let _ = earlier.task.await;
                }
                lane.run(stopping).await;
            });
            self.begun.insert(name, Begun { stop, task });
        }
        for gone in before.into_values() {
            gone.stop.cancel();
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
