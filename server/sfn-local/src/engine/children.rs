//! Parallel and Map: branches within a branch.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use super::{
    context,
    execution::{Branch, BranchId, Children, Parent, Waiting},
    history::{EventDetail, StateType},
    numbers::read_integer,
    run::Run,
};
use crate::{
    asl::{Failure, Graph, Kind, MAX_SECONDS, Map, Scope, State, Template, select},
    json::Json,
};

/// The most iterations of an inline Map that run at once, whatever MaxConcurrency says.
const MAX_ITERATIONS: usize = 40;

impl Run<'_> {
    pub(crate) fn start_parallel(&mut self, id: BranchId, graphs: &[Arc<Graph>], input: &Json) -> Result<(), Failure> {
        let started = self.record(id, EventDetail::ParallelStateStarted);
        let mut children = Children {
            results: vec![None; graphs.len()],
            open: Vec::new(),
            pending: VecDeque::new(),
            failures: 0,
            tolerated: None,
        };
        for (index, graph) in graphs.iter().enumerate() {
            let parent = Parent { branch: id, index, item: None };
            children.open.push(self.spawn(graph.clone(), parent, input.clone(), started));
        }
        if let Some(branch) = self.branch(id) {
            branch.waiting = Waiting::Children(children);
        }
        Ok(())
    }

    pub(crate) fn start_map(
        &mut self,
        id: BranchId,
        state: &State,
        map: &Map,
        scope: &Scope<'_>,
    ) -> Result<(), Failure> {
        let selected = match &map.items {
            Some(items) => Some(items.eval(scope, &mut self.world.random)?),
            None => select(&map.items_path, scope)?,
        };
        let found = selected.as_ref().unwrap_or(scope.input);
        let Some(items) = found.as_array() else { return Err(no_array(map, state, found)) };
        let random = &mut self.world.random;
        let mut number = |field: &Option<crate::asl::Seconds>, name: &str| match field {
            Some(field) => read_integer(field, name, MAX_SECONDS, scope, random),
            None => Ok(0),
        };
        let concurrency = match number(&map.max_concurrency, "MaxConcurrencyPath")? {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let count = number(&map.tolerated_count, "ToleratedFailureCountPath")?;
        let percentage = number(&map.tolerated_percentage, "ToleratedFailurePercentagePath")?;
        if percentage > 100 {
            return Err(Failure::runtime("ToleratedFailurePercentage must be between 0 and 100."));
        }
        let share = (items.len() as u64).saturating_mul(percentage) / 100;
        // With both, either one is a limit.
        let count = map.tolerated_count.as_ref().map(|_| count);
        let share = map.tolerated_percentage.as_ref().map(|_| share);
        let tolerated = [count, share].into_iter().flatten().min();
        let mut pending = VecDeque::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let text = Json::from_value(item);
            let input = match &map.item_selector {
                None => text.clone(),
                Some(selector) => {
                    let mut context = self.context(id, state);
                    if let Value::Object(fields) = &mut context {
                        fields.insert("Map".to_owned(), context::item_context(index, item));
                    }
                    let scope = Scope { context: &context, ..*scope };
                    Json::from_value(&selector.eval(&scope, &mut self.world.random)?)
                }
            };
            pending.push_back((index, input, text));
        }
        self.record(id, EventDetail::MapStateStarted { length: items.len() });
        let children = Children {
            results: vec![None; items.len()],
            open: Vec::new(),
            pending,
            failures: 0,
            tolerated: tolerated.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        };
        if let Some(branch) = self.branch(id) {
            branch.waiting = Waiting::Children(children);
        }
        if items.is_empty() {
            let last = self.branch(id).map_or(0, |branch| branch.last_event);
            return self.join(id, state, last);
        }
        for _ in 0..concurrency.min(MAX_ITERATIONS).min(items.len()) {
            let after = self.branch(id).map_or(0, |branch| branch.last_event);
            self.start_iteration(id, state, map, after);
        }
        Ok(())
    }

    fn start_iteration(&mut self, id: BranchId, state: &State, map: &Map, after: u64) {
        let Some((index, input, item)) = self.children(id).and_then(|children| children.pending.pop_front()) else {
            return;
        };
        let detail = EventDetail::MapIterationStarted { name: state.name.clone(), index };
        let started = self.execution.record(self.world.now, after, detail);
        let parent = Parent { branch: id, index, item: Some(item) };
        let child = self.spawn(map.processor.clone(), parent, input, started);
        if let Some(children) = self.children(id) {
            children.open.push(child);
        }
    }

    fn spawn(&mut self, graph: Arc<Graph>, parent: Parent, input: Json, after: u64) -> BranchId {
        let child = BranchId(self.execution.next_branch);
        self.execution.next_branch += 1;
        let variables = self.branch(parent.branch).map(|branch| branch.variables.clone()).unwrap_or_default();
        let branch = Branch::new(graph, Some(parent), input, after, self.world.now, variables);
        self.execution.branches.insert(child, branch);
        self.ready.push_back(child);
        child
    }

    fn children(&mut self, id: BranchId) -> Option<&mut Children> {
        match &mut self.branch(id)?.waiting {
            Waiting::Children(children) => Some(children),
            Waiting::Nothing | Waiting::Task(_) | Waiting::Timer(_) => None,
        }
    }

    /// A branch or iteration of `id` has ended well; `last` is its last event.
    pub(crate) fn child_succeeded(&mut self, id: BranchId, child: BranchId, index: usize, output: Json, last: u64) {
        self.with_state(id, |run, state| {
            let mut after = last;
            if let Kind::Map(_) = &state.kind {
                let detail = EventDetail::MapIterationSucceeded { name: state.name.clone(), index };
                after = run.execution.record(run.world.now, last, detail);
            }
            run.child_ended(id, state, child, index, output, (last, after));
        });
    }

    /// A branch or iteration of `id` has failed.
    pub(crate) fn child_failed(&mut self, id: BranchId, child: BranchId, index: usize, failure: Failure, last: u64) {
        self.with_state(id, |run, state| {
            let mut failure = failure;
            if let Kind::Map(_) = &state.kind {
                let detail = EventDetail::MapIterationFailed { name: state.name.clone(), index };
                run.execution.record(run.world.now, last, detail);
                let within = run.children(id).and_then(|children| {
                    children.failures += 1;
                    children.tolerated.map(|most| children.failures <= most)
                });
                match within {
                    Some(true) if !failure.is_runtime() => {
                        let output = Json::from_value(&failure.error_output());
                        return run.child_ended(id, state, child, index, output, (last, last));
                    }
                    Some(false) if !failure.is_runtime() => {
                        failure = Failure::named(
                            "States.ExceedToleratedFailureThreshold",
                            "The specified tolerated failure threshold was exceeded",
                        );
                    }
                    Some(_) | None => {}
                }
            }
            if let Some(children) = run.children(id) {
                children.open.retain(|open| *open != child);
            }
            run.abort_children(id, &state.name, last);
            if let Some(branch) = run.branch(id) {
                branch.last_event = last;
                branch.waiting = Waiting::Nothing;
            }
            run.fail(id, state, failure);
        });
    }

    /// `last` is the child's last event, which a further iteration follows; `joined` is the one that the end of the
    /// state follows.
    fn child_ended(
        &mut self,
        id: BranchId,
        state: &State,
        child: BranchId,
        index: usize,
        output: Json,
        (last, joined): (u64, u64),
    ) {
        let Some(children) = self.children(id) else { return };
        children.open.retain(|open| *open != child);
        if let Some(place) = children.results.get_mut(index) {
            *place = Some(output);
        }
        let (done, more) = (children.open.is_empty(), !children.pending.is_empty());
        if more {
            if let Kind::Map(map) = &state.kind {
                self.start_iteration(id, state, map, last);
            }
        } else if done && let Err(failure) = self.join(id, state, joined) {
            self.fail(id, state, failure);
        }
    }

    /// All branches are done: their outputs, in order, are the state's result.
    fn join(&mut self, id: BranchId, state: &State, last: u64) -> Result<(), Failure> {
        let results = self.children(id).map(|children| std::mem::take(&mut children.results)).unwrap_or_default();
        // The outputs' own texts, so that nothing in them is rewritten.
        let texts: Vec<&str> = results.iter().map(|result| result.as_ref().map_or("null", Json::as_str)).collect();
        let result = Json::parse(&format!("[{}]", texts.join(",")))
            .map_err(|error| Failure::runtime(format!("The JSON document cannot be read: {error}")))?;
        let detail = match state.kind {
            Kind::Map(_) => EventDetail::MapStateSucceeded,
            _ => EventDetail::ParallelStateSucceeded,
        };
        self.execution.record(self.world.now, last, detail);
        if let Some(branch) = self.branch(id) {
            branch.last_event = last;
            branch.waiting = Waiting::Nothing;
        }
        self.complete(id, state, result)
    }

    /// Ends everything that still runs below `id`.
    fn abort_children(&mut self, id: BranchId, name: &Arc<str>, last: u64) {
        let open = self.children(id).map(|children| std::mem::take(&mut children.open)).unwrap_or_default();
        for child in open {
            let inner = self.with_state(child, |_, state| (StateType::from(&state.kind), state.name.clone()));
            if let Some((kind, child_name)) = inner {
                self.abort_children(child, &child_name, last);
                let waits = self.branch(child).is_some_and(|branch| !matches!(branch.waiting, Waiting::Nothing));
                if waits {
                    self.execution.record(self.world.now, last, EventDetail::StateAborted { kind });
                }
            }
            let Some(branch) = self.execution.branches.remove(&child) else { continue };
            self.release(&branch.waiting);
            self.ready.retain(|ready| *ready != child);
            if let Some(Parent { index, item: Some(_), .. }) = branch.parent {
                let detail = EventDetail::MapIterationAborted { name: name.clone(), index };
                self.execution.record(self.world.now, last, detail);
            }
        }
    }

    /// A Parallel or Map that no Retry saves says so in the history.
    pub(crate) fn record_container_failed(&mut self, id: BranchId, state: &State, started: bool) {
        match state.kind {
            Kind::Parallel { .. } if started => self.record(id, EventDetail::ParallelStateFailed),
            Kind::Map(_) if started => self.record(id, EventDetail::MapStateFailed),
            _ => 0,
        };
    }
}

/// Why a Map has nothing to iterate over.
fn no_array(map: &Map, state: &State, found: &Value) -> Failure {
    if let Some(Template::Expression(items)) = &map.items {
        return items.unexpected("array", found);
    }
    if matches!(state.data, crate::asl::Data::Jsonata { .. }) {
        return Failure::evaluation(
            format!("The input of a Map without Items must be an array, and is: {found}"),
            "Items",
        );
    }
    let path = match &map.items_path {
        crate::asl::PathField::Path(path) => path.text(),
        crate::asl::PathField::Whole | crate::asl::PathField::Null => "$",
    };
    Failure::runtime(format!("Reference path \"{path}\" must point to array."))
}
