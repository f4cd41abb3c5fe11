//! Payload templates: `Parameters`, `ResultSelector`, `ItemSelector`.

use serde_json::{Map, Value};

use super::{
    eval::{Failure, RandomSource, Scope},
    intrinsic::Call,
    path::Path,
};

/// A compiled template. Parts without a `.$` field are kept as they are.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    Literal(Value),
    Path { path: Path, field: String },
    Call(Call),
    Object(Vec<(String, Template)>),
    Array(Vec<Template>),
}

/// A field of a template that is neither a path nor a function call.
#[derive(Debug)]
pub(crate) struct BadField {
    /// Slash-separated, below the template.
    pub(crate) location: String,
    pub(crate) message: String,
}

impl Template {
    pub(crate) fn parse(value: &Value) -> Result<Self, BadField> {
        match value {
            Value::Object(map) => {
                let fields = map
                    .iter()
                    .map(|(key, value)| {
                        Self::field(key, value).map_err(|mut bad| {
                            bad.location = format!("/{key}{}", bad.location);
                            bad
                        })
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                let literal = fields.iter().all(|(_, template)| matches!(template, Self::Literal(_)));
                Ok(if literal { Self::Literal(value.clone()) } else { Self::Object(fields) })
            }
            Value::Array(items) => {
                let items = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| {
                        Self::parse(item).map_err(|mut bad| {
                            bad.location = format!("[{index}]{}", bad.location);
                            bad
                        })
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                let literal = items.iter().all(|template| matches!(template, Self::Literal(_)));
                Ok(if literal { Self::Literal(value.clone()) } else { Self::Array(items) })
            }
            scalar => Ok(Self::Literal(scalar.clone())),
        }
    }

    fn field(key: &str, value: &Value) -> Result<(String, Self), BadField> {
        let Some(name) = key.strip_suffix(".$") else {
            return Ok((key.to_owned(), Self::parse(value)?));
        };
        let template = value.as_str().and_then(|text| Self::expression(text, key));
        template.map(|template| (name.to_owned(), template)).ok_or_else(|| BadField {
            location: String::new(),
            message: format!(
                "The value for the field '{key}' must be a valid JSONPath or a valid intrinsic function call"
            ),
        })
    }

    /// A path or a function call, as the value of a `.$` field or of `ErrorPath`.
    pub(crate) fn expression(text: &str, field: &str) -> Option<Self> {
        if text.starts_with('$') {
            Path::parse(text).map(|path| Self::Path { path, field: field.to_owned() })
        } else {
            Call::parse(text).map(Self::Call)
        }
    }

    pub(crate) fn eval(&self, scope: &Scope<'_>, random: &mut dyn RandomSource) -> Result<Value, Failure> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Path { path, field } => match path.find(scope) {
                Some(value) => value.into_owned(),
                None => {
                    return Err(Failure::runtime(format!(
                        "The JSONPath '{}' specified for the field '{field}' could not be found in the input '{}'",
                        path.text(),
                        if path.reads_context() { scope.context } else { scope.input },
                    )));
                }
            },
            Self::Call(call) => call.eval(scope, random)?,
            Self::Object(fields) => {
                let mut map = Map::with_capacity(fields.len());
                for (name, template) in fields {
                    map.insert(name.clone(), template.eval(scope, random)?);
                }
                Value::Object(map)
            }
            Self::Array(items) => {
                Value::Array(items.iter().map(|item| item.eval(scope, random)).collect::<Result<_, _>>()?)
            }
        })
    }
}
