//! Fields that are whole numbers, given outright or computed from the input.

use serde_json::Value;

use super::random::Random;
use crate::asl::{Expression, Failure, MAX_SECONDS, Scope, Seconds};

/// Seconds, from `min`.
pub(crate) fn read_seconds(
    seconds: &Seconds,
    field: &str,
    min: u64,
    scope: &Scope<'_>,
    random: &mut Random,
) -> Result<u64, Failure> {
    let path = match seconds {
        Seconds::Fixed(seconds) => return Ok(*seconds),
        Seconds::Expression(expression) => return computed(expression, (min, MAX_SECONDS), scope, random),
        Seconds::Path(path) => path,
    };
    let value = path.find(scope).ok_or_else(|| {
        Failure::runtime(format!("The {field} parameter does not reference an input value: {}", path.text()))
    })?;
    if value.as_i64().is_some_and(|number| number < 0) {
        let text = path.text();
        return Err(Failure::runtime(format!("The {field} parameter references a negative value: {text} == {value}")));
    }
    match value.as_u64() {
        Some(number) if (min..=MAX_SECONDS).contains(&number) => Ok(number),
        Some(number) => Err(Failure::runtime(format!(
            "The {field} parameter must reference a value from {min} to {MAX_SECONDS}: {} == {number}",
            path.text()
        ))),
        None => Err(Failure::runtime(format!(
            "The {field} parameter cannot be parsed as a long value: {} == {value}",
            path.text()
        ))),
    }
}

/// A whole number of a Map, up to `max` where it is computed.
pub(crate) fn read_integer(
    number: &Seconds,
    field: &str,
    max: u64,
    scope: &Scope<'_>,
    random: &mut Random,
) -> Result<u64, Failure> {
    match number {
        Seconds::Fixed(number) => Ok(*number),
        Seconds::Expression(expression) => computed(expression, (0, max), scope, random),
        Seconds::Path(path) => {
            let value = path.require(scope)?;
            value.as_u64().ok_or_else(|| {
                Failure::runtime(format!(
                    "The {field} field refers to value \"{value}\" which is not a valid integer: {}",
                    path.text()
                ))
            })
        }
    }
}

fn computed(
    expression: &Expression,
    (min, max): (u64, u64),
    scope: &Scope<'_>,
    random: &mut Random,
) -> Result<u64, Failure> {
    let value = expression.eval(scope, random)?;
    let number = whole(&value).filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| expression.unexpected(&format!("Integer from {min} to {max}"), &value))
}

/// A whole number however it is spelt: `60`, `60.0`, `6e1`.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=1e15).contains(number))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(number as u64)
    })
}
