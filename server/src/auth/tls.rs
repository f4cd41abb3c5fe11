//! The server's certificate and key, and the roots of clients' certificates: read at start, and again when they change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;
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
        source: rustls::Error,
    },
}

/// What new connections are met with. Those that are open keep what they began with.
pub(crate) struct Tls(RwLock<Arc<Loaded>>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("expires", &self.expires()).finish_non_exhaustive()
    }
}

/// What was read, and can be used.
pub(crate) struct Loaded {
    acceptor: TlsAcceptor,
    /// Of all that was read: tells whether it is another.
    digest: [u8; 32],
    /// When the server's own certificate ends.
    expires: Timestamp,
}

impl Tls {
    /// Reads the files. Certificates that have expired are warned of, so that a server with one still starts.
    pub(crate) fn load(settings: &config::Tls) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(Arc::new(Files::read(settings)?.load(settings)?))))
    }

    /// Reads the files again; `None` where they are as before. What is read is for [`Tls::replace`].
    pub(crate) fn read(&self, settings: &config::Tls) -> Result<Option<Loaded>, TlsError> {
        let files = Files::read(settings)?;
        if files.digest(settings) == self.current().digest {
            return Ok(None);
        }
        files.load(settings).map(Some)
    }

    /// New connections are met with these from here on.
    pub(crate) fn replace(&self, loaded: Loaded) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current().acceptor.clone()
    }

    /// When the server's own certificate ends.
    pub(crate) fn expires(&self) -> Timestamp {
        self.current().expires
    }

    fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the files hold.
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    roots: Option<Vec<u8>>,
}

impl Files {
    fn read(settings: &config::Tls) -> Result<Self, TlsError> {
        let roots = settings.client_ca_file.as_deref();
        Ok(Self {
            cert: read("tls.cert_file", &settings.cert_file)?,
            key: read("tls.key_file", &settings.key_file)?,
            roots: roots.map(|path| read("tls.client_ca_file", path)).transpose()?,
        })
    }

    fn digest(&self, settings: &config::Tls) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [Some(&self.cert), Some(&self.key), self.roots.as_ref()] {
            digest.update(part.map_or(0, Vec::len).to_be_bytes());
            digest.update(part.map_or(&[][..], Vec::as_slice));
        }
        digest.update([u8::from(settings.require_client_cert), u8::from(self.roots.is_some())]);
        digest.finalize().into()
    }

    fn load(&self, settings: &config::Tls) -> Result<Loaded, TlsError> {
        let digest = self.digest(settings);
        let unusable =
            |source| TlsError::Unusable { cert: settings.cert_file.clone(), key: settings.key_file.clone(), source };
        let (certificates, expires) = check("tls.cert_file", &settings.cert_file, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::Content {
            key: "tls.key_file",
            path: settings.key_file.clone(),
            problem: "expected a private key in PEM",
        })?;
        warn_if_readable(&settings.key_file);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match (&self.roots, &settings.client_ca_file) {
            (Some(pem), Some(path)) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(check("tls.client_ca_file", path, pem)?.0);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if settings.require_client_cert { verifier } else { verifier.allow_unauthenticated() };
                let unfit = |_| TlsError::Content {
                    key: "tls.client_ca_file",
                    path: path.clone(),
                    problem: "none of its certificates can be a root",
                };
                builder.with_client_cert_verifier(verifier.build().map_err(unfit)?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(unusable)?;
        config.alpn_protocols.push(b"h2".to_vec());
        Ok(Loaded { acceptor: TlsAcceptor::from(Arc::new(config)), digest, expires })
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { key, path: path.to_owned(), source })
}

/// The certificates of a file, and when the first of them ends.
fn check(key: &'static str, path: &Path, pem: &[u8]) -> Result<(Vec<CertificateDer<'static>>, Timestamp), TlsError> {
    let wrong = |problem| TlsError::Content { key, path: path.to_owned(), problem };
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| wrong("expected certificates in PEM"))?;
    let mut first = None;
    for der in &certificates {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| wrong("a certificate can't be read"))?;
        let ends = certificate.validity().not_after.timestamp();
        if ends < Timestamp::now().as_second() {
            warn!(file = %path.display(), subject = %certificate.subject(), "a certificate has expired");
        }
        first.get_or_insert_with(|| Timestamp::from_second(ends).unwrap_or(Timestamp::MAX));
    }
    let first = first.ok_or_else(|| wrong("there is no certificate in it"))?;
    Ok((certificates, first))
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
