//! Which settings hold at once when the config is read again, and which at the next start.

use serde_json::Value;

use super::{Config, ConfigError};

/// Settings that hold at once, by how they begin.
const LIVE: [&str; 15] = [
    "auth.",
    "limits.burst",
    "limits.concurrent_calls",
    "limits.concurrent_lists",
    "limits.logins_per_second",
    "limits.requests_per_second",
    "limits.streams",
    "log.level",
    "notify.",
    "role",
    "telemetry.sample_ratio",
    "tls.cert_file",
    "tls.client_ca_file",
    "tls.key_file",
    "tls.require_client_cert",
];

/// Settings that differ, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Those that hold at once.
    pub live: Vec<String>,
    /// Those that hold from the next start on.
    pub at_start: Vec<String>,
}

impl Config {
    /// What is to be done to go by `newer`.
    #[must_use]
    pub fn changes(&self, newer: &Self) -> Changes {
        let mut changes = Changes::default();
        let mut names = Vec::new();
        let value = |config: &Self| serde_json::to_value(config).unwrap_or_default();
        differing("", &value(self), &value(newer), &mut names);
        // Whether callers are believed, and whether there is TLS at all, is not changed under those who are connected.
        let other_kind = std::mem::discriminant(&self.identity()) != std::mem::discriminant(&newer.identity());
        let is_live = |name: &str| match name {
            "tls" => false,
            name if other_kind && name.starts_with("auth.") => false,
            // "streams" is no "streams_per_connection".
            name if name.starts_with("limits.") => LIVE.contains(&name),
            name => LIVE.iter().any(|live| name.starts_with(live)),
        };
        for name in names {
            if is_live(&name) { changes.live.push(name) } else { changes.at_start.push(name) }
        }
        changes
    }

    /// These settings, with what may hold at once taken from `newer`.
    ///
    /// # Errors
    /// Where they do not go together: as [`Config::load`].
    pub fn with_live(&self, newer: &Self) -> Result<Self, ConfigError> {
        self.taking(newer).checked()
    }

    fn taking(&self, newer: &Self) -> Self {
        let mut config = self.clone();
        config.log.level.clone_from(&newer.log.level);
        config.telemetry.sample_ratio = newer.telemetry.sample_ratio;
        config.role.clone_from(&newer.role);
        config.notify.clone_from(&newer.notify);
        if std::mem::discriminant(&self.identity()) == std::mem::discriminant(&newer.identity()) {
            config.auth.clone_from(&newer.auth);
        }
        if let (Some(tls), Some(newer)) = (&mut config.tls, &newer.tls) {
            tls.clone_from(newer);
        }
        let (limits, newer) = (&mut config.limits, &newer.limits);
        limits.requests_per_second = newer.requests_per_second;
        limits.burst = newer.burst;
        limits.concurrent_calls = newer.concurrent_calls;
        limits.concurrent_lists = newer.concurrent_lists;
        limits.streams = newer.streams;
        limits.logins_per_second = newer.logins_per_second;
        config
    }
}

/// Names of what is not the same. An array is one setting, and so is a table that one of the two lacks.
fn differing(name: &str, one: &Value, other: &Value, into: &mut Vec<String>) {
    if one == other {
        return;
    }
    match (one, other) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
                let below = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                let member = |table: &serde_json::Map<String, Value>| table.get(key).cloned().unwrap_or(Value::Null);
                differing(&below, &member(ours), &member(theirs), into);
            }
        }
        _ => into.push(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{IdentityMode, Role, Tls};

    #[test]
    fn what_holds_at_once_is_told_from_what_does_not() {
        let old = Config::default();
        let mut new = old.clone();
        new.log.level = "debug".to_owned();
        new.limits.streams = 7;
        new.limits.streams_per_connection = 7;
        new.data_dir = "elsewhere".into();
        new.worker.min_polls = 3;
        new.role.push(Role {
            name: "a".to_owned(),
            members: Vec::new(),
            permissions: Vec::new(),
            workflows: Vec::new(),
            labels: Default::default(),
        });
        let changes = old.changes(&new);
        assert_eq!(changes.live, ["log.level", "role", "limits.streams"]);
        assert_eq!(changes.at_start, ["data_dir", "worker.min_polls", "limits.streams_per_connection"]);
        // What is applied is all that is told to be, and nothing else.
        let applied = old.taking(&new);
        assert_eq!(old.changes(&applied).live, changes.live);
        assert_eq!(applied.changes(&new).at_start, changes.at_start);
        assert_eq!(applied.changes(&new).live, Vec::<String>::new());
        assert_eq!(old.changes(&old.clone()), Changes::default());
    }

    #[test]
    fn each_setting_that_is_live_is_applied() {
        let tls = |name: &str| Tls {
            cert_file: name.into(),
            key_file: name.into(),
            client_ca_file: Some(name.into()),
            require_client_cert: name == "new",
        };
        let mut old = Config { tls: Some(tls("old")), ..Config::default() };
        old.auth.api_tokens = Some(true);
        let mut new = Config { tls: Some(tls("new")), ..old.clone() };
        new.limits.requests_per_second += 1;
        new.limits.burst += 1;
        new.limits.concurrent_calls += 1;
        new.limits.concurrent_lists += 1;
        new.limits.logins_per_second += 1;
        new.telemetry.sample_ratio = 0.5;
        new.notify.link_hours += 1;
        new.notify.domain = Some("example.com".to_owned());
        new.notify.addresses.insert("group:finance".to_owned(), vec!["finance@example.com".to_owned()]);
        new.auth.certificates =
            Some(crate::config::Certificates { principal: crate::config::CertificateName::Uri, map: Vec::new() });
        let changes = old.changes(&new);
        assert_eq!(changes.at_start, Vec::<String>::new());
        assert_eq!(changes.live.len(), 14, "{changes:?}");
        assert_eq!(old.taking(&new), new);
    }

    #[test]
    fn nobody_becomes_trusted_while_the_server_runs() {
        let mut checked = Config::default();
        checked.auth.api_tokens = Some(true);
        let trusting = Config::default();
        assert_eq!(trusting.identity(), IdentityMode::Trust);
        let changes = checked.changes(&trusting);
        assert_eq!((changes.live.len(), changes.at_start), (0, vec!["auth.api_tokens".to_owned()]));
        assert_eq!(checked.taking(&trusting).identity(), checked.identity());
        // TLS comes and goes with a start.
        let tls = Tls { cert_file: "a".into(), key_file: "a".into(), client_ca_file: None, require_client_cert: false };
        let encrypted = Config { tls: Some(tls), ..Config::default() };
        assert_eq!(trusting.changes(&encrypted).at_start, ["tls"]);
        assert_eq!(trusting.taking(&encrypted).tls, None);
    }
}
