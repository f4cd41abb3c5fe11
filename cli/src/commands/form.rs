//! A response, asked for field by field as its schema describes it.

use serde_json::{Map, Number, Value, value::RawValue};

use super::{prompt, start::check_json};
use crate::{failure::Failure, output::text};

/// The fields of an object.
#[derive(Debug)]
struct Form {
    fields: Vec<Field>,
    /// Whether there need not be a response at all.
    may_be_absent: bool,
}

#[derive(Debug)]
struct Field {
    name: String,
    title: String,
    description: String,
    kind: Kind,
    required: bool,
    may_be_null: bool,
    /// JSON text.
    default: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    /// One of these.
    Choice(Vec<Value>),
    /// Anything else, as JSON.
    Json,
}

/// Asks for a response that may fit the schema; whether it does, the server says. Empty: none. `None`: the person left.
pub(super) async fn ask(schema: &str) -> Result<Option<String>, Failure> {
    match Form::of(schema) {
        Some(form) => form.ask().await,
        None => ask_json("Response (JSON, Enter for none): ").await,
    }
}

async fn ask_json(question: &str) -> Result<Option<String>, Failure> {
    loop {
        match prompt::ask(question).await? {
            Some(answer) if !answer.is_empty() && check_json("it", &answer).is_err() => {}
            answer => return Ok(answer),
        }
    }
}

impl Form {
    /// `None` where the schema does not simply list an object's properties.
    fn of(schema: &str) -> Option<Self> {
        let Value::Object(schema) = serde_json::from_str(schema).ok()? else { return None };
        let (kind, may_be_absent) = types(&schema);
        let properties = schema.get("properties")?.as_object().filter(|properties| !properties.is_empty())?;
        if kind.is_some_and(|kind| kind != "object") {
            return None;
        }
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        // What is required and not described can't be asked for here.
        if required.iter().any(|name| !properties.contains_key(*name)) {
            return None;
        }
        let field = |(name, schema): (&String, &Value)| Field::of(name, schema, required.contains(&name.as_str()));
        Some(Self { fields: properties.iter().map(field).collect(), may_be_absent })
    }

    async fn ask(&self) -> Result<Option<String>, Failure> {
        let mut answers = Vec::new();
        for field in &self.fields {
            match field.ask().await? {
                Some(answer) => answers.push(answer),
                None => return Ok(None),
            }
        }
        Ok(Some(self.compose(&answers)))
    }

    /// The object of the answers that were given.
    fn compose(&self, answers: &[Option<String>]) -> String {
        let given = self.fields.iter().zip(answers);
        let members: Vec<String> = given
            .filter_map(|(field, answer)| Some(format!("{}:{}", Value::from(field.name.as_str()), answer.as_ref()?)))
            .collect();
        if members.is_empty() && self.may_be_absent { String::new() } else { format!("{{{}}}", members.join(",")) }
    }
}

impl Field {
    fn of(name: &str, schema: &Value, required: bool) -> Self {
        let empty = Map::new();
        let schema = schema.as_object().unwrap_or(&empty);
        let said = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, may_be_null) = types(schema);
        let kind = match (schema.get("enum").and_then(Value::as_array), schema.get("const"), kind) {
            (Some(several), ..) => Kind::Choice(several.clone()),
            (_, Some(one), _) => Kind::Choice(vec![one.clone()]),
            (.., Some("string")) => Kind::Text,
            (.., Some("integer")) => Kind::Integer,
            (.., Some("number")) => Kind::Number,
            (.., Some("boolean")) => Kind::Boolean,
            _ => Kind::Json,
        };
        let default = schema.get("default").map(Value::to_string);
        let (title, description) = (said("title"), said("description"));
        Self { name: name.to_owned(), title, description, kind, required, may_be_null, default }
    }

    /// Asks until it is answered. JSON text, or nothing where it is left out; `None`: the person left.
    async fn ask(&self) -> Result<Option<Option<String>>, Failure> {
        let question = self.question();
        let mut problem = String::new();
        loop {
            let Some(answer) = prompt::ask(&format!("{problem}{question}")).await? else { return Ok(None) };
            match self.read(&answer) {
                Ok(value) => return Ok(Some(value)),
                Err(why) => problem = format!("  {why}\n"),
            }
        }
    }

    /// "Credit limit (limit; a number, needed): ", with what helps to answer before it.
    fn question(&self) -> String {
        let mut question = text::block(&self.description, "  ");
        let kind = match &self.kind {
            Kind::Text => "text",
            Kind::Integer => "a whole number",
            Kind::Number => "a number",
            Kind::Boolean => "yes or no",
            Kind::Json => "JSON",
            Kind::Choice(several) => {
                for (at, value) in several.iter().enumerate() {
                    question += &format!("  {}  {}\n", at + 1, text::line(&plain(value)));
                }
                "one of these"
            }
        };
        let empty = match (&self.default, self.required) {
            (Some(default), _) => format!("Enter for {}", text::line(default)),
            (None, true) if self.may_be_null => "Enter for null".to_owned(),
            (None, true) => "needed".to_owned(),
            (None, false) => "Enter for none".to_owned(),
        };
        let name = text::line(&self.name);
        let name = match self.title.as_str() {
            "" => format!("{name} ({kind}, {empty})"),
            title => format!("{} ({name}; {kind}, {empty})", text::line(title)),
        };
        question + &name + ": "
    }

    /// The answer as JSON text; nothing where it is left out. Numbers stay as they were written.
    fn read(&self, answer: &str) -> Result<Option<String>, String> {
        if answer.is_empty() {
            return match (&self.default, self.required) {
                (Some(default), _) => Ok(Some(default.clone())),
                (None, true) if self.may_be_null => Ok(Some("null".to_owned())),
                (None, true) => Err("it is needed".to_owned()),
                (None, false) => Ok(None),
            };
        }
        let number = |answer: &str| answer.parse::<Number>().is_ok().then(|| answer.to_owned());
        let read = match &self.kind {
            Kind::Text => Ok(Value::from(answer).to_string()),
            Kind::Number => number(answer).ok_or("not a number, such as -12.50"),
            Kind::Integer => {
                let digits = answer.strip_prefix('-').unwrap_or(answer);
                let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
                number(answer).filter(|_| whole).ok_or("not a whole number")
            }
            Kind::Boolean => match answer.to_lowercase().as_str() {
                "y" | "yes" | "true" => Ok("true".to_owned()),
                "n" | "no" | "false" => Ok("false".to_owned()),
                _ => Err("say yes or no"),
            },
            Kind::Choice(several) => chosen(several, answer).map(Value::to_string).ok_or("say which, by its number"),
            Kind::Json => match serde_json::from_str::<&RawValue>(answer) {
                Ok(_) => Ok(answer.to_owned()),
                Err(_) => Err("not JSON"),
            },
        };
        read.map(Some).map_err(str::to_owned)
    }
}

/// By the value itself, or by its number.
fn chosen<'a>(several: &'a [Value], answer: &str) -> Option<&'a Value> {
    let by_value = several.iter().find(|value| plain(value) == answer);
    by_value.or_else(|| several.get(answer.parse::<usize>().ok()?.checked_sub(1)?))
}

/// Text without quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The one type that a schema names beside null, and whether null is another.
fn types(schema: &Map<String, Value>) -> (Option<&str>, bool) {
    match schema.get("type") {
        Some(Value::String(one)) => (Some(one), one == "null"),
        Some(Value::Array(several)) => {
            let mut others = several.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            let null = several.iter().any(|name| name == "null");
            match (others.next(), others.next()) {
                (Some(one), None) => (Some(one), null),
                _ => (Some("several"), null),
            }
        }
        _ => (None, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{
        "type": ["object", "null"], "required": ["limit", "currency", "until"],
        "properties": {
            "limit": {"type": "number", "title": "Credit limit", "description": "Per month,\u001b[2J in full."},
            "currency": {"enum": ["EUR", "USD", 5]},
            "urgent": {"type": "boolean", "default": false},
            "days": {"type": "integer"},
            "note": {"type": ["string", "null"]},
            "until": {"type": ["string", "null"]},
            "more": {"type": "array"}
        }}"#;

    fn form(schema: &str) -> Form {
        Form::of(schema).unwrap()
    }

    #[test]
    fn questions_say_what_is_asked_for() {
        let questions: Vec<_> = form(SCHEMA).fields.iter().map(Field::question).collect();
        assert_eq!(
            questions,
            [
                "  Per month,\\u{1b}[2J in full.\nCredit limit (limit; a number, needed): ",
                "  1  EUR\n  2  USD\n  3  5\ncurrency (one of these, needed): ",
                "urgent (yes or no, Enter for false): ",
                "days (a whole number, Enter for none): ",
                "note (text, Enter for none): ",
                "until (text, Enter for null): ",
                "more (JSON, Enter for none): ",
            ]
        );
    }

    #[test]
    fn answers_become_json_and_numbers_stay_as_they_were_written() {
        let form = form(SCHEMA);
        let read = |at: usize, answer: &str| form.fields[at].read(answer);
        assert_eq!(read(0, "123456789012345678901234567890.50"), Ok(Some("123456789012345678901234567890.50".into())));
        assert_eq!((read(1, "2"), read(1, "EUR")), (Ok(Some("\"USD\"".into())), Ok(Some("\"EUR\"".into()))));
        assert_eq!(read(1, "5"), Ok(Some("5".into())));
        assert_eq!((read(2, "Yes"), read(2, "")), (Ok(Some("true".into())), Ok(Some("false".into()))));
        assert_eq!((read(3, "-7"), read(3, "")), (Ok(Some("-7".into())), Ok(None)));
        assert_eq!(read(4, "say \"hi\""), Ok(Some(r#""say \"hi\"""#.into())));
        assert_eq!(read(5, ""), Ok(Some("null".into())));
        assert_eq!(read(6, "[1.0]"), Ok(Some("[1.0]".into())));
        for (at, bad) in
            [(0, ""), (0, "1,5"), (0, "1e"), (1, "4"), (1, "0"), (2, "maybe"), (3, "1.5"), (3, "--1"), (6, "[")]
        {
            assert!(read(at, bad).is_err(), "{at} {bad:?}");
        }
    }

    #[test]
    fn the_response_holds_what_was_answered() {
        let form = form(SCHEMA);
        let mut answers: Vec<Option<String>> = vec![None; 7];
        assert_eq!(form.compose(&answers), "");
        answers[0] = Some("1.10".into());
        answers[4] = Some("\"x\"".into());
        assert_eq!(form.compose(&answers), r#"{"limit":1.10,"note":"x"}"#);
        let strict = Form::of(r#"{"type": "object", "properties": {"a": {}}}"#).unwrap();
        assert_eq!(strict.compose(&[None]), "{}");
    }

    #[test]
    fn what_is_no_list_of_properties_is_asked_for_as_json() {
        for schema in [
            "{\"type\": \"object\"}",
            "{\"type\": \"array\", \"properties\": {\"a\": {}}}",
            "{\"properties\": {\"a\": {}}, \"required\": [\"b\"]}",
            "true",
            "no JSON",
        ] {
            assert!(Form::of(schema).is_none(), "{schema}");
        }
    }
}
