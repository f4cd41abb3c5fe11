//! What is legal but probably not what was meant: literals that look like paths, in states whose query language is
//! JSONPath.

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, NO_DOLLAR, NO_PATH, STATIC_RESULT};

/// Fields that are payload templates of JSONPath.
const TEMPLATES: [&str; 4] = ["Parameters", "ResultSelector", "ItemSelector", "Assign"];
/// Fields that hold states' own text, whatever it looks like.
const PROSE: [&str; 2] = ["Comment", "Resource"];

/// The warnings for a definition, in document order. Nothing is said of what is no JSON.
pub(super) fn warnings(definition: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let Ok(Value::Object(machine)) = serde_json::from_str::<Value>(definition) {
        graph(&machine, "", is_jsonata(&machine, false), &mut found);
    }
    found
}

fn is_jsonata(object: &Map<String, Value>, around: bool) -> bool {
    object.get("QueryLanguage").and_then(Value::as_str).map_or(around, |language| language == "JSONata")
}

fn graph(object: &Map<String, Value>, location: &str, jsonata: bool, found: &mut Vec<Diagnostic>) {
    let Some(states) = object.get("States").and_then(Value::as_object) else { return };
    for (name, state) in states {
        if let Value::Object(fields) = state {
            let location = format!("{location}/States/{name}");
            if !is_jsonata(fields, jsonata) {
                self::state(fields, &location, found);
            }
            inner_graphs(fields, &location, jsonata, found);
        }
    }
}

fn inner_graphs(state: &Map<String, Value>, location: &str, jsonata: bool, found: &mut Vec<Diagnostic>) {
    for name in ["ItemProcessor", "Iterator"] {
        if let Some(Value::Object(processor)) = state.get(name) {
            graph(processor, &format!("{location}/{name}"), jsonata, found);
        }
    }
    let branches = state.get("Branches").and_then(Value::as_array).into_iter().flatten();
    for (index, branch) in branches.enumerate() {
        if let Value::Object(branch) = branch {
            graph(branch, &format!("{location}/Branches[{index}]"), jsonata, found);
        }
    }
}

fn state(fields: &Map<String, Value>, location: &str, found: &mut Vec<Diagnostic>) {
    let passes = fields.get("Type").and_then(Value::as_str) == Some("Pass");
    for (name, value) in fields {
        let location = format!("{location}/{name}");
        match (name.as_str(), value) {
            ("Result", value) if passes && holds_path(value) => {
                let message = "The Result of a Pass state is static: a path in it is not evaluated";
                found.push(Diagnostic::warning(STATIC_RESULT, location, message));
            }
            ("Choices" | "Catch", Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    rule(item, &format!("{location}[{index}]"), found);
                }
            }
            (name, value) if TEMPLATES.contains(&name) => template(value, &location, found),
            (name, Value::String(text)) => literal(name, text, location, found),
            _ => {}
        }
    }
}

/// A choice rule, or a catcher.
fn rule(value: &Value, location: &str, found: &mut Vec<Diagnostic>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let location = format!("{location}/{name}");
        match (name.as_str(), value) {
            ("Assign", value) => template(value, &location, found),
            ("And" | "Or", Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    rule(item, &format!("{location}[{index}]"), found);
                }
            }
            ("Not", value) => rule(value, &location, found),
            ("Variable", _) => {}
            (name, Value::String(text)) => literal(name, text, location, found),
            _ => {}
        }
    }
}

fn literal(name: &str, text: &str, location: String, found: &mut Vec<Diagnostic>) {
    if is_path(text) && !name.ends_with("Path") && !PROSE.contains(&name) {
        let message = format!("The value of '{name}' looks like a path, and the field's name does not end with 'Path'");
        found.push(Diagnostic::warning(NO_PATH, location, message));
    }
}

fn template(value: &Value, location: &str, found: &mut Vec<Diagnostic>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let location = format!("{location}/{name}");
                match value {
                    Value::String(text) if !name.ends_with(".$") && (is_path(text) || is_call(text)) => {
                        let message = format!(
                            "The value of '{name}' looks like a JSONPath or an intrinsic function, and the field's name \
                             does not end with '.$'"
                        );
                        found.push(Diagnostic::warning(NO_DOLLAR, location, message));
                    }
                    value => template(value, &location, found),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                template(item, &format!("{location}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn holds_path(value: &Value) -> bool {
    match value {
        Value::String(text) => is_path(text),
        Value::Array(items) => items.iter().any(holds_path),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.ends_with(".$") || holds_path(value)),
        _ => false,
    }
}

fn is_path(text: &str) -> bool {
    text == "$" || text == "$$" || ["$.", "$$.", "$["].iter().any(|start| text.starts_with(start))
}

fn is_call(text: &str) -> bool {
    text.starts_with("States.") && text.ends_with(')') && text.contains('(')
}
