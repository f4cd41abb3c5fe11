use std::time::Duration;

use http::Uri;
use tonic::transport::Endpoint;

use crate::{
    Credentials, Error, Tls,
    credentials::{Identity, OnBehalfOf, is_loopback},
    trace::TraceParent,
};

/// What may be on its way to a stream, and to all of a connection: a snapshot then need not wait for the other side at
/// every 64 KiB, and streams that nobody reads leave room for the others.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

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
    pub(crate) on_behalf_of: Option<OnBehalfOf>,
    pub(crate) tls: Option<Tls>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) provisioning_timeout: Duration,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_timeout: Duration,
    pub(crate) user_agent: String,
    pub(crate) traceparent: Option<TraceParent>,
}

impl Config {
    /// A server by URL, such as `http://127.0.0.1:50051`, with the defaults for everything else. Several that share a
    /// database are separated by commas: the first that answers is used, and another one when it does not any more. URLs
    /// are checked by [`Client::connect`](crate::Client::connect).
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: Credentials::None,
            on_behalf_of: None,
            tls: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            provisioning_timeout: Duration::from_secs(300),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            user_agent: concat!("approve-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            traceparent: None,
        }
    }

    /// Who is calling. Default: nobody.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Whom the caller, a service, acts for: a principal `user:<name>`, and names of their groups without `group:`. Needs
    /// the permission to act on behalf; both names are recorded. Default: nobody. See also
    /// [`Client::on_behalf_of`](crate::Client::on_behalf_of).
    pub fn on_behalf_of<G: Into<String>>(
        mut self,
        person: impl Into<String>,
        groups: impl IntoIterator<Item = G>,
    ) -> Self {
        let groups = groups.into_iter().map(Into::into).collect();
        self.on_behalf_of = Some(OnBehalfOf { person: person.into(), groups });
        self
    }

    /// How TLS is made, with an `https://` URL. Default: [`Tls::new`].
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
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

    /// Asked with each call for the trace that the caller is in: W3C's `traceparent`,
    /// `00-<trace id>-<span id>-<flags>`. The server's span of the call is then part of that trace, and linked from the
    /// approval's own. Default: there is none.
    pub fn traceparent(mut self, current: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.traceparent = Some(TraceParent::new(current));
        self
    }

    /// Of each server, with its URL; one at least.
    pub(crate) fn endpoints(&self) -> Result<Vec<(String, Endpoint)>, Error> {
        let urls = self.url.split(',').map(str::trim);
        urls.map(|url| self.endpoint(url).map(|endpoint| (url.to_owned(), endpoint))).collect()
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint, Error> {
        let bad = |why: &str| Error::config(format!("server URL {url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|_| bad("not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(bad("it must start with http:// or https://")),
        };
        if !tls && self.tls.is_some() {
            return Err(bad("TLS needs https://"));
        }
        if !tls && matches!(self.credentials, Credentials::Bearer(_)) && !is_loopback(&uri) {
            return Err(bad("a bearer token is not sent in the clear beyond this computer; use https://"));
        }
        let endpoint = Endpoint::from(uri)
            .user_agent(self.user_agent.as_str())
            .map_err(|_| Error::config(format!("user agent {:?}: not ASCII", self.user_agent)))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout);
        if tls { self.tls.clone().unwrap_or_default().apply(endpoint) } else { Ok(endpoint) }
    }

    pub(crate) fn identify(&self) -> Result<Identity, Error> {
        Identity::new(&self.credentials, self.on_behalf_of.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_work_is_refused_before_anything_is_sent() {
        for url in ["", "localhost:50051", "unix:/tmp/x", "http://127.0.0.1:1,", "http://127.0.0.1:1,localhost:1"] {
            assert!(matches!(Config::new(url).endpoints(), Err(Error::Config { .. })), "{url:?}");
        }
        for credentials in
            [Credentials::asserted("user:ana\n", Vec::<String>::new()), Credentials::asserted("user:ana", ["a,b"])]
        {
            let config = Config::new("http://127.0.0.1:1").credentials(credentials);
            assert!(matches!(config.identify(), Err(Error::Config { .. })));
        }
    }

    #[test]
    fn a_bearer_token_goes_over_tls_or_stays_on_this_computer() {
        let endpoint = |url: &str| Config::new(url).credentials(Credentials::bearer("planted")).endpoints();
        for near in ["http://127.0.0.1:1", "http://127.9.9.9:1", "http://localhost:1", "http://[::1]:1"] {
            assert!(endpoint(near).is_ok(), "{near}");
        }
        for far in [
            "http://10.0.0.1:1",
            "http://127.0.0.1:1,http://10.0.0.1:1",
            "http://localhost.example.com:1",
            "http://[2001:db8::1]:1",
            "http://x",
        ] {
            let error = endpoint(far).unwrap_err().to_string();
            assert!(error.contains("https://") && !error.contains("planted"), "{far}: {error}");
        }
    }

    #[test]
    fn tls_that_can_not_work_is_refused() {
        let https = |tls| Config::new("https://127.0.0.1:1").tls(tls).endpoints().unwrap_err().to_string();
        assert!(https(Tls::new().ca_pem("no PEM")).contains("authorities"));
        assert!(https(Tls::new().ca_pem(PEM).client_pem("no PEM", "")).contains("client certificate"));
        assert!(https(Tls::new().ca_pem(PEM).client_pem(PEM, "planted")).contains("private key"));
        assert!(Config::new("http://127.0.0.1:1").tls(Tls::new()).endpoints().is_err());
    }

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
}
