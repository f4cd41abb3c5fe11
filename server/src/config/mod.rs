//! Settings of `serve`: defaults, then the TOML file, then the environment, then flags. Unknown keys are refused.

mod audit;
mod change;
mod effective;
mod grpc_web;
mod identity;
mod limits;
mod notify;
mod retention;
mod store;
mod telemetry;
#[cfg(test)]
mod tests;
mod web;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    error::Kind,
    providers::{Env, Format as _, Serialized, Toml},
};
use serde::{Deserialize, Serialize};

pub use self::{
    audit::Audit,
    change::Changes,
    grpc_web::{GrpcWeb, WebOrigin},
    identity::{
        Auth, CertificateMap, CertificateName, Certificates, IdentityMode, Jwt, JwtAlgorithm, PrincipalKind, Role, Tls,
    },
    limits::Limits,
    notify::{Email, HookUrl, MailTls, Notify, NotifyRoute, Slack, Target, Webhook},
    retention::Retention,
    store::{Postgres, StoreUrl},
    telemetry::Telemetry,
    web::{Oidc, PublicUrl, Web},
};

/// Environment variables of this prefix are settings: `APPROVE_SERVER__AWS__REGION` is `aws.region`.
pub const ENVIRONMENT_PREFIX: &str = "APPROVE_SERVER__";

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where gRPC is served. Beyond loopback only with TLS, and callers that show who they are.
    pub listen: SocketAddr,
    /// Where `/metrics` is served, over HTTP. Absent: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Where the embedded store is kept.
    pub data_dir: PathBuf,
    /// A PostgreSQL database that several servers share, rather than the embedded store. Absent: the embedded one.
    pub store: Option<StoreUrl>,
    /// How that database is used.
    pub postgres: Postgres,
    /// How AWS is reached.
    pub aws: Aws,
    /// How the worker works.
    pub worker: Worker,
    /// How the server stops.
    pub shutdown: Shutdown,
    /// What is logged.
    pub log: Log,
    /// How the API is encrypted. Absent: not at all.
    pub tls: Option<Tls>,
    /// gRPC-Web, beside gRPC. Absent: none, and HTTP/2 alone.
    pub grpc_web: Option<GrpcWeb>,
    /// How callers show who they are.
    pub auth: Auth,
    /// What they may do.
    pub role: Vec<Role>,
    /// What one caller may take of the server.
    pub limits: Limits,
    /// How the record of events is anchored.
    pub audit: Audit,
    /// What is moved out of the store once it is old.
    pub retention: Retention,
    /// The inbox for approvers. Absent: there is none.
    pub web: Option<Web>,
    /// Where traces are sent.
    pub telemetry: Telemetry,
    /// Who is told what happens to approvals.
    pub notify: Notify,
}

/// How AWS is reached. What is not set here comes from the usual chain: environment (`AWS_PROFILE` and the like), profile, SSO, instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    /// The region.
    pub region: Option<String>,
    /// Another endpoint, for all AWS services.
    pub endpoint: Option<String>,
}

/// How the worker works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// How it names itself to Step Functions.
    pub name: Option<String>,
    /// Open polls per activity that are always kept. 1 to 1,000.
    pub min_polls: usize,
    /// Open polls per activity at most. 1 to 1,000.
    pub max_polls: usize,
    /// Heartbeats per second at most. At least 1.
    pub heartbeats_per_second: u32,
    /// Answers per second at most. At least 1.
    pub deliveries_per_second: u32,
    /// Answers under way at once. At least 1.
    pub deliveries: usize,
    /// Seconds that a lost task's retry is waited for.
    pub detached_seconds: u32,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            name: None,
            min_polls: 100,
            max_polls: 500,
            heartbeats_per_second: 400,
            deliveries_per_second: 400,
            deliveries: 64,
            detached_seconds: 900,
        }
    }
}

/// How the server stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// Seconds that open polls are let end. A poll lasts up to 60.
    pub poll_seconds: u32,
    /// Seconds after which the server exits whatever is unfinished; counted from the signal.
    pub deadline_seconds: u32,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { poll_seconds: 65, deadline_seconds: 80 }
    }
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How.
    pub format: LogFormat,
    /// A filter: "info", "approve_server=debug,info".
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            metrics_listen: None,
            data_dir: PathBuf::from("approve-data"),
            store: None,
            postgres: Postgres::default(),
            aws: Aws::default(),
            worker: Worker::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
            tls: None,
            grpc_web: None,
            auth: Auth::default(),
            role: Vec::new(),
            limits: Limits::default(),
            audit: Audit::default(),
            retention: Retention::default(),
            web: None,
            telemetry: Telemetry::default(),
            notify: Notify::default(),
        }
    }
}

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the config file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key that there is not.
    #[error("unknown key {key:?}{origin}{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// Its whole path.
        key: String,
        /// Where it stands.
        origin: String,
        /// The known one that is most like it.
        nearest: Option<String>,
    },
    /// A value that can't be used.
    #[error("{key}: {problem}{origin}")]
    Value {
        /// Its whole path.
        key: String,
        /// What is wrong, and what is expected.
        problem: String,
        /// Where it stands.
        origin: String,
    },
}

fn value_error(key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), problem: problem.into(), origin: String::new() }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|key| format!("; did you mean {key:?}?")).unwrap_or_default()
}

/// Settings given as flags.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overrides {
    /// `--listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// `--data-dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// `--to`: the URL of the shared store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

impl Config {
    /// Reads the settings and checks them.
    pub fn load(file: Option<&Path>, flags: &Overrides) -> Result<Self, ConfigError> {
        Self::figment(file, flags)?.extract::<Self>().map_err(explain)?.checked()
    }

    fn figment(file: Option<&Path>, flags: &Overrides) -> Result<Figment, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            let text =
                std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
            figment = figment.merge(NamedToml { text, path: path.to_owned() });
        }
        Ok(figment.merge(Env::prefixed(ENVIRONMENT_PREFIX).split("__")).merge(Serialized::defaults(flags)))
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let refuse = |key: &str, problem: String| Err(value_error(key, problem));
        self.check_identity()?;
        self.limits.check()?;
        self.audit.check()?;
        self.shared_store()?;
        self.retention.settings()?;
        self.check_web()?;
        self.telemetry.check()?;
        self.notify.settings()?;
        self.notify.link_keys()?;
        let polls = 1..=1_000;
        if !polls.contains(&self.worker.min_polls) {
            return refuse("worker.min_polls", "expected 1 to 1,000: AWS allows no more per activity".to_owned());
        }
        if !polls.contains(&self.worker.max_polls) || self.worker.max_polls < self.worker.min_polls {
            return refuse("worker.max_polls", "expected worker.min_polls to 1,000".to_owned());
        }
        if self.worker.heartbeats_per_second == 0 {
            return refuse("worker.heartbeats_per_second", "expected at least 1".to_owned());
        }
        if self.worker.deliveries_per_second == 0 {
            return refuse("worker.deliveries_per_second", "expected at least 1".to_owned());
        }
        if self.worker.deliveries == 0 {
            return refuse("worker.deliveries", "expected at least 1".to_owned());
        }
        if self.worker.name.as_ref().is_some_and(|name| name.is_empty() || name.len() > 80) {
            return refuse("worker.name", "expected 1 to 80 characters".to_owned());
        }
        Ok(self)
    }
}

/// A file's text, under the file's name.
struct NamedToml {
    text: String,
    path: PathBuf,
}

impl figment::Provider for NamedToml {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named("TOML file").source(self.path.as_path())
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        Toml::string(&self.text).data()
    }
}

/// The first thing that is wrong, by the name that the user wrote.
fn explain(error: figment::Error) -> ConfigError {
    let origin = error
        .metadata
        .as_ref()
        .map(|metadata| match &metadata.source {
            Some(source) => format!(" (in {source})"),
            None if metadata.name.contains("environment") => " (in the environment)".to_owned(),
            None => String::new(),
        })
        .unwrap_or_default();
    let path = error.path.join(".");
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match &error.kind {
        Kind::UnknownField(name, known) => {
            let unknown = error.path.last().is_none_or(|last| last != name);
            let key = if unknown { below(name) } else { path.clone() };
            let parent = key.rsplit_once('.').map(|(parent, _)| parent);
            let nearest = known
                .iter()
                .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
                .max_by(|one, other| one.0.total_cmp(&other.0))
                .filter(|(likeness, _)| *likeness > 0.7)
                .map(|(_, candidate)| match parent {
                    Some(parent) => format!("{parent}.{candidate}"),
                    None => (*candidate).to_owned(),
                });
            ConfigError::UnknownKey { key, origin, nearest }
        }
        kind => ConfigError::Value {
            key: if path.is_empty() { "the config".to_owned() } else { path.clone() },
            problem: kind.to_string(),
            origin,
        },
    }
}
