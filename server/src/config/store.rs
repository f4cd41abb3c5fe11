//! Where the shared store is, and how it is reached.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize, Serializer};

use super::{Config, ConfigError, value_error};
use crate::store::postgres::{Address, BadAddress, Options};

/// A URL `postgres://user:password@host:port/database`. Its password is shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Without its password.
    #[must_use]
    pub fn redacted(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let place = match place.rsplit_once('@') {
            Some((who, host)) => {
                let user = who.split_once(':').map_or(who.to_owned(), |(user, _)| format!("{user}:***"));
                format!("{user}@{host}")
            }
            None => place.to_owned(),
        };
        let shown = |pair: &str| match pair.split_once('=') {
            Some(("password", _)) => "password=***".to_owned(),
            _ => pair.to_owned(),
        };
        let query = query.map(|query| query.split('&').map(shown).collect::<Vec<_>>().join("&"));
        format!("{scheme}://{place}{}", query.map(|query| format!("?{query}")).unwrap_or_default())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

/// How a database that several servers share is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// A file that holds the password, rather than the URL. Read at start.
    pub password_file: Option<PathBuf>,
    /// A file of PEM certificates that are trusted for the database, instead of the system's.
    pub root_certificate: Option<PathBuf>,
    /// Connections that read, at most. 1 to 200; two more write, and listen.
    pub connections: usize,
    /// Seconds after which others take over from a server that is not heard of. 3 to 60: well below the shortest
    /// HeartbeatSeconds.
    pub lease_seconds: u32,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { password_file: None, root_certificate: None, connections: 8, lease_seconds: 10 }
    }
}

impl Config {
    /// The shared store's address and how it is used, if there is one.
    ///
    /// # Errors
    /// Where a setting of it can't be used.
    pub fn shared_store(&self) -> Result<Option<(Address, Options)>, ConfigError> {
        let Some(StoreUrl(url)) = &self.store else { return Ok(None) };
        let settings = &self.postgres;
        if !(1..=200).contains(&settings.connections) {
            return Err(value_error("postgres.connections", "expected 1 to 200"));
        }
        if !(3..=60).contains(&settings.lease_seconds) {
            return Err(value_error("postgres.lease_seconds", "expected 3 to 60"));
        }
        let address = Address::new(url, settings.password_file.as_deref(), settings.root_certificate.as_deref());
        let address = address.map_err(|error| match error {
            BadAddress::Url(_) | BadAddress::Option(_) => value_error("store", error.to_string()),
            BadAddress::File { path, source } => ConfigError::File { path, source },
            BadAddress::Certificate(_) => value_error("postgres.root_certificate", error.to_string()),
        })?;
        let mut options = Options {
            readers: settings.connections,
            lease: Duration::from_secs(settings.lease_seconds.into()),
            ..Options::default()
        };
        if let Some(name) = &self.worker.name {
            options.name.clone_from(name);
        }
        Ok(Some((address, options)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_to_nobody() {
        for (url, shown) in [
            (
                "postgres://ana:secret@db:5432/approve?sslmode=require",
                "postgres://ana:***@db:5432/approve?sslmode=require",
            ),
            ("postgres://ana:se@cret@db/approve", "postgres://ana:***@db/approve"),
            ("postgres://db/approve?user=ana&password=secret", "postgres://db/approve?user=ana&password=***"),
            ("postgres://ana@db/approve", "postgres://ana@db/approve"),
        ] {
            let url = StoreUrl(url.to_owned());
            assert_eq!(url.redacted(), shown);
            assert!(!format!("{url:?}{}", serde_json::to_string(&url).unwrap()).contains("secret"));
        }
    }
}
