//! A store in a few vectors: what a real one is compared with. It knows of nothing but the trait's promises and the
//! domain.

use std::collections::BTreeMap;

use super::*;
use crate::{
    approval::{DeliveryState, Status, Task, TaskState, Transition, Via, apply, create, create_invalid},
    audit::{Attempt, Refusals, describe},
    store::{DeliveryTry, ListQuery, NextDue, Order, REQUEST_KEY_LIFE, attempt, first_heartbeat, first_look},
};

/// An approval, with what the store knows beside.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) approval: Approval,
    pub(super) identity: Option<String>,
    pub(super) heartbeat_due: Option<Timestamp>,
    pub(super) delivery_due: Option<Timestamp>,
    pub(super) detached_due: Option<Timestamp>,
    pub(super) history: Vec<Line>,
}

struct Kept {
    fingerprint: [u8; 32],
    answer: Approval,
    at: Timestamp,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) head: Revision,
    pub(super) rows: Vec<Row>,
    pub(super) changes: Vec<Change>,
    tokens: Vec<(TaskToken, usize)>,
    keys: BTreeMap<(String, String), Kept>,
    refusals: Refusals,
}

impl Model {
    pub(super) fn admit(&mut self, admission: &Admission) -> Admitted {
        if let Some((_, row)) = self.tokens.iter().find(|(token, _)| *token == admission.token) {
            return Admitted::Known(Arc::new(self.rows[*row].approval.clone()));
        }
        let TaskInput { request, input, attempt, error } = admission.task.clone();
        let task = Task {
            state: TaskState::Open,
            token: admission.token.clone(),
            taken: admission.at,
            attempt,
            count: 1,
            heartbeat: admission.heartbeat,
            detached: None,
        };
        if let Some(error) = error {
            let created = create_invalid(admission.uuid, request, input, task, error.to_string(), admission.at);
            return Admitted::Created(self.add(created, None, admission.at));
        }
        let identity = request.source.identity();
        let holder = self.rows.iter().position(|row| row.identity.is_some() && row.identity == identity);
        let new = |refused| create(admission.uuid, request, input, task, refused, admission.at);
        match (&admission.identity, holder) {
            (IdentityUse::Trusted { .. }, None) => Admitted::Created(self.add(new(None), identity, admission.at)),
            (IdentityUse::Distrusted, None) => Admitted::Created(self.add(new(None), None, admission.at)),
            (IdentityUse::Distrusted, Some(_)) => Admitted::Created(self.add(new(identity), None, admission.at)),
            (IdentityUse::Trusted { checked }, Some(row)) => {
                let holder = &self.rows[row].approval;
                if *checked != Some((holder.id.clone(), holder.task.token.clone())) {
                    return Admitted::Check(Arc::new(holder.clone()));
                }
                let (token, heartbeat) = (admission.token.clone(), admission.heartbeat);
                match apply(holder, &Command::Bind { token, attempt, heartbeat }, admission.at) {
                    Ok(transition) => Admitted::Bound(self.change(row, transition, admission.at)),
                    Err(_) => {
                        self.rows[row].identity = None;
                        Admitted::Created(self.add(new(None), identity, admission.at))
                    }
                }
            }
        }
    }

    pub(super) fn execute(
        &mut self,
        row: usize,
        command: &Command,
        origin: &Origin,
        at: Timestamp,
        key: Option<&RequestKey>,
    ) -> Executed {
        let done =
            |approval: &Approval| Executed::Done { approval: Arc::new(approval.clone()), revision: approval.revision };
        let life = SignedDuration::try_from(REQUEST_KEY_LIFE).unwrap();
        if let Some(key) = key
            && let Some(kept) = self.keys.get(&(key.caller.clone(), key.id.clone()))
            && at.duration_since(kept.at) <= life
        {
            let same = kept.fingerprint == key.fingerprint && kept.answer.id == self.rows[row].approval.id;
            if same {
                return done(&kept.answer);
            }
            self.refuse(row, &attempt::key_reused(&self.rows[row].approval.id, command), origin, at);
            return Executed::KeyReused;
        }
        match apply(&self.rows[row].approval, command, at) {
            Err(refusal) => {
                self.refuse(row, &attempt::refused(&self.rows[row].approval.id, command, &refusal), origin, at);
                return Executed::Refused(refusal);
            }
            Ok(transition) if transition.events.is_empty() => {}
            Ok(transition) => drop(self.change(row, transition, at)),
        }
        let answer = self.rows[row].approval.clone();
        let executed = done(&answer);
        if let Some(key) = key {
            let kept = Kept { fingerprint: key.fingerprint, answer, at };
            self.keys.insert((key.caller.clone(), key.id.clone()), kept);
        }
        executed
    }

    fn refuse(&mut self, row: usize, attempt: &Attempt, origin: &Origin, at: Timestamp) {
        if origin.via == Via::System {
            return;
        }
        self.time_is(at);
        if self.refusals.note(origin, attempt, at) {
            self.head += 1;
            self.rows[row].history.push(Line { revision: self.head, at, what: attempt.describe().unwrap() });
        }
    }

    /// Something was written at this time: refusals that were counted until now are told.
    pub(super) fn time_is(&mut self, now: Timestamp) {
        self.head += Revision::try_from(self.refusals.close(now).len()).unwrap();
    }

    /// The store closes.
    pub(super) fn close(&mut self) {
        self.head += Revision::try_from(self.refusals.close_all().len()).unwrap();
    }

    pub(super) fn set_heartbeat(&mut self, next: &NextDue) {
        for row in self.rows.iter_mut().filter(|row| row.approval.id == next.id) {
            if row.approval.task.token == next.token && row.approval.wants_heartbeats() {
                row.heartbeat_due = Some(next.due);
            }
        }
    }

    pub(super) fn set_detached(&mut self, next: &NextDue) {
        for row in self.rows.iter_mut().filter(|row| row.approval.id == next.id) {
            if row.approval.task.token == next.token && waits_for_a_task(&row.approval) {
                row.detached_due = Some(next.due);
            }
        }
    }

    pub(super) fn note_delivery(&mut self, tried: &DeliveryTry) {
        for row in self.rows.iter_mut().filter(|row| row.approval.id == tried.id) {
            if row.approval.task.token == tried.token && row.approval.wants_delivery() {
                row.approval.delivery.attempts = row.approval.delivery.attempts.saturating_add(tried.attempts);
                row.approval.delivery.last_error = Some(tried.error.clone());
                row.delivery_due = Some(tried.due);
            }
        }
    }

    fn add(&mut self, mut transition: Transition, identity: Option<String>, at: Timestamp) -> Arc<Approval> {
        let history = self.number(&mut transition, at);
        let Transition { approval, .. } = transition;
        self.tokens.push((approval.task.token.clone(), self.rows.len()));
        let heartbeat = first_heartbeat(approval.task.taken, approval.task.heartbeat);
        self.rows.push(Row {
            identity,
            heartbeat_due: approval.wants_heartbeats().then_some(heartbeat),
            delivery_due: approval.wants_delivery().then_some(at),
            detached_due: None,
            history,
            approval: approval.clone(),
        });
        let after = Arc::new(approval);
        self.changes.push(Change { revision: self.head, before: None, after: after.clone() });
        after
    }

    fn change(&mut self, place: usize, mut transition: Transition, at: Timestamp) -> Arc<Approval> {
        let history = self.number(&mut transition, at);
        let row = &mut self.rows[place];
        let after = transition.approval;
        let new_task = after.task.token != row.approval.task.token;
        if new_task && self.tokens.iter().all(|(token, _)| *token != after.task.token) {
            self.tokens.push((after.task.token.clone(), place));
        }
        row.heartbeat_due = match row.heartbeat_due {
            _ if !after.wants_heartbeats() => None,
            Some(due) if !new_task => Some(due),
            _ => Some(first_heartbeat(after.task.taken, after.task.heartbeat)),
        };
        row.delivery_due = match row.delivery_due {
            _ if !after.wants_delivery() => None,
            Some(due) if !new_task => Some(due),
            _ => Some(at),
        };
        row.detached_due = match row.detached_due {
            _ if !waits_for_a_task(&after) => None,
            Some(due) if !new_task => Some(due),
            _ => after.task.detached.map(first_look),
        };
        row.history.extend(history);
        let before = Arc::new(std::mem::replace(&mut row.approval, after.clone()));
        let after = Arc::new(after);
        self.changes.push(Change { revision: self.head, before: Some(before), after: after.clone() });
        after
    }

    fn number(&mut self, transition: &mut Transition, at: Timestamp) -> Vec<Line> {
        let mut history = Vec::new();
        for event in transition.events.drain(..) {
            self.head += 1;
            let what = describe(&event, &transition.approval).unwrap();
            history.push(Line { revision: self.head, at, what });
        }
        transition.approval.revision = self.head;
        history
    }

    pub(super) fn pending_at(&self, as_of: Revision) -> Vec<Arc<Approval>> {
        let mut then = BTreeMap::new();
        for change in self.changes.iter().filter(|change| change.revision <= as_of) {
            then.insert(change.after.id.clone(), change.after.clone());
        }
        then.into_values().filter(|approval| approval.status == Status::Pending).collect()
    }

    pub(super) fn approvals(&self) -> Vec<Arc<Approval>> {
        let mut all: Vec<_> = self.rows.iter().map(|row| Arc::new(row.approval.clone())).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

fn waits_for_a_task(approval: &Approval) -> bool {
    let unanswered = approval.status == Status::Pending || approval.delivery.state == DeliveryState::Recorded;
    approval.task.state == TaskState::Detached && unanswered
}

/// A page of a list, of all approvals by id.
pub(super) fn expected_page(all: &[Arc<Approval>], query: &ListQuery) -> Vec<Arc<Approval>> {
    let matches = |approval: &&Arc<Approval>| {
        let status = query.statuses.is_empty() || query.statuses.contains(&approval.status);
        let after = query.after.as_ref().is_none_or(|after| match query.order {
            Order::NewestFirst => approval.id < *after,
            Order::OldestFirst => approval.id > *after,
        });
        status && after && query.filter.matches(approval)
    };
    let mut found: Vec<_> = all.iter().filter(matches).cloned().collect();
    if query.order == Order::NewestFirst {
        found.reverse();
    }
    found.truncate(query.limit);
    found
}
