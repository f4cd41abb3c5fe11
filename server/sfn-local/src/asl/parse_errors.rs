//! `Retry` and `Catch`: parsing.

use serde_json::Value;

use super::{
    model::{Catcher, JitterStrategy, PathField, QueryLanguage, Retrier},
    parse::StateReader,
    parse_fields::{Fields, MAX_SECONDS},
};

const MAX_RETRY_DELAY: u64 = 31_622_400;

impl StateReader<'_> {
    pub(crate) fn catchers(&mut self, fields: &mut Fields<'_>) -> Vec<Catcher> {
        let items = array_of(fields, "Catch");
        let mut catchers = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let (location, language) = (fields.at(&format!("Catch[{index}]")), fields.language);
            let Some(mut inner) = Fields::open(item, &location, language, fields.diagnostics()) else { continue };
            inner.string("Comment");
            inner.require(&["Next"]);
            let errors = error_names(&mut inner, index + 1 == items.len());
            let assign = inner.assign();
            let (result_path, output) = match language {
                QueryLanguage::JsonPath => (inner.result_path(), None),
                QueryLanguage::Jsonata => (PathField::Whole, inner.query("Output")),
            };
            let next = inner.string("Next").and_then(|next| self.target(next, &mut inner, "Next"));
            fields.diagnostics().extend(inner.finish("a catcher"));
            catchers.extend(next.map(|next| Catcher { errors, next, result_path, assign, output }));
        }
        catchers
    }
}

pub(crate) fn retriers(fields: &mut Fields<'_>) -> Vec<Retrier> {
    let items = array_of(fields, "Retry");
    let mut retriers = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let location = fields.at(&format!("Retry[{index}]"));
        let Some(mut inner) = Fields::open(item, &location, fields.language, fields.diagnostics()) else { continue };
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
