//! What a command that was refused was after.

use std::fmt::{self, Write};

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
    tried.insert("command".to_owned(), snake(&variant(command)).into());
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

/// The name of an enum's variant, and nothing of what it holds.
fn variant(value: &impl fmt::Debug) -> String {
    struct Name(String);
    impl Write for Name {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = text.find(|c: char| !c.is_alphanumeric());
            self.0.push_str(text.get(..end.unwrap_or(text.len())).unwrap_or_default());
            if end.is_some() { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut name = Name(String::new());
    // The error ends it behind the name.
    let _ = write!(name, "{value:?}");
    name.0
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for (place, letter) in name.char_indices() {
        if letter.is_uppercase() && place > 0 {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
