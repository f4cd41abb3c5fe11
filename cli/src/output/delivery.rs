use approve_client::{
    Approval, ApprovalStatus,
    proto::{DeliveryState, TaskState},
};

use super::{
    names::Name,
    rule::count,
    style::Style,
    text,
    time::{self, Now},
};

/// How far the workflow has heard of the decision, in a line.
pub(crate) fn line(approval: &Approval, now: &Now, style: Style) -> String {
    let Some(delivery) = &approval.delivery else {
        return nothing(approval);
    };
    let tries = count(delivery.attempts, "attempt");
    let error =
        if delivery.last_error.is_empty() { String::new() } else { format!(": {}", text::line(&delivery.last_error)) };
    match delivery.state() {
        DeliveryState::Unspecified | DeliveryState::None => nothing(approval),
        DeliveryState::Recorded => {
            format!("{} (on its way; {tries}{error})", style.yellow("RECORDED"))
        }
        DeliveryState::Delivered => {
            let when = delivery.settle_time.as_ref().and_then(time::timestamp);
            let when = when.map(|when| format!("{}; ", now.relative(when)));
            format!("{} ({}{tries})", style.green("DELIVERED"), when.unwrap_or_default())
        }
        DeliveryState::Undeliverable => {
            format!("{} ({tries}{error})", style.red("UNDELIVERABLE"))
        }
    }
}

fn nothing(approval: &Approval) -> String {
    match approval.status() {
        ApprovalStatus::Pending => "nothing to deliver yet".into(),
        _ => "nothing to deliver".into(),
    }
}

/// How it stands with the task behind the approval.
pub(crate) fn task(approval: &Approval) -> String {
    let state = match approval.task_state() {
        TaskState::Detached => "DETACHED (lost; a retry of the state is expected)",
        _ => TaskState::name(approval.task_state),
    };
    match approval.task_count {
        0 | 1 => state.to_owned(),
        n => format!("{state}; asked for by {n} tasks in turn"),
    }
}
