//! Asks an issuer over HTTP: no redirects, bounded in time and size.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{KeysError, source::MAX_BYTES};

/// How long the whole of it may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no answer.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Sends requests to an issuer.
pub(in crate::auth) struct IssuerClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl IssuerClient {
    /// One that trusts these roots, in PEM; the system's where there are none. `url` is for the error.
    pub(in crate::auth) fn new(url: &str, roots: Option<&Path>) -> Result<Self, KeysError> {
        let builder = match roots {
            Some(path) => HttpsConnectorBuilder::new().with_tls_config(trusting(path)?),
            None => HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(aws_lc_rs::default_provider())
                .map_err(|error| KeysError::Fetch { url: url.to_owned(), source: error.into() })?,
        };
        let connector = builder.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// The answer to a request: its status and body.
    pub(in crate::auth) async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failed> {
        let answer = async {
            let response = self.0.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BYTES).collect().await?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, answer).await.unwrap_or_else(|_| Err(FetchError::Late.into()))
    }
}

/// Gets one URL.
pub(super) struct Fetcher {
    url: String,
    client: IssuerClient,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fetcher").field(&self.url).finish()
    }
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it did not answer within {} s", TIMEOUT.as_secs())]
    Late,
    #[error("it answered with status {0}")]
    Status(StatusCode),
}

impl Fetcher {
    /// For a URL that was checked.
    pub(super) fn new(url: &str, roots: Option<&Path>) -> Result<Self, KeysError> {
        Ok(Self { url: url.to_owned(), client: IssuerClient::new(url, roots)? })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn get(&self) -> Result<Vec<u8>, KeysError> {
        self.try_get().await.map_err(|source| KeysError::Fetch { url: self.url.clone(), source })
    }

    async fn try_get(&self) -> Result<Vec<u8>, Failed> {
        let request = Request::get(&self.url).header("accept", "application/json").body(Full::default())?;
        match self.client.send(request).await? {
            (StatusCode::OK, body) => Ok(body.to_vec()),
            (status, _) => Err(FetchError::Status(status).into()),
        }
    }
}

fn trusting(path: &Path) -> Result<ClientConfig, KeysError> {
    let unusable =
        |source: Box<dyn std::error::Error + Send + Sync>| KeysError::Roots { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.into()))? {
        let certificate = certificate.map_err(|error| unusable(error.into()))?;
        roots.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is no certificate in it".into()));
    }
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.into()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
