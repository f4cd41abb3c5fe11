//! The fake server on a port, over TLS, with certificates made for the test.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use approve_client::proto::access_service_server::AccessServiceServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming};

use super::Fake;

/// An authority that signs for a test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Pem {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate of this name.
    pub(crate) fn sign(&self, name: &str) -> Pem {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        Pem { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A server that runs as long as this lives.
pub(crate) struct Secure {
    pub url: String,
    pub fake: Fake,
    /// How many certificates each call's caller showed.
    pub shown: Arc<Mutex<Vec<usize>>>,
    serving: JoinHandle<()>,
}

impl Secure {
    /// With a certificate of `name`; asks for client certificates of `clients`.
    pub(crate) async fn start(authority: &Authority, name: &str, clients: Option<&Authority>) -> Self {
        let Pem { certificate, key } = authority.sign(name);
        let mut tls =
            ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)).timeout(Duration::from_secs(10));
        if let Some(clients) = clients {
            tls = tls.client_ca_root(Certificate::from_pem(clients.pem()));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (fake, shown) = (Fake::default(), Arc::<Mutex<Vec<usize>>>::default());
        let seen = Arc::clone(&shown);
        let service = AccessServiceServer::with_interceptor(fake.clone(), move |request: tonic::Request<()>| {
            seen.lock().unwrap().push(request.peer_certs().map_or(0, |certificates| certificates.len()));
            Ok(request)
        });
        let serve = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        let serving = tokio::spawn(async move { serve.await.unwrap() });
        Self { url, fake, shown, serving }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
