//! JSONata: `{% … %}` expressions in states whose query language it is.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use jsonata_core::{
    ast::AstNode,
    evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions},
    parser,
    value::JValue,
};
use serde_json::{Map, Value};

use super::{
    digits::{Digits, Unfit},
    eval::{Failure, RandomSource, Scope},
    jsonata_functions,
};

/// Bounds on one evaluation, so that no expression holds up the engine.
const MAX_MILLIS: u64 = 5_000;
const MAX_NESTING: usize = 1_000;
const MAX_SEQUENCE: usize = 1_000_000;

const OPEN: &str = "{%";
const CLOSE: &str = "%}";

/// A compiled expression, and what it reads.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    text: String,
    /// Below the state, e.g. `Output/total`.
    field: String,
    ast: AstNode,
    reads: Reads,
}

/// The names that an expression reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    variables: BTreeSet<String>,
    /// Fields of `$states`.
    states: BTreeSet<String>,
    /// `$states` as a whole, or in a way that does not show which field.
    all_states: bool,
    /// Function names that are called.
    functions: BTreeSet<String>,
    /// Names that the expression itself gives a value: by `:=`, or as parameters of a function.
    own: BTreeSet<String>,
}

/// Whether `text` is meant as an expression. One with a delimiter at one end only is a wrong one, no text.
pub(crate) fn is_expression(text: &str) -> bool {
    text.starts_with(OPEN) || text.ends_with(CLOSE)
}

impl Expression {
    /// Compiles `{% … %}`; an error says what is wrong with it.
    pub(crate) fn parse(text: &str, field: &str) -> Result<Self, String> {
        let source = text.strip_prefix(OPEN).and_then(|text| text.strip_suffix(CLOSE)).map(str::trim);
        let Some(source) = source.filter(|source| !source.is_empty()) else {
            return Err("Expected a JSONata expression between {% and %}".to_owned());
        };
        let wrong = |why: &str| format!("The JSONata expression '{source}' is not valid: {why}");
        let ast = parser::parse(source).map_err(|error| wrong(&error.display_message()))?;
        if is_context_item(&ast) {
            return Err(wrong(
                "there is no context item at the top level of an expression: use $states.input instead of $, $$ or a \
                 bare field name",
            ));
        }
        let mut reads = Reads::default();
        let tree = serde_json::to_value(&ast).map_err(|error| wrong(&error.to_string()))?;
        reads.collect(&tree);
        if reads.functions.contains("eval") {
            return Err(wrong("the function $eval is not supported"));
        }
        if let Some(unknown) = reads.states.iter().find(|name| !STATES.contains(&name.as_str())) {
            return Err(wrong(&format!("$states has no field '{unknown}', only {}", STATES.join(", "))));
        }
        Ok(Self { text: source.to_owned(), field: field.to_owned(), ast, reads })
    }

    /// The state machine's variables that it reads, as far as can be seen.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let Reads { variables, functions, own, .. } = &self.reads;
        let foreign = |name: &&String| !name.is_empty() && !functions.contains(*name) && !own.contains(*name);
        variables.iter().filter(foreign).map(String::as_str)
    }

    /// Whether it reads that field of `$states`, as far as can be seen.
    pub(crate) fn reads(&self, field: &str) -> bool {
        self.reads.states.contains(field)
    }

    pub(crate) fn eval(&self, scope: &Scope<'_>, random: &mut dyn RandomSource) -> Result<Value, Failure> {
        let mut digits = Digits::default();
        let mut context = Context::new();
        for name in &self.reads.variables {
            if let Some(value) = scope.variables.get(name) {
                context.bind(name.clone(), digits.enter(value));
            }
        }
        if self.reads.all_states || !self.reads.states.is_empty() {
            context.bind("states".to_owned(), digits.enter(&self.states(scope)));
        }
        let options = EvaluatorOptions {
            timeout_ms: Some(MAX_MILLIS),
            max_stack_depth: Some(MAX_NESTING),
            max_sequence_length: Some(MAX_SEQUENCE),
            cancel: None,
        };
        let mut evaluator = Evaluator::with_options(context, options);
        let digits = Rc::new(RefCell::new(digits));
        jsonata_functions::register(&mut evaluator, scope.now, random.next_u64(), digits.clone())
            .and_then(|()| evaluator.evaluate(&self.ast, &JValue::Undefined))
            .map_err(|error| self.thrown(&error))
            .and_then(|result| digits.borrow().leave(&result).map_err(|unfit| self.unfit(&unfit)))
    }

    /// `$states`, with no more than what is read.
    fn states(&self, scope: &Scope<'_>) -> Value {
        let mut states = Map::new();
        let fields = [
            ("input", Some(scope.input)),
            ("context", Some(scope.context)),
            ("result", scope.result),
            ("errorOutput", scope.error),
        ];
        for (name, value) in fields {
            if let Some(value) = value
                && (self.reads.all_states || self.reads.states.contains(name))
            {
                states.insert(name.to_owned(), value.clone());
            }
        }
        Value::Object(states)
    }

    fn thrown(&self, error: &EvaluatorError) -> Failure {
        self.failure(&format!("threw an error during evaluation. {}", error.message()))
    }

    fn unfit(&self, unfit: &Unfit) -> Failure {
        self.failure(match unfit {
            Unfit::Undefined => "returned nothing (undefined).",
            Unfit::Function => "returned an unsupported result type.",
            Unfit::NotFinite => "threw an error during evaluation. D1001: Number out of range",
            Unfit::TooDeep => "returned a value that is nested too deeply.",
            Unfit::Ambiguous => {
                "returned one of several numbers that differ only beyond the precision of JSONata, so its digits would \
                 be lost."
            }
        })
    }

    /// A value of another kind than the field takes.
    pub(crate) fn unexpected(&self, expected: &str, value: &Value) -> Failure {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        self.failure(&format!(
            "returned an unexpected result type. Expected '{expected}', but was '{kind}' for value: {value}"
        ))
    }

    fn failure(&self, what: &str) -> Failure {
        let cause = format!("The JSONata expression '{}' specified for the field '{}' {what}", self.text, self.field);
        Failure::evaluation(cause, &self.field)
    }
}

/// The fields of `$states`.
const STATES: [&str; 4] = ["context", "errorOutput", "input", "result"];

/// Whether an expression is, or starts from, the context item, which expressions of a state do not have.
fn is_context_item(ast: &AstNode) -> bool {
    match ast {
        AstNode::Path { steps } => steps.first().is_some_and(|step| match &step.node {
            AstNode::Name(_) | AstNode::ParentVariable(_) => true,
            AstNode::Variable(name) => name.is_empty(),
            _ => false,
        }),
        AstNode::Name(_) | AstNode::ParentVariable(_) => true,
        AstNode::Variable(name) => name.is_empty(),
        _ => false,
    }
}

impl Reads {
    /// Walks the tree in its serialized form, where every node is `{"Kind": …}`.
    fn collect(&mut self, tree: &Value) {
        match tree {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(node) => {
                if let Some(name) = node.get("Variable").and_then(Value::as_str) {
                    self.variable(name, None);
                    return;
                }
                if let Some(name) = node.get("Function").and_then(|call| call.get("name")).and_then(Value::as_str) {
                    self.functions.insert(name.to_owned());
                    self.variables.insert(name.to_owned());
                }
                if let Some(Value::Array(parameters)) = node.get("Lambda").and_then(|lambda| lambda.get("params")) {
                    self.own.extend(parameters.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                if let Some(bind) = node.get("Binary").filter(|binary| binary["op"] == "ColonEqual") {
                    self.own.extend(bind["lhs"]["Variable"].as_str().map(str::to_owned));
                }
                if let Some(Value::Array(steps)) = node.get("Path").and_then(|path| path.get("steps")) {
                    let variable = steps.first().and_then(|step| step.get("node")?.get("Variable")?.as_str());
                    if let (Some(name), Some(first)) = (variable, steps.first()) {
                        let field = steps.get(1).and_then(|step| step.get("node")?.get("Name")?.as_str());
                        self.variable(name, field);
                        first.get("stages").into_iter().for_each(|stages| self.collect(stages));
                        steps.iter().skip(1).for_each(|step| self.collect(step));
                        return;
                    }
                }
                node.values().for_each(|value| self.collect(value));
            }
            _ => {}
        }
    }

    fn variable(&mut self, name: &str, field: Option<&str>) {
        match (name, field) {
            ("states", Some(field)) => {
                self.states.insert(field.to_owned());
            }
            ("states", None) => self.all_states = true,
            (name, _) => {
                self.variables.insert(name.to_owned());
            }
        }
    }
}
