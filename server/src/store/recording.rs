//! How events are recorded: each is the next link of the chain, and refusals are recorded in bounds.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    StoreError,
    tables::{EventRow, Tables},
    transaction::Transaction,
};
use crate::{
    approval::{ApprovalId, Origin, Principal, Via},
    audit::{AdminEvent, Attempt, ChainHead, Described, Record, Repeated, Subject},
};

impl<T: Tables> Transaction<'_, T> {
    /// Records an event: the next link of the chain.
    pub(super) fn append(
        &mut self,
        number: Option<i64>,
        subject: Subject<'_>,
        origin: &Origin,
        at: Timestamp,
        what: &Described,
        state: Option<&str>,
    ) -> Result<(), StoreError> {
        let revision = self.head.revision + 1;
        let record = Record { revision, at, subject, origin, what }.to_text().map_err(StoreError::unavailable)?;
        let hash = self.head.hash.then(&record);
        let actor = (origin.via != Via::System).then_some(origin.by.as_str());
        let behalf = origin.on_behalf_of.as_ref().map(Principal::as_str);
        self.tables.append(EventRow {
            revision,
            number,
            at: at.as_millisecond(),
            actor,
            on_behalf_of: behalf,
            hash,
            record: &record,
            state,
        })?;
        self.head = ChainHead { revision, hash };
        Ok(())
    }

    /// Records something that changes no approval.
    pub(super) fn record(
        &mut self,
        origin: &Origin,
        workflow: Option<&str>,
        approval: Option<&ApprovalId>,
        event: &AdminEvent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.now = self.now.max(Some(at));
        if let Some(attempt) = event.attempt(approval) {
            return self.refuse_of(workflow, &attempt, origin, at);
        }
        let number = approval.map(|id| self.tables.number_of(id)).transpose()?.flatten();
        let subject = Subject { approval, workflow, rule: None };
        self.append(number, subject, origin, at, &event.describe().map_err(StoreError::unavailable)?, None)
    }

    /// Records an attempt that was refused, or counts it. What the server itself tries and can't is no attempt: it finds
    /// out so that others were there before.
    pub(super) fn refuse(&mut self, attempt: &Attempt, origin: &Origin, at: Timestamp) -> Result<(), StoreError> {
        if origin.via == Via::System {
            return Ok(());
        }
        self.refuse_of(None, attempt, origin, at)
    }

    fn refuse_of(
        &mut self,
        workflow: Option<&str>,
        attempt: &Attempt,
        origin: &Origin,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let refusals = Arc::make_mut(&mut self.refusals);
        let repeated = refusals.close(at);
        let has_a_record = refusals.note(origin, attempt, at);
        self.keep_repeated(repeated)?;
        if !has_a_record {
            return Ok(());
        }
        let approval = match &attempt.approval {
            Some(id) => self.tables.by_id(id)?,
            None => None,
        };
        let mut subject = Subject { approval: attempt.approval.as_ref(), workflow, rule: None };
        if let Some(stored) = &approval {
            subject = Subject::approval(&stored.approval);
        }
        let what = attempt.describe().map_err(StoreError::unavailable)?;
        self.append(approval.as_ref().map(|stored| stored.number), subject, origin, at, &what, None)
    }

    pub(super) fn keep_repeated(&mut self, repeated: Vec<Repeated>) -> Result<(), StoreError> {
        for counted in repeated {
            let what = counted.describe().map_err(StoreError::unavailable)?;
            self.append(None, Subject::default(), &counted.origin, counted.until, &what, None)?;
        }
        Ok(())
    }

    /// Records all refusals that were counted only.
    pub(super) fn close_refusals(&mut self) -> Result<(), StoreError> {
        let repeated = Arc::make_mut(&mut self.refusals).close_all();
        self.keep_repeated(repeated)
    }
}
