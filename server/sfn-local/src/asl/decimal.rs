//! Exact comparison of JSON numbers by their digits, so that amounts of money never pass through a float.

use std::cmp::Ordering;

use serde_json::Number;

/// A JSON number as sign, significant digits and the power of ten of the first digit.
struct Decimal {
    negative: bool,
    /// Without leading or trailing zeros; empty for zero.
    digits: Vec<u8>,
    magnitude: i64,
}

impl Decimal {
    fn parse(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent = exponent.trim_start_matches('+').parse::<i64>().unwrap_or(if exponent.starts_with('-') {
            i64::MIN / 2
        } else {
            i64::MAX / 2
        });
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|&&digit| digit == b'0').count();
        let mut digits: Vec<u8> = all.into_iter().skip(leading).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX / 2) - i64::try_from(leading).unwrap_or(0);
        Self { negative: negative && !digits.is_empty(), digits, magnitude: point.saturating_add(exponent) }
    }

    fn cmp_absolute(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.magnitude.cmp(&other.magnitude).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

/// Orders two JSON numbers by value: `1.0` equals `1`, and no digit is lost.
pub(crate) fn compare(left: &Number, right: &Number) -> Ordering {
    let (left, right) = (Decimal::parse(left.as_str()), Decimal::parse(right.as_str()));
    match (left.negative, right.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => left.cmp_absolute(&right),
        (true, true) => right.cmp_absolute(&left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(left: &str, right: &str) -> Ordering {
        compare(&serde_json::from_str(left).unwrap(), &serde_json::from_str(right).unwrap())
    }

    #[test]
    fn numbers_are_ordered_by_value_not_by_spelling() {
        for (left, right) in [("1", "1.0"), ("1200.50", "1.2005e3"), ("0", "-0.0"), ("100", "1e2"), ("0.01", "1E-2")] {
            assert_eq!(order(left, right), Ordering::Equal, "{left} {right}");
        }
        for (less, more) in [
            ("-2", "-1.5"),
            ("-1", "0"),
            ("0", "0.001"),
            ("9", "10"),
            ("0.1", "0.11"),
            ("9007199254740992", "9007199254740993"),
            ("0.30000000000000000001", "0.30000000000000000002"),
            ("1e400", "1e401"),
        ] {
            assert_eq!(order(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(order(more, less), Ordering::Greater, "{more} {less}");
        }
    }
}
