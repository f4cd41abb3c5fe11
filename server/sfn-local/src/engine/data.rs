//! How data flows through a state: what its fields are evaluated against, its input, its output and its variables.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    context,
    execution::BranchId,
    run::{MAX_PAYLOAD, Run},
};
use crate::{
    asl::{
        Assigned, Catcher, Data, Failure, Kind, PathField, Paths, Scope, State, Template, Transition, Variables,
        apply_result_path, assigned, select,
    },
    json::Json,
};

/// Owns what a [`Scope`] borrows.
pub(crate) struct Document {
    input: Value,
    context: Value,
    variables: Arc<Variables>,
    now: Timestamp,
}

impl Document {
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope {
            input: &self.input,
            context: &self.context,
            variables: &self.variables,
            result: None,
            error: None,
            now: self.now,
        }
    }
}

/// A state's effective input: the raw text where no field changed it.
pub(crate) struct Effective<'a> {
    untouched: Option<Json>,
    value: &'a Value,
}

impl Effective<'_> {
    pub(crate) fn text(&self) -> Json {
        self.untouched.clone().unwrap_or_else(|| Json::from_value(self.value))
    }
}

impl Run<'_> {
    /// The branch's input as a document, with the context object where the state reads it.
    pub(crate) fn document(&self, id: BranchId, state: &State) -> Result<Document, Failure> {
        let branch = self.execution.branches.get(&id);
        let input = branch.map_or(Ok(Value::Null), |branch| parse(&branch.input))?;
        let variables = branch.map(|branch| branch.variables.clone()).unwrap_or_default();
        Ok(Document { input, context: self.context(id, state), variables, now: self.world.now })
    }

    /// The context object, built only where something reads it.
    pub(crate) fn context(&self, id: BranchId, state: &State) -> Value {
        if state.uses_context { context::build(self.execution, id) } else { Value::Null }
    }

    /// The branch's input as it came.
    pub(crate) fn raw_input(&self, id: BranchId) -> Json {
        self.execution.branches.get(&id).map_or_else(Json::empty_object, |branch| branch.input.clone())
    }

    /// Evaluates what makes the effective input, and goes on with it.
    pub(crate) fn with_effective<R>(
        &mut self,
        id: BranchId,
        state: &State,
        act: impl FnOnce(&mut Self, &Scope<'_>, Effective<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let document = self.document(id, state)?;
        let scope = document.scope();
        let raw = self.raw_input(id);
        match &state.data {
            Data::JsonPath(paths) => {
                let selected = select(&paths.input_path, &scope)?;
                let untouched = selected.is_none() && paths.parameters.is_none();
                let scope = Scope { input: selected.as_ref().unwrap_or(scope.input), ..scope };
                let parameters = self.evaluated(paths.parameters.as_ref(), &scope)?;
                let value = parameters.as_ref().unwrap_or(scope.input);
                act(self, &scope, Effective { untouched: untouched.then_some(raw), value })
            }
            Data::Jsonata { arguments, .. } => {
                let arguments = self.evaluated(arguments.as_ref(), &scope)?;
                let untouched = arguments.is_none().then_some(raw);
                let value = arguments.as_ref().unwrap_or(scope.input);
                act(self, &scope, Effective { untouched, value })
            }
        }
    }

    fn evaluated(&mut self, template: Option<&Template>, scope: &Scope<'_>) -> Result<Option<Value>, Failure> {
        template.map(|template| template.eval(scope, &mut self.world.random)).transpose()
    }

    /// The new values of the variables in an `Assign`.
    pub(crate) fn assign(&mut self, template: Option<&Template>, scope: &Scope<'_>) -> Result<Assigned, Failure> {
        match self.evaluated(template, scope)? {
            Some(result) => {
                let branches = self.execution.branches.values();
                assigned(result, branches.map(|branch| branch.variables.bytes() - branch.inherited).sum())
            }
            None => Ok(Vec::new()),
        }
    }

    /// The state has a result: what it assigns and puts out, and on.
    pub(crate) fn complete(&mut self, id: BranchId, state: &State, result: Json) -> Result<(), Failure> {
        let (output, assigned) = match &state.data {
            Data::JsonPath(paths) if passes_on(paths) && state.assign.is_none() => (result, Vec::new()),
            Data::Jsonata { output: None, .. } if state.assign.is_none() => (result, Vec::new()),
            Data::JsonPath(paths) => {
                let document = self.document(id, state)?;
                let value = parse(&result)?;
                let scope = Scope { input: &value, ..document.scope() };
                let assigned = self.assign(state.assign.as_ref(), &scope)?;
                let selected = self.evaluated(paths.result_selector.as_ref(), &scope)?;
                let combined =
                    apply_result_path(&paths.result_path, document.input.clone(), selected.unwrap_or(value))?;
                let scope = Scope { input: &combined, ..document.scope() };
                let output = select(&paths.output_path, &scope)?;
                (Json::from_value(output.as_ref().unwrap_or(&combined)), assigned)
            }
            Data::Jsonata { output, .. } => {
                let document = self.document(id, state)?;
                let value = parse(&result)?;
                let works = matches!(state.kind, Kind::Task { .. } | Kind::Parallel { .. } | Kind::Map(_));
                let scope = Scope { result: works.then_some(&value), ..document.scope() };
                let assigned = self.assign(state.assign.as_ref(), &scope)?;
                let output = self.evaluated(output.as_ref(), &scope)?;
                (output.as_ref().map_or(result, Json::from_value), assigned)
            }
        };
        let output = check_size(&state.name, output)?;
        self.leave(id, state, output, state.next, assigned);
        Ok(())
    }

    /// Leaves a state that has no result: its output is what goes in. `assign` and `output` are the state's own, or of
    /// the rule that a Choice follows.
    pub(crate) fn pass_on(
        &mut self,
        id: BranchId,
        state: &State,
        scope: &Scope<'_>,
        effective: &Effective<'_>,
        (assign, output, next): (Option<&Template>, Option<&Template>, Transition),
    ) -> Result<(), Failure> {
        let assigned = self.assign(assign, scope)?;
        let value = match &state.data {
            Data::JsonPath(paths) => select(&paths.output_path, scope)?,
            Data::Jsonata { .. } => self.evaluated(output, scope)?,
        };
        let output = value.as_ref().map_or_else(|| effective.text(), Json::from_value);
        let output = check_size(&state.name, output)?;
        self.leave(id, state, output, next, assigned);
        Ok(())
    }

    /// What a Catch makes of the failure of its state.
    pub(crate) fn caught(
        &mut self,
        id: BranchId,
        state: &State,
        catcher: &Catcher,
        failure: &Failure,
    ) -> Result<(Json, Assigned), Failure> {
        let document = self.document(id, state)?;
        let error = failure.error_output();
        let scope = document.scope();
        let (output, assigned) = match &state.data {
            Data::JsonPath(_) => {
                let assigned = self.assign(catcher.assign.as_ref(), &Scope { input: &error, ..scope })?;
                (apply_result_path(&catcher.result_path, document.input.clone(), error)?, assigned)
            }
            Data::Jsonata { .. } => {
                let scope = Scope { error: Some(&error), ..scope };
                let assigned = self.assign(catcher.assign.as_ref(), &scope)?;
                let output = self.evaluated(catcher.output.as_ref(), &scope)?;
                (output.unwrap_or(error), assigned)
            }
        };
        Ok((check_size(&state.name, Json::from_value(&output))?, assigned))
    }
}

/// Neither selector nor paths: the result's text is the output.
fn passes_on(paths: &Paths) -> bool {
    matches!((&paths.result_path, &paths.output_path), (PathField::Whole, PathField::Whole))
        && paths.result_selector.is_none()
}

impl State {
    /// The output template of a state in JSONata.
    pub(crate) fn output(&self) -> Option<&Template> {
        match &self.data {
            Data::Jsonata { output, .. } => output.as_ref(),
            Data::JsonPath(_) => None,
        }
    }

    /// Nothing is evaluated on the way in: the text goes through as it came.
    pub(crate) fn takes_raw_input(&self) -> bool {
        match &self.data {
            Data::JsonPath(paths) => matches!(paths.input_path, PathField::Whole) && paths.parameters.is_none(),
            Data::Jsonata { arguments, .. } => arguments.is_none(),
        }
    }
}

pub(crate) fn parse(json: &Json) -> Result<Value, Failure> {
    json.to_value().map_err(|error| Failure::runtime(format!("The JSON document cannot be read: {error}")))
}

fn check_size(state: &str, json: Json) -> Result<Json, Failure> {
    if json.len() <= MAX_PAYLOAD {
        return Ok(json);
    }
    let cause = format!(
        "The state/task '{state}' returned a result with a size exceeding the maximum number of bytes service limit."
    );
    Err(Failure::reported(Some("States.DataLimitExceeded".to_owned()), Some(cause)))
}
