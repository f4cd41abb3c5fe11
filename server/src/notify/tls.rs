//! What targets' certificates are checked against.

use std::path::Path;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Roots that can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootsError {
    #[error("there is no root certificate")]
    None,
    #[error("a root certificate can't be read")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

/// TLS that trusts the roots of a PEM file, or else the system's.
pub(super) fn client(roots: Option<&Path>) -> Result<ClientConfig, RootsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path)? {
                store.add(certificate?)?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    // A machine without roots can still send where no TLS is.
    if store.is_empty() && roots.is_some() {
        return Err(RootsError::None);
    }
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(store).with_no_client_auth())
}
