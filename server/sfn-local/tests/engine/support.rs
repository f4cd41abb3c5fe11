//! An engine, a clock that only moves when told, and shorthands.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sfn_local::engine::{
    ActivityTask, ApiError, CreateStateMachine, Engine, EngineOptions, ExecutionStatus, ExecutionSummary,
    StartExecution,
};

pub(crate) struct Account {
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    pub(crate) activity: String,
}

pub(crate) fn start_of_time() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

impl Account {
    pub(crate) fn new() -> Self {
        Self::with(EngineOptions { check_roles: false, ..EngineOptions::default() })
    }

    pub(crate) fn with(options: EngineOptions) -> Self {
        let now = start_of_time();
        let mut engine = Engine::new(options, now);
        let activity = engine.create_activity("us-east-1", "Approve", Default::default(), now).unwrap().arn;
        Self { engine, now, activity }
    }

    /// Goes on with what comes back of the engine, which must be the same when it is written again.
    pub(crate) fn save_and_restore(&mut self) {
        let text = self.saved();
        self.engine = Engine::restore(self.engine.options().clone(), &text).unwrap();
        assert!(same(&self.saved(), &text));
    }

    pub(crate) fn saved(&self) -> String {
        let mut text = Vec::new();
        self.engine.save(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Moves the clock ahead and makes everything due happen.
    pub(crate) fn advance(&mut self, seconds: f64) {
        #[allow(clippy::cast_possible_truncation)]
        let millis = (seconds * 1000.0).round() as i64;
        self.now += SignedDuration::from_millis(millis);
        self.engine.tick(self.now);
    }

    /// Seconds until the next timer.
    pub(crate) fn next_in(&self) -> Option<f64> {
        self.engine.next_wakeup().map(|due| due.duration_since(self.now).as_secs_f64())
    }

    pub(crate) fn create(&mut self, name: &str, definition: &Value) -> Result<String, ApiError> {
        let request = CreateStateMachine {
            name: name.to_owned(),
            definition: definition.to_string(),
            role_arn: "arn:aws:iam::000000000000:role/R".to_owned(),
            ..CreateStateMachine::default()
        };
        let machine = self.engine.create_state_machine("us-east-1", request, self.now)?;
        Ok(machine.current.arn.to_string())
    }

    pub(crate) fn start(&mut self, machine: &str, input: &str) -> String {
        let request =
            StartExecution { state_machine_arn: machine.to_owned(), name: None, input: Some(input.to_owned()) };
        self.engine.start_execution(request, self.now).unwrap().arn.to_string()
    }

    /// Creates a machine of these states, the first one being where it starts, and runs it.
    pub(crate) fn run(&mut self, states: &Value, input: &str) -> String {
        let definition = json!({"StartAt": states.as_object().unwrap().keys().next().unwrap(), "States": states});
        let name = format!("M{}", self.engine.list_state_machines("us-east-1", self.now).len());
        let machine = self.create(&name, &definition).unwrap();
        self.start(&machine, input)
    }

    /// A Task state on the activity, with more fields, that ends the machine unless told otherwise.
    pub(crate) fn task(&self, fields: &Value) -> Value {
        let mut state = json!({"Type": "Task", "Resource": self.activity});
        let map = state.as_object_mut().unwrap();
        map.extend(fields.as_object().unwrap().clone());
        if !map.contains_key("Next") {
            map.insert("End".to_owned(), json!(true));
        }
        state
    }

    pub(crate) fn take(&mut self) -> Option<ActivityTask> {
        self.engine.try_take_task(&self.activity, Some("worker"), self.now).unwrap()
    }

    pub(crate) fn succeed(&mut self, token: &str, output: &str) -> Result<(), ApiError> {
        self.engine.send_task_success(token, output, self.now)
    }

    pub(crate) fn fail(&mut self, token: &str, error: &str) -> Result<(), ApiError> {
        self.engine.send_task_failure(token, Some(error), Some("why"), self.now)
    }

    pub(crate) fn heartbeat(&mut self, token: &str) -> Result<(), ApiError> {
        self.engine.send_task_heartbeat(token, self.now)
    }

    pub(crate) fn describe(&mut self, execution: &str) -> ExecutionSummary {
        self.engine.describe_execution(execution, self.now).unwrap()
    }

    pub(crate) fn status(&mut self, execution: &str) -> ExecutionStatus {
        self.describe(execution).status
    }

    pub(crate) fn output(&mut self, execution: &str) -> String {
        let summary = self.describe(execution);
        summary
            .output
            .unwrap_or_else(|| panic!("{:?} {:?} {:?}", summary.status, summary.error, summary.cause))
            .to_string()
    }

    /// Error and cause.
    pub(crate) fn failure(&mut self, execution: &str) -> (String, String) {
        let summary = self.describe(execution);
        let text = |part: Option<Arc<str>>| part.as_deref().unwrap_or_default().to_owned();
        (text(summary.error), text(summary.cause))
    }

    /// `id<previous type`, one per event.
    pub(crate) fn history(&mut self, execution: &str) -> Vec<String> {
        let events = self.engine.execution_history(execution, self.now).unwrap();
        events
            .iter()
            .enumerate()
            .map(|(index, event)| format!("{}<{} {}", index + 1, event.previous, event.type_name()))
            .collect()
    }
}

pub(crate) fn code(result: Result<impl std::fmt::Debug, ApiError>) -> &'static str {
    result.unwrap_err().code
}

/// Whether two documents hold the same, in whatever order.
pub(crate) fn same(left: &str, right: &str) -> bool {
    let read = |text| serde_json::from_str::<Value>(text).unwrap();
    read(left) == read(right)
}
