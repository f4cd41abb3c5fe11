//! When an approval wants something done.

use jiff::Timestamp;

use super::{first_heartbeat, first_look};
use crate::approval::{Approval, DeliveryState, Status, TaskState};

/// When an approval wants something done; `None`: never, as it stands. In milliseconds, rounded up, so that what is found
/// to be due is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DueTimes {
    /// The next heartbeat.
    pub(super) heartbeat: Option<i64>,
    /// What comes with time alone: a deadline, a reminder, and the like.
    pub(super) timer: Option<i64>,
    /// The next try at a delivery.
    pub(super) delivery: Option<i64>,
    /// When it is looked at whether a retry's task still comes.
    pub(super) detached: Option<i64>,
}

impl DueTimes {
    /// Those of an approval after a change at `now`. What another task was due, this one is not.
    pub(super) fn after(before: Option<(&Approval, Self)>, after: &Approval, now: Timestamp) -> Self {
        let kept = before.filter(|(approval, _)| approval.task.token == after.task.token).map(|(_, due)| due);
        let waits = after.status == Status::Pending || after.delivery.state == DeliveryState::Recorded;
        let heartbeat = after.wants_heartbeats().then(|| {
            let first = || millis_up(first_heartbeat(after.task.taken, after.task.heartbeat));
            kept.and_then(|due| due.heartbeat).unwrap_or_else(first)
        });
        let delivery =
            after.wants_delivery().then(|| kept.and_then(|due| due.delivery).unwrap_or_else(|| millis_up(now)));
        let lost = after.task.detached.filter(|_| waits && after.task.state == TaskState::Detached);
        let detached =
            lost.map(|since| kept.and_then(|due| due.detached).unwrap_or_else(|| millis_up(first_look(since))));
        Self { heartbeat, timer: after.timer_due().map(millis_up), delivery, detached }
    }
}

/// The first whole millisecond that is not before `time`.
pub(super) fn millis_up(time: Timestamp) -> i64 {
    let whole = time.as_millisecond();
    if time.subsec_nanosecond() % 1_000_000 > 0 { whole + 1 } else { whole }
}
