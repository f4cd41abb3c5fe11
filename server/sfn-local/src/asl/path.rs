//! JSONPath. Definite paths (fields and indices) are evaluated here; everything richer goes to `serde_json_path`.

use std::borrow::Cow;

use serde_json::{Map, Value};
use serde_json_path::JsonPath;

use super::{
    eval::{Failure, Scope},
    variables::{continues_name, starts_name},
};

/// A compiled path into the input (`$…`), the context object (`$$…`) or a variable (`$name…`).
#[derive(Clone, Debug)]
pub(crate) struct Path {
    text: String,
    root: Root,
    query: Query,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Root {
    Input,
    Context,
    Variable(String),
}

#[derive(Clone, Debug)]
enum Query {
    /// Names exactly one place.
    Definite(Vec<Segment>),
    /// Wildcards, slices, filters, descendants: the result is a list.
    Indefinite(Box<JsonPath>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(i64),
}

impl Path {
    /// `None` when `text` is no JSONPath that is supported.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('$')?;
        let (root, rest) = if let Some(rest) = rest.strip_prefix('$') {
            (Root::Context, rest)
        } else if rest.starts_with(starts_name) {
            let (name, rest) = rest.split_at(rest.find(|c| !continues_name(c)).unwrap_or(rest.len()));
            (Root::Variable(name.to_owned()), rest)
        } else {
            (Root::Input, rest)
        };
        let query = match segments(rest) {
            Some(segments) => Query::Definite(segments),
            None => Query::Indefinite(Box::new(JsonPath::parse(&format!("${rest}")).ok()?)),
        };
        Some(Self { text: text.to_owned(), root, query })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The variable that it reads, if it does.
    pub(crate) fn variable(&self) -> Option<&str> {
        match &self.root {
            Root::Variable(name) => Some(name),
            Root::Input | Root::Context => None,
        }
    }

    /// The failure of a field whose path leads nowhere.
    pub(crate) fn not_found(&self, field: Option<&str>, scope: &Scope<'_>) -> Failure {
        let field = field.map(|field| format!(" specified for the field '{field}'")).unwrap_or_default();
        let place = match &self.root {
            Root::Input => format!("the input '{}'", scope.input),
            Root::Context => format!("the input '{}'", scope.context),
            Root::Variable(name) => match scope.variables.get(name) {
                Some(value) => format!("the variable '{name}' with the value '{value}'"),
                None => format!("the variable '{name}', which has no value"),
            },
        };
        Failure::runtime(format!("The JSONPath '{}'{field} could not be found in {place}", self.text))
    }

    pub(crate) fn is_definite(&self) -> bool {
        matches!(self.query, Query::Definite(_))
    }

    /// The value the path names; `None` when a definite path names nothing. An indefinite path gives a list.
    pub(crate) fn find<'a>(&self, scope: &Scope<'a>) -> Option<Cow<'a, Value>> {
        self.find_in(match &self.root {
            Root::Input => scope.input,
            Root::Context => scope.context,
            Root::Variable(name) => scope.variables.get(name)?,
        })
    }

    pub(crate) fn find_in<'a>(&self, root: &'a Value) -> Option<Cow<'a, Value>> {
        match &self.query {
            Query::Definite(segments) => segments.iter().try_fold(root, step).map(Cow::Borrowed),
            Query::Indefinite(path) => {
                Some(Cow::Owned(Value::Array(path.query(root).iter().map(|&value| value.clone()).collect())))
            }
        }
    }

    /// As [`Path::find`], with the service's words for a path that leads nowhere.
    pub(crate) fn require<'a>(&self, scope: &Scope<'a>) -> Result<Cow<'a, Value>, Failure> {
        self.find(scope).ok_or_else(|| {
            Failure::runtime(format!("Invalid path '{}' : No results for path: {}", self.text, self.bracketed()))
        })
    }

    fn bracketed(&self) -> String {
        match &self.query {
            Query::Definite(segments) => segments.iter().fold("$".to_owned(), |text, segment| match segment {
                Segment::Key(key) => format!("{text}['{key}']"),
                Segment::Index(index) => format!("{text}[{index}]"),
            }),
            Query::Indefinite(_) => self.text.clone(),
        }
    }
}

fn step<'a>(value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    match (segment, value) {
        (Segment::Key(key), Value::Object(map)) => map.get(key),
        (Segment::Index(index), Value::Array(items)) => {
            let index = if *index < 0 { i64::try_from(items.len()).ok()? + index } else { *index };
            items.get(usize::try_from(index).ok()?)
        }
        _ => None,
    }
}

/// Where `ResultPath` puts a result: fields and non-negative indices only.
#[derive(Clone, Debug)]
pub(crate) struct ReferencePath {
    text: String,
    segments: Vec<Segment>,
}

impl ReferencePath {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let segments = segments(text.strip_prefix('$')?)?;
        let plain = segments.iter().all(|segment| !matches!(segment, Segment::Index(index) if *index < 0));
        plain.then(|| Self { text: text.to_owned(), segments })
    }

    /// Puts `result` into `target`, making the objects on the way.
    pub(crate) fn insert(&self, target: &mut Value, result: Value) -> Result<(), Failure> {
        let place = self.segments.iter().try_fold(&mut *target, |value, segment| match segment {
            Segment::Key(key) => {
                if value.is_null() {
                    *value = Value::Object(Map::new());
                }
                value.as_object_mut().map(|map| map.entry(key.clone()).or_insert(Value::Null))
            }
            Segment::Index(index) => {
                value.as_array_mut().and_then(|items| items.get_mut(usize::try_from(*index).ok()?))
            }
        });
        match place {
            Some(place) => {
                *place = result;
                Ok(())
            }
            None => Err(Failure::named(
                "States.ResultPathMatchFailure",
                format!("Unable to apply step \"{}\" to input {target}", self.text),
            )),
        }
    }
}

/// Reads `.field`, `['field']`, `["field"]` and `[0]`; `None` when the path has anything else in it.
fn segments(mut rest: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (name, tail) = tail.split_at(end);
            if name.is_empty() || name.contains(is_path_syntax) {
                return None;
            }
            segments.push(Segment::Key(name.to_owned()));
            rest = tail;
        } else {
            let tail = rest.strip_prefix('[')?;
            let (segment, tail) = match tail.chars().next()? {
                quote @ ('\'' | '"') => quoted(tail.get(1..)?, quote)?,
                _ => {
                    let (digits, tail) = tail.split_once(']')?;
                    (Segment::Index(digits.parse().ok()?), tail)
                }
            };
            segments.push(segment);
            rest = tail;
        }
    }
    Some(segments)
}

fn quoted(text: &str, quote: char) -> Option<(Segment, &str)> {
    let mut key = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            key.push(chars.next()?.1);
        } else if c == quote {
            return Some((Segment::Key(key), text.get(at + 1..)?.strip_prefix(']')?));
        } else {
            key.push(c);
        }
    }
    None
}

fn is_path_syntax(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "*()[]?,:'\"@!=<>&|".contains(c)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(path: &str, value: &Value) -> Option<Value> {
        Path::parse(path).unwrap().find_in(value).map(Cow::into_owned)
    }

    #[test]
    fn definite_paths_name_one_value() {
        let value = json!({"a": {"b-c": [10, 20, {"x y": true}]}, "ü": 1});
        assert_eq!(find("$", &value), Some(value.clone()));
        assert_eq!(find("$.a.b-c[1]", &value), Some(json!(20)));
        assert_eq!(find("$.a['b-c'][-1][\"x y\"]", &value), Some(json!(true)));
        assert_eq!(find("$.ü", &value), Some(json!(1)));
        assert_eq!(find("$.a.none", &value), None);
        assert_eq!(find("$.a.b-c[7]", &value), None);
    }

    #[test]
    fn richer_paths_give_lists_and_keep_digits() {
        let value: Value = serde_json::from_str(r#"{"items":[{"n":"a","p":1200.50},{"n":"b","p":3}]}"#).unwrap();
        assert_eq!(find("$.items[*].p", &value).unwrap().to_string(), "[1200.50,3]");
        assert_eq!(find("$.items[?(@.n == 'b')].p", &value).unwrap().to_string(), "[3]");
        assert_eq!(find("$.items[?(@.p > 5)].n", &value).unwrap().to_string(), r#"["a"]"#);
        assert_eq!(find("$..n", &value).unwrap().to_string(), r#"["a","b"]"#);
        assert_eq!(find("$.items[0:1].n", &value).unwrap().to_string(), r#"["a"]"#);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a", "$.", "$-a", "$1", "$a b", "$.a.length()", "$.a[", "$.a['b", "$['a'", "$.a..", "$.a b"] {
            assert!(Path::parse(text).is_none(), "{text}");
        }
        for text in ["$.a[*]", "$$.a", "$.a[-1]", "$..a", "a", "$a", "$a.b"] {
            assert!(ReferencePath::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn insert_makes_the_objects_on_the_way() {
        let mut value = json!({"keep": [1, 2]});
        ReferencePath::parse("$.a.b").unwrap().insert(&mut value, json!(7)).unwrap();
        ReferencePath::parse("$.keep[1]").unwrap().insert(&mut value, json!(9)).unwrap();
        assert_eq!(value, json!({"keep": [1, 9], "a": {"b": 7}}));
        assert!(ReferencePath::parse("$.keep.x").unwrap().insert(&mut value, json!(1)).is_err());
        assert!(ReferencePath::parse("$.keep[5]").unwrap().insert(&mut value, json!(1)).is_err());
    }
}
