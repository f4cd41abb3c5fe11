use std::time::Duration;

use approve_proto::{ACTOR_METADATA, GROUPS_METADATA};
use http::Uri;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::Endpoint,
};

use crate::Error;

/// Which server to talk to, as whom, and with what patience.
///
/// ```
/// use std::time::Duration;
/// use approve_client::{Config, Credentials};
///
/// let config = Config::new("http://127.0.0.1:50051")
///     .credentials(Credentials::asserted("user:ana", ["finance"]))
///     .request_timeout(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) url: String,
    pub(crate) credentials: Credentials,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) provisioning_timeout: Duration,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_timeout: Duration,
    pub(crate) user_agent: String,
}

/// How the caller shows who they are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// By their own word: for servers that trust it (development, on loopback).
    Asserted {
        /// A principal, `user:<name>`.
        actor: String,
        /// Names of groups, without `group:`.
        groups: Vec<String>,
    },
}

impl Credentials {
    /// The caller's own word: a principal `user:<name>`, and names of groups.
    pub fn asserted<G: Into<String>>(actor: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Self {
        Self::Asserted { actor: actor.into(), groups: groups.into_iter().map(Into::into).collect() }
    }
}

impl Config {
    /// A server by URL, such as `http://127.0.0.1:50051`, with the defaults for everything else. The URL is checked by
    /// [`Client::connect`](crate::Client::connect).
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: Credentials::None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            provisioning_timeout: Duration::from_secs(300),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            user_agent: concat!("approve-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Who is calling. Default: nobody.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// How long making a connection may take. Default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call may take, its retries included. The server knows it too. Default 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long applying or destroying a workflow may take: AWS needs its time. Default 5 min.
    pub fn provisioning_timeout(mut self, timeout: Duration) -> Self {
        self.provisioning_timeout = timeout;
        self
    }

    /// How often an HTTP/2 PING is sent while a call is open. Default 20 s.
    pub fn keepalive_interval(mut self, interval: Duration) -> Self {
        self.keepalive_interval = interval;
        self
    }

    /// How long the answer to a PING may take before the connection counts as lost. Default 10 s.
    pub fn keepalive_timeout(mut self, timeout: Duration) -> Self {
        self.keepalive_timeout = timeout;
        self
    }

    /// What goes before tonic's own in the `user-agent` header. Default `approve-client/<version>`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint, Error> {
        let bad = |why: &str| Error::config(format!("server URL {:?}: {why}", self.url));
        let uri: Uri = self.url.parse().map_err(|_| bad("not a URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(bad("TLS is not supported yet; use http://")),
            Some(_) | None => return Err(bad("it must start with http://")),
        }
        Ok(Endpoint::from(uri)
            .user_agent(self.user_agent.as_str())
            .map_err(|_| Error::config(format!("user agent {:?}: not ASCII", self.user_agent)))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout))
    }

    pub(crate) fn identify(&self) -> Result<Identify, Error> {
        let header = |what: &str, value: &str| -> Result<MetadataValue<Ascii>, Error> {
            value.parse().map_err(|_| Error::config(format!("{what} {value:?}: not printable ASCII")))
        };
        match &self.credentials {
            Credentials::None => Ok(Identify(Vec::new())),
            Credentials::Asserted { actor, groups } => {
                let mut metadata = vec![(ACTOR_METADATA, header("actor", actor)?)];
                if let Some(bad) = groups.iter().find(|group| group.contains(',')) {
                    return Err(Error::config(format!("group {bad:?}: holds a comma")));
                }
                if !groups.is_empty() {
                    metadata.push((GROUPS_METADATA, header("groups", &groups.join(","))?));
                }
                Ok(Identify(metadata))
            }
        }
    }
}

/// Puts the caller's identity on every request.
#[derive(Clone, Debug)]
pub(crate) struct Identify(Vec<(&'static str, MetadataValue<Ascii>)>);

impl Interceptor for Identify {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (key, value) in &self.0 {
            request.metadata_mut().insert(*key, value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_work_is_refused_before_anything_is_sent() {
        for url in ["", "localhost:50051", "https://example.com", "unix:/tmp/x"] {
            assert!(matches!(Config::new(url).endpoint(), Err(Error::Config { .. })), "{url:?}");
        }
        for credentials in
            [Credentials::asserted("user:ana\n", Vec::<String>::new()), Credentials::asserted("user:ana", ["a,b"])]
        {
            let config = Config::new("http://127.0.0.1:1").credentials(credentials);
            assert!(matches!(config.identify(), Err(Error::Config { .. })));
        }
    }
}
