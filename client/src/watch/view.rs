use std::collections::BTreeMap;

use approve_proto::v1::Approval;

use super::WatchEvent;

/// The approvals that a watch has told of and not taken back.
///
/// ```no_run
/// # async fn example(client: approve_client::Client) -> Result<(), approve_client::Error> {
/// use approve_client::{View, Watch};
/// use futures::TryStreamExt;
///
/// let mut view = View::new();
/// let mut events = client.watch(Watch::new());
/// while let Some(event) = events.try_next().await? {
///     view.apply(event);
///     if view.is_synced() {
///         println!("{} pending", view.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct View {
    approvals: BTreeMap<String, Approval>,
    synced: bool,
}

impl View {
    /// Empty, not synced.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event of the watch. All of them must be given, in order.
    pub fn apply(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Upserted(approval) => {
                self.approvals.insert(approval.id.clone(), *approval);
            }
            WatchEvent::Removed { id, .. } => {
                self.approvals.remove(&id);
            }
            WatchEvent::Synced { .. } => self.synced = true,
            WatchEvent::Reset => {
                self.approvals.clear();
                self.synced = false;
            }
            WatchEvent::Disconnected { .. } => self.synced = false,
        }
    }

    /// Whether the view is whole and live. Until it is, it may lack approvals, and hold some that are final.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// One approval, by its whole id.
    pub fn get(&self, id: &str) -> Option<&Approval> {
        self.approvals.get(id)
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Approval> {
        self.approvals.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.approvals.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.approvals.is_empty()
    }
}
