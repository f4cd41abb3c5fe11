//! A form made from the schema that a response has to fit. Schemas beyond an object of plain values get one field for
//! JSON: what a form can't say, no form pretends to say.

use serde_json::{Map, Value};

use super::visible;

/// The most fields of a form.
const MAX_FIELDS: usize = 40;
/// Texts that may be longer get more room.
const LONG: u64 = 120;

/// A field of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name in the response.
    pub(super) name: String,
    pub(super) label: String,
    pub(super) help: String,
    pub(super) required: bool,
    pub(super) kind: Kind,
    /// What it says at first, as the form shows it.
    pub(super) default: String,
}

/// What a field takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Text {
        long: bool,
    },
    Date,
    Number,
    Integer,
    Boolean,
    /// One of these: as JSON, and for people.
    Choice(Vec<(String, String)>),
}

/// What holds for the whole, and does not change what a form has to say.
const OF_OBJECT: [&str; 8] =
    ["type", "properties", "required", "additionalProperties", "title", "description", "$schema", "$comment"];
/// What a field may be said of.
const OF_FIELD: [&str; 18] = [
    "type",
    "enum",
    "title",
    "description",
    "default",
    "examples",
    "$comment",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "readOnly",
    "const",
];

/// The fields of a schema; `None` where a form can't say all that would fit.
pub(super) fn fields(schema: &str) -> Option<Vec<Field>> {
    let Value::Object(schema) = serde_json::from_str(schema).ok()? else { return None };
    if schema.get("type")?.as_str()? != "object" || !only(&schema, &OF_OBJECT) {
        return None;
    }
    let properties = schema.get("properties")?.as_object()?;
    let required: Vec<_> = match schema.get("required") {
        Some(required) => required.as_array()?.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    if properties.len() > MAX_FIELDS || required.iter().any(|name| !properties.contains_key(*name)) {
        return None;
    }
    properties.iter().map(|(name, property)| field(name, property, required.contains(&name.as_str()))).collect()
}

fn only(object: &Map<String, Value>, known: &[&str]) -> bool {
    object.keys().all(|key| known.contains(&key.as_str()))
}

fn field(name: &str, property: &Value, required: bool) -> Option<Field> {
    let property = property.as_object().filter(|property| only(property, &OF_FIELD))?;
    let text = |key: &str| property.get(key).and_then(Value::as_str).map(visible);
    let kind = match (property.get("enum"), property.get("type").map(Value::as_str)) {
        (Some(values), _) => Kind::Choice(values.as_array()?.iter().map(option).collect::<Option<_>>()?),
        (None, Some(Some("string"))) if text("format").as_deref() == Some("date") => Kind::Date,
        (None, Some(Some("string"))) => {
            let most = property.get("maxLength").and_then(Value::as_u64);
            Kind::Text { long: most.is_some_and(|most| most > LONG) }
        }
        (None, Some(Some("number"))) => Kind::Number,
        (None, Some(Some("integer"))) => Kind::Integer,
        (None, Some(Some("boolean"))) => Kind::Boolean,
        _ => return None,
    };
    let default = match property.get("default") {
        Some(Value::String(text)) if matches!(kind, Kind::Text { .. } | Kind::Date) => text.clone(),
        // As JSON, which is how a form says the others.
        Some(value) if !value.is_array() && !value.is_object() && !value.is_null() => value.to_string(),
        _ => String::new(),
    };
    let label = text("title").filter(|title| !title.is_empty());
    Some(Field {
        label: label.unwrap_or_else(|| super::payload::words(name)),
        help: help(property, text("description")),
        name: name.to_owned(),
        required,
        kind,
        default,
    })
}

fn option(value: &Value) -> Option<(String, String)> {
    match value {
        Value::String(text) => Some((value.to_string(), visible(text))),
        Value::Number(_) => Some((value.to_string(), value.to_string())),
        Value::Bool(true) => Some((value.to_string(), "Yes".to_owned())),
        Value::Bool(false) => Some((value.to_string(), "No".to_owned())),
        _ => None,
    }
}

fn help(property: &Map<String, Value>, description: Option<String>) -> String {
    let bound =
        |key: &str, text: &str| property.get(key).map(|bound| format!("{text} {}", visible(&bound.to_string())));
    let bounds = [
        bound("minimum", "at least"),
        bound("exclusiveMinimum", "more than"),
        bound("maximum", "at most"),
        bound("exclusiveMaximum", "less than"),
        bound("multipleOf", "a multiple of"),
    ];
    let bounds = bounds.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let parts = [description.unwrap_or_default(), bounds];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" \u{2014} ")
}

impl Field {
    /// What was said in it, as JSON; `None` where nothing was.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(&self, said: &str) -> Result<Option<String>, String> {
        let trimmed = said.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        let json = match &self.kind {
            Kind::Text { .. } => Value::from(said.replace("\r\n", "\n")).to_string(),
            Kind::Date => Value::from(trimmed).to_string(),
            // To some it is a thousand times as much.
            Kind::Number if is_ambiguous(trimmed) => {
                let (whole, rest) = trimmed.split_once('.').unwrap_or((trimmed, ""));
                return Err(format!("Write {whole}{rest} or {whole}.{rest}0: it is not clear which of them is meant."));
            }
            Kind::Number | Kind::Integer => match serde_json::from_str::<serde_json::Number>(trimmed) {
                Ok(_) => trimmed.to_owned(),
                Err(_) if self.kind == Kind::Integer => return Err("Expected a whole number, like 12.".to_owned()),
                Err(_) => return Err("Expected a number, like 1200.50.".to_owned()),
            },
            Kind::Boolean if matches!(trimmed, "true" | "false") => trimmed.to_owned(),
            Kind::Choice(options) if options.iter().any(|(json, _)| json == trimmed) => trimmed.to_owned(),
            Kind::Boolean | Kind::Choice(_) => return Err("Choose one of them.".to_owned()),
        };
        Ok(Some(json))
    }
}

/// Whether a dot may stand for thousands: one to three digits, and three after it.
fn is_ambiguous(number: &str) -> bool {
    let digits = number.trim_start_matches('-');
    let parts = digits.split_once('.').filter(|(whole, rest)| (1..=3).contains(&whole.len()) && rest.len() == 3);
    parts.is_some_and(|(whole, rest)| {
        whole != "0" && (whole.to_owned() + rest).bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type": "object", "required": ["amount"], "properties": {
        "amount": {"type": "number", "title": "Amount", "minimum": 0.10},
        "cost_centre": {"type": "string", "maxLength": 20}, "paid": {"type": "boolean"}, "count": {"type": "integer"},
        "due": {"type": "string", "format": "date"}, "tier": {"enum": ["gold", 2, true], "description": "Which"}}}"#;

    #[test]
    fn a_form_has_a_field_for_each_plain_value() {
        let fields = fields(SCHEMA).unwrap();
        assert_eq!(
            fields.iter().map(|field| field.label.as_str()).collect::<Vec<_>>(),
            ["Amount", "Cost centre", "Paid", "Count", "Due", "Tier"]
        );
        assert_eq!(fields[0].help, "at least 0.10");
        assert!(fields[0].required && !fields[1].required);
        let read = |at: usize, text: &str| fields[at].read(text);
        assert_eq!(read(0, " 1200.50 "), Ok(Some("1200.50".to_owned())), "as it was written");
        assert!(read(0, "51.000").unwrap_err().contains("51000 or 51.0000"));
        assert_eq!(read(0, "0.125"), Ok(Some("0.125".to_owned())));
        assert!(read(0, "1,200.50").is_err() && read(0, "twelve").is_err());
        assert_eq!(read(1, "a\"b\r\nc"), Ok(Some(r#""a\"b\nc""#.to_owned())));
        assert_eq!(read(1, "  "), Ok(None));
        assert_eq!(read(2, "true"), Ok(Some("true".to_owned())));
        assert!(read(2, "yes").is_err());
        assert_eq!(read(5, "\"gold\""), Ok(Some("\"gold\"".to_owned())));
        assert!(read(5, "\"lead\"").is_err());
    }

    #[test]
    fn what_a_form_cannot_say_is_json() {
        for schema in [
            "true",
            r#"{"type": "string"}"#,
            r#"{"type": "object"}"#,
            r#"{"type": "object", "properties": {"a": {"type": "array"}}}"#,
            r#"{"type": "object", "properties": {"a": {"type": ["string", "null"]}}}"#,
            r#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}"#,
            r##"{"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}"##,
            r#"{"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}]}"#,
        ] {
            assert_eq!(fields(schema), None, "{schema}");
        }
    }
}
