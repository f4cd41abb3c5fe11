//! The event log of an execution, and its wire form.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{asl::Kind, json::Json};

/// One entry of an execution's history. Its id is its place in the list, from 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, to the millisecond.
    pub time: Timestamp,
    /// The event that led to it; 0 for the first of an execution.
    pub previous: u64,
    /// What happened.
    pub detail: EventDetail,
}

/// An error name and its explanation, either of which may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// At most 256 characters.
    pub error: Option<Arc<str>>,
    /// At most 32,768 characters.
    pub cause: Option<Arc<str>>,
}

/// The type of a state, as it shows in event names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum StateType {
    Task,
    Pass,
    Choice,
    Wait,
    Succeed,
    Fail,
    Parallel,
    Map,
}

/// What happened, with the details that AWS gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum EventDetail {
    ExecutionStarted { input: Json, role_arn: Arc<str> },
    ExecutionSucceeded { output: Json },
    ExecutionFailed(Reported),
    ExecutionTimedOut(Reported),
    ExecutionAborted(Reported),
    StateEntered { kind: StateType, name: Arc<str>, input: Json },
    StateExited { kind: StateType, name: Arc<str>, output: Json, variables: Option<Box<BTreeMap<String, String>>> },
    EvaluationFailed { reported: Reported, state: Arc<str>, location: Arc<str> },
    StateAborted { kind: StateType },
    ActivityScheduled { resource: Arc<str>, input: Json, timeout: Option<u64>, heartbeat: Option<u64> },
    ActivityStarted { worker: Option<Arc<str>> },
    ActivitySucceeded { output: Json },
    ActivityFailed(Reported),
    ActivityTimedOut(Reported),
    ParallelStateStarted,
    ParallelStateSucceeded,
    ParallelStateFailed,
    MapStateStarted { length: usize },
    MapStateSucceeded,
    MapStateFailed,
    MapIterationStarted { name: Arc<str>, index: usize },
    MapIterationSucceeded { name: Arc<str>, index: usize },
    MapIterationFailed { name: Arc<str>, index: usize },
    MapIterationAborted { name: Arc<str>, index: usize },
}

impl From<&Kind> for StateType {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Task { .. } => Self::Task,
            Kind::Pass { .. } => Self::Pass,
            Kind::Choice { .. } => Self::Choice,
            Kind::Wait(_) => Self::Wait,
            Kind::Succeed => Self::Succeed,
            Kind::Fail { .. } => Self::Fail,
            Kind::Parallel { .. } => Self::Parallel,
            Kind::Map(_) => Self::Map,
        }
    }
}

impl Event {
    /// The event's `type` on the wire, e.g. `TaskStateEntered`.
    #[must_use]
    pub fn type_name(&self) -> String {
        match &self.detail {
            EventDetail::StateEntered { kind, .. } => format!("{kind:?}StateEntered"),
            EventDetail::StateExited { kind, .. } => format!("{kind:?}StateExited"),
            EventDetail::StateAborted { kind } => format!("{kind:?}StateAborted"),
            detail => detail.plain_name().to_owned(),
        }
    }

    /// The wire form. `include_data` is the request's `includeExecutionData`.
    #[must_use]
    pub fn to_json(&self, id: u64, include_data: bool) -> Value {
        let type_name = self.type_name();
        let mut event = Map::new();
        event.insert("timestamp".into(), epoch_seconds(self.time));
        event.insert("type".into(), Value::String(type_name.clone()));
        event.insert("id".into(), id.into());
        event.insert("previousEventId".into(), self.previous.into());
        if let Some(details) = self.detail.details(include_data) {
            event.insert(self.detail.details_field(&type_name), details);
        }
        Value::Object(event)
    }
}

impl EventDetail {
    fn plain_name(&self) -> &'static str {
        match self {
            Self::ExecutionStarted { .. } => "ExecutionStarted",
            Self::ExecutionSucceeded { .. } => "ExecutionSucceeded",
            Self::ExecutionFailed(_) => "ExecutionFailed",
            Self::ExecutionTimedOut(_) => "ExecutionTimedOut",
            Self::ExecutionAborted(_) => "ExecutionAborted",
            Self::StateEntered { .. } => "StateEntered",
            Self::StateExited { .. } => "StateExited",
            Self::StateAborted { .. } => "StateAborted",
            Self::EvaluationFailed { .. } => "EvaluationFailed",
            Self::ActivityScheduled { .. } => "ActivityScheduled",
            Self::ActivityStarted { .. } => "ActivityStarted",
            Self::ActivitySucceeded { .. } => "ActivitySucceeded",
            Self::ActivityFailed(_) => "ActivityFailed",
            Self::ActivityTimedOut(_) => "ActivityTimedOut",
            Self::ParallelStateStarted => "ParallelStateStarted",
            Self::ParallelStateSucceeded => "ParallelStateSucceeded",
            Self::ParallelStateFailed => "ParallelStateFailed",
            Self::MapStateStarted { .. } => "MapStateStarted",
            Self::MapStateSucceeded => "MapStateSucceeded",
            Self::MapStateFailed => "MapStateFailed",
            Self::MapIterationStarted { .. } => "MapIterationStarted",
            Self::MapIterationSucceeded { .. } => "MapIterationSucceeded",
            Self::MapIterationFailed { .. } => "MapIterationFailed",
            Self::MapIterationAborted { .. } => "MapIterationAborted",
        }
    }

    fn details_field(&self, type_name: &str) -> String {
        let stem = match self {
            Self::StateEntered { .. } => "StateEntered",
            Self::StateExited { .. } => "StateExited",
            _ => type_name,
        };
        let mut chars = stem.chars();
        let first = chars.next().map(|c| c.to_ascii_lowercase());
        first.into_iter().chain(chars).chain("EventDetails".chars()).collect()
    }

    fn details(&self, include_data: bool) -> Option<Value> {
        let mut details = Map::new();
        let mut data = |field: &str, json: &Json| {
            if include_data {
                details.insert(field.into(), json.as_str().into());
            }
            details.insert(format!("{field}Details"), json!({"truncated": false}));
        };
        match self {
            Self::ExecutionStarted { input, role_arn } => {
                data("input", input);
                details.insert("roleArn".into(), role_arn.as_ref().into());
            }
            Self::ExecutionSucceeded { output } | Self::ActivitySucceeded { output } => data("output", output),
            Self::StateEntered { name, input, .. } => {
                data("input", input);
                details.insert("name".into(), name.as_ref().into());
            }
            Self::StateExited { name, output, variables, .. } => {
                data("output", output);
                details.insert("name".into(), name.as_ref().into());
                if let Some(variables) = variables {
                    if include_data {
                        details.insert("assignedVariables".into(), json!(variables));
                    }
                    details.insert("assignedVariablesDetails".into(), json!({"truncated": false}));
                }
            }
            Self::EvaluationFailed { reported, state, location } => {
                details.extend(reported.error.as_deref().map(|error| ("error".to_owned(), error.into())));
                details.extend(reported.cause.as_deref().map(|cause| ("cause".to_owned(), cause.into())));
                details.insert("location".into(), location.as_ref().into());
                details.insert("state".into(), state.as_ref().into());
            }
            Self::ActivityScheduled { resource, input, timeout, heartbeat } => {
                data("input", input);
                details.insert("resource".into(), resource.as_ref().into());
                details.extend(timeout.map(|seconds| ("timeoutInSeconds".to_owned(), seconds.into())));
                details.extend(heartbeat.map(|seconds| ("heartbeatInSeconds".to_owned(), seconds.into())));
            }
            Self::ActivityStarted { worker } => {
                details.extend(worker.as_deref().map(|worker| ("workerName".to_owned(), worker.into())));
            }
            Self::ExecutionFailed(reported)
            | Self::ExecutionTimedOut(reported)
            | Self::ExecutionAborted(reported)
            | Self::ActivityFailed(reported)
            | Self::ActivityTimedOut(reported) => {
                details.extend(reported.error.as_deref().map(|error| ("error".to_owned(), error.into())));
                details.extend(reported.cause.as_deref().map(|cause| ("cause".to_owned(), cause.into())));
            }
            Self::MapStateStarted { length } => {
                details.insert("length".into(), (*length).into());
            }
            Self::MapIterationStarted { name, index }
            | Self::MapIterationSucceeded { name, index }
            | Self::MapIterationFailed { name, index }
            | Self::MapIterationAborted { name, index } => {
                details.insert("name".into(), name.as_ref().into());
                details.insert("index".into(), (*index).into());
            }
            Self::StateAborted { .. }
            | Self::ParallelStateStarted
            | Self::ParallelStateSucceeded
            | Self::ParallelStateFailed
            | Self::MapStateSucceeded
            | Self::MapStateFailed => return None,
        }
        Some(Value::Object(details))
    }
}

/// A time as the JSON protocol has it: seconds since 1970 with milliseconds.
pub(crate) fn epoch_seconds(time: Timestamp) -> Value {
    let millis = time.as_millisecond();
    let text = format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000));
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
