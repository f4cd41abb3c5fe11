//! Gets a key set over HTTP: one GET, no redirects, bounded in time and size.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
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

/// Gets one URL.
pub(super) struct Fetcher {
    url: String,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
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
    Status(http::StatusCode),
}

impl Fetcher {
    /// For a URL that was checked.
    pub(super) fn new(url: &str, roots: Option<&Path>) -> Result<Self, KeysError> {
        let builder = match roots {
            Some(path) => HttpsConnectorBuilder::new().with_tls_config(trusting(path)?),
            None => HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(aws_lc_rs::default_provider())
                .map_err(|error| KeysError::Fetch { url: url.to_owned(), source: error.into() })?,
        };
        let connector = builder.https_or_http().enable_http1().build();
        Ok(Self { url: url.to_owned(), client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn get(&self) -> Result<Vec<u8>, KeysError> {
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| KeysError::Fetch { url: self.url.clone(), source };
        match tokio::time::timeout(TIMEOUT, self.try_get()).await {
            Ok(got) => got.map_err(failed),
            Err(_) => Err(failed(FetchError::Late.into())),
        }
    }

    async fn try_get(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let request = http::Request::get(&self.url).header("accept", "application/json").body(Empty::new())?;
        let response = self.client.request(request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status()).into());
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await?;
        Ok(body.to_bytes().to_vec())
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
