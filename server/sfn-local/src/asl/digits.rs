//! Between JSON as text and JSONata's values, whose numbers are doubles.
//!
//! JSONata computes in doubles, as it is defined. What it does not compute but only passes on must keep its digits, so
//! the spelling of every number that goes in is remembered by the double it becomes, and given back to an equal double
//! that comes out. Two numbers that differ and become the same double cannot be told apart: then nothing is given out.

use std::{cmp::Ordering, collections::HashMap};

use jsonata_core::value::JValue;
use serde_json::{Map, Number, Value};

use super::decimal;

/// The parser's own limit on nesting.
const MAX_DEPTH: usize = 128;

/// How the numbers that went in were spelt, by the bits of their doubles.
#[derive(Default)]
pub(super) struct Digits(HashMap<u64, Spelling>);

enum Spelling {
    As(Number),
    /// Several numbers that differ became this double.
    Ambiguous,
}

/// Why a result is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Undefined,
    Function,
    NotFinite,
    TooDeep,
    Ambiguous,
}

impl Digits {
    /// A number that is too large for a double becomes an infinity, which no computation makes finite again.
    pub(super) fn enter(&mut self, value: &Value) -> JValue {
        match value {
            Value::Null => JValue::Null,
            Value::Bool(flag) => JValue::Bool(*flag),
            Value::Number(number) => {
                let double: f64 = number.as_str().parse().unwrap_or(f64::NAN);
                let spelling = self.0.entry(double.to_bits()).or_insert_with(|| Spelling::As(number.clone()));
                if let Spelling::As(known) = spelling
                    && decimal::compare(known, number) != Ordering::Equal
                {
                    *spelling = Spelling::Ambiguous;
                }
                JValue::Number(double)
            }
            Value::String(text) => JValue::string(text.as_str()),
            Value::Array(items) => JValue::array(items.iter().map(|item| self.enter(item)).collect()),
            Value::Object(map) => {
                JValue::object(map.iter().map(|(key, value)| (key.clone(), self.enter(value))).collect())
            }
        }
    }

    pub(super) fn leave(&self, value: &JValue) -> Result<Value, Unfit> {
        self.leave_at(value, 0)
    }

    fn leave_at(&self, value: &JValue, depth: usize) -> Result<Value, Unfit> {
        if depth > MAX_DEPTH {
            return Err(Unfit::TooDeep);
        }
        Ok(match value {
            JValue::Null => Value::Null,
            JValue::Bool(flag) => Value::Bool(*flag),
            JValue::Number(double) => Value::Number(self.number(*double)?),
            JValue::String(text) => Value::String(text.to_string()),
            JValue::Array(items) => {
                Value::Array(items.iter().map(|item| self.leave_at(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            JValue::Object(map) => {
                let mut fields = Map::with_capacity(map.len());
                for (key, value) in map.iter() {
                    fields.insert(key.clone(), self.leave_at(value, depth + 1)?);
                }
                Value::Object(fields)
            }
            JValue::Undefined => return Err(Unfit::Undefined),
            _ => return Err(Unfit::Function),
        })
    }

    fn number(&self, double: f64) -> Result<Number, Unfit> {
        match self.0.get(&double.to_bits()) {
            Some(Spelling::As(number)) => Ok(number.clone()),
            Some(Spelling::Ambiguous) => Err(Unfit::Ambiguous),
            None => computed(double).ok_or(Unfit::NotFinite),
        }
    }
}

/// A number that JSONata made, spelt as JavaScript does: whole ones without a fraction.
fn computed(double: f64) -> Option<Number> {
    if !double.is_finite() {
        return None;
    }
    let text = if double == 0.0 {
        "0".to_owned()
    } else if (1e-7..1e21).contains(&double.abs()) {
        double.to_string()
    } else {
        format!("{double:e}")
    };
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(text: &str) -> Result<String, Unfit> {
        let mut digits = Digits::default();
        let value = digits.enter(&serde_json::from_str(text).unwrap());
        digits.leave(&value).map(|value| value.to_string())
    }

    #[test]
    fn what_is_passed_on_keeps_its_digits() {
        for text in ["1200.50", "123456789012345678901234567890.10", "[1.0,1e+2,-0.00]", r#"{"a":{"b":[0.10,null]}}"#] {
            assert_eq!(through(text).as_deref(), Ok(text));
        }
        assert_eq!(through("[1.0,1]").as_deref(), Ok("[1.0,1.0]"));
        assert_eq!(through("[9007199254740992,9007199254740993]"), Err(Unfit::Ambiguous));
    }

    #[test]
    fn what_is_computed_is_spelt_as_in_javascript() {
        for (double, text) in [
            (3.0, "3"),
            (-0.5, "-0.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-0.0, "0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-9, "1.5e-9"),
        ] {
            assert_eq!(computed(double).unwrap().as_str(), text);
        }
        assert_eq!(computed(f64::INFINITY), None);
    }
}
