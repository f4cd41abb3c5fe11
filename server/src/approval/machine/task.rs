//! The task behind an approval: bound anew, answered.

use jiff::{SignedDuration, Timestamp};

use super::{Approval, Delivery, DeliveryState, Event, Refusal, Status, Task, TaskState, TaskToken, must_be_pending};

pub(super) fn must_be_bound(state: &Approval, token: &TaskToken) -> Result<(), Refusal> {
    if state.task.state == TaskState::Open && state.task.token == *token { Ok(()) } else { Err(Refusal::NotBound) }
}

pub(super) fn bind(
    next: &mut Approval,
    token: &TaskToken,
    attempt: u32,
    heartbeat: Option<SignedDuration>,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    if next.task.token == *token {
        return Ok(Vec::new());
    }
    let nobody_to_tell = next.status == Status::Canceled && next.delivery.state == DeliveryState::None;
    if nobody_to_tell || next.status == Status::Invalid {
        must_be_pending(next)?;
    }
    next.task = Task {
        state: TaskState::Open,
        token: token.clone(),
        taken: now,
        attempt,
        count: next.task.count.saturating_add(1),
        heartbeat: heartbeat.or(next.task.heartbeat),
        detached: None,
    };
    if next.status.is_final() {
        next.delivery = Delivery {
            state: DeliveryState::Recorded,
            attempts: next.delivery.attempts,
            last_error: next.delivery.last_error.take(),
            settled: None,
        };
    }
    Ok(vec![Event::TaskBound { attempt, count: next.task.count }])
}

pub(super) fn settle(
    next: &mut Approval,
    token: &TaskToken,
    attempts: u32,
    state: DeliveryState,
    now: Timestamp,
) -> Result<(), Refusal> {
    // A detached task may have been answered after all: the history of its execution tells.
    let ours = next.task.token == *token && next.task.state != TaskState::Closed;
    if !ours || next.delivery.state != DeliveryState::Recorded {
        return Err(Refusal::NotBound);
    }
    next.task.state = TaskState::Closed;
    next.delivery.state = state;
    next.delivery.attempts = next.delivery.attempts.saturating_add(attempts);
    next.delivery.settled = Some(now);
    Ok(())
}
