//! As much HTTP as a provider is asked by: no redirects, bounded in time and size.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::LoginError;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long an answer may be.
const MAX_BYTES: usize = 1024 * 1024;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("it did not answer within {} s", TIMEOUT.as_secs())]
    Late,
    #[error("it answered with status {0}")]
    Status(http::StatusCode),
    #[error("no answer")]
    Failed(#[source] Source),
}

/// Asks a provider.
pub(super) struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Http {
    /// Trusts the authorities in a file, or those that this computer trusts.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, LoginError> {
        let builder = match ca {
            Some(path) => HttpsConnectorBuilder::new().with_tls_config(trusting(path)?),
            None => HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(aws_lc_rs::default_provider())
                .map_err(|source| LoginError::File { what: "this computer trusts no authority".into(), source })?,
        };
        let connector = builder.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let request = http::Request::from_parts(head, Full::new(Bytes::from(body)));
        let sent = async {
            let response = self.0.request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_BYTES).collect().await?.to_bytes();
            Ok::<_, Source>(http::Response::from_parts(head, body.to_vec()))
        };
        match tokio::time::timeout(TIMEOUT, sent).await {
            // Whatever it says with that is not about the question.
            Ok(Ok(response)) if response.status().is_server_error() => Err(HttpError::Status(response.status())),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(source)) => Err(HttpError::Failed(source)),
            Err(_) => Err(HttpError::Late),
        }
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = BoxFuture<'c, Result<HttpResponse, HttpError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        self.send(request).boxed()
    }
}

fn trusting(path: &Path) -> Result<ClientConfig, LoginError> {
    let unusable = |why: String| LoginError::Settings(format!("{}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is no certificate in it".into()));
    }
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
