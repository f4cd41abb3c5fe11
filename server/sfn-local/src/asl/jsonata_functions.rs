//! The functions that Step Functions adds to JSONata, and the ones it must not take from the machine: time and chance.

use std::{cell::RefCell, rc::Rc};

use jiff::Timestamp;
use jsonata_core::{
    ast::AstNode,
    evaluator::{Context, Evaluator, EvaluatorError},
    parser,
    value::JValue,
};
use sha1::Digest as _;

use super::{
    digits::Digits,
    eval::RandomSource as _,
    functions::{hex, mix},
};
use crate::engine::Random;

/// More items than this no range or partition has, as with the intrinsic functions.
const MAX_RANGE: f64 = 1_000_000.0;

type Answer = Result<JValue, EvaluatorError>;

/// Makes them known to an evaluator. All chance comes from `seed`; `digits` learns the numbers that `$parse` reads.
pub(super) fn register(
    evaluator: &mut Evaluator,
    now: Timestamp,
    seed: u64,
    digits: Rc<RefCell<Digits>>,
) -> Result<(), EvaluatorError> {
    let random = Rc::new(RefCell::new(Random::new(seed)));
    let word = move || random.borrow_mut().next_u64();
    evaluator.register_fn("partition", partition)?;
    evaluator.register_fn("range", range)?;
    evaluator.register_fn("hash", hash)?;
    evaluator.register_fn("parse", move |arguments: &[JValue]| parse(arguments, &digits))?;
    let words = word.clone();
    evaluator.register_fn("uuid", move |arguments: &[JValue]| {
        count("uuid", arguments, 0..=0)?;
        let bits = (u128::from(words()) << 64) | u128::from(words());
        let uuid = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        Ok(JValue::string(uuid.to_string()))
    })?;
    evaluator.register_fn_override("random", move |arguments: &[JValue]| {
        count("random", arguments, 0..=1)?;
        let word = match arguments.first() {
            Some(seed) => mix(number("random", seed)?.to_bits()),
            None => word(),
        };
        // 53 bits make a double from 0 to 1.
        #[allow(clippy::cast_precision_loss)]
        let fraction = (word >> 11) as f64 / (1_u64 << 53) as f64;
        Ok(JValue::Number(fraction))
    })?;
    #[allow(clippy::cast_precision_loss)]
    let millis = now.as_millisecond() as f64;
    evaluator.register_fn_override("millis", move |_: &[JValue]| Ok(JValue::Number(millis)))?;
    evaluator.register_fn_override("now", move |arguments: &[JValue]| formatted(millis, arguments))
}

/// Whether `$name` is a function, of JSONata or of Step Functions, where no variable hides it.
pub(super) fn is_function(name: &str) -> bool {
    let mut evaluator = Evaluator::with_context(Context::new());
    register(&mut evaluator, Timestamp::UNIX_EPOCH, 0, Rc::default())
        .and_then(|()| evaluator.evaluate(&AstNode::Variable(name.to_owned()), &JValue::Undefined))
        .is_ok_and(|value| value.is_function())
}

/// `$now(picture, timezone)` is `$fromMillis` of the present.
fn formatted(millis: f64, arguments: &[JValue]) -> Answer {
    let mut context = Context::new();
    context.bind("millis".to_owned(), JValue::Number(millis));
    for (name, argument) in ["picture", "timezone"].iter().zip(arguments) {
        context.bind((*name).to_owned(), argument.clone());
    }
    let call = match arguments.len() {
        0 => "$fromMillis($millis)",
        1 => "$fromMillis($millis, $picture)",
        _ => "$fromMillis($millis, $picture, $timezone)",
    };
    let ast = parser::parse(call).map_err(|error| failed("now", &error.display_message()))?;
    Evaluator::with_context(context).evaluate(&ast, &JValue::Undefined)
}

fn partition(arguments: &[JValue]) -> Answer {
    count("partition", arguments, 2..=2)?;
    let (Some(items), Some(size)) = (arguments.first(), arguments.get(1)) else { return Ok(JValue::Undefined) };
    let Some(items) = items.as_array() else { return Err(failed("partition", "argument 1 must be an array")) };
    let size = number("partition", size)?;
    if size < 1.0 || size.fract() != 0.0 {
        return Err(failed("partition", "the chunk size must be a positive integer"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let chunks = items.chunks(size as usize).map(|chunk| JValue::array(chunk.to_vec()));
    Ok(JValue::array(chunks.collect()))
}

fn range(arguments: &[JValue]) -> Answer {
    count("range", arguments, 3..=3)?;
    let mut numbers = arguments.iter().map(|argument| number("range", argument));
    let mut next = || numbers.next().unwrap_or(Ok(0.0));
    let (first, last, step) = (next()?, next()?, next()?);
    if step == 0.0 {
        return Err(failed("range", "the step must not be zero"));
    }
    let steps = ((last - first) / step).floor();
    if steps >= MAX_RANGE {
        return Err(failed("range", "the range has too many items"));
    }
    if steps < 0.0 {
        return Ok(JValue::array(Vec::new()));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let steps = steps as u32;
    Ok(JValue::array((0..=steps).map(|index| JValue::Number(first + step * f64::from(index))).collect()))
}

fn hash(arguments: &[JValue]) -> Answer {
    count("hash", arguments, 2..=2)?;
    let (Some(data), Some(algorithm)) = (arguments.first(), arguments.get(1)) else { return Ok(JValue::Undefined) };
    let data = match data.as_str() {
        Some(text) => text.to_owned(),
        None => data.to_json_string().map_err(|error| failed("hash", &error.to_string()))?,
    };
    Ok(JValue::string(match algorithm.as_str() {
        Some("MD5") => hex(&md5::Md5::digest(data)),
        Some("SHA-1") => hex(&sha1::Sha1::digest(data)),
        Some("SHA-256") => hex(&sha2::Sha256::digest(data)),
        Some("SHA-384") => hex(&sha2::Sha384::digest(data)),
        Some("SHA-512") => hex(&sha2::Sha512::digest(data)),
        _ => return Err(failed("hash", "the algorithm must be one of MD5, SHA-1, SHA-256, SHA-384, SHA-512")),
    }))
}

fn parse(arguments: &[JValue], digits: &RefCell<Digits>) -> Answer {
    count("parse", arguments, 1..=1)?;
    let text =
        arguments.first().and_then(JValue::as_str).ok_or_else(|| failed("parse", "argument 1 must be a string"))?;
    let value = serde_json::from_str(text).map_err(|_| failed("parse", "the string is not JSON"))?;
    Ok(digits.borrow_mut().enter(&value))
}

fn count(name: &str, arguments: &[JValue], wanted: std::ops::RangeInclusive<usize>) -> Result<(), EvaluatorError> {
    if wanted.contains(&arguments.len()) {
        return Ok(());
    }
    Err(failed(name, &format!("{} arguments are given, not {} to {}", arguments.len(), wanted.start(), wanted.end())))
}

fn number(name: &str, value: &JValue) -> Result<f64, EvaluatorError> {
    value.as_f64().ok_or_else(|| failed(name, "an argument that must be a number is none"))
}

fn failed(name: &str, why: &str) -> EvaluatorError {
    EvaluatorError::EvaluationError(format!("${name}: {why}"))
}
