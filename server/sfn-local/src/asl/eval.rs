//! What evaluation needs and how it fails.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    model::PathField,
    path::{Path, ReferencePath},
    variables::Variables,
};

/// Random words for `States.UUID` and `States.MathRandom`, from the engine's seeded generator.
pub(crate) trait RandomSource {
    fn next_u64(&mut self) -> u64;
}

/// What paths, functions and expressions may read.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// `$` in JSONPath, `$states.input` in JSONata.
    pub(crate) input: &'a Value,
    /// `$$`, `$states.context`.
    pub(crate) context: &'a Value,
    pub(crate) variables: &'a Variables,
    /// `$states.result`, once there is one.
    pub(crate) result: Option<&'a Value>,
    /// `$states.errorOutput`, in a Catch.
    pub(crate) error: Option<&'a Value>,
    pub(crate) now: Timestamp,
}

impl Scope<'_> {
    /// For fields that read nothing.
    pub(crate) fn empty() -> Self {
        static NOTHING: Variables = Variables::new();
        let nothing = &Value::Null;
        Self { input: nothing, context: nothing, variables: &NOTHING, result: None, error: None, now: Timestamp::MIN }
    }
}

/// An error in a state: what Retry and Catch match, and the text that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
    /// The cause is to be prefixed with the state it happened in.
    pub(crate) located: bool,
    /// The field whose JSONata expression failed.
    pub(crate) field: Option<String>,
}

impl Failure {
    /// `States.Runtime`: ends the execution; neither Retry nor Catch apply.
    pub(crate) fn runtime(cause: impl Into<String>) -> Self {
        Self::named("States.Runtime", cause)
    }

    pub(crate) fn named(error: &str, cause: impl Into<String>) -> Self {
        Self { error: Some(error.to_owned()), cause: Some(cause.into()), located: true, field: None }
    }

    /// `States.QueryEvaluationError`, of the expression in `field`.
    pub(crate) fn evaluation(cause: String, field: &str) -> Self {
        Self { field: Some(field.to_owned()), ..Self::named("States.QueryEvaluationError", cause) }
    }

    /// An error as a worker, a Fail state or a timer gave it.
    pub(crate) fn reported(error: Option<String>, cause: Option<String>) -> Self {
        Self { error, cause, located: false, field: None }
    }

    pub(crate) fn is_runtime(&self) -> bool {
        self.error.as_deref() == Some("States.Runtime")
    }

    /// The object a Catch puts at its ResultPath.
    pub(crate) fn error_output(&self) -> Value {
        let mut output = Map::new();
        output.insert("Error".to_owned(), Value::String(self.error.clone().unwrap_or_default()));
        if let Some(cause) = &self.cause {
            output.insert("Cause".to_owned(), Value::String(cause.clone()));
        }
        Value::Object(output)
    }
}

/// Applies `InputPath` or `OutputPath`. `None` stands for the whole document, untouched.
pub(crate) fn select(field: &PathField<Path>, scope: &Scope<'_>) -> Result<Option<Value>, Failure> {
    match field {
        PathField::Whole => Ok(None),
        PathField::Null => Ok(Some(Value::Object(Map::new()))),
        PathField::Path(path) => path.require(scope).map(|value| Some(value.into_owned())),
    }
}

/// Combines a state's raw input with its result by `ResultPath`.
pub(crate) fn apply_result_path(
    field: &PathField<ReferencePath>,
    mut input: Value,
    result: Value,
) -> Result<Value, Failure> {
    match field {
        PathField::Whole => Ok(result),
        PathField::Null => Ok(input),
        PathField::Path(path) => path.insert(&mut input, result).map(|()| input),
    }
}
