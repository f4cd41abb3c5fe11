//! What is written, within a store's transaction. A job decides before it writes: one that is refused wrote nothing but
//! the record of that.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    Admission, Admitted, ApiTokenRecord, Change, DeliveryTry, Executed, NextDue, REQUEST_KEY_LIFE, RequestKey,
    Revision, StoreError, WorkflowRecord,
    admission::Plan,
    attempt,
    codec::{encode, encode_state},
    due::{DueTimes, millis_up},
    tables::{Moved, Stored, Tables},
    tokens,
};
use crate::{
    approval::{Approval, ApprovalId, Command, Event, Origin, Status, Transition, apply},
    audit::{ChainHead, Refusals, Subject, describe},
};

/// So many expired request keys are deleted for each that is kept: the table shrinks, and no write waits for long.
const PRUNED_PER_KEY: i64 = 2;

/// A store's transaction: what is done in it, and what is known of it until it is committed.
pub(super) struct Transaction<'a, T> {
    pub(super) tables: &'a mut T,
    pub(super) head: ChainHead,
    changes: Vec<Change>,
    /// By how much the number of pending approvals grew, by workflow.
    pending: BTreeMap<String, i64>,
    /// How many request keys were kept, and the time of the last.
    keys: (i64, i64),
    pub(super) refusals: Arc<Refusals>,
    /// The latest time that a job spoke of.
    pub(super) now: Option<Timestamp>,
}

/// What a transaction wrote, to be made known after its commit.
pub(super) struct Written {
    pub(super) head: ChainHead,
    pub(super) changes: Vec<Change>,
    pub(super) refusals: Arc<Refusals>,
}

impl<'a, T: Tables> Transaction<'a, T> {
    /// A transaction that has begun.
    pub(super) fn new(tables: &'a mut T, head: ChainHead, refusals: Arc<Refusals>) -> Self {
        Self { tables, head, changes: Vec::new(), pending: BTreeMap::new(), keys: (0, 0), refusals, now: None }
    }

    /// Writes what is written once for all jobs.
    pub(super) fn finish(mut self) -> Result<Written, StoreError> {
        if let Some(now) = self.now.filter(|now| self.refusals.is_due(*now)) {
            let repeated = Arc::make_mut(&mut self.refusals).close(now);
            self.keep_repeated(repeated)?;
        }
        for (workflow, by) in self.pending.iter().filter(|(_, by)| **by != 0) {
            self.tables.add_pending(workflow, *by)?;
        }
        let (kept, at) = self.keys;
        if kept > 0 {
            self.tables.prune_keys(at - key_life(), kept * PRUNED_PER_KEY)?;
        }
        Ok(Written { head: self.head, changes: self.changes, refusals: self.refusals })
    }

    pub(super) fn admit(&mut self, admission: &Admission) -> Result<Admitted, StoreError> {
        self.now = self.now.max(Some(admission.at));
        if let Some(known) = self.tables.by_token(&admission.token.digest())? {
            return Ok(Admitted::Known(known.approval));
        }
        let holder = match admission.claim() {
            Some(identity) => self.tables.by_identity(&identity)?,
            None => None,
        };
        match (admission.plan(holder.as_ref().map(|held| held.approval.as_ref())), holder) {
            (Plan::Check, Some(holder)) => Ok(Admitted::Check(holder.approval)),
            (Plan::Bind(transition), Some(holder)) => {
                self.change(&holder, transition, &intake(), admission.at).map(Admitted::Bound)
            }
            (Plan::Create { transition, identity, takes_over }, holder) => {
                if let Some(holder) = holder.filter(|_| takes_over) {
                    self.tables.drop_identity(holder.number)?;
                }
                self.create(transition, identity.as_deref(), admission.at).map(Admitted::Created)
            }
            // A plan without a holder is always a creation.
            (Plan::Check | Plan::Bind(_), None) => Err(StoreError::unavailable(NoHolder)),
        }
    }

    pub(super) fn execute(
        &mut self,
        id: &ApprovalId,
        command: &Command,
        origin: &Origin,
        at: Timestamp,
        key: Option<&RequestKey>,
    ) -> Result<Executed, StoreError> {
        self.now = self.now.max(Some(at));
        if let Some(key) = key
            && let Some(answer) = self.answer_to(id, key, at)?
        {
            if matches!(answer, Executed::KeyReused) {
                self.refuse(&attempt::key_reused(id, command), origin, at)?;
            }
            return Ok(answer);
        }
        let Some(stored) = self.tables.by_id(id)? else {
            self.refuse(&attempt::not_found(id, command), origin, at)?;
            return Ok(Executed::NotFound);
        };
        let transition = match apply(&stored.approval, command, at) {
            Ok(transition) => transition,
            Err(refusal) => {
                self.refuse(&attempt::refused(id, command, &refusal), origin, at)?;
                return Ok(Executed::Refused(refusal));
            }
        };
        let approval = if transition.events.is_empty() {
            stored.approval.clone()
        } else {
            self.change(&stored, transition, origin, at)?
        };
        let revision = approval.revision;
        if let Some(key) = key {
            self.tables.keep_key(key, stored.number, revision, at.as_millisecond())?;
            self.keys = (self.keys.0 + 1, at.as_millisecond());
        }
        Ok(Executed::Done { approval, revision })
    }

    /// What was answered to a request key, if it was used and is not too old.
    fn answer_to(&mut self, id: &ApprovalId, key: &RequestKey, at: Timestamp) -> Result<Option<Executed>, StoreError> {
        let Some(used) = self.tables.key(key, at.as_millisecond() - key_life())? else { return Ok(None) };
        if used.fingerprint != key.fingerprint || used.id != *id {
            return Ok(Some(Executed::KeyReused));
        }
        let approval = self.tables.as_of(used.number, used.revision)?;
        Ok(Some(Executed::Done { revision: approval.revision, approval }))
    }

    /// Keeps a new approval.
    fn create(
        &mut self,
        transition: Transition,
        identity: Option<&str>,
        at: Timestamp,
    ) -> Result<Arc<Approval>, StoreError> {
        let (approval, events) = self.placed(transition);
        let due = DueTimes::after(None, &approval, at);
        let number = self.tables.insert(&approval, identity, due)?;
        self.keep_events(number, None, approval, &events, &intake(), at)
    }

    /// Keeps a change of an approval.
    fn change(
        &mut self,
        stored: &Stored,
        transition: Transition,
        origin: &Origin,
        at: Timestamp,
    ) -> Result<Arc<Approval>, StoreError> {
        let (after, events) = self.placed(transition);
        let due = DueTimes::after(Some((&stored.approval, stored.due)), &after, at);
        self.tables.update(stored, &after, due)?;
        self.keep_events(stored.number, Some(stored.approval.clone()), after, &events, origin, at)
    }

    /// What a transition leads to, with the revision that its last event will have.
    fn placed(&self, transition: Transition) -> (Arc<Approval>, Vec<Event>) {
        let Transition { mut approval, events } = transition;
        approval.revision = self.head.revision + Revision::try_from(events.len()).unwrap_or(Revision::MAX);
        (Arc::new(approval), events)
    }

    /// The events of a change, with the state after it on the last; the row is written already.
    fn keep_events(
        &mut self,
        number: i64,
        before: Option<Arc<Approval>>,
        after: Arc<Approval>,
        events: &[Event],
        origin: &Origin,
        at: Timestamp,
    ) -> Result<Arc<Approval>, StoreError> {
        let state = encode_state(&after)?;
        let last = events.len().saturating_sub(1);
        for (place, event) in events.iter().enumerate() {
            let what = describe(event, &after).map_err(StoreError::unavailable)?;
            let state = (place == last).then_some(state.as_str());
            self.append(Some(number), Subject::approval(&after), origin, at, &what, state)?;
        }
        let pending = |status: Status| i64::from(status == Status::Pending);
        let by = pending(after.status) - before.as_ref().map_or(0, |before| pending(before.status));
        if by != 0 {
            *self.pending.entry(after.request.source.workflow.clone()).or_default() += by;
        }
        self.changes.push(Change { revision: self.head.revision, before, after: after.clone() });
        Ok(after)
    }

    pub(super) fn set_heartbeats(&mut self, next: &[NextDue]) -> Result<(), StoreError> {
        next.iter().try_for_each(|next| self.tables.move_due(Moved::Heartbeat, next))
    }

    pub(super) fn set_detached(&mut self, next: &[NextDue]) -> Result<(), StoreError> {
        next.iter().try_for_each(|next| self.tables.move_due(Moved::Detached, next))
    }

    pub(super) fn note_deliveries(&mut self, tries: &[DeliveryTry]) -> Result<(), StoreError> {
        for tried in tries {
            let Some(stored) = self.tables.by_id(&tried.id)? else { continue };
            let mut approval = Arc::unwrap_or_clone(stored.approval);
            if approval.task.token != tried.token || !approval.wants_delivery() {
                continue;
            }
            approval.delivery.attempts = approval.delivery.attempts.saturating_add(tried.attempts);
            approval.delivery.last_error = Some(tried.error.clone());
            let state = encode_state(&approval)?;
            self.tables.note_try(stored.number, &Arc::new(approval), &state, millis_up(tried.due))?;
        }
        Ok(())
    }

    pub(super) fn put_api_token(&mut self, token: &ApiTokenRecord, origin: &Origin) -> Result<bool, StoreError> {
        if self.tables.api_token_lives(&token.name, token.created.as_millisecond())? {
            return Ok(false);
        }
        self.tables.put_api_token(token)?;
        self.record(origin, None, None, &tokens::created(token)?, token.created)?;
        Ok(true)
    }

    pub(super) fn revoke_api_token(
        &mut self,
        name: &str,
        origin: &Origin,
        at: Timestamp,
    ) -> Result<Option<ApiTokenRecord>, StoreError> {
        let Some(mut token) = self.tables.newest_api_token(name)? else { return Ok(None) };
        if token.revoked.is_none() {
            token.revoked = Some(at);
            self.tables.put_api_token(&token)?;
            self.record(origin, None, None, &tokens::revoked(&token)?, at)?;
        }
        Ok(Some(token))
    }

    pub(super) fn put_workflow(&mut self, record: &WorkflowRecord) -> Result<(), StoreError> {
        self.tables.put_workflow(&record.name, &encode(record)?)
    }

    pub(super) fn delete_workflow(&mut self, name: &str) -> Result<bool, StoreError> {
        self.tables.delete_workflow(name)
    }
}

/// A plan that can't be, without an approval that it is about.
#[derive(Debug, thiserror::Error)]
#[error("a task was to be bound to an approval that there is not")]
struct NoHolder;

/// Who takes tasks in.
fn intake() -> Origin {
    Origin::system("intake")
}

fn key_life() -> i64 {
    i64::try_from(REQUEST_KEY_LIFE.as_millis()).unwrap_or(i64::MAX)
}
