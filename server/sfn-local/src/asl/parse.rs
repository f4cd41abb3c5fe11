//! From the text of a definition to the compiled form, collecting every finding on the way.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    diagnostic::{DUPLICATE, Diagnostic, EMPTY, NOT_JSON, STATE_NAME, TRANSITION},
    graph,
    model::{Data, Definition, Graph, Kind, Paths, QueryLanguage, State, Transition},
    parse_errors::retriers,
    parse_fields::{Fields, MAX_SECONDS},
    parse_states::{fail, wait},
    template::Template,
};

const MAX_STATE_NAME: usize = 80;

impl Definition {
    /// Compiles `text`, or reports everything wrong with it in document order.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        if text.trim().is_empty() {
            return Err(vec![Diagnostic::error(EMPTY, "", "Definition must be a valid JSON object")]);
        }
        let root: Value =
            serde_json::from_str(text).map_err(|error| vec![Diagnostic::error(NOT_JSON, "", error.to_string())])?;
        let mut diagnostics = Vec::new();
        let Some(mut fields) = Fields::open(&root, "/", QueryLanguage::JsonPath, &mut diagnostics) else {
            return Err(diagnostics);
        };
        fields.string("Comment");
        if fields.string("Version").is_some_and(|version| version != "1.0") {
            fields.error("Version", "The only supported version is 1.0");
        }
        fields.language = query_language(&mut fields, QueryLanguage::JsonPath);
        let timeout_seconds = fields.integer("TimeoutSeconds", 1, MAX_SECONDS);
        let mut names = HashSet::new();
        let graph = parse_graph(&mut fields, &mut names);
        diagnostics.extend(fields.finish("a state machine"));
        if let Some(graph) = graph.as_ref().filter(|_| diagnostics.is_empty()) {
            graph::check_scopes(graph, "", &HashSet::new(), &mut diagnostics);
        }
        match graph {
            Some(graph) if diagnostics.is_empty() => Ok(Self { graph: Arc::new(graph), timeout_seconds }),
            _ => Err(diagnostics),
        }
    }
}

/// A machine in JSONata has no states in JSONPath; one in JSONPath may have states in JSONata.
fn query_language(fields: &mut Fields<'_>, around: QueryLanguage) -> QueryLanguage {
    match (fields.string("QueryLanguage"), around) {
        (None, around) => around,
        (Some("JSONPath"), QueryLanguage::JsonPath) => QueryLanguage::JsonPath,
        (Some("JSONata"), _) => QueryLanguage::Jsonata,
        (Some("JSONPath"), QueryLanguage::Jsonata) => {
            fields.error("QueryLanguage", "QueryLanguage cannot be JSONPath in a state machine whose own is JSONata");
            around
        }
        (Some(_), around) => {
            fields.error("QueryLanguage", "Expected one of [JSONPath, JSONata]");
            around
        }
    }
}

/// Reads `StartAt` and `States`.
pub(crate) fn parse_graph(fields: &mut Fields<'_>, names: &mut HashSet<String>) -> Option<Graph> {
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
            fields.diagnostics().push(Diagnostic::error(STATE_NAME, location.as_str(), message));
        }
        if !names.insert(name.clone()) {
            let message = format!("State name '{name}' is used more than once in the state machine");
            fields.diagnostics().push(Diagnostic::error(DUPLICATE, location.as_str(), message));
        }
        let mut reader = StateReader { index: &index, names, language: fields.language };
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

pub(crate) struct StateReader<'r> {
    index: &'r HashMap<&'r str, usize>,
    pub(crate) names: &'r mut HashSet<String>,
    /// The machine's own.
    pub(crate) language: QueryLanguage,
}

impl StateReader<'_> {
    fn state(&mut self, name: &str, value: &Value, location: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<State> {
        let mut fields = Fields::open(value, location, self.language, diagnostics)?;
        fields.require(&["Type"]);
        fields.string("Comment");
        fields.language = query_language(&mut fields, self.language);
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
            "Pass" => {
                let by_path = fields.language == QueryLanguage::JsonPath;
                let result = if by_path { fields.get("Result").cloned() } else { None };
                (Kind::Pass { result }, "a Pass state")
            }
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
        let data = match fields.language {
            QueryLanguage::JsonPath => Data::JsonPath(Box::new(paths(fields, &kind, results, works))),
            QueryLanguage::Jsonata => Data::Jsonata {
                arguments: match kind {
                    Kind::Task { .. } | Kind::Parallel { .. } => fields.query("Arguments"),
                    _ => None,
                },
                output: if matches!(kind, Kind::Fail { .. }) { None } else { fields.query("Output") },
            },
        };
        let text = value.to_string();
        let mut state = State {
            name: name.into(),
            data,
            assign: if matches!(kind, Kind::Succeed | Kind::Fail { .. }) { None } else { fields.assign() },
            retry: Vec::new(),
            catch: Vec::new(),
            next: Transition::End,
            uses_context: text.contains("$$") || text.contains("$states"),
            kind,
        };
        if works {
            state.retry = retriers(fields);
            state.catch = self.catchers(fields);
        }
        if moves {
            state.next = self.transition(fields);
        }
        for (field, message) in misread(&state) {
            fields.error(&field, message);
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

    pub(crate) fn target(&self, name: &str, fields: &mut Fields<'_>, field: &str) -> Option<usize> {
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
}

fn paths(fields: &mut Fields<'_>, kind: &Kind, results: bool, works: bool) -> Paths {
    let mut paths = Paths {
        input_path: super::PathField::Whole,
        parameters: None,
        result_selector: None,
        result_path: super::PathField::Whole,
        output_path: super::PathField::Whole,
    };
    if !matches!(kind, Kind::Fail { .. }) {
        paths.input_path = fields.path_field("InputPath");
        paths.output_path = fields.path_field("OutputPath");
    }
    if results {
        paths.result_path = fields.result_path();
        if !matches!(kind, Kind::Map(_)) {
            paths.parameters = fields.template("Parameters");
        }
    }
    if works {
        paths.result_selector = fields.template("ResultSelector");
    }
    paths
}

/// Expressions that read what `$states` does not have where they stand: field and finding.
fn misread(state: &State) -> Vec<(String, String)> {
    let works = matches!(state.kind, Kind::Task { .. } | Kind::Parallel { .. } | Kind::Map(_));
    let mut found = Vec::new();
    let mut check = |place: String, template: Option<&Template>, allowed: &[&str]| {
        for expression in template.map(Template::expressions).unwrap_or_default() {
            for name in ["result", "errorOutput"] {
                if expression.reads(name) && !allowed.contains(&name) {
                    found.push((place.clone(), format!("$states.{name} is not available in this field")));
                }
            }
        }
    };
    let after: &[&str] = if works { &["result"] } else { &[] };
    if let Data::Jsonata { arguments, output } = &state.data {
        check("Arguments".to_owned(), arguments.as_ref(), &[]);
        check("Output".to_owned(), output.as_ref(), after);
    }
    check("Assign".to_owned(), state.assign.as_ref(), after);
    for (index, catcher) in state.catch.iter().enumerate() {
        check(format!("Catch[{index}]/Assign"), catcher.assign.as_ref(), &["errorOutput"]);
        check(format!("Catch[{index}]/Output"), catcher.output.as_ref(), &["errorOutput"]);
    }
    if let Kind::Map(map) = &state.kind {
        check("Items".to_owned(), map.items.as_ref(), &[]);
        check("ItemSelector".to_owned(), map.item_selector.as_ref(), &[]);
    }
    found
}
