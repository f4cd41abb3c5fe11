//! Times as people give them.

use std::time::{Duration, SystemTime};

use jiff::{Span, SpanRelativeTo, Timestamp, civil, tz::TimeZone};

/// "2h", "1h 30m", "2 days" (of 24 hours), "PT90S".
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let not_one = || "not a time such as 90s, 15m, 2h or 3d".to_owned();
    let span: Span = text.trim().parse().map_err(|_| not_one())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| not_one())?;
    Duration::try_from(duration).map_err(|_| "it must not be negative".to_owned())
}

/// A duration of more than nothing.
pub(crate) fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be more than 0".to_owned()),
        some => Ok(some),
    }
}

/// A point in time, or a span from or to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Span(Duration),
    At(Timestamp),
}

impl When {
    /// "2h"; "2026-12-24T18:00:00Z"; "2026-12-24 18:00" and "2026-12-24" here.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::At(time));
        }
        if let Ok(local) = text.parse::<civil::DateTime>() {
            let zoned = local.to_zoned_datetime(TimeZone::system()).map_err(|error| error.to_string())?;
            return Ok(Self::At(zoned.timestamp()));
        }
        let not_one = "not a time such as 2h, 7d, 2026-12-24 or 2026-12-24T18:00:00Z";
        some_duration(text).map(Self::Span).map_err(|_| not_one.to_owned())
    }

    /// A span counts into the past.
    pub(crate) fn ago(self) -> Option<SystemTime> {
        match self {
            Self::Span(span) => this_second().checked_sub(span),
            Self::At(time) => time.try_into().ok(),
        }
    }

    /// A span counts into the future.
    pub(crate) fn ahead(self) -> Option<SystemTime> {
        match self {
            Self::Span(span) => this_second().checked_add(span),
            Self::At(time) => time.try_into().ok(),
        }
    }
}

/// Nobody who says "2h" means fractions of a second.
fn this_second() -> SystemTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("90s", 90), ("2h", 7200), ("1d", 86400), ("PT5M", 300)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "5", "-2h", "1 month", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn points_in_time() {
        assert_eq!(When::parse("7d"), Ok(When::Span(Duration::from_secs(604_800))));
        let christmas: Timestamp = "2026-12-24T18:00:00Z".parse().unwrap();
        assert_eq!(When::parse("2026-12-24T19:00:00+01:00"), Ok(When::At(christmas)));
        assert_eq!(When::At(christmas).ahead(), christmas.try_into().ok());
        for local in ["2026-12-24", "2026-12-24 18:00", "2026-12-24T18:00:00"] {
            assert!(matches!(When::parse(local), Ok(When::At(_))), "{local}");
        }
        for bad in ["", "0s", "tomorrow", "-2h", "2026-13-01"] {
            assert!(When::parse(bad).is_err(), "{bad}");
        }
        assert!(When::Span(Duration::from_secs(60)).ago() < Some(SystemTime::now()));
        assert!(When::Span(Duration::MAX).ahead().is_none());
    }
}
