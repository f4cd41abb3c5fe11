//! What a command that was refused was after.

use serde_json::{Map, Value};

use crate::{
    approval::{ApprovalId, Choice, Command, Refusal},
    audit::Attempt,
};

/// The approval's state or rule does not allow it.
pub(super) fn refused(id: &ApprovalId, command: &Command, refusal: &Refusal) -> Attempt {
    attempt(id, command, refusal.reason().to_owned())
}

/// There is no such approval.
pub(super) fn not_found(id: &ApprovalId, command: &Command) -> Attempt {
    attempt(id, command, "APPROVAL_NOT_FOUND".to_owned())
}

/// The request key was used with another body.
pub(super) fn key_reused(id: &ApprovalId, command: &Command) -> Attempt {
    attempt(id, command, "REQUEST_ID_REUSED".to_owned())
}

fn attempt(id: &ApprovalId, command: &Command, reason: String) -> Attempt {
    let mut tried = Map::new();
    tried.insert("command".to_owned(), name(command).into());
    if let Command::Vote { choice, .. } = command {
        let (decision, outcome) = match choice {
            Choice::Plain(decision) => (Some(decision), None),
            Choice::Outcome { name, decision } => (decision.as_ref(), Some(name)),
        };
        if let Some(decision) = decision {
            tried.insert("decision".to_owned(), serde_json::to_value(decision).unwrap_or(Value::Null));
        }
        if let Some(outcome) = outcome {
            tried.insert("outcome".to_owned(), outcome.as_str().into());
        }
    }
    Attempt { approval: Some(id.clone()), tried, reason }
}

/// The record's name of a command.
fn name(command: &Command) -> &'static str {
    match command {
        Command::Vote { .. } => "vote",
        Command::Withdraw { .. } => "withdraw",
        Command::Claim { .. } => "claim",
        Command::Release { .. } => "release",
        Command::Reassign { .. } => "reassign",
        Command::Hold { .. } => "hold",
        Command::Resume { .. } => "resume",
        Command::Timer => "timer",
        Command::Cancel { .. } => "cancel",
        Command::Abandon { .. } => "abandon",
        Command::Bind { .. } => "bind",
        Command::Detach { .. } => "detach",
        Command::Delivered { .. } => "delivered",
        Command::Undeliverable { .. } => "undeliverable",
    }
}
