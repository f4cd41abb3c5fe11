//! URLs of webhooks, which may hold a secret.

use std::{fmt, str::FromStr};

use http::Uri;
use serde::{Deserialize, Serialize, Serializer};

/// A URL of which nothing after the path is shown, nor who signs in.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct HookUrl(String);

impl FromStr for HookUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hook = |uri: &Uri| {
            let known = matches!(uri.scheme_str(), Some("http" | "https"));
            known && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        };
        if text.parse().is_ok_and(|uri| is_hook(&uri)) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a URL like http://127.0.0.1:8080/")
        }
    }
}

impl HookUrl {
    /// All of it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// As it may be seen.
    #[must_use]
    pub fn redacted(&self) -> String {
        match self.0.split_once('?') {
            Some((place, _)) => format!("{place}?***"),
            None => self.0.clone(),
        }
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for HookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_of_a_host_and_nothing_after_its_path_is_shown() {
        let url: HookUrl = "http://127.0.0.1:8080/hook?key=hunter2".parse().unwrap();
        assert_eq!(format!("{url:?}"), "http://127.0.0.1:8080/hook?***");
        assert_eq!(url.reveal(), "http://127.0.0.1:8080/hook?key=hunter2");
        for text in ["", "127.0.0.1:8080", "/hook", "ftp://host/", "http://ana:pw@host/", "http://"] {
            assert!(text.parse::<HookUrl>().is_err(), "{text}");
        }
    }
}
