use std::fmt;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::{Error, Secret};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// How a connection of an `https://` URL is made: whom to trust, and with which certificate to show who one is.
///
/// ```no_run
/// # fn example() -> std::io::Result<()> {
/// use approve_client::{Config, Tls};
///
/// let tls = Tls::new()
///     .ca_pem(std::fs::read_to_string("ca.pem")?)
///     .client_pem(std::fs::read_to_string("bot.pem")?, std::fs::read_to_string("bot.key")?);
/// let config = Config::new("https://approve.example.com:50051").tls(tls);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Tls {
    ca: Option<String>,
    client: Option<(String, Secret)>,
    server_name: Option<String>,
}

impl Tls {
    /// Trusts the authorities that this computer trusts; shows no certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities and no others. One or several certificates in PEM.
    pub fn ca_pem(mut self, pem: impl Into<String>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Shows this certificate. The certificate with those between it and its authority, and its key, in PEM.
    pub fn client_pem(mut self, certificate: impl Into<String>, key: impl AsRef<str>) -> Self {
        self.client = Some((certificate.into(), Secret::new(key)));
        self
    }

    /// The name that the server's certificate must be of. Default: the URL's host.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    pub(crate) fn apply(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(pem) => {
                certificates("the authorities' certificates", pem)?;
                config.ca_certificate(Certificate::from_pem(pem))
            }
            None => config.with_native_roots(),
        };
        if let Some((certificate, key)) = &self.client {
            certificates("the client certificate", certificate)?;
            config = config.identity(Identity::from_pem(certificate, key.expose()));
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        endpoint.tls_config(config).map_err(|error| {
            let root = std::iter::successors(std::error::Error::source(&error), |cause| cause.source()).last();
            Error::config(format!("TLS: {}", root.map_or_else(|| error.to_string(), ToString::to_string)))
        })
    }
}

/// What holds no certificate would trust nobody, or show nothing, without a word.
fn certificates(what: &str, pem: &str) -> Result<(), Error> {
    if pem.contains(CERTIFICATE) { Ok(()) } else { Err(Error::config(format!("{what}: no certificate in PEM"))) }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("client", &self.client.is_some())
            .field("server_name", &self.server_name)
            .finish()
    }
}
