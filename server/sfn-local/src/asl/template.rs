//! Payload templates: `Parameters`, `ResultSelector`, `ItemSelector`, `Assign`; in JSONata `Arguments` and `Output`, too.

use serde_json::{Map, Value};

use super::{
    eval::{Failure, RandomSource, Scope},
    intrinsic::Call,
    jsonata::{Expression, is_expression},
    path::Path,
};

/// A compiled template. Parts without a `.$` field or an expression are kept as they are.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    Literal(Value),
    Path { path: Path, field: String },
    Call(Call),
    Expression(Box<Expression>),
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

/// Name, value and place of a field to its template.
type FieldParser<'p> = dyn Fn(&str, &Value, &str) -> Result<(String, Template), BadField> + 'p;

impl Template {
    /// Of a state in JSONPath.
    pub(crate) fn parse(value: &Value) -> Result<Self, BadField> {
        Self::compile(value, "", &|value, _| Ok(Self::Literal(value.clone())), &|key, value, _| Self::field(key, value))
    }

    /// Of a state in JSONata; `field` is the name of the field that it is in.
    pub(crate) fn parse_jsonata(value: &Value, field: &str) -> Result<Self, BadField> {
        let scalar = |value: &Value, place: &str| match value {
            Value::String(text) if is_expression(text) => Expression::parse(text, place)
                .map(|expression| Self::Expression(Box::new(expression)))
                .map_err(|message| BadField { location: String::new(), message }),
            literal => Ok(Self::Literal(literal.clone())),
        };
        Self::compile(value, field, &scalar, &|key, value, place| {
            Self::parse_jsonata(value, &format!("{place}/{key}")).map(|template| (key.to_owned(), template))
        })
    }

    fn compile(
        value: &Value,
        place: &str,
        scalar: &dyn Fn(&Value, &str) -> Result<Self, BadField>,
        field: &FieldParser<'_>,
    ) -> Result<Self, BadField> {
        match value {
            Value::Object(map) => {
                let fields = map
                    .iter()
                    .map(|(key, value)| {
                        field(key, value, place).map_err(|mut bad| {
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
                        Self::compile(item, &format!("{place}[{index}]"), scalar, field).map_err(|mut bad| {
                            bad.location = format!("[{index}]{}", bad.location);
                            bad
                        })
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                let literal = items.iter().all(|template| matches!(template, Self::Literal(_)));
                Ok(if literal { Self::Literal(value.clone()) } else { Self::Array(items) })
            }
            leaf => scalar(leaf, place),
        }
    }

    /// The names of the fields that it makes.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Literal(Value::Object(map)) => map.keys().map(String::as_str).collect(),
            Self::Object(fields) => fields.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The expressions in it.
    pub(crate) fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Expression(expression) => vec![expression],
            Self::Object(fields) => fields.iter().flat_map(|(_, template)| template.expressions()).collect(),
            Self::Array(items) => items.iter().flat_map(Self::expressions).collect(),
            Self::Literal(_) | Self::Path { .. } | Self::Call(_) => Vec::new(),
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
                None => return Err(path.not_found(Some(field), scope)),
            },
            Self::Call(call) => call.eval(scope, random)?,
            Self::Expression(expression) => expression.eval(scope, random)?,
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
