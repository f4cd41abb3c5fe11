use std::time::Duration;

use crate::when;

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE".to_owned()),
    }
}

/// Plain seconds, or a duration.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(0) => Err("it must be more than 0".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => when::some_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        assert_eq!(timeout("5"), Ok(Duration::from_secs(5)));
        assert_eq!(timeout("2m"), Ok(Duration::from_secs(120)));
        for bad in ["0", "0s", "-1s", "soon", ""] {
            assert!(timeout(bad).is_err(), "{bad:?}");
        }
    }
}
