//! Why a message was not sent, and what that means for it and for others.

use jiff::SignedDuration;

/// What a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The target: others would fail as well.
    Target,
    /// This message, for now.
    Message,
    /// This message, for ever.
    Lasting,
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    /// For people. Nothing in it is secret.
    pub(super) reason: String,
    /// How long the target asks to be left alone.
    pub(super) wait: Option<SignedDuration>,
}

impl Failure {
    pub(super) fn new(fault: Fault, reason: impl Into<String>) -> Self {
        Self { fault, reason: reason.into(), wait: None }
    }

    /// An error of the way to the target, with what it comes from.
    pub(super) fn of_target(error: &dyn std::error::Error) -> Self {
        Self::new(Fault::Target, chain(error))
    }
}

/// An error and what it comes from, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    super::words::one_line(&text)
}
