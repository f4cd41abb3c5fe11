//! The server's certificate and key, and the roots of clients' certificates.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tracing::warn;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config;

/// TLS files that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("cannot read {key} {path}")]
    File {
        /// The setting that names it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{key} {path}: {problem}")]
    Content {
        /// The setting that names it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Certificate and key can't be used together.
    #[error("cannot use tls.cert_file {cert} with tls.key_file {key}: is it the certificate's own key, in PEM?")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: tonic::transport::Error,
    },
}

/// Has a server speak TLS alone.
pub(crate) fn secure(server: Server, settings: &config::Tls, limits: &config::Limits) -> Result<Server, TlsError> {
    let handshake = Duration::from_secs(limits.request_seconds.into());
    server.tls_config(tls(settings, handshake)?).map_err(|source| TlsError::Unusable {
        cert: settings.cert_file.clone(),
        key: settings.key_file.clone(),
        source,
    })
}

/// Reads the files. Certificates that have expired are warned of, so that a server with one still starts.
fn tls(settings: &config::Tls, handshake: Duration) -> Result<ServerTlsConfig, TlsError> {
    let cert = read("tls.cert_file", &settings.cert_file)?;
    let key = read("tls.key_file", &settings.key_file)?;
    check("tls.cert_file", &settings.cert_file, &cert)?;
    warn_if_readable(&settings.key_file);
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(cert, key)).timeout(handshake);
    if let Some(path) = &settings.client_ca_file {
        let roots = read("tls.client_ca_file", path)?;
        check("tls.client_ca_file", path, &roots)?;
        tls = tls.client_ca_root(Certificate::from_pem(roots)).client_auth_optional(!settings.require_client_cert);
    }
    Ok(tls)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { key, path: path.to_owned(), source })
}

fn check(key: &'static str, path: &Path, pem: &[u8]) -> Result<(), TlsError> {
    let wrong = |problem| TlsError::Content { key, path: path.to_owned(), problem };
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| wrong("expected certificates in PEM"))?;
    if certificates.is_empty() {
        return Err(wrong("there is no certificate in it"));
    }
    for der in certificates {
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| wrong("a certificate can't be read"))?;
        if certificate.validity().not_after.timestamp() < Timestamp::now().as_second() {
            warn!(file = %path.display(), subject = %certificate.subject(), "a certificate has expired");
        }
    }
    Ok(())
}

/// A key is its owner's alone.
fn warn_if_readable(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path)
        && std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
    {
        warn!(file = %path.display(), "the private key can be read by others than its owner");
    }
}
