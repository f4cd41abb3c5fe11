//! The interpreter: how an execution moves from state to state.
//!
//! | a state | succeeds | fails |
//! |---|---|---|
//! | enters | [`Run::enter`] → [`Run::attempt`] | |
//! | ends | [`Run::complete`]: variables and output, then [`Run::leave`] | [`Run::fail`]: Retry, Catch, else the branch fails |
//! | ends its branch | the parent gets a result, or the execution succeeds | the parent state fails, or the execution fails |

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use super::{
    data::Effective,
    execution::{Branch, BranchId, Execution, ExecutionId, ExecutionStatus, ROOT, Waiting},
    history::{EventDetail, Reported, StateType},
    numbers::read_seconds,
    world::{Timer, World},
};
use crate::{
    asl::{
        Assigned, FailText, Failure, JitterStrategy, Kind, Retrier, Scope, State, Transition, Variables, WaitFor,
        matches_error, timestamp,
    },
    json::Json,
};

/// The most bytes of JSON that a state may take or give.
pub(crate) const MAX_PAYLOAD: usize = 262_144;
/// The most events that one execution may have.
const MAX_EVENTS: usize = 25_000;

/// One execution being moved, and the world it moves in.
pub(crate) struct Run<'e> {
    pub(crate) world: &'e mut World,
    pub(crate) execution: &'e mut Execution,
    pub(crate) id: ExecutionId,
    /// Branches that have a state to enter. A queue, so that a long run of states is not a deep stack.
    pub(crate) ready: VecDeque<BranchId>,
}

impl<'e> Run<'e> {
    pub(crate) fn new(world: &'e mut World, execution: &'e mut Execution, id: ExecutionId) -> Self {
        Self { world, execution, id, ready: VecDeque::new() }
    }

    /// Enters states until every branch waits or the execution has ended.
    pub(crate) fn drive(&mut self) {
        while let Some(branch) = self.ready.pop_front() {
            self.enter(branch);
            if self.execution.history.len() > MAX_EVENTS && self.execution.status == ExecutionStatus::Running {
                let cause = "The execution reached the maximum number of history events (25000).";
                self.end_failed(&Failure::reported(Some("States.Runtime".to_owned()), Some(cause.to_owned())), 0);
            }
        }
    }

    /// The branch's current state, with the graph kept alive apart from the branch.
    pub(crate) fn branch(&mut self, id: BranchId) -> Option<&mut Branch> {
        self.execution.branches.get_mut(&id)
    }

    pub(crate) fn with_state<R>(&mut self, id: BranchId, act: impl FnOnce(&mut Self, &State) -> R) -> Option<R> {
        let branch = self.execution.branches.get(&id)?;
        let (graph, index) = (branch.graph.clone(), branch.state);
        graph.states.get(index).map(|state| act(self, state))
    }

    /// Appends an event after the branch's last one.
    pub(crate) fn record(&mut self, id: BranchId, detail: EventDetail) -> u64 {
        let previous = self.execution.branches.get(&id).map_or(0, |branch| branch.last_event);
        let event = self.execution.record(self.world.now, previous, detail);
        if let Some(branch) = self.branch(id) {
            branch.last_event = event;
        }
        event
    }

    fn enter(&mut self, id: BranchId) {
        self.with_state(id, |run, state| {
            let Some(branch) = run.execution.branches.get(&id) else { return };
            let (kind, name, input) = (StateType::from(&state.kind), state.name.clone(), branch.input.clone());
            let event = run.record(id, EventDetail::StateEntered { kind, name, input });
            let now = run.world.now;
            if let Some(branch) = run.branch(id) {
                branch.entered = now;
                branch.entered_event = event;
                branch.retry_count = 0;
                branch.attempts = Vec::new();
            }
        });
        self.attempt(id);
    }

    /// Runs the current state: on entry, and again for each retry.
    pub(crate) fn attempt(&mut self, id: BranchId) {
        self.with_state(id, |run, state| {
            if let Err(failure) = run.try_attempt(id, state) {
                run.fail(id, state, failure);
            }
        });
    }

    fn try_attempt(&mut self, id: BranchId, state: &State) -> Result<(), Failure> {
        match &state.kind {
            Kind::Pass { result: None } if state.takes_raw_input() => {
                let raw = self.raw_input(id);
                self.complete(id, state, raw)
            }
            Kind::Task {
                resource,
                timeout: None | Some(crate::asl::Seconds::Fixed(_)),
                heartbeat: None | Some(crate::asl::Seconds::Fixed(_)),
            } if state.takes_raw_input() => {
                let raw = self.raw_input(id);
                self.schedule_task(id, state, resource, raw, &Scope::empty())
            }
            _ => self.with_effective(id, state, |run, scope, effective| run.act(id, state, scope, &effective)),
        }
    }

    fn act(
        &mut self,
        id: BranchId,
        state: &State,
        scope: &Scope<'_>,
        effective: &Effective<'_>,
    ) -> Result<(), Failure> {
        match &state.kind {
            Kind::Pass { result: Some(result) } => self.complete(id, state, Json::from_value(result)),
            Kind::Pass { result: None } => self.complete(id, state, effective.text()),
            Kind::Task { resource, .. } => self.schedule_task(id, state, resource, effective.text(), scope),
            Kind::Choice { rules, default } => {
                let mut way = default.map(|next| (state.assign.as_ref(), state.output(), Transition::Next(next)));
                for choice in rules {
                    if choice.rule.matches(scope, &mut self.world.random)? {
                        way = Some((choice.assign.as_ref(), choice.output.as_ref(), Transition::Next(choice.next)));
                        break;
                    }
                }
                let way = way.ok_or_else(|| {
                    Failure::named(
                        "States.NoChoiceMatched",
                        "Failed to transition out of the state. The state does not point to a next state.",
                    )
                })?;
                self.pass_on(id, state, scope, effective, way)
            }
            Kind::Succeed => self.pass_on(id, state, scope, effective, (None, state.output(), Transition::End)),
            Kind::Wait(wait) => self.wait(id, wait, scope),
            Kind::Fail { error, cause } => {
                let error = self.fail_text(error.as_ref(), scope)?;
                let cause = self.fail_text(cause.as_ref(), scope)?;
                Err(Failure::reported(error, cause))
            }
            Kind::Parallel { branches } => self.start_parallel(id, branches, &effective.text()),
            Kind::Map(map) => self.start_map(id, state, map, scope),
        }
    }

    fn fail_text(&mut self, text: Option<&FailText>, scope: &Scope<'_>) -> Result<Option<String>, Failure> {
        match text {
            None => Ok(None),
            Some(FailText::Fixed(text)) => Ok(Some(text.clone())),
            Some(FailText::Path { template, field }) => match template.eval(scope, &mut self.world.random)? {
                Value::String(text) => Ok(Some(text)),
                other => Err(Failure::runtime(format!("The value of the field '{field}' is not a string: {other}"))),
            },
            Some(FailText::Expression(expression)) => match expression.eval(scope, &mut self.world.random)? {
                Value::String(text) => Ok(Some(text)),
                other => Err(expression.unexpected("string", &other)),
            },
        }
    }

    fn wait(&mut self, id: BranchId, wait: &WaitFor, scope: &Scope<'_>) -> Result<(), Failure> {
        let due = match wait {
            WaitFor::Seconds(seconds) => {
                let seconds = read_seconds(seconds, "SecondsPath", 0, scope, &mut self.world.random)?;
                self.world.after_seconds(seconds)
            }
            WaitFor::Timestamp(time) => *time,
            WaitFor::TimestampExpression(expression) => {
                let value = expression.eval(scope, &mut self.world.random)?;
                value.as_str().and_then(timestamp).ok_or_else(|| expression.unexpected("timestamp", &value))?
            }
            WaitFor::TimestampPath(path) => {
                let value = path.find(scope).ok_or_else(|| {
                    Failure::runtime(format!(
                        "The TimestampPath parameter does not reference an input value: {}",
                        path.text()
                    ))
                })?;
                value.as_str().and_then(timestamp).ok_or_else(|| {
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    Failure::runtime(format!(
                        "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time \
                         format string: {} == {shown}",
                        path.text()
                    ))
                })?
            }
        };
        let key = self.world.timers.set(due.max(self.world.now), Timer::WaitEnds(self.id, id));
        if let Some(branch) = self.branch(id) {
            branch.waiting = Waiting::Timer(key);
        }
        Ok(())
    }

    /// A Wait's time has come.
    pub(crate) fn wait_ended(&mut self, id: BranchId) {
        self.with_state(id, |run, state| {
            if let Some(branch) = run.branch(id) {
                branch.waiting = Waiting::Nothing;
            }
            let outcome = run.with_effective(id, state, |run, scope, effective| {
                let way = (state.assign.as_ref(), state.output(), state.next);
                run.pass_on(id, state, scope, &effective, way)
            });
            if let Err(failure) = outcome {
                run.fail(id, state, failure);
            }
        });
    }

    /// Leaves the state with `output`, for another state or for the end of the branch.
    pub(crate) fn leave(&mut self, id: BranchId, state: &State, output: Json, next: Transition, assigned: Assigned) {
        let (kind, name) = (StateType::from(&state.kind), state.name.clone());
        let texts = assigned.iter().map(|(name, _, text)| (name.clone(), text.clone()));
        let variables = if assigned.is_empty() { None } else { Some(Box::new(texts.collect())) };
        self.record(id, EventDetail::StateExited { kind, name, output: output.clone(), variables });
        if let Some(branch) = self.branch(id).filter(|_| !assigned.is_empty()) {
            Arc::make_mut(&mut branch.variables).store(assigned);
        }
        match next {
            Transition::Next(_) if self.execution.doomed => {
                self.interrupt(ExecutionStatus::Aborted, Reported::default());
            }
            Transition::Next(next) => {
                if let Some(branch) = self.branch(id) {
                    (branch.state, branch.input, branch.waiting) = (next, output, Waiting::Nothing);
                    self.ready.push_back(id);
                }
            }
            Transition::End => self.branch_succeeded(id, output),
        }
    }

    fn branch_succeeded(&mut self, id: BranchId, output: Json) {
        let Some(branch) = self.execution.branches.get(&id) else { return };
        let last = branch.last_event;
        match &branch.parent {
            Some(parent) => {
                let (parent, index) = (parent.branch, parent.index);
                self.execution.branches.remove(&id);
                self.child_succeeded(parent, id, index, output, last);
            }
            None => {
                self.execution.record(self.world.now, last, EventDetail::ExecutionSucceeded { output: output.clone() });
                self.end(ExecutionStatus::Succeeded);
                self.execution.output = Some(output);
            }
        }
    }

    /// The state has failed: Retry, then Catch, then the branch fails with it.
    pub(crate) fn fail(&mut self, id: BranchId, state: &State, failure: Failure) {
        let mut failure = self.located(id, state, failure);
        let started = self.branch(id).is_some_and(|branch| branch.last_event != branch.entered_event);
        self.record_evaluation_failed(id, state, &failure);
        // A Map whose Items are none has failed as one that had started.
        let started = started || (failure.field.is_some() && matches!(state.kind, Kind::Map(_)));
        if let Some(branch) = self.branch(id) {
            branch.waiting = Waiting::Nothing;
        }
        let error = failure.error.clone().unwrap_or_default();
        if !failure.is_runtime() {
            if let Some(delay) = self.next_retry(id, state, &error) {
                let due = self.world.after_millis(delay);
                let key = self.world.timers.set(due, Timer::RetryStarts(self.id, id));
                if let Some(branch) = self.branch(id) {
                    branch.waiting = Waiting::Timer(key);
                }
                return;
            }
            self.record_container_failed(id, state, started);
            if let Some(catcher) = state.catch.iter().find(|catcher| matches_error(&catcher.errors, &error)) {
                match self.caught(id, state, catcher, &failure) {
                    Ok((output, assigned)) => {
                        return self.leave(id, state, output, Transition::Next(catcher.next), assigned);
                    }
                    Err(new) => {
                        failure = self.located(id, state, new);
                        self.record_evaluation_failed(id, state, &failure);
                    }
                }
            }
        } else {
            self.record_container_failed(id, state, started);
        }
        self.branch_failed(id, failure);
    }

    /// Says in the cause where the failure happened.
    fn located(&mut self, id: BranchId, state: &State, mut failure: Failure) -> Failure {
        if failure.located {
            let entered = self.branch(id).map_or(0, |branch| branch.entered_event);
            let cause = failure.cause.take().unwrap_or_default();
            failure.cause = Some(format!(
                "An error occurred while executing the state '{}' (entered at the event id #{entered}). {cause}",
                state.name
            ));
            failure.located = false;
        }
        failure
    }

    fn record_evaluation_failed(&mut self, id: BranchId, state: &State, failure: &Failure) {
        if let Some(field) = &failure.field {
            let (reported, state, location) = (reported(failure), state.name.clone(), field.as_str().into());
            self.record(id, EventDetail::EvaluationFailed { reported, state, location });
        }
    }

    fn branch_failed(&mut self, id: BranchId, failure: Failure) {
        let Some(branch) = self.execution.branches.get(&id) else { return };
        let last = branch.last_event;
        match &branch.parent {
            Some(parent) => {
                let (parent, index) = (parent.branch, parent.index);
                self.execution.branches.remove(&id);
                self.child_failed(parent, id, index, failure, last);
            }
            None => self.end_failed(&failure, last),
        }
    }

    fn end_failed(&mut self, failure: &Failure, last: u64) {
        let reported = reported(failure);
        (self.execution.error, self.execution.cause) = (reported.error.clone(), reported.cause.clone());
        self.execution.record(self.world.now, last, EventDetail::ExecutionFailed(reported));
        self.end(ExecutionStatus::Failed);
    }

    /// Counts a retry and gives its delay in milliseconds, if the first retrier that matches has one left.
    fn next_retry(&mut self, id: BranchId, state: &State, error: &str) -> Option<u64> {
        let (index, retrier) =
            state.retry.iter().enumerate().find(|(_, retrier)| matches_error(&retrier.errors, error))?;
        let branch = self.execution.branches.get_mut(&id)?;
        branch.attempts.resize(state.retry.len(), 0);
        let used = branch.attempts.get_mut(index).filter(|used| **used < retrier.max_attempts)?;
        *used += 1;
        let delay = retry_delay(retrier, *used);
        branch.retry_count += 1;
        Some(match retrier.jitter {
            JitterStrategy::None => delay,
            JitterStrategy::Full => self.world.random.up_to(delay),
        })
    }

    /// A retry's delay is over: the state runs again, entered once.
    pub(crate) fn retry(&mut self, id: BranchId) {
        if let Some(branch) = self.branch(id) {
            branch.waiting = Waiting::Nothing;
            self.attempt(id);
        }
    }

    /// Stops the whole execution from outside.
    pub(crate) fn interrupt(&mut self, status: ExecutionStatus, reported: Reported) {
        (self.execution.error, self.execution.cause) = (reported.error.clone(), reported.cause.clone());
        let detail = match status {
            ExecutionStatus::TimedOut => EventDetail::ExecutionTimedOut(reported),
            _ => EventDetail::ExecutionAborted(reported),
        };
        self.execution.record(self.world.now, 0, detail);
        self.end(status);
    }

    /// Closes whatever is open, and the execution.
    fn end(&mut self, status: ExecutionStatus) {
        for (_, branch) in std::mem::take(&mut self.execution.branches) {
            self.release(&branch.waiting);
        }
        if let Some(key) = self.execution.timeout.take() {
            self.world.timers.cancel(key);
        }
        self.execution.status = status;
        self.execution.stopped = Some(self.world.now);
        self.ready.clear();
    }

    pub(crate) fn release(&mut self, waiting: &Waiting) {
        match waiting {
            Waiting::Task(token) => self.world.close_task(token),
            Waiting::Timer(key) => self.world.timers.cancel(*key),
            Waiting::Nothing | Waiting::Children(_) => {}
        }
    }

    /// Puts the first state of a new execution in line.
    pub(crate) fn begin(&mut self) {
        let (input, role_arn) = (self.execution.input.clone(), self.execution.machine.role_arn.clone());
        self.execution.record(self.world.now, 0, EventDetail::ExecutionStarted { input: input.clone(), role_arn });
        let graph = self.execution.machine.definition.graph.clone();
        let branch = Branch::new(graph, None, input, 0, self.world.now, Arc::default());
        self.execution.branches.insert(ROOT, branch);
        self.ready.push_back(ROOT);
        self.drive();
    }
}

impl Branch {
    pub(crate) fn new(
        graph: Arc<crate::asl::Graph>,
        parent: Option<super::execution::Parent>,
        input: Json,
        last_event: u64,
        now: jiff::Timestamp,
        variables: Arc<Variables>,
    ) -> Self {
        let state = graph.start;
        Self {
            graph,
            parent,
            state,
            input,
            entered: now,
            entered_event: 0,
            last_event,
            retry_count: 0,
            attempts: Vec::new(),
            waiting: Waiting::Nothing,
            inherited: variables.bytes(),
            variables,
        }
    }
}

pub(crate) fn reported(failure: &Failure) -> Reported {
    Reported { error: failure.error.as_deref().map(Into::into), cause: failure.cause.as_deref().map(Into::into) }
}

/// Milliseconds before the retry of that number, from 1, without jitter.
fn retry_delay(retrier: &Retrier, number: u64) -> u64 {
    let exponent = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
    #[allow(clippy::cast_precision_loss)]
    let seconds = retrier.interval_seconds as f64 * retrier.backoff_rate.powi(exponent);
    let most = retrier.max_delay_seconds.unwrap_or(crate::asl::MAX_SECONDS).saturating_mul(1000);
    // A float cast saturates, so an infinite product is the cap too.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let millis = (seconds * 1000.0).round() as u64;
    millis.min(most)
}
