//! Starting, stopping and describing executions, and the store that holds them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    ApiError, Engine,
    callbacks::check_reported,
    execution::{Execution, ExecutionId, ExecutionStatus},
    history::{Event, Reported},
    machines::Revision,
    names::{check_arn, check_name},
    run::MAX_PAYLOAD,
    world::Timer,
};
use crate::json::Json;

/// StartExecution.
#[derive(Clone, Debug, Default)]
pub struct StartExecution {
    /// The machine to run.
    pub state_machine_arn: String,
    /// 1–80 characters, unique per machine; made up when absent.
    pub name: Option<String>,
    /// JSON text, at most 262,144 bytes; `{}` when absent.
    pub input: Option<String>,
}

/// What StartExecution answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedExecution {
    /// `arn:aws:states:<region>:<account>:execution:<machine>:<name>`
    pub arn: Arc<str>,
    /// When it started: for a repeated call, when the first one did.
    pub started: Timestamp,
}

/// An execution as it is described and listed.
#[derive(Clone, Debug)]
pub struct ExecutionSummary {
    /// Its ARN.
    pub arn: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The machine's configuration when it started.
    pub machine: Arc<Revision>,
    /// How it stands.
    pub status: ExecutionStatus,
    /// When it started.
    pub started: Timestamp,
    /// When it ended, if it has.
    pub stopped: Option<Timestamp>,
    /// Its input, verbatim.
    pub input: Json,
    /// Its output, once it has succeeded.
    pub output: Option<Json>,
    /// The error it ended with, if any.
    pub error: Option<Arc<str>>,
    /// The explanation of the error, if any.
    pub cause: Option<Arc<str>>,
}

#[derive(Debug, Default)]
pub(crate) struct Executions {
    pub(super) last: u64,
    pub(super) by_id: HashMap<ExecutionId, Box<Execution>>,
    pub(super) by_arn: HashMap<Arc<str>, ExecutionId>,
    /// In the order they started.
    pub(super) by_machine: BTreeMap<Arc<str>, BTreeSet<ExecutionId>>,
    /// In the order they ended.
    pub(super) closed: VecDeque<ExecutionId>,
}

impl Executions {
    pub(super) fn get(&self, id: ExecutionId) -> Option<&Execution> {
        self.by_id.get(&id).map(Box::as_ref)
    }

    pub(super) fn find(&self, arn: &str) -> Option<(ExecutionId, &Execution)> {
        let id = *self.by_arn.get(arn)?;
        Some((id, self.get(id)?))
    }

    pub(super) fn running(&mut self, id: ExecutionId) -> Option<&mut Execution> {
        self.by_id.get_mut(&id).map(Box::as_mut).filter(|execution| execution.status == ExecutionStatus::Running)
    }

    pub(super) fn of_machine(&self, arn: &str) -> Option<&BTreeSet<ExecutionId>> {
        self.by_machine.get(arn)
    }

    pub(super) fn any_runs(&self, machine_arn: &str) -> bool {
        let mut ids = self.by_machine.get(machine_arn).into_iter().flatten();
        ids.any(|id| self.get(*id).is_some_and(|execution| execution.status == ExecutionStatus::Running))
    }

    /// How many run.
    pub(super) fn open(&self) -> usize {
        self.by_id.len() - self.closed.len()
    }

    /// From now on those of the machine that run end before their next state.
    pub(super) fn doom(&mut self, machine_arn: &str) {
        for id in self.by_machine.get(machine_arn).into_iter().flatten() {
            if let Some(execution) = self.by_id.get_mut(id) {
                execution.doomed = true;
            }
        }
    }

    fn insert(&mut self, execution: Execution) -> ExecutionId {
        self.last += 1;
        let id = ExecutionId(self.last);
        self.by_arn.insert(execution.arn.clone(), id);
        self.by_machine.entry(execution.machine.arn.clone()).or_default().insert(id);
        self.by_id.insert(id, Box::new(execution));
        id
    }

    /// Files an execution as closed; forgets the oldest ones beyond `max` and gives their tokens.
    pub(super) fn closed(&mut self, id: ExecutionId, max: usize) -> Vec<Arc<str>> {
        self.closed.push_back(id);
        let mut tokens = Vec::new();
        while self.closed.len() > max {
            let Some(execution) = self.closed.pop_front().and_then(|id| self.by_id.remove(&id)) else { continue };
            if let Some(id) = self.by_arn.remove(&execution.arn)
                && let Some(ids) = self.by_machine.get_mut(&execution.machine.arn)
            {
                ids.remove(&id);
            }
            tokens.extend(execution.tokens);
        }
        tokens
    }
}

impl Engine {
    /// StartExecution. The same name and input again, while it runs, is the same execution.
    pub fn start_execution(&mut self, request: StartExecution, now: Timestamp) -> Result<StartedExecution, ApiError> {
        self.tick(now);
        if let Some(name) = &request.name {
            check_name(name)?;
        }
        let input = execution_input(request.input.as_deref())?;
        let machine = self.machine(&request.state_machine_arn)?;
        machine.check_active()?;
        let machine = machine.current.clone();
        let name = request.name.unwrap_or_else(|| self.world.random.uuid());
        let arn: Arc<str> = format!("{}:{name}", machine.arn.replacen(":stateMachine:", ":execution:", 1)).into();
        if let Some((_, found)) = self.executions.find(&arn) {
            return if found.status == ExecutionStatus::Running && found.input == input {
                Ok(StartedExecution { arn, started: found.started })
            } else {
                Err(ApiError::new("ExecutionAlreadyExists", format!("Execution Already Exists: '{arn}'")))
            };
        }
        if self.executions.open() >= self.options.limits.open_executions {
            return Err(ApiError::new(
                "ExecutionLimitExceeded",
                "The maximum number of running executions has been reached.",
            ));
        }
        let started = self.world.now;
        let timeout_seconds = machine.definition.timeout_seconds;
        let id = self.executions.insert(Execution {
            arn: arn.clone(),
            name: name.into(),
            machine,
            input,
            status: ExecutionStatus::Running,
            started,
            stopped: None,
            output: None,
            error: None,
            cause: None,
            history: Vec::with_capacity(4),
            branches: BTreeMap::new(),
            next_branch: 1,
            timeout: None,
            doomed: false,
            tokens: Vec::new(),
        });
        if let (Some(seconds), Some(execution)) = (timeout_seconds, self.executions.running(id)) {
            let due = self.world.after_seconds(seconds);
            execution.timeout = Some(self.world.timers.set(due, Timer::ExecutionTimesOut(id)));
        }
        self.run(id, |run| run.begin());
        Ok(StartedExecution { arn, started })
    }

    /// StopExecution: ABORTED at once, with its open tasks closed. An execution that has ended stays as it is.
    ///
    /// Returns when it stopped.
    pub fn stop_execution(
        &mut self,
        arn: &str,
        error: Option<&str>,
        cause: Option<&str>,
        now: Timestamp,
    ) -> Result<Timestamp, ApiError> {
        self.tick(now);
        check_reported(error, cause)?;
        let (id, _) = self.execution(arn)?;
        let reported = Reported { error: error.map(Into::into), cause: cause.map(Into::into) };
        self.run(id, |run| run.interrupt(ExecutionStatus::Aborted, reported));
        Ok(self.executions.get(id).and_then(|execution| execution.stopped).unwrap_or(self.world.now))
    }

    /// DescribeExecution.
    pub fn describe_execution(&mut self, arn: &str, now: Timestamp) -> Result<ExecutionSummary, ApiError> {
        self.tick(now);
        self.execution(arn).map(|(_, execution)| execution.summary())
    }

    /// The events of an execution, oldest first; an event's id is its place, from 1.
    pub fn execution_history(&mut self, arn: &str, now: Timestamp) -> Result<&[Event], ApiError> {
        self.tick(now);
        self.execution(arn).map(|(_, execution)| execution.history.as_slice())
    }

    fn execution(&self, arn: &str) -> Result<(ExecutionId, &Execution), ApiError> {
        check_arn(arn, "execution")?;
        let missing = || ApiError::new("ExecutionDoesNotExist", format!("Execution Does Not Exist: '{arn}'"));
        self.executions.find(arn).ok_or_else(missing)
    }
}

fn execution_input(input: Option<&str>) -> Result<Json, ApiError> {
    let invalid =
        |why: &str| ApiError::new("InvalidExecutionInput", format!("Invalid State Machine Execution Input: '{why}'"));
    let Some(input) = input else { return Ok(Json::empty_object()) };
    if input.len() > MAX_PAYLOAD {
        return Err(if input.chars().count() > MAX_PAYLOAD {
            let constraint = format!("Member must have length less than or equal to {MAX_PAYLOAD}");
            ApiError::constraint("'***'", "input", &constraint)
        } else {
            invalid(&format!("The input is longer than {MAX_PAYLOAD} bytes"))
        });
    }
    if input.trim().is_empty() {
        return Err(invalid("Invalid execution input."));
    }
    Json::parse(input).map_err(|error| invalid(&error.to_string()))
}
