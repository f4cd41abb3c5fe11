//! Choice rules: evaluation.

use std::{borrow::Cow, cmp::Ordering};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    decimal,
    eval::{Failure, RandomSource, Scope},
    jsonata::Expression,
    path::Path,
};

#[derive(Debug)]
pub(crate) enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    Test {
        variable: Path,
        test: Test,
    },
    /// A JSONata `Condition`.
    Condition(Box<Expression>),
    Constant(bool),
}

#[derive(Debug)]
pub(crate) enum Test {
    Compare { kind: ValueKind, relation: Relation, operand: Operand },
    StringMatches(String),
    IsPresent(bool),
    IsNull(bool),
    Is { kind: ValueKind, expected: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    String,
    Numeric,
    Boolean,
    Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equals,
    LessThan,
    GreaterThan,
    LessThanEquals,
    GreaterThanEquals,
}

#[derive(Debug)]
pub(crate) enum Operand {
    Literal(Value),
    Path(Path),
}

impl Rule {
    pub(crate) fn matches(&self, scope: &Scope<'_>, random: &mut dyn RandomSource) -> Result<bool, Failure> {
        match self {
            Self::And(rules) => {
                for rule in rules {
                    if !rule.matches(scope, random)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(rules) => {
                for rule in rules {
                    if rule.matches(scope, random)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(rule) => rule.matches(scope, random).map(|matched| !matched),
            Self::Test { variable, test } => test.matches(variable, scope),
            Self::Condition(expression) => {
                let value = expression.eval(scope, random)?;
                value.as_bool().ok_or_else(|| expression.unexpected("boolean", &value))
            }
            Self::Constant(matched) => Ok(*matched),
        }
    }
}

impl Test {
    /// The path that it compares with, if it does.
    pub(crate) fn operand_path(&self) -> Option<&Path> {
        match self {
            Self::Compare { operand: Operand::Path(path), .. } => Some(path),
            _ => None,
        }
    }

    fn matches(&self, variable: &Path, scope: &Scope<'_>) -> Result<bool, Failure> {
        if let Self::IsPresent(expected) = self {
            return Ok(variable.find(scope).is_some() == *expected);
        }
        let value = lookup(variable, scope)?;
        Ok(match self {
            Self::IsPresent(_) => false,
            Self::IsNull(expected) => value.is_null() == *expected,
            Self::Is { kind, expected } => kind.holds(&value) == *expected,
            Self::StringMatches(pattern) => value.as_str().is_some_and(|text| glob(pattern, text)),
            Self::Compare { kind, relation, operand } => {
                let operand = match operand {
                    Operand::Literal(value) => Cow::Borrowed(value),
                    Operand::Path(path) => lookup(path, scope)?,
                };
                kind.compare(&value, &operand).is_some_and(|order| relation.holds(order))
            }
        })
    }
}

fn lookup<'a>(path: &Path, scope: &Scope<'a>) -> Result<Cow<'a, Value>, Failure> {
    path.find(scope).ok_or_else(|| {
        Failure::runtime(format!(
            "Invalid path '{}': The choice state's condition path references an invalid value.",
            path.text()
        ))
    })
}

impl ValueKind {
    pub(crate) fn holds(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Numeric => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Timestamp => value.as_str().and_then(timestamp).is_some(),
        }
    }

    /// `None` when either side is of another kind: no relation holds then.
    fn compare(self, left: &Value, right: &Value) -> Option<Ordering> {
        match self {
            Self::String => Some(left.as_str()?.cmp(right.as_str()?)),
            Self::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
            Self::Timestamp => Some(timestamp(left.as_str()?)?.cmp(&timestamp(right.as_str()?)?)),
            Self::Numeric => match (left, right) {
                (Value::Number(left), Value::Number(right)) => Some(decimal::compare(left, right)),
                _ => None,
            },
        }
    }
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equals => order.is_eq(),
            Self::LessThan => order.is_lt(),
            Self::GreaterThan => order.is_gt(),
            Self::LessThanEquals => order.is_le(),
            Self::GreaterThanEquals => order.is_ge(),
        }
    }
}

/// RFC 3339 as the language wants it: an upper-case `T`, and an offset or an upper-case `Z`.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let shape = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z') && !text.contains('[');
    shape.then(|| text.parse().ok()).flatten()
}

/// `*` matches any run of characters; `\*` and `\\` stand for themselves.
fn glob(pattern: &str, text: &str) -> bool {
    enum Token {
        Any,
        Char(char),
    }
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            c => Token::Char(c),
        });
    }
    // Which prefixes of the pattern match the text read so far.
    let mut reached = vec![false; tokens.len() + 1];
    reached[0] = true;
    let spread = |reached: &mut [bool]| {
        for (at, token) in tokens.iter().enumerate() {
            if matches!(token, Token::Any) && reached[at] {
                reached[at + 1] = true;
            }
        }
    };
    spread(&mut reached);
    for c in text.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate() {
            match token {
                Token::Any if reached[at] => next[at] = true,
                Token::Char(wanted) if reached[at] && *wanted == c => next[at + 1] = true,
                Token::Any | Token::Char(_) => {}
            }
        }
        spread(&mut next);
        reached = next;
    }
    reached[tokens.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_matches_any_run() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("log-*.txt", "log-1.txt", true),
            ("log-*.txt", "log-.txt", true),
            ("log-*.txt", "log-1.txt.gz", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\\b", r"a\b", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339_with_offset() {
        for text in ["2016-03-14T01:59:00Z", "2016-03-14T01:59:00.5+02:00"] {
            assert!(timestamp(text).is_some(), "{text}");
        }
        for text in ["2016-03-14 01:59:00Z", "2016-03-14T01:59:00", "2016-13-05T21:29:29Z", "2016-03-14T01:59:00z", "x"]
        {
            assert!(timestamp(text).is_none(), "{text}");
        }
    }
}
