//! The rows that a group of writes reads, in memory, and what it writes to them. What is read is fetched before the group
//! is carried out, what is written goes out after it, each in one piece: however many writes share a transaction, it
//! takes two round trips.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::rows::Owned;
use crate::{
    approval::{Approval, ApprovalId},
    audit::Hash,
    store::{
        ApiTokenRecord, NextDue, RequestKey, Revision, StoreError,
        due::{DueTimes, millis_up},
        tables::{EventRow, Moved, Stored, Tables, UsedKey},
    },
};

/// Something that has to be read first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    Id(ApprovalId),
    Identity(String),
    /// By its digest.
    Token(String),
    /// By caller and id.
    Key(String, String),
    /// An approval, by number, as of a revision.
    AsOf(i64, Revision),
    /// All of a name.
    ApiTokens(String),
    Workflow(String),
}

/// What was read. What is looked up and has no row is known not to be there.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) ids: HashMap<ApprovalId, Option<i64>>,
    pub(super) identities: HashMap<String, Option<i64>>,
    pub(super) tokens: HashMap<String, Option<i64>>,
    pub(super) rows: HashMap<i64, Owned>,
    pub(super) keys: HashMap<(String, String), Option<(UsedKey, i64)>>,
    pub(super) past: HashMap<(i64, Revision), Arc<Approval>>,
    /// Newest first.
    pub(super) api_tokens: HashMap<String, Vec<ApiTokenRecord>>,
    pub(super) workflows: HashMap<String, bool>,
    /// The youngest approval's.
    pub(super) number: i64,
    /// That the server holds: what it changes belongs to the first of them.
    pub(super) slots: Vec<i32>,
}

/// An event that is to be written.
#[derive(Debug)]
pub(super) struct NewEvent {
    pub(super) revision: Revision,
    pub(super) number: Option<i64>,
    pub(super) at: i64,
    pub(super) actor: Option<String>,
    pub(super) on_behalf_of: Option<String>,
    pub(super) hash: Hash,
    pub(super) record: String,
    pub(super) state: Option<String>,
}

/// A change of what every server has in memory.
#[derive(Debug, Clone)]
pub(super) enum Setting {
    ApiToken(ApiTokenRecord),
    Workflow { name: String, record: Option<String> },
}

/// What a group has written.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) rows: BTreeMap<i64, Owned>,
    /// New approvals: number, identity, first revision.
    pub(super) created: BTreeMap<i64, (Option<String>, Revision)>,
    pub(super) without_identity: Vec<i64>,
    pub(super) tokens: BTreeMap<String, i64>,
    pub(super) events: Vec<NewEvent>,
    pub(super) keys: BTreeMap<(String, String), (UsedKey, i64)>,
    pub(super) pruned: Option<(i64, i64)>,
    pub(super) pending: BTreeMap<String, i64>,
    pub(super) heartbeats: Vec<NextDue>,
    pub(super) detached: Vec<NextDue>,
    /// States that are noted without an event, by revision.
    pub(super) noted: BTreeMap<Revision, String>,
    pub(super) settings: Vec<Setting>,
    pub(super) number: i64,
}

/// The rows of one group.
#[derive(Debug)]
pub(super) struct WorkingSet {
    loaded: Arc<Loaded>,
    pub(super) needs: BTreeSet<Need>,
    pub(super) changed: Changed,
    ids: HashMap<ApprovalId, i64>,
    identities: HashMap<String, i64>,
    writes: u64,
}

/// Something was asked for that was not read yet: the group is carried out again once it is.
#[derive(Debug, thiserror::Error)]
#[error("a row is to be read first")]
struct NotLoaded;

impl WorkingSet {
    pub(super) fn new(loaded: Arc<Loaded>) -> Self {
        let changed = Changed { number: loaded.number, ..Changed::default() };
        Self { loaded, needs: BTreeSet::new(), changed, ids: HashMap::new(), identities: HashMap::new(), writes: 0 }
    }

    fn missing<T>(&mut self, need: Need) -> Result<T, StoreError> {
        self.needs.insert(need);
        Err(StoreError::unavailable(NotLoaded))
    }

    fn row(&self, number: i64) -> Result<Owned, StoreError> {
        let row = self.changed.rows.get(&number).or_else(|| self.loaded.rows.get(&number));
        row.cloned().ok_or_else(|| StoreError::unavailable(NotLoaded))
    }

    fn stored(&self, number: Option<i64>) -> Result<Option<Stored>, StoreError> {
        number.map(|number| self.row(number).map(|row| row.stored)).transpose()
    }

    fn slot(&self) -> i32 {
        self.loaded.slots.first().copied().unwrap_or_default()
    }

    fn wrote(&mut self) {
        self.writes += 1;
    }
}

impl Tables for WorkingSet {
    fn writes(&self) -> u64 {
        self.writes
    }

    fn is_broken(&self) -> bool {
        false
    }

    fn by_id(&mut self, id: &ApprovalId) -> Result<Option<Stored>, StoreError> {
        let number = self.number_of(id)?;
        self.stored(number)
    }

    fn by_identity(&mut self, identity: &str) -> Result<Option<Stored>, StoreError> {
        let own = self.identities.get(identity).copied().map(Some);
        match own.or_else(|| self.loaded.identities.get(identity).copied()) {
            Some(number) => self.stored(number),
            None => self.missing(Need::Identity(identity.to_owned())),
        }
    }

    fn by_token(&mut self, digest: &str) -> Result<Option<Stored>, StoreError> {
        let own = self.changed.tokens.get(digest).copied().map(Some);
        match own.or_else(|| self.loaded.tokens.get(digest).copied()) {
            Some(number) => self.stored(number),
            None => self.missing(Need::Token(digest.to_owned())),
        }
    }

    fn number_of(&mut self, id: &ApprovalId) -> Result<Option<i64>, StoreError> {
        let own = self.ids.get(id).copied().map(Some);
        match own.or_else(|| self.loaded.ids.get(id).copied()) {
            Some(number) => Ok(number),
            None => self.missing(Need::Id(id.clone())),
        }
    }

    fn as_of(&mut self, number: i64, revision: Revision) -> Result<Arc<Approval>, StoreError> {
        if let Ok(row) = self.row(number)
            && row.stored.approval.revision == revision
        {
            return Ok(row.stored.approval);
        }
        match self.loaded.past.get(&(number, revision)) {
            Some(approval) => Ok(approval.clone()),
            None => self.missing(Need::AsOf(number, revision)),
        }
    }

    fn key(&mut self, key: &RequestKey, since: i64) -> Result<Option<UsedKey>, StoreError> {
        let name = (key.caller.clone(), key.id.clone());
        let own = self.changed.keys.get(&name).cloned().map(Some);
        match own.or_else(|| self.loaded.keys.get(&name).cloned()) {
            Some(used) => Ok(used.filter(|(_, at)| *at >= since).map(|(used, _)| used)),
            None => self.missing(Need::Key(name.0, name.1)),
        }
    }

    fn insert(&mut self, approval: &Arc<Approval>, identity: Option<&str>, due: DueTimes) -> Result<i64, StoreError> {
        self.wrote();
        self.changed.number += 1;
        let number = self.changed.number;
        let stored = Stored { number, due, approval: approval.clone() };
        self.changed.rows.insert(number, Owned { stored, slot: self.slot() });
        // Its last event has its revision, and a new approval has one event or more.
        self.changed.created.insert(number, (identity.map(str::to_owned), approval.revision));
        self.changed.tokens.entry(approval.task.token.digest()).or_insert(number);
        self.ids.insert(approval.id.clone(), number);
        if let Some(identity) = identity {
            self.identities.insert(identity.to_owned(), number);
        }
        Ok(number)
    }

    fn update(&mut self, before: &Stored, after: &Arc<Approval>, due: DueTimes) -> Result<(), StoreError> {
        self.wrote();
        let number = before.number;
        let stored = Stored { number, due, approval: after.clone() };
        self.changed.rows.insert(number, Owned { stored, slot: self.slot() });
        if after.task.token != before.approval.task.token {
            self.changed.tokens.entry(after.task.token.digest()).or_insert(number);
        }
        Ok(())
    }

    fn drop_identity(&mut self, number: i64) -> Result<(), StoreError> {
        self.wrote();
        match self.changed.created.get_mut(&number) {
            Some((identity, _)) => *identity = None,
            None => self.changed.without_identity.push(number),
        }
        Ok(())
    }

    fn append(&mut self, event: EventRow<'_>) -> Result<(), StoreError> {
        self.wrote();
        self.changed.events.push(NewEvent {
            revision: event.revision,
            number: event.number,
            at: event.at,
            actor: event.actor.map(str::to_owned),
            on_behalf_of: event.on_behalf_of.map(str::to_owned),
            hash: event.hash,
            record: event.record.to_owned(),
            state: event.state.map(str::to_owned),
        });
        Ok(())
    }

    fn keep_key(&mut self, key: &RequestKey, number: i64, revision: Revision, at: i64) -> Result<(), StoreError> {
        self.wrote();
        let id = self.row(number)?.stored.approval.id.clone();
        let used = UsedKey { fingerprint: key.fingerprint, number, id, revision };
        self.changed.keys.insert((key.caller.clone(), key.id.clone()), (used, at));
        Ok(())
    }

    fn prune_keys(&mut self, before: i64, limit: i64) -> Result<(), StoreError> {
        self.wrote();
        self.changed.pruned = Some((before, limit));
        Ok(())
    }

    fn add_pending(&mut self, workflow: &str, by: i64) -> Result<(), StoreError> {
        self.wrote();
        *self.changed.pending.entry(workflow.to_owned()).or_default() += by;
        Ok(())
    }

    /// What another server does is not moved here.
    fn move_due(&mut self, what: Moved, next: &NextDue) -> Result<(), StoreError> {
        self.wrote();
        match what {
            Moved::Heartbeat => self.changed.heartbeats.push(next.clone()),
            Moved::Detached => self.changed.detached.push(next.clone()),
        }
        Ok(())
    }

    fn note_try(&mut self, number: i64, approval: &Arc<Approval>, state: &str, due: i64) -> Result<(), StoreError> {
        let mut row = self.row(number)?;
        if !self.loaded.slots.contains(&row.slot) {
            return Ok(());
        }
        self.wrote();
        row.stored.approval = approval.clone();
        row.stored.due.delivery = Some(due);
        self.changed.rows.insert(number, row);
        self.changed.noted.insert(approval.revision, state.to_owned());
        Ok(())
    }

    fn api_token_lives(&mut self, name: &str, now: i64) -> Result<bool, StoreError> {
        let lives = |token: &ApiTokenRecord| token.revoked.is_none() && token.expires.as_millisecond() > now;
        Ok(self.api_tokens(name)?.iter().any(lives))
    }

    fn newest_api_token(&mut self, name: &str) -> Result<Option<ApiTokenRecord>, StoreError> {
        Ok(self.api_tokens(name)?.into_iter().next())
    }

    fn put_api_token(&mut self, token: &ApiTokenRecord) -> Result<(), StoreError> {
        self.wrote();
        self.changed.settings.push(Setting::ApiToken(token.clone()));
        Ok(())
    }

    fn put_workflow(&mut self, name: &str, record: &str) -> Result<(), StoreError> {
        self.wrote();
        self.changed.settings.push(Setting::Workflow { name: name.to_owned(), record: Some(record.to_owned()) });
        Ok(())
    }

    fn delete_workflow(&mut self, name: &str) -> Result<bool, StoreError> {
        let own = self.changed.settings.iter().rev().find_map(|setting| match setting {
            Setting::Workflow { name: of, record } if of == name => Some(record.is_some()),
            _ => None,
        });
        match own.or_else(|| self.loaded.workflows.get(name).copied()) {
            None => self.missing(Need::Workflow(name.to_owned())),
            Some(false) => Ok(false),
            Some(true) => {
                self.wrote();
                self.changed.settings.push(Setting::Workflow { name: name.to_owned(), record: None });
                Ok(true)
            }
        }
    }
}

impl WorkingSet {
    /// All tokens of a name, newest first, with those of this group.
    fn api_tokens(&mut self, name: &str) -> Result<Vec<ApiTokenRecord>, StoreError> {
        let Some(loaded) = self.loaded.api_tokens.get(name) else {
            return self.missing(Need::ApiTokens(name.to_owned()));
        };
        let mut all = loaded.clone();
        for setting in &self.changed.settings {
            if let Setting::ApiToken(token) = setting
                && token.name == name
            {
                all.retain(|known| known.digest != token.digest);
                all.insert(0, token.clone());
            }
        }
        // Stable: the last one put is first among those of a time.
        all.sort_by_key(|token| std::cmp::Reverse(token.created));
        Ok(all)
    }

    /// Heartbeats and looks that were moved: ids, digests of tokens, times.
    pub(super) fn moves(moved: &[NextDue]) -> (Vec<&str>, Vec<String>, Vec<i64>) {
        let ids = moved.iter().map(|next| next.id.as_str()).collect();
        let digests = moved.iter().map(|next| next.token.digest()).collect();
        (ids, digests, moved.iter().map(|next| millis_up(next.due)).collect())
    }
}
