//! Certificates made for a test, in files as people have them.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// An authority, and who it vouches for.
pub(crate) struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { authority, folder: tempfile::tempdir().unwrap() };
        let (certificate, key) = pki.sign("bot.test");
        std::fs::write(pki.file("ca.pem"), pki.authority.pem()).unwrap();
        std::fs::write(pki.file("bot.pem"), certificate).unwrap();
        std::fs::write(pki.file("bot.key"), key).unwrap();
        pki
    }

    /// "ca.pem", "bot.pem", "bot.key".
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn server(&self) -> ServerTlsConfig {
        let (certificate, key) = self.sign("127.0.0.1");
        ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(self.authority.pem()))
    }

    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }
}
