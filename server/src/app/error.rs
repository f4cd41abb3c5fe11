//! Why the server did not start, or did not stop well.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    auth::{KeysError, TlsError, TokenError},
    config::{Config, ConfigError},
    notify::SetupError,
    store::{StoreError, migration::MigrationError},
    telemetry::{BadLevel, TraceError},
    workflows::ProvisionerError,
};

/// Why the server did not start, or did not stop well. Each has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The settings can't be used.
    #[error("bad config")]
    Config(#[from] ConfigError),
    /// The log filter can't be used.
    #[error("bad config")]
    Level(#[from] BadLevel),
    /// The keys of an issuer can't be used.
    #[error("bad config")]
    Keys(#[from] KeysError),
    /// Certificates or keys of TLS can't be used.
    #[error("bad config")]
    Tls(#[from] TlsError),
    /// Traces can't be sent as the settings say.
    #[error("bad config")]
    Traces(#[from] TraceError),
    /// A target of messages can't be used.
    #[error("bad config")]
    Notify(#[from] SetupError),
    /// No API token was made.
    #[error("no token was made")]
    Token(#[source] TokenError),
    /// An address can't be bound.
    #[error("cannot listen on {address}: choose another address ({flag}), or end the process that uses it")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The data folder can't be used.
    #[error("cannot use the data folder {folder}")]
    Store {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The database can't be used.
    #[error("cannot use the database {url}")]
    Database {
        /// Which.
        url: String,
        /// Why.
        source: StoreError,
    },
    /// A store was not migrated.
    #[error("not migrated")]
    Migration(#[source] MigrationError),
    /// Something was not said that is needed.
    #[error("{0}")]
    Usage(String),
    /// The embedded Step Functions failed.
    #[error("the embedded Step Functions failed")]
    Local(#[source] std::io::Error),
    /// The reference workflow can't be provisioned.
    #[error("cannot provision the workflow")]
    Provision(#[from] ProvisionerError),
    /// Something else of the system failed.
    #[error("{what}")]
    System {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A check found what does not work.
    #[error("{0} of what was checked does not work")]
    Check(usize),
    /// Stopping took too long, or a second signal came.
    #[error("stopped before everything in hand was finished; nothing acknowledged is lost")]
    StoppedEarly,
}

impl AppError {
    /// The process's exit code: 3 config, 4 address, 5 data folder or database, 6 AWS, 7 stopped early, 8 a check that
    /// failed, 1 anything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Level(_) | Self::Keys(_) | Self::Tls(_) | Self::Traces(_) | Self::Notify(_) => 3,
            Self::Bind { .. } => 4,
            Self::Store { .. } | Self::Database { .. } | Self::Migration(_) => 5,
            Self::Usage(_) => 2,
            Self::Local(_) | Self::Provision(_) => 6,
            Self::StoppedEarly => 7,
            Self::Check(_) => 8,
            Self::Token(_) | Self::System { .. } => 1,
        }
    }

    /// The store that the config names failed.
    pub(crate) fn store(config: &Config) -> impl Fn(StoreError) -> Self {
        |source| match &config.store {
            Some(url) => Self::Database { url: url.redacted(), source },
            None => Self::Store { folder: config.data_dir.clone(), source },
        }
    }

    pub(crate) fn system(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::System { what, source }
    }
}
