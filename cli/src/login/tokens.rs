//! What a provider answers with, and how it is asked again.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use oauth2::{
    Client, ClientId, ExtraTokenFields, RefreshToken, Scope, StandardRevocableToken, StandardTokenResponse,
    TokenResponse as _, TokenUrl,
    basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType},
};
use serde::{Deserialize, Serialize};

use super::{
    LoginError, Session, Wanted,
    claims::Claims,
    http::{Http, HttpError},
};
use crate::settings::TokenKind;

/// OpenID's addition to what OAuth answers.
#[derive(Deserialize, Serialize)]
pub(super) struct WithIdToken {
    id_token: Option<String>,
}

impl fmt::Debug for WithIdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithIdToken(…)")
    }
}

impl ExtraTokenFields for WithIdToken {}

pub(super) type Answer = StandardTokenResponse<WithIdToken, BasicTokenType>;

pub(super) type OauthClient = Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// What is kept of an answer.
pub(super) struct Tokens {
    pub token: String,
    pub refresh_token: Option<String>,
    /// When the token ends, in seconds since 1970. `None`: it is not known.
    pub expires: Option<i64>,
    pub subject: String,
}

/// Of whom a token has to be, and which of them is wanted.
pub(super) struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: Option<&'a str>,
    pub kind: TokenKind,
}

impl Tokens {
    pub(super) fn read(answer: &Answer, expected: &Expected<'_>) -> Result<Self, LoginError> {
        let id_token = answer.extra_fields().id_token.as_deref();
        let claims = id_token.and_then(Claims::of);
        if let Some(claims) = &claims {
            claims.check(expected.issuer, expected.client_id, expected.nonce)?;
        }
        let token = match expected.kind {
            TokenKind::Access => answer.access_token().secret().as_str(),
            TokenKind::Id if claims.is_none() => {
                return Err(LoginError::Answer("has no ID token; if the server takes access tokens, use those".into()));
            }
            TokenKind::Id => id_token.unwrap_or_default(),
        };
        let shown = Claims::of(token);
        let lasts = answer.expires_in().filter(|_| expected.kind == TokenKind::Access).map(ends);
        let expires = shown.as_ref().and_then(Claims::expires).into_iter().chain(lasts).min();
        let subject = claims.or(shown).map(|claims| claims.subject()).unwrap_or_default();
        let refresh_token = answer.refresh_token().map(|token| token.secret().clone());
        Ok(Self { token: token.to_owned(), refresh_token, expires, subject })
    }
}

fn ends(lasts: Duration) -> i64 {
    Timestamp::now().as_second().saturating_add(i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX))
}

pub(super) fn client(client_id: &str) -> OauthClient {
    Client::new(ClientId::new(client_id.to_owned()))
}

pub(super) fn token_url(url: &str) -> Result<TokenUrl, LoginError> {
    TokenUrl::new(url.to_owned()).map_err(|error| LoginError::Answer(format!("has a token endpoint that {error}")))
}

pub(super) fn scopes(wanted: &Wanted) -> impl Iterator<Item = Scope> {
    wanted.scopes.iter().cloned().map(Scope::new)
}

/// Gets new tokens for a session that has a refresh token.
pub(super) async fn refresh(http: &Http, session: &Session, refresh_token: &str) -> Result<Tokens, LoginError> {
    let client = client(&session.client_id).set_token_uri(token_url(&session.token_endpoint)?);
    let refresh_token = RefreshToken::new(refresh_token.to_owned());
    let answer = client.exchange_refresh_token(&refresh_token).request_async(http).await?;
    let expected = Expected { issuer: &session.issuer, client_id: &session.client_id, nonce: None, kind: session.kind };
    Tokens::read(&answer, &expected)
}

/// Ends a refresh token's life. By hand: the crate refuses http on loopback, too.
pub(super) async fn revoke(
    http: &Http,
    session: &Session,
    endpoint: &str,
    refresh_token: &str,
) -> Result<(), LoginError> {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("token", refresh_token)
        .append_pair("token_type_hint", "refresh_token")
        .append_pair("client_id", &session.client_id)
        .finish();
    let request = ::http::Request::post(endpoint)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.into_bytes())
        .map_err(|error| LoginError::Answer(format!("has a revocation endpoint that can't be: {error}")))?;
    let response = http.send(request).await.map_err(LoginError::Unavailable)?;
    if !response.status().is_success() {
        return Err(LoginError::Unavailable(HttpError::Status(response.status())));
    }
    Ok(())
}
