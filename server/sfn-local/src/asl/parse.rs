//! From the text of a definition to the compiled form, collecting every finding on the way.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    choice::timestamp,
    diagnostic::{DUPLICATE, Diagnostic, NOT_JSON, SCHEMA, TRANSITION},
    graph,
    model::{
        Catcher, Definition, FailText, Graph, JitterStrategy, Kind, Map, Retrier, Seconds, State, Transition, WaitFor,
    },
    parse_choice,
    parse_fields::{Fields, MAX_SECONDS},
    template::Template,
};

const MAX_STATE_NAME: usize = 80;
const MAX_RETRY_DELAY: u64 = 31_622_400;

impl Definition {
    /// Compiles `text`, or reports everything wrong with it in document order.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        if text.trim().is_empty() {
            return Err(vec![Diagnostic::error(SCHEMA, "", "Definition must be a valid JSON object")]);
        }
        let root: Value =
            serde_json::from_str(text).map_err(|error| vec![Diagnostic::error(NOT_JSON, "", error.to_string())])?;
        let mut diagnostics = Vec::new();
        let Some(mut fields) = Fields::open(&root, "/", &mut diagnostics) else { return Err(diagnostics) };
        fields.string("Comment");
        if fields.string("Version").is_some_and(|version| version != "1.0") {
            fields.error("Version", "The only supported version is 1.0");
        }
        query_language(&mut fields);
        let timeout_seconds = fields.integer("TimeoutSeconds", 1, MAX_SECONDS);
        let mut names = HashSet::new();
        let graph = parse_graph(&mut fields, &mut names);
        diagnostics.extend(fields.finish("a state machine"));
        match graph {
            Some(graph) if diagnostics.is_empty() => Ok(Self { graph: Arc::new(graph), timeout_seconds }),
            _ => Err(diagnostics),
        }
    }
}

fn query_language(fields: &mut Fields<'_>) {
    if let Some(language) = fields.string("QueryLanguage")
        && language != "JSONPath"
    {
        fields.error(
            "QueryLanguage",
            format!("QueryLanguage '{language}' is not supported by this engine, only JSONPath"),
        );
    }
}

/// Reads `StartAt` and `States`.
fn parse_graph(fields: &mut Fields<'_>, names: &mut HashSet<String>) -> Option<Graph> {
    fields.require(&["States", "StartAt"]);
    let start_at = fields.string("StartAt");
    let Some(states) = fields.get("States")?.as_object().filter(|states| !states.is_empty()) else {
        fields.error("States", "Expected an object with at least one state");
        return None;
    };
    let index: HashMap<&str, usize> = states.keys().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let start = start_at.map(|name| {
        index.get(name).copied().unwrap_or_else(|| {
            let diagnostic =
                Diagnostic::error(TRANSITION, fields.at("StartAt"), format!("Missing 'StartAt' target: {name}"));
            fields.diagnostics().push(diagnostic);
            usize::MAX
        })
    });
    let mut parsed = Vec::with_capacity(states.len());
    for (name, value) in states {
        let location = format!("{}/{name}", fields.at("States"));
        if name.chars().count() > MAX_STATE_NAME {
            let message = format!("State name must not be longer than {MAX_STATE_NAME} characters");
            fields.diagnostics().push(Diagnostic::error(SCHEMA, location.as_str(), message));
        }
        if !names.insert(name.clone()) {
            let message = format!("State name '{name}' is used more than once in the state machine");
            fields.diagnostics().push(Diagnostic::error(DUPLICATE, location.as_str(), message));
        }
        let mut reader = StateReader { index: &index, names };
        parsed.extend(reader.state(name, value, &location, fields.diagnostics()));
    }
    let graph = Graph { start: start?, states: parsed };
    let complete = graph.states.len() == states.len() && fields.diagnostics().is_empty();
    if complete {
        let location = fields.location().to_owned();
        graph::check(&graph, &location, fields.diagnostics());
    }
    Some(graph)
}

struct StateReader<'r> {
    index: &'r HashMap<&'r str, usize>,
    names: &'r mut HashSet<String>,
}

impl StateReader<'_> {
    fn state(&mut self, name: &str, value: &Value, location: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<State> {
        let mut fields = Fields::open(value, location, diagnostics)?;
        fields.require(&["Type"]);
        fields.string("Comment");
        query_language(&mut fields);
        let state = self.typed_state(name, value, &mut fields);
        match state {
            Some((state, what)) => {
                diagnostics.extend(fields.finish(what));
                Some(state)
            }
            None => {
                diagnostics.append(fields.diagnostics());
                None
            }
        }
    }

    fn typed_state(&mut self, name: &str, value: &Value, fields: &mut Fields<'_>) -> Option<(State, &'static str)> {
        let (kind, what) = match fields.string("Type")? {
            "Task" => (self.task(fields)?, "a Task state"),
            "Pass" => (Kind::Pass { result: fields.get("Result").cloned() }, "a Pass state"),
            "Choice" => (self.choice(fields)?, "a Choice state"),
            "Wait" => (wait(fields)?, "a Wait state"),
            "Succeed" => (Kind::Succeed, "a Succeed state"),
            "Fail" => (fail(fields), "a Fail state"),
            "Parallel" => (self.parallel(fields)?, "a Parallel state"),
            "Map" => (self.map(fields)?, "a Map state"),
            other => {
                fields.error("Type", format!("State type '{other}' is not supported"));
                return None;
            }
        };
        let moves = !matches!(kind, Kind::Choice { .. } | Kind::Succeed | Kind::Fail { .. });
        let works = matches!(kind, Kind::Task { .. } | Kind::Parallel { .. } | Kind::Map(_));
        let results = works || matches!(kind, Kind::Pass { .. });
        let mut state = State {
            name: name.into(),
            input_path: super::PathField::Whole,
            parameters: None,
            result_selector: None,
            result_path: super::PathField::Whole,
            output_path: super::PathField::Whole,
            retry: Vec::new(),
            catch: Vec::new(),
            next: Transition::End,
            uses_context: value.to_string().contains("$$"),
            kind,
        };
        if !matches!(state.kind, Kind::Fail { .. }) {
            state.input_path = fields.path_field("InputPath");
            state.output_path = fields.path_field("OutputPath");
        }
        if results {
            state.result_path = fields.result_path();
            if !matches!(state.kind, Kind::Map(_)) {
                state.parameters = fields.template("Parameters");
            }
        }
        if works {
            state.result_selector = fields.template("ResultSelector");
            state.retry = retriers(fields);
            state.catch = self.catchers(fields);
        }
        if moves {
            state.next = self.transition(fields);
        }
        Some((state, what))
    }

    /// `Next` or `End`.
    fn transition(&mut self, fields: &mut Fields<'_>) -> Transition {
        let next = fields.string("Next");
        let end = fields.boolean("End").unwrap_or(false);
        match (next, end) {
            (Some(_), true) => fields.error_here("Only one of these fields may be given: [Next, End]"),
            (None, false) => fields.error_here("One of these fields is required: [Next, End]"),
            _ => {}
        }
        next.and_then(|next| self.target(next, fields, "Next")).map_or(Transition::End, Transition::Next)
    }

    fn target(&self, name: &str, fields: &mut Fields<'_>, field: &str) -> Option<usize> {
        let found = self.index.get(name).copied();
        if found.is_none() {
            let location = fields.at(field);
            fields.diagnostics().push(Diagnostic::error(
                TRANSITION,
                location,
                format!("Missing '{}' target: {name}", field.rsplit('/').next().unwrap_or(field)),
            ));
        }
        found
    }

    fn task(&mut self, fields: &mut Fields<'_>) -> Option<Kind> {
        fields.require(&["Resource"]);
        let resource = fields.string("Resource")?;
        if !crate::engine::is_activity_arn(resource) {
            fields.error(
                "Resource",
                format!(
                    "The resource provided {resource} is not recognized. The value is not a valid resource ARN, or the \
                     resource is not available in this region. This engine runs activities \
                     (arn:aws:states:<region>:<account>:activity:<name>) only"
                ),
            );
        }
        let timeout = fields.seconds("TimeoutSeconds", "TimeoutSecondsPath", (1, MAX_SECONDS));
        let heartbeat = fields.seconds("HeartbeatSeconds", "HeartbeatSecondsPath", (1, MAX_SECONDS));
        if let Some(Seconds::Fixed(heartbeat)) = heartbeat {
            let limit = match timeout {
                None => MAX_SECONDS,
                Some(Seconds::Fixed(timeout)) => timeout,
                Some(Seconds::Path(_)) => u64::MAX,
            };
            if heartbeat >= limit {
                fields.error("HeartbeatSeconds", "HeartbeatSeconds must be smaller than TimeoutSeconds");
            }
        }
        Some(Kind::Task { resource: resource.into(), timeout, heartbeat })
    }

    fn choice(&mut self, fields: &mut Fields<'_>) -> Option<Kind> {
        fields.require(&["Choices"]);
        let Some(choices) = fields.get("Choices")?.as_array().filter(|choices| !choices.is_empty()) else {
            fields.error("Choices", "Expected a non-empty array of choice rules");
            return None;
        };
        let mut rules = Vec::new();
        for (index, choice) in choices.iter().enumerate() {
            let field = format!("Choices[{index}]");
            let location = fields.at(&field);
            let rule = parse_choice::rule(choice, &location, true, fields.diagnostics());
            if let Some((rule, Some(next))) = rule {
                let next = self.target(next, fields, &format!("{field}/Next"));
                rules.extend(next.map(|next| (rule, next)));
            }
        }
        let default = fields.string("Default").and_then(|name| self.target(name, fields, "Default"));
        Some(Kind::Choice { rules, default })
    }

    fn parallel(&mut self, fields: &mut Fields<'_>) -> Option<Kind> {
        fields.require(&["Branches"]);
        let Some(branches) = fields.get("Branches")?.as_array().filter(|branches| !branches.is_empty()) else {
            fields.error("Branches", "Expected a non-empty array of branches");
            return None;
        };
        let mut graphs = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let location = fields.at(&format!("Branches[{index}]"));
            let Some(mut inner) = Fields::open(branch, &location, fields.diagnostics()) else { continue };
            inner.string("Comment");
            graphs.extend(parse_graph(&mut inner, self.names).map(Arc::new));
            fields.diagnostics().extend(inner.finish("a branch"));
        }
        Some(Kind::Parallel { branches: graphs })
    }

    fn map(&mut self, fields: &mut Fields<'_>) -> Option<Kind> {
        fields.at_most_one(&["ItemProcessor", "Iterator"]);
        fields.at_most_one(&["ItemSelector", "Parameters"]);
        let name = if fields.has("Iterator") { "Iterator" } else { "ItemProcessor" };
        fields.require(&[name]);
        let (value, location) = (fields.get(name)?, fields.at(name));
        let mut inner = Fields::open(value, &location, fields.diagnostics())?;
        inner.string("Comment");
        processor_config(&mut inner);
        let graph = parse_graph(&mut inner, self.names);
        fields.diagnostics().extend(inner.finish("an item processor"));
        let items_path = fields.path_field("ItemsPath");
        let item_selector = fields.template("ItemSelector").or(fields.template("Parameters"));
        let max_concurrency = fields.seconds("MaxConcurrency", "MaxConcurrencyPath", (0, MAX_SECONDS));
        let tolerated_count = fields.seconds("ToleratedFailureCount", "ToleratedFailureCountPath", (0, MAX_SECONDS));
        let tolerated_percentage =
            fields.seconds("ToleratedFailurePercentage", "ToleratedFailurePercentagePath", (0, 100));
        Some(Kind::Map(Box::new(Map {
            processor: Arc::new(graph?),
            items_path,
            item_selector,
            max_concurrency,
            tolerated_count,
            tolerated_percentage,
        })))
    }

    fn catchers(&mut self, fields: &mut Fields<'_>) -> Vec<Catcher> {
        let items = array_of(fields, "Catch");
        let mut catchers = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let location = fields.at(&format!("Catch[{index}]"));
            let Some(mut inner) = Fields::open(item, &location, fields.diagnostics()) else { continue };
            inner.string("Comment");
            inner.require(&["Next"]);
            let errors = error_names(&mut inner, index + 1 == items.len());
            let result_path = inner.result_path();
            let next = inner.string("Next").and_then(|next| self.target(next, &mut inner, "Next"));
            fields.diagnostics().extend(inner.finish("a catcher"));
            catchers.extend(next.map(|next| Catcher { errors, next, result_path }));
        }
        catchers
    }
}

fn processor_config(fields: &mut Fields<'_>) {
    let Some(value) = fields.get("ProcessorConfig") else { return };
    let location = fields.at("ProcessorConfig");
    let Some(mut config) = Fields::open(value, &location, fields.diagnostics()) else { return };
    if config.string("Mode").is_some_and(|mode| mode != "INLINE") {
        config.error("Mode", "Only Mode INLINE is supported by this engine");
    }
    let findings = config.finish("an inline ProcessorConfig");
    fields.diagnostics().extend(findings);
}

fn wait(fields: &mut Fields<'_>) -> Option<Kind> {
    const NAMES: [&str; 4] = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
    if NAMES.iter().filter(|name| fields.has(name)).count() != 1 {
        fields.error_here(format!("Exactly one of these fields is required: [{}]", NAMES.join(", ")));
        return None;
    }
    let wait = if fields.has("Timestamp") {
        let text = fields.string("Timestamp")?;
        let time = timestamp(text);
        if time.is_none() {
            fields.error("Timestamp", "Expected an RFC 3339 timestamp with an offset");
        }
        WaitFor::Timestamp(time?)
    } else if fields.has("TimestampPath") {
        WaitFor::TimestampPath(fields.path("TimestampPath")?)
    } else {
        WaitFor::Seconds(fields.seconds("Seconds", "SecondsPath", (0, MAX_SECONDS))?)
    };
    Some(Kind::Wait(wait))
}

fn fail(fields: &mut Fields<'_>) -> Kind {
    let error = fail_text(fields, "Error", "ErrorPath");
    let cause = fail_text(fields, "Cause", "CausePath");
    Kind::Fail { error, cause }
}

fn fail_text(fields: &mut Fields<'_>, name: &'static str, path_name: &'static str) -> Option<FailText> {
    fields.at_most_one(&[name, path_name]);
    let fixed = fields.string(name).map(|text| FailText::Fixed(text.to_owned()));
    let path = fields.string(path_name).and_then(|text| {
        let template = Template::expression(text, path_name);
        if template.is_none() {
            fields.error(path_name, format!("Value is neither a Reference Path nor an intrinsic function: '{text}'"));
        }
        template.map(|template| FailText::Path { template, field: path_name })
    });
    fixed.or(path)
}

fn retriers(fields: &mut Fields<'_>) -> Vec<Retrier> {
    let items = array_of(fields, "Retry");
    let mut retriers = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let location = fields.at(&format!("Retry[{index}]"));
        let Some(mut inner) = Fields::open(item, &location, fields.diagnostics()) else { continue };
        inner.string("Comment");
        let errors = error_names(&mut inner, index + 1 == items.len());
        let interval_seconds = inner.integer("IntervalSeconds", 1, MAX_SECONDS).unwrap_or(1);
        let max_attempts = inner.integer("MaxAttempts", 0, MAX_SECONDS).unwrap_or(3);
        let backoff_rate = inner.get("BackoffRate").map_or(Some(2.0), |rate| rate.as_f64().filter(|rate| *rate >= 1.0));
        if backoff_rate.is_none() {
            inner.error("BackoffRate", "Expected a number of at least 1.0");
        }
        let max_delay_seconds = inner.integer("MaxDelaySeconds", 1, MAX_RETRY_DELAY - 1);
        if max_delay_seconds.is_some_and(|delay| delay <= interval_seconds) {
            inner.error("MaxDelaySeconds", "MaxDelaySeconds must be greater than IntervalSeconds");
        }
        let jitter = match inner.string("JitterStrategy") {
            None | Some("NONE") => JitterStrategy::None,
            Some("FULL") => JitterStrategy::Full,
            Some(_) => {
                inner.error("JitterStrategy", "Expected one of [FULL, NONE]");
                JitterStrategy::None
            }
        };
        fields.diagnostics().extend(inner.finish("a retrier"));
        let backoff_rate = backoff_rate.unwrap_or(2.0);
        retriers.push(Retrier { errors, interval_seconds, max_attempts, backoff_rate, max_delay_seconds, jitter });
    }
    retriers
}

fn array_of<'a>(fields: &mut Fields<'a>, name: &'static str) -> &'a [Value] {
    match fields.get(name) {
        None => &[],
        Some(Value::Array(items)) => items,
        Some(_) => {
            fields.error(name, "Expected value of type Array");
            &[]
        }
    }
}

fn error_names(fields: &mut Fields<'_>, last: bool) -> Vec<String> {
    fields.require(&["ErrorEquals"]);
    let Some(value) = fields.get("ErrorEquals") else { return Vec::new() };
    let names: Option<Vec<String>> =
        value.as_array().and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        fields.error("ErrorEquals", "Expected a non-empty array of strings");
        return Vec::new();
    };
    if names.iter().any(|name| name == "States.ALL") && (names.len() > 1 || !last) {
        fields.error("ErrorEquals", "States.ALL must stand alone, and in the last entry");
    }
    names
}
