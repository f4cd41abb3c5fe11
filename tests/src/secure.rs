//! A server that knows its callers: TLS, an issuer of JWTs, client certificates, API tokens and roles.

use std::fs;

use approve_client::{
    Client, Config, Credentials, Tls,
    proto::{GetCallerRequest, GetCallerResponse, access_service_client::AccessServiceClient},
};
use approve_proto::v1::{
    approval_service_client::ApprovalServiceClient, workflow_service_client::WorkflowServiceClient,
};
use tempfile::TempDir;
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::{ErrorInfo, StatusExt as _};

use crate::{
    LocalAws, Server,
    certificates::{Authority, Certified},
    issuer::{AUDIENCE, ISSUER, TestIssuer},
    server::write_config,
};

/// What members of the group "admins" have.
pub const ADMINS: &str = r#"
[[role]]
name = "admins"
members = ["group:admins"]
permissions = ["view", "decide", "start", "provision", "operate", "audit"]
"#;

/// The server, and what it believes in.
pub struct SecureServer {
    /// The server.
    pub server: Server,
    /// Who issues its and its clients' certificates.
    pub authority: Authority,
    /// Who issues its callers' tokens.
    pub issuer: TestIssuer,
    /// Its AWS.
    pub aws: LocalAws,
}

impl SecureServer {
    /// Starts it with [`ADMINS`] and more settings.
    pub async fn start(more: &str) -> Self {
        Self::start_with(more, false, &[]).await
    }

    /// Starts it; `require` certificates of all clients or not; with more environment variables.
    pub async fn start_with(more: &str, require: bool, environment: &[(&str, &str)]) -> Self {
        let (authority, issuer, aws) = (Authority::new(), TestIssuer::start().await, LocalAws::start().await);
        let folder = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let Certified { certificate, key } = authority.server();
        let (cert, key) = (file("server.crt", &certificate), file("server.key", &key));
        let roots = file("clients.pem", authority.pem());
        let config = format!(
            r#"
[aws]
region = "us-east-1"
endpoint = "{endpoint}"

[tls]
cert_file = {cert:?}
key_file = {key:?}
client_ca_file = {roots:?}
require_client_cert = {require}

[auth.jwt]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks_url = "{keys}"
algorithms = ["ES256"]
leeway_seconds = 0
refresh_seconds = 1

[auth.certificates]
principal = "uri"
map = [{{ prefix = "spiffe://test/", kind = "service" }}]
{ADMINS}
{more}"#,
            endpoint = aws.url(),
            keys = issuer.url(),
        );
        write_config(folder.path(), &config);
        let server = Server::serve_folder(folder, environment).await;
        Self { server, authority, issuer, aws }
    }

    /// A client of a user in these groups, by JWT.
    pub async fn client(&self, name: &str, groups: &[&str]) -> Client {
        self.client_with(&self.issuer.token(name, groups)).await
    }

    /// A client with this bearer token.
    pub async fn client_with(&self, token: &str) -> Client {
        Client::connect(self.config().credentials(Credentials::bearer(token))).await.unwrap()
    }

    /// Somebody who may do everything.
    pub async fn admin(&self) -> Client {
        self.client("root", &["admins"]).await
    }

    /// Settings of a client without credentials.
    pub fn config(&self) -> Config {
        Config::new(self.server.url()).tls(Tls::new().ca_pem(self.authority.pem()))
    }

    /// A plain channel, with a client's certificate or without.
    pub async fn channel(&self, certified: Option<&Certified>) -> Result<Channel, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.authority.pem()));
        if let Some(Certified { certificate, key }) = certified {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        Endpoint::from_shared(self.server.url().to_owned()).unwrap().tls_config(tls).unwrap().connect().await
    }

    /// Who the server takes the caller for.
    pub async fn caller(
        &self,
        certified: Option<&Certified>,
        metadata: &[(&'static str, &str)],
    ) -> Result<GetCallerResponse, Status> {
        let channel = self.channel(certified).await.map_err(|error| Status::unavailable(format!("{error:?}")))?;
        let request = with_metadata(GetCallerRequest {}, metadata);
        AccessServiceClient::new(channel).get_caller(request).await.map(tonic::Response::into_inner)
    }

    /// Who the server takes the bearer of a token for.
    pub async fn bearer(&self, token: &str) -> Result<GetCallerResponse, Status> {
        self.caller(None, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// The API as it is on the wire.
    pub async fn raw_approvals(&self) -> ApprovalServiceClient<Channel> {
        ApprovalServiceClient::new(self.channel(None).await.unwrap())
    }

    /// The API as it is on the wire.
    pub async fn raw_workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel(None).await.unwrap())
    }

    /// A request of a user in these groups, by JWT.
    pub fn request<T>(&self, name: &str, groups: &[&str], message: T) -> Request<T> {
        with_metadata(message, &[("authorization", &format!("Bearer {}", self.issuer.token(name, groups)))])
    }
}

/// A request with metadata.
pub fn with_metadata<T>(message: T, metadata: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (key, value) in metadata {
        request.metadata_mut().append(*key, value.parse().unwrap());
    }
    request
}

/// The one ErrorInfo of an error.
pub fn error_info(status: &Status) -> ErrorInfo {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, approve_proto::ERROR_DOMAIN);
    info
}

/// Expects an error of a code and a reason; returns its message.
pub fn expect<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> String {
    let status = result.expect_err("it was let in");
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(error_info(&status).reason, reason, "{status:?}");
    status.message().to_owned()
}

/// Expects that a caller is not let in; returns why.
pub fn not_let_in<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    expect(result, Code::Unauthenticated, "UNAUTHENTICATED")
}
