use std::fmt;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The definition is refused.
    Error,
    /// The definition is accepted but probably not what was meant.
    Warning,
}

impl Severity {
    /// The wire form: `ERROR` or `WARNING`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
        }
    }
}

/// One finding about a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it is refused for this.
    pub severity: Severity,
    /// One of the codes that AWS lists, e.g. `SCHEMA_VALIDATION_FAILED` or `NO_DOLLAR`.
    pub code: &'static str,
    /// What is wrong, naming the field.
    pub message: String,
    /// Slash-separated path in the document, e.g. `/States/Approve/Next`; empty when the text is not JSON.
    pub location: String,
}

pub(crate) const SCHEMA: &str = "SCHEMA_VALIDATION_FAILED";
pub(crate) const TRANSITION: &str = "MISSING_TRANSITION_TARGET";
pub(crate) const DUPLICATE: &str = "DUPLICATE_STATE_NAME";
pub(crate) const RESOURCE: &str = "INVALID_RESOURCE";
pub(crate) const STATE_NAME: &str = "INVALID_STATE_NAME";
pub(crate) const NO_END: &str = "MISSING_END_STATE";
pub(crate) const EMPTY: &str = "MISSING_DESCRIPTION";
/// Warnings.
pub(crate) const NO_DOLLAR: &str = "NO_DOLLAR";
pub(crate) const NO_PATH: &str = "NO_PATH";
pub(crate) const STATIC_RESULT: &str = "PASS_RESULT_IS_STATIC";
pub(crate) const NOT_JSON: &str = "INVALID_JSON_DESCRIPTION";

impl Diagnostic {
    pub(crate) fn error(code: &'static str, location: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), location: location.into() }
    }

    pub(crate) fn warning(code: &'static str, location: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code, message: message.into(), location: location.into() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if !self.location.is_empty() {
            write!(f, " at {}", self.location)?;
        }
        Ok(())
    }
}
