use std::sync::Arc;

use serde_json::Value;

use super::{
    choice::Rule,
    jsonata::Expression,
    path::{Path, ReferencePath},
    template::Template,
};

/// A compiled state machine definition. Shared by every execution that runs it.
#[derive(Debug)]
pub struct Definition {
    pub(crate) graph: Arc<Graph>,
    /// Seconds an execution may run in all.
    pub(crate) timeout_seconds: Option<u64>,
}

/// A set of states with one entry: the whole machine, a Parallel branch or a Map processor.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) start: usize,
    pub(crate) states: Vec<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) data: Data,
    pub(crate) assign: Option<Template>,
    pub(crate) retry: Vec<Retrier>,
    pub(crate) catch: Vec<Catcher>,
    pub(crate) next: Transition,
    /// Some field reads the context object, so it has to be built.
    pub(crate) uses_context: bool,
}

/// How data flows through a state, by its query language.
#[derive(Debug)]
pub(crate) enum Data {
    JsonPath(Box<Paths>),
    Jsonata { arguments: Option<Template>, output: Option<Template> },
}

#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) input_path: PathField<Path>,
    pub(crate) parameters: Option<Template>,
    pub(crate) result_selector: Option<Template>,
    pub(crate) result_path: PathField<ReferencePath>,
    pub(crate) output_path: PathField<Path>,
}

/// What paths and expressions of a state are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryLanguage {
    JsonPath,
    Jsonata,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Task { resource: Arc<str>, timeout: Option<Seconds>, heartbeat: Option<Seconds> },
    Pass { result: Option<Value> },
    Choice { rules: Vec<Choice>, default: Option<usize> },
    Wait(WaitFor),
    Succeed,
    Fail { error: Option<FailText>, cause: Option<FailText> },
    Parallel { branches: Vec<Arc<Graph>> },
    Map(Box<Map>),
}

/// One of the ways out of a Choice.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) rule: Rule,
    pub(crate) next: usize,
    pub(crate) assign: Option<Template>,
    /// In JSONata.
    pub(crate) output: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) processor: Arc<Graph>,
    pub(crate) items_path: PathField<Path>,
    /// In JSONata, instead of a path.
    pub(crate) items: Option<Template>,
    pub(crate) item_selector: Option<Template>,
    pub(crate) max_concurrency: Option<Seconds>,
    pub(crate) tolerated_count: Option<Seconds>,
    pub(crate) tolerated_percentage: Option<Seconds>,
}

/// `InputPath` and its like: `"$"` or absent, `null`, or a path.
#[derive(Debug)]
pub(crate) enum PathField<P> {
    Whole,
    Null,
    Path(P),
}

/// A number given outright or computed from the input.
#[derive(Debug)]
pub(crate) enum Seconds {
    Fixed(u64),
    Path(Path),
    Expression(Box<Expression>),
}

#[derive(Debug)]
pub(crate) enum WaitFor {
    Seconds(Seconds),
    Timestamp(jiff::Timestamp),
    TimestampPath(Path),
    TimestampExpression(Box<Expression>),
}

#[derive(Debug)]
pub(crate) enum FailText {
    Fixed(String),
    Path { template: Template, field: &'static str },
    Expression(Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    Next(usize),
    /// `"End": true`, and what Succeed and Fail do.
    End,
}

#[derive(Debug)]
pub(crate) struct Retrier {
    pub(crate) errors: Vec<String>,
    pub(crate) interval_seconds: u64,
    pub(crate) max_attempts: u64,
    pub(crate) backoff_rate: f64,
    pub(crate) max_delay_seconds: Option<u64>,
    pub(crate) jitter: JitterStrategy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JitterStrategy {
    None,
    Full,
}

#[derive(Debug)]
pub(crate) struct Catcher {
    pub(crate) errors: Vec<String>,
    pub(crate) next: usize,
    pub(crate) result_path: PathField<ReferencePath>,
    pub(crate) assign: Option<Template>,
    /// In JSONata.
    pub(crate) output: Option<Template>,
}

/// Whether `error` is one of `names`, by the rules of Retry and Catch.
pub(crate) fn matches_error(names: &[String], error: &str) -> bool {
    names.iter().any(|name| match name.as_str() {
        "States.ALL" => error != "States.DataLimitExceeded",
        "States.TaskFailed" => error == name || !matches!(error, "States.Timeout" | "States.HeartbeatTimeout"),
        "States.Timeout" => matches!(error, "States.Timeout" | "States.HeartbeatTimeout"),
        exact => exact == error,
    })
}
