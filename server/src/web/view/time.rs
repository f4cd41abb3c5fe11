//! Times. Pages say them in UTC; where scripts run, they become the reader's own.

use jiff::{SignedDuration, Timestamp};

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    /// For programs.
    pub(crate) iso: String,
    /// For people.
    pub(crate) text: String,
}

impl When {
    pub(crate) fn at(time: Timestamp) -> Self {
        Self { iso: format!("{time:.3}"), text: time.strftime("%-d %b %Y, %H:%M UTC").to_string() }
    }
}

/// Until when something can be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: When,
    /// How long that is from now.
    pub(crate) left: String,
    /// "over", "soon" or "".
    pub(crate) kind: &'static str,
}

impl Deadline {
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> Self {
        let left = at.duration_since(now);
        let kind = match left {
            left if left <= SignedDuration::ZERO => "over",
            left if left < SignedDuration::from_hours(1) => "soon",
            _ => "",
        };
        Self { at: When::at(at), left: span(left), kind }
    }
}

/// A span in its two largest units. The script of the pages says it alike.
fn span(left: SignedDuration) -> String {
    let seconds = left.as_secs();
    if seconds <= 0 {
        return "now".to_owned();
    }
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let parts = match (days, hours, minutes) {
        (0, 0, 0) => [(seconds, "s"), (0, "")],
        (0, 0, minutes) => [(minutes, "min"), (if minutes < 5 { seconds % 60 } else { 0 }, "s")],
        (0, hours, minutes) => [(hours, "h"), (minutes, "min")],
        (days, hours, _) => [(days, if days == 1 { "day" } else { "days" }), (hours, "h")],
    };
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    format!("in {}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_largest_units() {
        for (seconds, expected) in [
            (-5, "now"),
            (0, "now"),
            (42, "in 42 s"),
            (125, "in 2 min 5 s"),
            (725, "in 12 min"),
            (3_600, "in 1 h"),
            (15_120, "in 4 h 12 min"),
            (90_000, "in 1 day 1 h"),
            (864_000, "in 10 days"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_deadline_says_when_it_is_near() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let kind = |at: &str| Deadline::new(at.parse().unwrap(), now).kind;
        assert_eq!(kind("2026-11-24T10:00:00Z"), "over");
        assert_eq!(kind("2026-11-24T10:59:59Z"), "soon");
        assert_eq!(kind("2026-11-24T11:00:00Z"), "");
        assert_eq!(When::at(now).text, "24 Nov 2026, 10:00 UTC");
    }
}
