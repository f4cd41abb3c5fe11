//! Reading one JSON object of a definition, field by field, and reporting what is wrong with it.

use serde_json::{Map, Value};

use super::{
    diagnostic::{Diagnostic, SCHEMA},
    jsonata::Expression,
    model::{PathField, QueryLanguage, Seconds},
    path::{Path, ReferencePath},
    template::{BadField, Template},
    variables,
};

/// The largest number of seconds any field takes.
pub(crate) const MAX_SECONDS: u64 = 99_999_999;

/// Fields that AWS knows and this engine does not.
const UNSUPPORTED: &[&str] = &["Credentials", "ItemBatcher", "ItemReader", "Label", "ResultWriter"];

/// Fields of JSONPath alone, but for those whose names end in `Path`.
const JSONPATH_ONLY: &[&str] = &["And", "Not", "Or", "Parameters", "Result", "ResultSelector", "Variable"];

/// Fields of JSONata alone.
const JSONATA_ONLY: &[&str] = &["Arguments", "Condition", "Items", "Output"];

/// One object, remembering which fields were asked for; the rest is reported by [`Fields::finish`].
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    location: String,
    pub(crate) language: QueryLanguage,
    asked: Vec<&'static str>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Fields<'a> {
    /// Reports a value that is no object.
    pub(crate) fn open(
        value: &'a Value,
        location: &str,
        language: QueryLanguage,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        match value {
            Value::Object(map) => {
                Some(Self { map, location: location.to_owned(), language, asked: Vec::new(), diagnostics: Vec::new() })
            }
            _ => {
                diagnostics.push(Diagnostic::error(SCHEMA, location, "Expected value of type Object"));
                None
            }
        }
    }

    /// Reports every field that was not asked for, and hands back all findings.
    pub(crate) fn finish(mut self, what: &str) -> Vec<Diagnostic> {
        for key in self.map.keys() {
            if !self.asked.contains(&key.as_str()) {
                let jsonata = self.language == QueryLanguage::Jsonata;
                let message = if UNSUPPORTED.contains(&key.as_str()) {
                    format!("Field '{key}' is not supported by this engine")
                } else if jsonata && (JSONPATH_ONLY.contains(&key.as_str()) || key.ends_with("Path")) {
                    format!("Field '{key}' is of JSONPath, and the QueryLanguage is JSONata")
                } else if !jsonata && JSONATA_ONLY.contains(&key.as_str()) {
                    format!("Field '{key}' is of JSONata, and the QueryLanguage is JSONPath")
                } else {
                    format!("Field '{key}' is not supported in {what}")
                };
                let location = self.at(key);
                self.diagnostics.push(Diagnostic::error(SCHEMA, location, message));
            }
        }
        self.diagnostics
    }

    /// The location of a field.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.location.trim_end_matches('/'))
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Where findings about parts of this object go.
    pub(crate) fn diagnostics(&mut self) -> &mut Vec<Diagnostic> {
        &mut self.diagnostics
    }

    pub(crate) fn error(&mut self, name: &str, message: impl Into<String>) {
        let location = self.at(name);
        self.diagnostics.push(Diagnostic::error(SCHEMA, location, message));
    }

    /// A finding about the object as a whole.
    pub(crate) fn error_here(&mut self, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(SCHEMA, self.location.clone(), message));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    pub(crate) fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.push(name);
        self.map.get(name)
    }

    /// Reports all of `names` that are absent, in the service's one-line form.
    pub(crate) fn require(&mut self, names: &[&str]) {
        let missing: Vec<&str> = names.iter().filter(|name| !self.has(name)).copied().collect();
        if !missing.is_empty() {
            self.error_here(format!("These fields are required: [{}]", missing.join(", ")));
        }
    }

    /// Reports all but at most one of `names` that are present.
    pub(crate) fn at_most_one(&mut self, names: &[&'static str]) {
        let present: Vec<&str> = names.iter().filter(|name| self.has(name)).copied().collect();
        if present.len() > 1 {
            self.error_here(format!("Only one of these fields may be given: [{}]", present.join(", ")));
        }
    }

    pub(crate) fn string(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.get(name)?;
        let text = value.as_str();
        if text.is_none() {
            self.error(name, "Expected value of type String");
        }
        text
    }

    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.get(name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.error(name, "Expected value of type Boolean");
        }
        flag
    }

    /// An integer from `min` to `max`.
    pub(crate) fn integer(&mut self, name: &'static str, min: u64, max: u64) -> Option<u64> {
        let value = self.get(name)?;
        let number = value.as_u64().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.error(name, format!("Expected an integer from {min} to {max}"));
        }
        number
    }

    /// `name` as an integer, or what computes one: `path_name` as a path, or `name` as an expression.
    pub(crate) fn seconds(
        &mut self,
        name: &'static str,
        path_name: &'static str,
        (min, max): (u64, u64),
    ) -> Option<Seconds> {
        if self.language == QueryLanguage::Jsonata {
            return match self.get(name)? {
                Value::String(_) => self.expression(name).map(Seconds::Expression),
                _ => self.integer(name, min, max).map(Seconds::Fixed),
            };
        }
        self.at_most_one(&[name, path_name]);
        let fixed = self.integer(name, min, max).map(Seconds::Fixed);
        let path = self.path(path_name).map(Seconds::Path);
        fixed.or(path)
    }

    /// A path that names one place.
    pub(crate) fn path(&mut self, name: &'static str) -> Option<Path> {
        let text = self.string(name)?;
        let path = Path::parse(text).filter(Path::is_definite);
        if path.is_none() {
            self.error(name, format!("Value is not a Reference Path: '{text}'"));
        }
        path
    }

    /// `InputPath`, `OutputPath` or `ItemsPath`.
    pub(crate) fn path_field(&mut self, name: &'static str) -> PathField<Path> {
        match self.get(name) {
            None => PathField::Whole,
            Some(Value::Null) => PathField::Null,
            Some(Value::String(text)) if text == "$" => PathField::Whole,
            Some(value) => match value.as_str().and_then(Path::parse) {
                Some(path) => PathField::Path(path),
                None => {
                    self.error(name, format!("Value is not a valid JSONPath: {value}"));
                    PathField::Whole
                }
            },
        }
    }

    pub(crate) fn result_path(&mut self) -> PathField<ReferencePath> {
        match self.get("ResultPath") {
            None => PathField::Whole,
            Some(Value::Null) => PathField::Null,
            Some(Value::String(text)) if text == "$" => PathField::Whole,
            Some(value) => match value.as_str().and_then(ReferencePath::parse) {
                Some(path) => PathField::Path(path),
                None => {
                    self.error("ResultPath", format!("Value is not a Reference Path: {value}"));
                    PathField::Whole
                }
            },
        }
    }

    /// A field that is a `{% … %}` expression.
    pub(crate) fn expression(&mut self, name: &'static str) -> Option<Box<Expression>> {
        let text = self.string(name)?;
        match Expression::parse(text, name) {
            Ok(expression) => Some(Box::new(expression)),
            Err(message) => {
                self.error(name, message);
                None
            }
        }
    }

    /// A payload template of JSONPath: an object.
    pub(crate) fn template(&mut self, name: &'static str) -> Option<Template> {
        let value = self.get(name)?;
        if !value.is_object() {
            self.error(name, "Expected value of type Object");
            return None;
        }
        self.compiled(name, Template::parse(value))
    }

    /// A template of JSONata: any value, with expressions in it.
    pub(crate) fn query(&mut self, name: &'static str) -> Option<Template> {
        let value = self.get(name)?;
        self.compiled(name, Template::parse_jsonata(value, name))
    }

    /// `Assign`, in either language.
    pub(crate) fn assign(&mut self) -> Option<Template> {
        const ASSIGN: &str = "Assign";
        let value = self.get(ASSIGN)?;
        if !value.is_object() {
            self.error(ASSIGN, "Expected value of type Object");
            return None;
        }
        let template = match self.language {
            QueryLanguage::JsonPath => Template::parse(value),
            QueryLanguage::Jsonata => Template::parse_jsonata(value, ASSIGN),
        };
        let template = self.compiled(ASSIGN, template)?;
        for name in template.names() {
            if let Err(message) = variables::check_name(name) {
                self.error(ASSIGN, message);
            }
        }
        Some(template)
    }

    fn compiled(&mut self, name: &str, template: Result<Template, BadField>) -> Option<Template> {
        match template {
            Ok(template) => Some(template),
            Err(bad) => {
                let location = format!("{}{}", self.at(name), bad.location);
                self.diagnostics.push(Diagnostic::error(SCHEMA, location, bad.message));
                None
            }
        }
    }
}
