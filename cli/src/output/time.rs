use approve_client::prost_types;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// The time at which something is rendered, and where.
pub(crate) struct Now {
    pub at: Timestamp,
    pub zone: TimeZone,
}

impl Now {
    pub(crate) fn here() -> Self {
        Self { at: Timestamp::now(), zone: TimeZone::system() }
    }

    /// "14:03:12".
    pub(crate) fn clock(&self) -> String {
        self.zoned(self.at).strftime("%H:%M:%S").to_string()
    }

    /// "2026-03-01 14:03:12 CET (3m 2s ago)"; "unknown" without a time.
    pub(crate) fn full(&self, time: Option<&prost_types::Timestamp>) -> String {
        match time.and_then(timestamp) {
            Some(time) => format!("{} ({})", self.absolute(time), self.relative(time)),
            None => "unknown".to_owned(),
        }
    }

    /// "14:03" today, else "2026-03-01 14:03".
    pub(crate) fn short(&self, time: Option<&prost_types::Timestamp>) -> String {
        let Some(time) = time.and_then(timestamp) else { return "unknown".to_owned() };
        let time = self.zoned(time);
        let format = if time.date() == self.zoned(self.at).date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        time.strftime(format).to_string()
    }

    /// Whether it has not come yet. What has no time never comes.
    pub(crate) fn is_ahead(&self, time: Option<&prost_types::Timestamp>) -> bool {
        time.and_then(timestamp).is_some_and(|time| time > self.at)
    }

    pub(crate) fn absolute(&self, time: Timestamp) -> String {
        self.zoned(time).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// "in 4m 12s", "3h 5m ago", "now".
    pub(crate) fn relative(&self, time: Timestamp) -> String {
        let ahead = time.duration_since(self.at);
        match ahead.as_secs() {
            0 => "now".to_owned(),
            1.. => format!("in {}", span(ahead)),
            _ => format!("{} ago", span(ahead)),
        }
    }

    /// "4m", for a column.
    pub(crate) fn age(&self, time: Option<&prost_types::Timestamp>) -> String {
        time.and_then(timestamp).map(|time| span(time.duration_since(self.at))).unwrap_or_default()
    }

    fn zoned(&self, time: Timestamp) -> jiff::ZonedDateTime {
        time.to_zoned_datetime(self.zone.clone())
    }
}

pub(crate) fn timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// The length of a duration, to its two largest units: "4m 12s".
pub(crate) fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    let units = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = units.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    let parts: Vec<String> = units
        .iter()
        .skip(first)
        .take(2)
        .enumerate()
        .filter(|(i, (n, _))| *i == 0 || *n > 0)
        .map(|(_, (n, unit))| format!("{n}{unit}"))
        .collect();
    parts.join(" ")
}

pub(crate) fn proto_span(duration: &prost_types::Duration) -> String {
    span(SignedDuration::new(duration.seconds, duration.nanos.clamp(-999_999_999, 999_999_999)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (252, "4m 12s"),
            (3600, "1h"),
            (11_130, "3h 5m"),
            (90_000, "1d 1h"),
            (864_030, "10d"),
            (-252, "4m 12s"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_are_told_both_ways() {
        let now = Now { at: "2026-03-01T12:00:00Z".parse().unwrap(), zone: TimeZone::UTC };
        let at = |seconds| prost_types::Timestamp { seconds: now.at.as_second() + seconds, nanos: 0 };
        assert_eq!(now.full(Some(&at(252))), "2026-03-01 12:04:12 UTC (in 4m 12s)");
        assert_eq!(now.full(Some(&at(-60))), "2026-03-01 11:59:00 UTC (1m ago)");
        assert_eq!(now.full(Some(&prost_types::Timestamp { seconds: i64::MAX, nanos: -1 })), "unknown");
        assert_eq!(now.full(None), "unknown");
        assert_eq!(
            (now.short(Some(&at(252))).as_str(), now.short(Some(&at(86_400))).as_str()),
            ("12:04", "2026-03-02 12:00")
        );
        assert!(now.is_ahead(Some(&at(1))) && !now.is_ahead(Some(&at(0))) && !now.is_ahead(None));
    }
}
