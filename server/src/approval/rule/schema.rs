//! The schema that a response has to fit.
//!
//! A schema may come from a task's input, which anybody may have written who can start an execution. So it is bounded:
//! in size, in depth, and in what it comes to with its references followed. Patterns are matched in linear time, nothing
//! is fetched, and numbers are compared as they are written.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// The longest schema, in bytes.
pub(super) const MAX_BYTES: usize = 16_384;
/// The deepest nesting, references followed.
const MAX_DEPTH: usize = 32;
/// The most values in it, references followed.
const MAX_VALUES: usize = 5_000;
/// The largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 128 * 1_024;
/// The most places that are named in a response that does not fit.
const MAX_VIOLATIONS: usize = 10;
/// The longest description of one of them, in characters.
const MAX_PROBLEM: usize = 300;

/// A place in a response that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// A JSON pointer; empty for the whole.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

/// What keeps a text from being a schema that is taken; `None` if it is one.
pub(super) fn problem(text: &str) -> Option<String> {
    compile(text).err()
}

fn compile(text: &str) -> Result<Validator, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("expected at most {MAX_BYTES} bytes, found {}", text.len()));
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("expected a JSON Schema: {error}"))?;
    let mut room = MAX_VALUES;
    bounded(&schema, &schema, MAX_DEPTH, &mut room)?;
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN))
        .build(&schema)
        .map_err(|error| {
            let place = error.instance_path().as_str().to_owned();
            let place = if place.is_empty() { "the schema" } else { place.as_str() };
            short(&format!("{place}: {error}"))
        })
}

/// Whether a schema is small with its references followed. One that refers to itself has no end.
fn bounded(value: &Value, root: &Value, depth: usize, room: &mut usize) -> Result<(), String> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("nested deeper than {MAX_DEPTH}, references followed; or it refers to itself"));
    };
    *room = room.checked_sub(1).ok_or_else(|| format!("more than {MAX_VALUES} values, references followed"))?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| bounded(item, root, depth, room)),
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("$ref", Value::String(to)) => {
                        let target = to.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                        let target =
                            target.ok_or_else(|| format!("{to:?}: expected a reference like \"#/$defs/name\""))?;
                        bounded(target, root, depth, room)?;
                    }
                    ("$dynamicRef" | "$recursiveRef" | "$id" | "$anchor" | "$dynamicAnchor", Value::String(_)) => {
                        return Err(format!("{name} is not supported; refer with \"$ref\" to \"#/$defs/…\""));
                    }
                    ("$schema", Value::String(dialect))
                        if dialect.trim_end_matches('#') != "https://json-schema.org/draft/2020-12/schema" =>
                    {
                        return Err(format!("{dialect:?}: expected draft 2020-12"));
                    }
                    _ => bounded(member, root, depth, room)?,
                }
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Where a response does not fit a schema, the first few places. A response that is none counts as `null`.
pub(super) fn misfits(schema: &str, response: Option<&str>) -> Vec<Misfit> {
    let whole = |problem: String| vec![Misfit { place: String::new(), problem }];
    let validator = match compile(schema) {
        Ok(validator) => validator,
        // It was checked before it was kept.
        Err(problem) => return whole(format!("the rule's schema can't be used: {problem}")),
    };
    let response: Value = match serde_json::from_str(response.unwrap_or("null")) {
        Ok(response) => response,
        Err(error) => return whole(format!("expected JSON: {error}")),
    };
    let misfit = |error: jsonschema::ValidationError<'_>| Misfit {
        place: error.instance_path().as_str().to_owned(),
        problem: short(&error.to_string()),
    };
    validator.iter_errors(&response).take(MAX_VIOLATIONS).map(misfit).collect()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_PROBLEM) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMOUNT: &str = r#"{"type": "object", "required": ["amount"], "additionalProperties": false, "properties": {
        "amount": {"type": "number", "minimum": 1200.50},
        "number": {"type": "integer", "maximum": 100000000000000000000000000000000}}}"#;

    fn places(schema: &str, response: &str) -> Vec<String> {
        misfits(schema, Some(response)).into_iter().map(|misfit| misfit.place).collect()
    }

    #[test]
    fn numbers_are_what_they_are_written_as() {
        assert_eq!(problem(AMOUNT), None);
        for fits in [
            r#"{"amount": 1200.50}"#,
            r#"{"amount": 1200.500000000000000000000000001}"#,
            r#"{"amount": 1e400, "number": 100000000000000000000000000000000}"#,
        ] {
            assert_eq!(places(AMOUNT, fits), Vec::<String>::new(), "{fits}");
        }
        assert_eq!(places(AMOUNT, r#"{"amount": 1200.499999999999999999999999999}"#), ["/amount"]);
        assert_eq!(places(AMOUNT, r#"{"amount": 1201, "number": 100000000000000000000000000000001}"#), ["/number"]);
        assert_eq!(places(AMOUNT, r#"{"amount": "1201"}"#), ["/amount"]);
        assert_eq!(misfits(AMOUNT, None).len(), 1, "no response is null");
        assert_eq!(misfits("true", None), []);
    }

    #[test]
    fn few_places_are_named_and_in_few_words() {
        let many = format!("[{}]", vec!["1"; 50].join(","));
        assert_eq!(places(r#"{"items": {"type": "string"}}"#, &many).len(), MAX_VIOLATIONS);
        let long = format!("\"{}\"", "x".repeat(60_000));
        let misfits = misfits(r#"{"type": "number"}"#, Some(&long));
        assert!(misfits[0].problem.chars().count() <= MAX_PROBLEM + 1);
    }

    #[test]
    fn what_could_take_long_or_reach_out_is_no_schema() {
        let references: Vec<_> = (0..25)
            .map(|n| {
                format!(r##""a{n}": {{"allOf": [{{"$ref": "#/$defs/a{0}"}}, {{"$ref": "#/$defs/a{0}"}}]}}"##, n + 1)
            })
            .collect();
        let doubling = format!(r##"{{"$ref": "#/$defs/a0", "$defs": {{{}, "a25": true}}}}"##, references.join(","));
        let patterns = vec![r#"{"pattern": "(\\w{50}){50}"}"#; 100].join(",");
        for refused in [
            "7",
            "nope",
            r#"{"type": "nope"}"#,
            r#"{"$ref": "https://example.com/schema"}"#,
            r#"{"$ref": "file:///etc/passwd"}"#,
            r##"{"$ref": "#/$defs/none"}"##,
            r##"{"$ref": "#"}"##,
            r##"{"properties": {"a": {"$ref": "#"}}}"##,
            r##"{"$dynamicRef": "#a"}"##,
            r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#,
            r#"{"pattern": "(?=a)b"}"#,
            r#"{"pattern": "("}"#,
            &doubling,
            &format!(r#"{{"anyOf": [{patterns}]}}"#),
            &format!("{}true{}", r#"{"not": "#.repeat(40), "}".repeat(40)),
            &format!("{{\"title\": \"{}\"}}", "x".repeat(MAX_BYTES)),
        ] {
            assert!(problem(refused).is_some(), "{}", refused.chars().take(80).collect::<String>());
        }
        assert_eq!(
            problem(r##"{"$defs": {"a": {"type": "string"}}, "properties": {"b": {"$ref": "#/$defs/a"}}}"##),
            None
        );
    }

    #[test]
    fn a_pattern_does_not_backtrack() {
        let long = format!("\"{}b\"", "a".repeat(60_000));
        assert_eq!(places(r#"{"pattern": "^(a+)+$"}"#, &long), [""]);
    }
}
