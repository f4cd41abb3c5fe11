//! The authorization code flow with PKCE, by way of a browser on this computer.

use std::time::Duration;

use oauth2::{AuthUrl, AuthorizationCode, CsrfToken, PkceCodeChallenge, RedirectUrl};
use tokio::net::TcpListener;

use super::{
    LoginError, Wanted, callback,
    http::Http,
    provider::Provider,
    tokens::{self, Expected, Tokens},
};

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

pub(super) async fn sign_in(
    http: &Http,
    provider: &Provider,
    wanted: &Wanted,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Tokens, LoginError> {
    let endpoint = provider.authorization_endpoint.clone();
    let endpoint = endpoint.ok_or_else(|| LoginError::Settings("the provider knows no sign-in by browser".into()))?;
    let endpoint = AuthUrl::new(endpoint)
        .map_err(|error| LoginError::Answer(format!("has an authorization endpoint that {error}")))?;
    let failed = |source| LoginError::File { what: "can't listen for the browser".into(), source };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let redirect = RedirectUrl::new(format!("http://127.0.0.1:{port}{}", callback::PATH))
        .map_err(|error| LoginError::Answer(error.to_string()))?;
    let client = tokens::client(&wanted.client_id)
        .set_auth_uri(endpoint)
        .set_token_uri(tokens::token_url(&provider.token_endpoint)?)
        .set_redirect_uri(redirect);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let nonce = CsrfToken::new_random().secret().clone();
    let mut request = client
        .authorize_url(CsrfToken::new_random)
        .add_scopes(tokens::scopes(wanted))
        .add_extra_param("nonce", nonce.clone())
        .set_pkce_challenge(challenge);
    if let Some(audience) = &wanted.audience {
        request = request.add_extra_param("audience", audience.clone());
    }
    let (url, state) = request.url();
    tell(&format!("sign in with your browser at:\n\n  {url}\n"));
    if wanted.open_browser && open::that_detached(url.as_str()).is_err() {
        tell("no browser could be opened: open that address yourself, or use --flow device");
    }
    let answered = callback::wait(&listener, state.secret(), &provider.issuer);
    let code = match tokio::time::timeout(PATIENCE, answered).await {
        Ok(code) => code?,
        Err(_) => return Err(LoginError::Late { minutes: PATIENCE.as_secs() / 60 }),
    };
    let answer =
        client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier).request_async(http).await?;
    let expected =
        Expected { issuer: &provider.issuer, client_id: &wanted.client_id, nonce: Some(&nonce), kind: wanted.kind };
    Tokens::read(&answer, &expected)
}
