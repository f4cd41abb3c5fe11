//! Signing in at an OpenID provider, and the tokens that come of it.
//!
//! Whether a token is genuine is for the server to check, which knows the provider's keys. Here it is only made sure that
//! it came from the provider, over TLS, in answer to our own question.

mod browser;
mod callback;
mod claims;
mod device;
mod error;
mod http;
mod provider;
mod renew;
mod session;
mod tokens;

use std::path::PathBuf;

pub(crate) use self::{
    error::LoginError,
    renew::bearer,
    session::{Session, SessionFile},
};
use self::{http::Http, provider::Provider, tokens::Tokens};
use crate::settings::{Flow, TokenKind};

/// How somebody wants to sign in.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub issuer: String,
    pub client_id: String,
    pub scopes: Vec<String>,
    pub audience: Option<String>,
    pub kind: TokenKind,
    pub flow: Option<Flow>,
    pub ca: Option<PathBuf>,
    pub open_browser: bool,
    /// Whether a browser on this computer could be seen.
    pub has_display: bool,
}

/// Lets a person sign in. `tell` is what they have to be told meanwhile.
///
/// # Errors
/// See [`LoginError`].
pub(crate) async fn sign_in(
    wanted: &Wanted,
    server: String,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Session, LoginError> {
    let http = Http::new(wanted.ca.as_deref())?;
    let provider = Provider::discover(&http, &wanted.issuer).await?;
    let tokens = match provider.flow(wanted) {
        Flow::Browser => browser::sign_in(&http, &provider, wanted, tell).await?,
        Flow::Device => device::sign_in(&http, &provider, wanted, tell).await?,
    };
    let Tokens { token, refresh_token, expires, subject } = tokens;
    Ok(Session {
        server,
        issuer: provider.issuer,
        client_id: wanted.client_id.clone(),
        token_endpoint: provider.token_endpoint,
        revocation_endpoint: provider.revocation_endpoint,
        ca: wanted.ca.clone(),
        kind: wanted.kind,
        subject,
        token,
        refresh_token,
        expires,
    })
}

/// Gives a session back to its provider, where that can be told. True: it took it.
///
/// # Errors
/// See [`LoginError`].
pub(crate) async fn give_back(session: &Session) -> Result<bool, LoginError> {
    let (Some(endpoint), Some(refresh_token)) = (&session.revocation_endpoint, &session.refresh_token) else {
        return Ok(false);
    };
    let http = Http::new(session.ca.as_deref())?;
    tokens::revoke(&http, session, endpoint, refresh_token).await?;
    Ok(true)
}
