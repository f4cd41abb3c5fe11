//! Variables: what `Assign` stores and later states read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::eval::Failure;

/// The most bytes of JSON in one variable, and in all variables of one `Assign`.
const MAX_ASSIGNED: usize = 262_144;
/// The most bytes of JSON in all variables of an execution.
const MAX_STORED: usize = 10 * 1024 * 1024;
/// What the parser of JSON takes.
const MAX_NESTING: usize = 127;
const MAX_NAME: usize = 80;
/// What `$states` stands for cannot be assigned.
const RESERVED: &str = "states";

/// The variables that a state sees: its own scope's and those around it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Variables {
    values: BTreeMap<String, Variable>,
    bytes: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Variable {
    #[serde(with = "crate::json::text")]
    value: Value,
    bytes: usize,
}

/// New values of variables, with their texts.
pub(crate) type Assigned = Vec<(String, Value, String)>;

impl Variables {
    pub(crate) const fn new() -> Self {
        Self { values: BTreeMap::new(), bytes: 0 }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|variable| &variable.value)
    }

    /// Bytes of JSON in all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn store(&mut self, assigned: Assigned) {
        for (name, value, text) in assigned {
            let variable = Variable { value, bytes: text.len() };
            self.bytes += variable.bytes;
            if let Some(old) = self.values.insert(name, variable) {
                self.bytes -= old.bytes;
            }
        }
    }
}

/// The new values in the result of an `Assign`, checked against the limits; `stored` is what the execution has already.
pub(crate) fn assigned(result: Value, stored: usize) -> Result<Assigned, Failure> {
    let Value::Object(fields) = result else { return Ok(Vec::new()) };
    if fields.values().any(|value| !is_shallow(value, MAX_NESTING)) {
        return Err(Failure::runtime("The variables in the Assign field are nested too deeply."));
    }
    let assigned: Assigned = fields
        .into_iter()
        .map(|(name, value)| {
            let text = value.to_string();
            (name, value, text)
        })
        .collect();
    let bytes: usize = assigned.iter().map(|(_, _, text)| text.len()).sum();
    let limit = |what: &str, limit: usize| {
        Failure::named("States.DataLimitExceeded", format!("The {what} exceed the maximum of {limit} bytes."))
    };
    if bytes > MAX_ASSIGNED {
        return Err(limit("variables in the Assign field", MAX_ASSIGNED));
    }
    if stored + bytes > MAX_STORED {
        return Err(limit("variables of the execution", MAX_STORED));
    }
    Ok(assigned)
}

/// Whether it has no more levels than `levels`.
fn is_shallow(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| is_shallow(item, levels - 1)),
        Value::Object(fields) => levels > 0 && fields.values().all(|field| is_shallow(field, levels - 1)),
        _ => true,
    }
}

/// Why a variable cannot have this name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name == RESERVED {
        return Err(format!("The variable name '{name}' is reserved"));
    }
    let mut chars = name.chars();
    let legal = chars.next().is_some_and(starts_name) && chars.all(continues_name);
    if !legal || name.chars().count() > MAX_NAME {
        return Err(format!(
            "The variable name '{name}' must be a Unicode identifier of 1 to {MAX_NAME} characters that begins with a \
             letter"
        ));
    }
    Ok(())
}

pub(crate) fn starts_name(c: char) -> bool {
    c.is_alphabetic()
}

pub(crate) fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
