//! What is written, within the writer's transaction. A job decides before it writes: one that is refused wrote nothing
//! but the record of that.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    connection::{failed, unavailable},
    rows::{self, BY_ID, BY_IDENTITY, BY_NUMBER, Fixed, Stored},
    tokens,
};
use crate::{
    approval::{Approval, ApprovalId, Command, Origin, Status, TaskToken, Transition, apply},
    audit::{ChainHead, Refusals, Subject, describe},
    store::{
        Admission, Admitted, ApiTokenRecord, Change, DeliveryTry, Executed, NextDue, REQUEST_KEY_LIFE, RequestKey,
        Revision, StoreError, WorkflowRecord,
        admission::Plan,
        attempt,
        codec::{encode, encode_state},
        due::{DueTimes, millis_up},
    },
};

/// So many expired request keys are deleted for each that is kept: the table shrinks, and no write waits for long.
const PRUNED_PER_KEY: i64 = 2;

pub(super) const TOKEN: &str = "SELECT approval FROM tokens WHERE digest = ?1";
pub(super) const KEY: &str = "SELECT fingerprint, approval, revision FROM request_keys
    WHERE caller = ?1 AND id = ?2 AND at >= ?3";
pub(super) const PRUNE_KEYS: &str = "DELETE FROM request_keys WHERE (caller, id) IN
    (SELECT caller, id FROM request_keys WHERE at < ?1 ORDER BY at LIMIT ?2)";
pub(super) const SET_HEARTBEAT: &str = "UPDATE approvals SET heartbeat_due = ?3
    WHERE id = ?1 AND token_digest = ?2 AND heartbeat_due IS NOT NULL";
pub(super) const SET_DETACHED: &str = "UPDATE approvals SET detached_due = ?3
    WHERE id = ?1 AND token_digest = ?2 AND detached_due IS NOT NULL";

/// The writer's transaction: what is done in it, and what is known of it until it is committed.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
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

impl<'a> Transaction<'a> {
    /// A transaction that has begun.
    pub(super) fn new(connection: &'a Connection, head: ChainHead, refusals: Arc<Refusals>) -> Self {
        Self { connection, head, changes: Vec::new(), pending: BTreeMap::new(), keys: (0, 0), refusals, now: None }
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// A count that grows with everything that is written.
    pub(super) fn changes_made(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Whether SQLite has rolled it back already.
    pub(super) fn is_broken(&self) -> bool {
        self.connection.is_autocommit()
    }

    /// Writes what is written once for all jobs.
    pub(super) fn finish(mut self) -> Result<Written, StoreError> {
        if let Some(now) = self.now.filter(|now| self.refusals.is_due(*now)) {
            let repeated = Arc::make_mut(&mut self.refusals).close(now);
            self.keep_repeated(repeated)?;
        }
        for (workflow, by) in self.pending.iter().filter(|(_, by)| **by != 0) {
            self.run(
                "INSERT INTO pending_counts (workflow, pending) VALUES (?1, ?2)
                 ON CONFLICT (workflow) DO UPDATE SET pending = pending + excluded.pending",
                params![workflow, by],
            )?;
        }
        let (kept, at) = self.keys;
        if kept > 0 {
            self.run(PRUNE_KEYS, params![at - key_life(), kept * PRUNED_PER_KEY])?;
        }
        Ok(Written { head: self.head, changes: self.changes, refusals: self.refusals })
    }

    pub(super) fn admit(&mut self, admission: &Admission) -> Result<Admitted, StoreError> {
        self.now = self.now.max(Some(admission.at));
        let digest = admission.token.digest();
        let known: Option<i64> = self
            .connection
            .prepare_cached(TOKEN)
            .and_then(|mut statement| statement.query_row([&digest], |row| row.get(0)).optional())
            .map_err(failed)?;
        if let Some(number) = known {
            let stored = rows::find(self.connection, BY_NUMBER, [number])?;
            let stored = stored.ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))?;
            return Ok(Admitted::Known(stored.approval));
        }
        let holder = match admission.claim() {
            Some(identity) => rows::find(self.connection, BY_IDENTITY, [identity])?,
            None => None,
        };
        match (admission.plan(holder.as_ref().map(|held| held.approval.as_ref())), holder) {
            (Plan::Check, Some(holder)) => Ok(Admitted::Check(holder.approval)),
            (Plan::Bind(transition), Some(holder)) => {
                self.change(&holder, transition, &intake(), admission.at).map(Admitted::Bound)
            }
            (Plan::Create { transition, identity, takes_over }, holder) => {
                if let Some(holder) = holder.filter(|_| takes_over) {
                    self.run("UPDATE approvals SET identity = NULL WHERE number = ?1", [holder.number])?;
                }
                self.create(transition, identity.as_deref(), admission.at).map(Admitted::Created)
            }
            // A plan without a holder is always a creation.
            (Plan::Check | Plan::Bind(_), None) => Err(failed(rusqlite::Error::QueryReturnedNoRows)),
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
        let Some(stored) = rows::find(self.connection, BY_ID, [id.as_str()])? else {
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
            self.run(
                "INSERT OR REPLACE INTO request_keys (caller, id, fingerprint, approval, revision, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![key.caller, key.id, key.fingerprint, stored.number, revision, at.as_millisecond()],
            )?;
            self.keys = (self.keys.0 + 1, at.as_millisecond());
        }
        Ok(Executed::Done { approval, revision })
    }

    /// What was answered to a request key, if it was used and is not too old.
    fn answer_to(&self, id: &ApprovalId, key: &RequestKey, at: Timestamp) -> Result<Option<Executed>, StoreError> {
        let mut statement = self.connection.prepare_cached(KEY).map_err(failed)?;
        let known = statement
            .query_row(params![key.caller, key.id, at.as_millisecond() - key_life()], |row| {
                Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?, row.get::<_, Revision>(2)?))
            })
            .optional()
            .map_err(failed)?;
        let Some((fingerprint, number, revision)) = known else {
            return Ok(None);
        };
        let fixed = Fixed::of(self.connection, number)?;
        if fingerprint != key.fingerprint || fixed.id != *id {
            return Ok(Some(Executed::KeyReused));
        }
        let (revision, state) = rows::state_at(self.connection, number, revision)?
            .ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))?;
        Ok(Some(Executed::Done { approval: fixed.with(revision, &state)?, revision }))
    }

    /// Keeps a new approval.
    fn create(
        &mut self,
        transition: Transition,
        identity: Option<&str>,
        at: Timestamp,
    ) -> Result<Arc<Approval>, StoreError> {
        let approval = &transition.approval;
        let request = &approval.request;
        let due = DueTimes::after(None, approval, at);
        let revision = self.head.revision + revisions(&transition);
        self.run(
            "INSERT INTO approvals (id, status, workflow, execution_arn, identity, token_digest, revision,
                                    heartbeat_due, timer_due, delivery_due, detached_due)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                approval.id.as_str(),
                approval.status.name(),
                request.source.workflow,
                request.source.execution_arn,
                identity,
                approval.task.token.digest(),
                revision,
                due.heartbeat,
                due.timer,
                due.delivery,
                due.detached,
            ],
        )?;
        let number = self.connection.last_insert_rowid();
        self.run(
            "INSERT INTO requests (approval, request, input) VALUES (?1, ?2, ?3)",
            params![number, encode(request)?, approval.input],
        )?;
        for (key, value) in &request.labels {
            self.run(
                "INSERT INTO labels (key, value, approval_id) VALUES (?1, ?2, ?3)",
                params![key, value, approval.id.as_str()],
            )?;
        }
        self.keep_token(&approval.task.token, number)?;
        self.keep_events(number, None, transition, &intake(), at)
    }

    /// Keeps a change of an approval.
    fn change(
        &mut self,
        stored: &Stored,
        transition: Transition,
        origin: &Origin,
        at: Timestamp,
    ) -> Result<Arc<Approval>, StoreError> {
        let before = &stored.approval;
        let after = &transition.approval;
        let due = DueTimes::after(Some((before, stored.due)), after, at);
        let revision = self.head.revision + revisions(&transition);
        if after.status == before.status {
            // Without the status, whose indexes then need no look.
            self.run(
                "UPDATE approvals SET token_digest = ?2, revision = ?3,
                     heartbeat_due = ?4, timer_due = ?5, delivery_due = ?6, detached_due = ?7
                 WHERE number = ?1",
                params![
                    stored.number,
                    after.task.token.digest(),
                    revision,
                    due.heartbeat,
                    due.timer,
                    due.delivery,
                    due.detached
                ],
            )?;
        } else {
            self.run(
                "UPDATE approvals SET token_digest = ?2, revision = ?3,
                     heartbeat_due = ?4, timer_due = ?5, delivery_due = ?6, detached_due = ?7, status = ?8
                 WHERE number = ?1",
                params![
                    stored.number,
                    after.task.token.digest(),
                    revision,
                    due.heartbeat,
                    due.timer,
                    due.delivery,
                    due.detached,
                    after.status.name()
                ],
            )?;
        }
        if after.task.token != before.task.token {
            self.keep_token(&after.task.token, stored.number)?;
        }
        self.keep_events(stored.number, Some(before.clone()), transition, origin, at)
    }

    /// The events of a change, with the state after it on the last; the row is written already.
    fn keep_events(
        &mut self,
        number: i64,
        before: Option<Arc<Approval>>,
        transition: Transition,
        origin: &Origin,
        at: Timestamp,
    ) -> Result<Arc<Approval>, StoreError> {
        let Transition { mut approval, events } = transition;
        let state = encode_state(&approval)?;
        let last = events.len().saturating_sub(1);
        for (place, event) in events.iter().enumerate() {
            let what = describe(event, &approval).map_err(unavailable)?;
            let state = (place == last).then_some(state.as_str());
            self.append(Some(number), Subject::approval(&approval), origin, at, &what, state)?;
        }
        approval.revision = self.head.revision;
        let pending = |status: Status| i64::from(status == Status::Pending);
        let by = pending(approval.status) - before.as_ref().map_or(0, |before| pending(before.status));
        if by != 0 {
            *self.pending.entry(approval.request.source.workflow.clone()).or_default() += by;
        }
        let after = Arc::new(approval);
        self.changes.push(Change { revision: self.head.revision, before, after: after.clone() });
        Ok(after)
    }

    fn keep_token(&self, token: &TaskToken, number: i64) -> Result<(), StoreError> {
        // An approval may get a token back that it had before.
        self.run(
            "INSERT INTO tokens (digest, approval) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING",
            params![token.digest(), number],
        )
        .map(drop)
    }

    pub(super) fn set_heartbeats(&self, next: &[NextDue]) -> Result<(), StoreError> {
        self.set_due(SET_HEARTBEAT, next)
    }

    pub(super) fn set_detached(&self, next: &[NextDue]) -> Result<(), StoreError> {
        self.set_due(SET_DETACHED, next)
    }

    fn set_due(&self, sql: &str, next: &[NextDue]) -> Result<(), StoreError> {
        for next in next {
            self.run(sql, params![next.id.as_str(), next.token.digest(), millis_up(next.due)])?;
        }
        Ok(())
    }

    pub(super) fn note_deliveries(&self, tries: &[DeliveryTry]) -> Result<(), StoreError> {
        for tried in tries {
            let Some(stored) = rows::find(self.connection, BY_ID, [tried.id.as_str()])? else { continue };
            let mut approval = Arc::unwrap_or_clone(stored.approval);
            if approval.task.token != tried.token || !approval.wants_delivery() {
                continue;
            }
            approval.delivery.attempts = approval.delivery.attempts.saturating_add(tried.attempts);
            approval.delivery.last_error = Some(tried.error.clone());
            self.run(
                "UPDATE events SET state = ?2 WHERE revision = ?1",
                params![approval.revision, encode_state(&approval)?],
            )?;
            self.run(
                "UPDATE approvals SET delivery_due = ?2 WHERE number = ?1",
                params![stored.number, millis_up(tried.due)],
            )?;
        }
        Ok(())
    }

    pub(super) fn put_api_token(&mut self, token: &ApiTokenRecord, origin: &Origin) -> Result<bool, StoreError> {
        let kept = tokens::put(self.connection, token)?;
        if kept {
            self.record(origin, None, None, &tokens::created(token)?, token.created)?;
        }
        Ok(kept)
    }

    pub(super) fn revoke_api_token(
        &mut self,
        name: &str,
        origin: &Origin,
        at: Timestamp,
    ) -> Result<Option<ApiTokenRecord>, StoreError> {
        let Some(mut token) = tokens::newest(self.connection, name)? else { return Ok(None) };
        if token.revoked.is_none() {
            token.revoked = Some(at);
            tokens::revoke(self.connection, &token)?;
            self.record(origin, None, None, &tokens::revoked(&token)?, at)?;
        }
        Ok(Some(token))
    }

    pub(super) fn put_workflow(&self, record: &WorkflowRecord) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO workflows (name, record) VALUES (?1, ?2)",
            params![record.name, encode(record)?],
        )
        .map(drop)
    }

    pub(super) fn delete_workflow(&self, name: &str) -> Result<bool, StoreError> {
        self.run("DELETE FROM workflows WHERE name = ?1", [name]).map(|deleted| deleted > 0)
    }

    pub(super) fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, StoreError> {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)
    }
}

/// Who takes tasks in.
fn intake() -> Origin {
    Origin::system("intake")
}

fn revisions(transition: &Transition) -> Revision {
    Revision::try_from(transition.events.len()).unwrap_or(Revision::MAX)
}

fn key_life() -> i64 {
    i64::try_from(REQUEST_KEY_LIFE.as_millis()).unwrap_or(i64::MAX)
}
