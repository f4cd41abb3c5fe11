//! Signing in at an OpenID Connect provider: the authorization code flow with PKCE.
//!
//! What comes back is a JWT of an issuer that is known, and is verified and read like that of any caller: same keys, same
//! algorithms, same claims. So all that is here is one redirect and one POST.

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use form_urlencoded::{Serializer, byte_serialize};
use http::{
    Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::{
    AuthError, KeysError,
    jwt::{Issuers, fetch::IssuerClient},
};
use crate::{approval::Person, clock::SharedClock, config};

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// The provider did not answer, or not with what it should.
    #[error("the identity provider can't be reached, or does not answer as expected")]
    Provider(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not take the code.
    #[error("the identity provider refused the sign-in")]
    Refused,
    /// What it says is not accepted here.
    #[error("what the identity provider says is not accepted")]
    Token(#[source] AuthError),
    /// There is no randomness.
    #[error("the system has no randomness")]
    Random,
}

/// A sign-in that has begun: what ties the answer to the browser that asked. All of it is secret.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// Comes back with the code.
    pub(crate) state: String,
    nonce: String,
    verifier: String,
}

#[derive(Debug, thiserror::Error)]
enum Unexpected {
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("its configuration is that of {0:?}")]
    Issuer(String),
    #[error("{0:?} is not encrypted on its way")]
    Insecure(String),
    #[error("there is no ID token in its answer")]
    NoToken,
}

/// Where the provider wants what.
#[derive(Debug, Deserialize)]
struct Endpoints {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Answer {
    id_token: Option<String>,
}

/// A provider, and what this server is to it.
pub(crate) struct Provider {
    issuer: String,
    client_id: String,
    secret: Option<String>,
    scope: String,
    redirect: String,
    issuers: Issuers,
    client: IssuerClient,
    endpoints: OnceCell<Endpoints>,
}

impl Provider {
    /// One of a config that was checked. `redirect` is where it sends people back to.
    pub(crate) fn new(
        oidc: &config::Oidc,
        issuers: &[config::Jwt],
        secret: Option<String>,
        redirect: String,
        clock: SharedClock,
    ) -> Result<Self, KeysError> {
        let of_it = issuers.iter().find(|jwt| jwt.issuer == oidc.issuer).cloned();
        let settings: Vec<_> =
            of_it.into_iter().map(|jwt| config::Jwt { audience: oidc.client_id.clone(), ..jwt }).collect();
        let roots = settings.first().and_then(|jwt| jwt.jwks_ca_file.as_deref());
        let client = IssuerClient::new(&oidc.issuer, roots)?;
        let mut scopes: Vec<_> = oidc.scopes.iter().map(String::as_str).collect();
        if !scopes.contains(&"openid") {
            scopes.insert(0, "openid");
        }
        Ok(Self {
            issuer: oidc.issuer.clone(),
            client_id: oidc.client_id.clone(),
            secret,
            scope: scopes.join(" "),
            redirect,
            issuers: Issuers::new(&settings, clock)?,
            client,
            endpoints: OnceCell::new(),
        })
    }

    /// Reads the provider's keys again and again until told to stop.
    pub(crate) async fn keep_fresh(&self, stop: CancellationToken) {
        self.issuers.keep_fresh(&stop).await;
    }

    /// Where to send somebody to sign in.
    pub(crate) async fn begin(&self) -> Result<(String, Begun), SignInError> {
        let endpoints = self.endpoints.get_or_try_init(|| self.discover()).await?;
        let begun = Begun { state: random()?, nonce: random()?, verifier: random()? };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&begun.verifier));
        let query = Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("scope", &self.scope)
            .append_pair("state", &begun.state)
            .append_pair("nonce", &begun.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let to = &endpoints.authorization_endpoint;
        let separator = if to.contains('?') { '&' } else { '?' };
        Ok((format!("{to}{separator}{query}"), begun))
    }

    /// Who signed in, by the code that came back.
    pub(crate) async fn finish(&self, code: &str, begun: &Begun) -> Result<Person, SignInError> {
        let endpoints = self.endpoints.get_or_try_init(|| self.discover()).await?;
        let form = Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("client_id", &self.client_id)
            .append_pair("code_verifier", &begun.verifier)
            .finish();
        let mut request = Request::post(&endpoints.token_endpoint)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(secret) = &self.secret {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let basic = format!("{}:{}", encoded(&self.client_id), encoded(secret));
            let basic = base64::engine::general_purpose::STANDARD.encode(basic);
            request = request.header(AUTHORIZATION, format!("Basic {basic}"));
        }
        let body = Full::from(Bytes::from(form));
        let request = request.body(body).map_err(|error| SignInError::Provider(error.into()))?;
        let answer = match self.client.send(request).await.map_err(SignInError::Provider)? {
            (StatusCode::OK, body) => body,
            (StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED, _) => return Err(SignInError::Refused),
            (status, _) => return Err(SignInError::Provider(Unexpected::Status(status).into())),
        };
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| SignInError::Provider(error.into()))?;
        let token = answer.id_token.ok_or_else(|| SignInError::Provider(Unexpected::NoToken.into()))?;
        let named = self.issuers.verify_id_token(&token, &self.client_id, &begun.nonce).await;
        named.map(|named| named.person).map_err(SignInError::Token)
    }

    async fn discover(&self) -> Result<Endpoints, SignInError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found = async {
            let request = Request::get(&url).header(ACCEPT, "application/json").body(Full::default())?;
            let endpoints: Endpoints = match self.client.send(request).await? {
                (StatusCode::OK, body) => serde_json::from_slice(&body)?,
                (status, _) => return Err(Unexpected::Status(status).into()),
            };
            if endpoints.issuer != self.issuer {
                return Err(Unexpected::Issuer(endpoints.issuer).into());
            }
            for endpoint in [&endpoints.authorization_endpoint, &endpoints.token_endpoint] {
                // As the issuer itself, which was checked: http on loopback alone.
                let encrypted = endpoint.starts_with("https://");
                if !encrypted && (self.issuer.starts_with("https://") || !endpoint.starts_with("http://")) {
                    return Err(Unexpected::Insecure(endpoint.clone()).into());
                }
            }
            Ok(endpoints)
        };
        found.await.map_err(SignInError::Provider)
    }
}

fn random() -> Result<String, SignInError> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).map_err(|_| SignInError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
