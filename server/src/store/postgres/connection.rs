//! Connections to the database, and what its errors mean.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_postgres::{
    AsyncMessage, Client, NoTls, Socket,
    config::{Host, SslMode},
    error::SqlState,
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use crate::store::StoreError;

/// How long opening a connection may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a session is begun with. A statement or a wait for a lock that takes this long fails. A session that stands in a
/// transaction for as long as the third is ended by the database: its server is paused or cut off, and holds up others.
const SESSION: &str = "-c statement_timeout=15s -c lock_timeout=10s -c idle_in_transaction_session_timeout=4s \
                       -c synchronous_commit=on -c default_transaction_isolation=read\\ committed -c jit=off \
                       -c timezone=UTC -c client_encoding=UTF8";

/// Where the database is, and how it is reached.
#[derive(Clone)]
pub struct Address {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
}

/// What can't be used of an address.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// The URL.
    #[error("not a PostgreSQL URL: {0}")]
    Url(String),
    /// Something that the URL asks for.
    #[error("{0}")]
    Option(String),
    /// A file beside it.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The root certificate.
    #[error("no certificate can be read from {0}")]
    Certificate(PathBuf),
}

/// How far the connection is protected, by the URL's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Off,
    Verified,
}

impl Address {
    /// Of a URL `postgres://user:password@host:port/database?sslmode=…`. `sslmode` is `disable`, `require` or
    /// `verify-full`; the latter two both verify the certificate and the host's name, and are what holds where nothing is
    /// said, but for sockets and loopback addresses. The password may be in a file of its own, and is read from there
    /// once. `root` holds PEM certificates that are trusted instead of the system's.
    ///
    /// # Errors
    /// Where it can't be used.
    pub fn new(url: &str, password: Option<&Path>, root: Option<&Path>) -> Result<Self, BadAddress> {
        let (url, mode) = split_mode(url)?;
        let mut config = tokio_postgres::Config::from_str(&url).map_err(|error| BadAddress::Url(explain(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(BadAddress::Url("there is no host in it".to_owned()));
        }
        if let Some(path) = password {
            let text =
                std::fs::read_to_string(path).map_err(|source| BadAddress::File { path: path.to_owned(), source })?;
            config.password(text.trim_end_matches(['\r', '\n']));
        }
        let local = config.get_hosts().iter().all(is_local);
        let protection = match mode.as_deref() {
            Some("disable") => Protection::Off,
            Some("require" | "verify-full") => Protection::Verified,
            None if local => Protection::Off,
            None => Protection::Verified,
            Some(other) => {
                let problem = format!("sslmode={other}: expected disable, require or verify-full");
                return Err(BadAddress::Option(problem));
            }
        };
        let tls = match protection {
            Protection::Off => {
                config.ssl_mode(SslMode::Disable);
                None
            }
            Protection::Verified => {
                config.ssl_mode(SslMode::Require);
                Some(MakeRustlsConnect::new(client_config(root)?))
            }
        };
        let more = config.get_options().map(|options| format!("{options} ")).unwrap_or_default();
        config
            .options(format!("{more}{SESSION}"))
            .application_name("approve-server")
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(Duration::from_secs(10))
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3)
            .target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        Ok(Self { config, tls })
    }

    /// Opens a connection. Its task is one of `tasks`, and ends with it; what the database tells unasked goes to `told`.
    pub(super) async fn connect(
        &self,
        tasks: &TaskTracker,
        told: Option<mpsc::UnboundedSender<String>>,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        match &self.tls {
            None => connect(&self.config, NoTls, tasks, told).await,
            Some(tls) => connect(&self.config, tls.clone(), tasks, told).await,
        }
    }

    pub(super) fn config(&self) -> &tokio_postgres::Config {
        &self.config
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("hosts", &self.config.get_hosts())
            .field("database", &self.config.get_dbname())
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

async fn connect<T>(
    config: &tokio_postgres::Config,
    tls: T,
    tasks: &TaskTracker,
    told: Option<mpsc::UnboundedSender<String>>,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, mut connection) = config.connect(tls).await?;
    let driving = tasks.spawn(async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if let Some(told) = &told {
                        // Whoever listened may have gone.
                        let _ = told.send(notification.payload().to_owned());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a connection to the database ended");
                    return;
                }
                None => return,
            }
        }
    });
    Ok((client, driving))
}

/// The URL without its `sslmode`, of which the client library knows other values than we do.
fn split_mode(url: &str) -> Result<(String, Option<String>), BadAddress> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(BadAddress::Url("expected postgres://…".to_owned()));
    }
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_owned(), None)) };
    let (mut mode, mut rest) = (None, Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            _ => rest.push(pair),
        }
    }
    Ok((if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) }, mode))
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn client_config(root: Option<&Path>) -> Result<ClientConfig, BadAddress> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = root {
        let unreadable = || BadAddress::Certificate(path.to_owned());
        let pem = std::fs::read(path).map_err(|source| BadAddress::File { path: path.to_owned(), source })?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
        }
        if roots.is_empty() {
            return Err(unreadable());
        }
    } else {
        // What can't be read of the system's is left out; with none at all, no certificate is believed.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| BadAddress::Option(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// An error of the client library with its cause, which holds no secret: values of options are not told.
fn explain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What an error of the database's means for a caller.
pub(super) fn failed(error: tokio_postgres::Error) -> StoreError {
    let corrupt = error.code().is_some_and(|code| {
        matches!(
            *code,
            SqlState::DATA_CORRUPTED
                | SqlState::INDEX_CORRUPTED
                | SqlState::UNDEFINED_TABLE
                | SqlState::UNDEFINED_COLUMN
        )
    });
    if corrupt { StoreError::corrupt(error) } else { StoreError::unavailable(error) }
}

/// Whether the database lets somebody in who may write.
pub(crate) async fn answers(address: &Address) -> Result<(), StoreError> {
    let tasks = TaskTracker::new();
    let (client, driving) = address.connect(&tasks, None).await.map_err(failed)?;
    let answered = client.simple_query("SELECT 1").await;
    drop(client);
    driving.abort();
    tasks.close();
    tasks.wait().await;
    answered.map(drop).map_err(failed)
}

/// Whether what [`answers`] said may be another thing in a while: not where the database has said that it will not have
/// it, nor where it is not the one that it should be.
pub(crate) fn may_pass(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    let Some(error) = source.downcast_ref::<tokio_postgres::Error>() else { return true };
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let mut inner =
        causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).filter_map(|error| error.get_ref());
    is_passing(error) && !inner.any(|error| error.is::<rustls::Error>())
}

/// Whether the database has no connection left to give.
pub(super) fn is_crowded(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
}

/// Whether the same may go well in a while, or on another connection.
pub(super) fn is_passing(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // Without a code it is the connection's, not the database's word on what was asked.
        return true;
    };
    // Connection, resources, operator's intervention, rollback for the sake of others.
    ["08", "53", "57", "40"].iter().any(|class| code.code().starts_with(class))
        || matches!(
            *code,
            SqlState::LOCK_NOT_AVAILABLE
                | SqlState::READ_ONLY_SQL_TRANSACTION
                | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                | SqlState::ACTIVE_SQL_TRANSACTION
                | SqlState::INVALID_TRANSACTION_STATE
                | SqlState::IN_FAILED_SQL_TRANSACTION
                | SqlState::NO_ACTIVE_SQL_TRANSACTION
        )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn encrypted(url: &str) -> Result<bool, String> {
        Address::new(url, None, None).map(|address| address.tls.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_goes_over_a_network_is_encrypted_unless_told_otherwise() {
        for (url, expected) in [
            ("postgres://ana@db.example.com/approve", true),
            ("postgres://ana@db.example.com,localhost/approve", true),
            ("postgresql://ana@192.0.2.1:6432/approve?sslmode=require", true),
            ("postgres://localhost/approve?connect_timeout=3&sslmode=verify-full", true),
            ("postgres://db.example.com/approve?sslmode=disable", false),
            ("postgres://localhost/approve", false),
            ("postgres://127.0.0.1/approve", false),
            ("postgres:///approve?host=/run/postgresql", false),
        ] {
            assert_eq!(encrypted(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_can_not_be_used_is_told() {
        for (url, problem) in [
            ("mysql://db/approve", "expected postgres://"),
            ("postgres:///approve", "no host"),
            ("postgres://db/approve?sslmode=prefer", "expected disable, require or verify-full"),
            ("postgres://db/approve?colour=blue", "colour"),
        ] {
            let error = encrypted(url).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn files_are_read_at_start() {
        let folder = tempfile::TempDir::new().unwrap();
        let [password, root, garbage] = ["password", "root.pem", "garbage.pem"].map(|name| folder.path().join(name));
        fs::write(&password, "se cret\n").unwrap();
        fs::write(&garbage, "garbage").unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["db.example.com".to_owned()]).unwrap();
        fs::write(&root, certified.cert.pem()).unwrap();
        let url = "postgres://ana@db.example.com/approve";
        let address = Address::new(url, Some(&password), Some(&root)).unwrap();
        assert_eq!(address.config.get_password(), Some(b"se cret".as_slice()));
        assert!(!format!("{address:?}").contains("cret"), "{address:?}");
        let bad = |password: Option<&Path>, root: Option<&Path>| Address::new(url, password, root).unwrap_err();
        assert!(matches!(bad(Some(&folder.path().join("none")), None), BadAddress::File { .. }));
        assert!(matches!(bad(None, Some(&garbage)), BadAddress::Certificate(_)));
    }
}
