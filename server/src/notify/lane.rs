//! The way to one target: reads the log from the target's place, sends, and notes how far it came.
//!
//! Messages are begun in the order of the log, a few at once, those about one approval one after the other. What was
//! begun is settled before the place moves on: sent, or kept as unsent with a time of its own. So a message that fails
//! holds up no other. Where the target itself fails, nothing more is begun: the rest stays in the log, and the target is
//! probed with one message at a time, an unsent one before a new one.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt as _, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Shared,
    failure::{Failure, Fault},
    message::Message,
    pace::{self, Pace},
    target::Target,
};
use crate::{
    entropy,
    store::{
        Changes, Revision, Standing, StoreError,
        messages::{Told, Unsent},
    },
    telemetry::metrics::TargetLabel,
    worker::backoff::Backoff,
};

/// So many changes are read at once.
const PAGE: usize = 256;
/// How often it is looked for what others may have changed: dead letters that are to be tried again, a target that
/// another server had.
const LOOK: SignedDuration = SignedDuration::from_secs(2);
/// After this a place is noted that something was sent before. Not at once: a note for each message would be a write for
/// each decision. What was sent in that time is sent again where the server dies.
const NOTE: SignedDuration = SignedDuration::from_secs(1);
/// After this one is noted that moved without a message.
const NOTE_MOVED: SignedDuration = SignedDuration::from_secs(30);
/// Whether a question is over by now is looked at where it is this old.
const OLD: SignedDuration = SignedDuration::from_secs(30);

/// The way to one target.
pub(super) struct Lane {
    target: Target,
    shared: Arc<Shared>,
    standing: watch::Receiver<Standing>,
    label: TargetLabel,
}

/// Where it is.
struct Place {
    /// All before was settled.
    at: Revision,
    /// As was noted.
    noted: Revision,
    /// Something was sent since.
    has_sent: bool,
    /// When it is to be noted at the latest, if it moved.
    note_by: Timestamp,
    /// When unsent messages are looked for.
    look: Timestamp,
    pace: Pace,
}

/// What became of messages.
#[derive(Default)]
struct Outcome {
    /// How many of them were begun: the first ones.
    begun: usize,
    sent: Vec<Message>,
    failed: Vec<(Message, Failure)>,
    /// Were not begun.
    left: VecDeque<Message>,
}

/// Why a lane stops for now.
enum Interrupted {
    Store(StoreError),
    /// Another server has the target, or this one may not act.
    Lost,
    Stopped,
}

impl Interrupted {
    /// Why nothing was begun of what there was.
    fn not_begun(stop: &CancellationToken) -> Self {
        if stop.is_cancelled() { Self::Stopped } else { Self::Lost }
    }
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Lane {
    pub(super) fn new(target: Target, shared: Arc<Shared>) -> Self {
        let label = TargetLabel { target: target.name.clone() };
        let metrics = &shared.metrics;
        // So that what is counted first is seen to be more than nothing.
        for counters in [
            &metrics.notifications_sent,
            &metrics.notifications_failed,
            &metrics.notifications_dead,
            &metrics.notifications_skipped,
        ] {
            drop(counters.get_or_create(&label));
        }
        Self { standing: shared.store.standing(), label, target, shared }
    }

    /// The target's name.
    pub(super) fn name(&self) -> &str {
        &self.target.name
    }

    /// Sends until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let wait = match self.hold(&stop).await {
                Ok(()) => return,
                Err(Interrupted::Stopped | Interrupted::Store(StoreError::Closed)) => return,
                Err(Interrupted::Lost) => LOOK,
                Err(Interrupted::Store(error)) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(to = self.target.name, error, "messages wait for the store");
                    failures += 1;
                    Backoff::STORE.wait(failures, self.random())
                }
            };
            if wait == LOOK {
                failures = 0;
            }
            let until = self.now().checked_add(wait).unwrap_or(Timestamp::MAX);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.shared.clock.sleep_until(until) => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    fn random(&self) -> f64 {
        entropy::fraction(&*self.shared.entropy)
    }

    fn may_act(&self) -> bool {
        self.standing.borrow().may_act()
    }

    /// Takes the target, if no other server has it, and sends as long as this one does.
    async fn hold(&self, stop: &CancellationToken) -> Result<(), Interrupted> {
        let taken = self.shared.store.take_target(&self.target.name).await?;
        let at = taken.ok_or(Interrupted::Lost)?;
        self.shared.metrics.notifications_failing.get_or_create(&self.label).set(0);
        let mut head = self.shared.store.head();
        let now = self.now();
        let mut place =
            Place { at, noted: at, has_sent: false, note_by: Timestamp::MAX, look: now, pace: Pace::default() };
        let ended = loop {
            if stop.is_cancelled() {
                break Interrupted::Stopped;
            }
            match self.step(&mut place, &mut head, stop).await {
                Ok(()) => {}
                Err(interrupted) => break interrupted,
            }
        };
        // Whoever sends to it next tells how it takes that.
        self.shared.metrics.notifications_failing.remove(&self.label);
        self.shared.metrics.notifications_queued.remove(&self.label);
        if matches!(ended, Interrupted::Stopped) {
            self.note(&mut place, Vec::new(), Vec::new()).await?;
        }
        Err(ended)
    }

    /// Tells how much of the log the target was not told of yet.
    fn queued(&self, events: Revision) {
        self.shared.metrics.notifications_queued.get_or_create(&self.label).set(events);
    }

    /// One piece of work, or a wait for the next.
    async fn step(
        &self,
        place: &mut Place,
        head: &mut watch::Receiver<Revision>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupted> {
        if !self.may_act() && !stop.is_cancelled() {
            return Err(Interrupted::Lost);
        }
        if let Some(until) = place.pace.pause(self.now()) {
            self.queued(*head.borrow() - place.at);
            self.note(place, Vec::new(), Vec::new()).await?;
            return self.sleep(until, stop).await;
        }
        if place.look <= self.now() && self.retry(place, stop).await? {
            return Ok(());
        }
        // Before the log is read: what comes meanwhile is seen by the next look at it.
        head.mark_unchanged();
        match self.shared.store.changes_after(place.at, PAGE).await? {
            Changes::Compacted(oldest) => {
                warn!(to = self.target.name, from = place.at, to = oldest, "what was to be told is archived");
                place.at = place.at.max(oldest);
                self.note(place, Vec::new(), Vec::new()).await
            }
            Changes::Some(changes) if changes.is_empty() => {
                self.queued(0);
                self.note_in_time(place).await?;
                tokio::select! {
                    biased;
                    () = stop.cancelled() => Err(Interrupted::Stopped),
                    moved = head.changed() => moved.map_err(|_| Interrupted::Store(StoreError::Closed)),
                    () = self.shared.clock.sleep_until(place.look.min(place.note_by)) => Ok(()),
                }
            }
            Changes::Some(changes) => {
                self.queued(*head.borrow() - place.at);
                let mut messages = VecDeque::new();
                for change in &changes {
                    let planned = self.target.plan(change, &self.shared.outside);
                    let has_messages = !planned.is_empty();
                    messages.extend(planned.into_iter().map(|message| (change.revision, message)));
                    if has_messages && place.pace.is_failing() {
                        return self.tell(place, change.revision, messages, stop).await;
                    }
                }
                let last = changes.last().map_or(place.at, |change| change.revision);
                self.tell(place, last, messages, stop).await
            }
        }
    }

    /// Sends new messages, of changes up to a revision.
    async fn tell(
        &self,
        place: &mut Place,
        last: Revision,
        messages: VecDeque<(Revision, Message)>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupted> {
        let revisions: Vec<Revision> = messages.iter().map(|(revision, _)| *revision).collect();
        let messages = messages.into_iter().map(|(_, message)| message).collect();
        let outcome = self.send_all(messages, place.pace.width(self.target.concurrency), stop).await;
        let pause = self.learn(place, &outcome);
        let Outcome { begun, failed, left, .. } = outcome;
        let mut unsent = self.unsent(failed);
        place.at = if left.is_empty() {
            last
        } else if let Some(last_begun) = begun.checked_sub(1).and_then(|at| revisions.get(at)) {
            // The rest of a change of which something was sent.
            let rest = left.iter().take_while(|message| message.notice.revision == *last_begun);
            unsent.extend(rest.filter_map(|message| self.kept(message, None)));
            *last_begun
        } else {
            return Err(Interrupted::not_begun(stop));
        };
        place.has_sent |= begun > 0;
        let within = if place.has_sent { NOTE } else { NOTE_MOVED };
        place.note_by = place.note_by.min(self.now().checked_add(within).unwrap_or(Timestamp::MAX));
        if pause || !unsent.is_empty() {
            return self.note(place, unsent, Vec::new()).await;
        }
        self.note_in_time(place).await
    }

    async fn note_in_time(&self, place: &mut Place) -> Result<(), Interrupted> {
        if place.note_by <= self.now() { self.note(place, Vec::new(), Vec::new()).await } else { Ok(()) }
    }

    /// Sends unsent messages that are due; whether there were any.
    async fn retry(&self, place: &mut Place, stop: &CancellationToken) -> Result<bool, Interrupted> {
        let now = self.now();
        let width = place.pace.width(self.target.concurrency);
        let due = self.shared.store.due_unsent(&self.target.name, now, width).await?;
        let next = now.checked_add(LOOK).unwrap_or(Timestamp::MAX);
        place.look = due.next.map_or(next, |due| due.min(next));
        if due.items.is_empty() {
            return Ok(false);
        }
        let mut unsent = Vec::new();
        let mut messages = VecDeque::new();
        for item in due.items {
            match Message::kept(item.clone()) {
                Some(message) => messages.push_back(message),
                None => {
                    let error = "what was kept of it can't be read".to_owned();
                    unsent.push(Unsent { error, due: None, ..item });
                }
            }
        }
        let outcome = self.send_all(messages, width, stop).await;
        self.learn(place, &outcome);
        if outcome.begun == 0 && unsent.is_empty() {
            return Err(Interrupted::not_begun(stop));
        }
        unsent.extend(self.unsent(outcome.failed));
        self.note(place, unsent, outcome.sent.into_iter().map(|message| message.id).collect()).await?;
        // There may be more that are due.
        place.look = now;
        Ok(true)
    }

    /// Begins messages in their order, so many at once, until the target fails or it is to stop; and waits for what was
    /// begun.
    async fn send_all(&self, messages: VecDeque<Message>, width: usize, stop: &CancellationToken) -> Outcome {
        let mut outcome = Outcome { left: messages, ..Outcome::default() };
        let mut under_way = FuturesUnordered::new();
        let mut about = Vec::with_capacity(width);
        let mut goes_on = true;
        loop {
            while goes_on && under_way.len() < width && self.may_act() && !stop.is_cancelled() {
                let next = outcome.left.pop_front_if(|next| !about.contains(&next.notice.approval));
                let Some(message) = next else { break };
                about.push(message.notice.approval.clone());
                outcome.begun += 1;
                under_way.push(async move {
                    let sent = self.send(&message).await;
                    (message, sent)
                });
            }
            let Some((message, sent)) = under_way.next().await else { return outcome };
            about.retain(|approval| *approval != message.notice.approval);
            match sent {
                Ok(()) => outcome.sent.push(message),
                Err(failure) => {
                    goes_on &= failure.fault != Fault::Target;
                    outcome.failed.push((message, failure));
                }
            }
        }
    }

    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let now = self.now();
        let metrics = &self.shared.metrics;
        let old = now.duration_since(message.notice.at) > OLD;
        let asks_people = message.notice.kind.asks() && self.target.is_for_people();
        if message.kept.is_none() && now.duration_since(message.notice.at) > self.target.give_up_after {
            debug!(to = self.target.name, id = message.id, "too old to be told");
            metrics.notifications_skipped.get_or_create(&self.label).inc();
            return Ok(());
        }
        let mut approval = message.approval.clone();
        if (old && asks_people) || (approval.is_none() && !self.target.include.is_empty()) {
            let found = self.shared.store.get(&message.notice.approval).await;
            let found = found.map_err(|error| Failure::new(Fault::Target, super::failure::chain(&error)))?;
            if asks_people && found.as_ref().is_none_or(|found| found.status.is_final()) {
                debug!(to = self.target.name, id = message.id, "nobody is asked for what is over");
                metrics.notifications_skipped.get_or_create(&self.label).inc();
                return Ok(());
            }
            approval = approval.or(found);
        }
        let sent = self.target.send(message, approval.as_deref(), &self.shared.outside, now).await;
        let (to, id, approval) = (&self.target.name, &message.id, &message.notice.approval);
        match &sent {
            Ok(()) => {
                metrics.notifications_sent.get_or_create(&self.label).inc();
                debug!(to, id, %approval, "sent");
            }
            Err(failure) => {
                metrics.notifications_failed.get_or_create(&self.label).inc();
                warn!(to, id, %approval, reason = failure.reason, "a message was not sent");
            }
        }
        sent
    }

    /// Learns from what became of messages how fast to go on; whether to pause.
    fn learn(&self, place: &mut Place, outcome: &Outcome) -> bool {
        let of_target = || outcome.failed.iter().filter(|(_, failure)| failure.fault == Fault::Target);
        let was_failing = place.pace.is_failing();
        let failed = of_target().next().is_some();
        let asked = of_target().filter_map(|(_, failure)| failure.wait).max();
        place.pace.after(!outcome.sent.is_empty(), failed, asked, self.now(), self.random());
        if place.pace.is_failing() != was_failing {
            let failing = i64::from(place.pace.is_failing());
            self.shared.metrics.notifications_failing.get_or_create(&self.label).set(failing);
            if was_failing {
                info!(to = self.target.name, "takes messages again");
            }
        }
        failed
    }

    fn unsent(&self, failed: Vec<(Message, Failure)>) -> Vec<Unsent> {
        failed.iter().filter_map(|(message, failure)| self.kept(message, Some(failure))).collect()
    }

    /// What is kept of a message that failed, or was not begun.
    fn kept(&self, message: &Message, failure: Option<&Failure>) -> Option<Unsent> {
        let now = self.now();
        let mut unsent = match &message.kept {
            Some(kept) => kept.clone(),
            None => Unsent {
                id: message.id.clone(),
                target: self.target.name.clone(),
                approval: message.notice.approval.clone(),
                // Of texts and numbers: nothing in it can fail to be written.
                notice: message.text().ok()?,
                attempts: 0,
                error: String::new(),
                created: now,
                due: Some(now),
            },
        };
        let Some(failure) = failure else { return Some(unsent) };
        unsent.attempts = unsent.attempts.saturating_add(1);
        unsent.error.clone_from(&failure.reason);
        let wait = pace::again(unsent.attempts, self.random(), failure.wait);
        let is_over = failure.fault == Fault::Lasting
            || unsent.created.checked_add(self.target.give_up_after).is_ok_and(|end| end <= now);
        unsent.due = if is_over { None } else { now.checked_add(wait).ok() };
        if unsent.due.is_none() {
            self.shared.metrics.notifications_dead.get_or_create(&self.label).inc();
            let (to, id, attempts) = (&self.target.name, &unsent.id, unsent.attempts);
            warn!(to, id, attempts, reason = unsent.error, "a message is given up");
        }
        Some(unsent)
    }

    /// Notes where the lane is, if it moved, and what became of messages.
    async fn note(&self, place: &mut Place, unsent: Vec<Unsent>, sent: Vec<String>) -> Result<(), Interrupted> {
        (place.has_sent, place.note_by) = (false, Timestamp::MAX);
        if place.at == place.noted && unsent.is_empty() && sent.is_empty() {
            return Ok(());
        }
        if let Some(due) = unsent.iter().filter_map(|unsent| unsent.due).min() {
            place.look = place.look.min(due);
        }
        let told = Told { revision: place.at, unsent, sent };
        if !self.shared.store.note_told(&self.target.name, told).await? {
            return Err(Interrupted::Lost);
        }
        place.noted = place.at;
        Ok(())
    }

    async fn sleep(&self, until: Timestamp, stop: &CancellationToken) -> Result<(), Interrupted> {
        // The lease may end meanwhile: it is looked at again.
        let soon = self.now().checked_add(LOOK).unwrap_or(until).min(until);
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Interrupted::Stopped),
            () = self.shared.clock.sleep_until(soon) => Ok(()),
        }
    }
}
