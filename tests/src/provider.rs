//! An OpenID Connect provider on loopback, which signs in whoever a test says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::issuer::Signer;

/// What it knows the server by.
pub const CLIENT_ID: &str = "approve-web";
/// What the server shows it.
pub const CLIENT_SECRET: &str = "s3cret/with:marks";

struct Shared {
    url: String,
    signer: Signer,
    /// By code: the challenge, and the claims of the token.
    codes: Mutex<BTreeMap<String, (String, Value)>>,
}

/// The provider, serving.
pub struct Provider {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Provider {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { url, signer: Signer::new("web"), codes: Mutex::default() });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, serving }
    }

    /// Its name, and where it is.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.shared.signer.sign(claims)
    }

    /// Signs somebody in who was sent here with this query: what the browser comes back with. The claims of the token
    /// are as `change` leaves them.
    pub fn sign_in(
        &self,
        location: &str,
        name: &str,
        groups: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> (String, String) {
        let (to, query) = location.split_once('?').unwrap();
        assert_eq!(to, format!("{}/authorize", self.shared.url));
        let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        assert_eq!((query["response_type"], query["client_id"]), ("code", CLIENT_ID));
        assert_eq!(query["code_challenge_method"], "S256");
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({
            "iss": self.shared.url, "aud": CLIENT_ID, "sub": name, "groups": groups, "nonce": query["nonce"],
            "iat": now, "exp": now + 60,
        });
        change(&mut claims);
        let code = format!("code-{name}-{}", query["state"]);
        let known = (query["code_challenge"].to_owned(), claims);
        self.shared.codes.lock().unwrap().insert(code.clone(), known);
        (code, query["state"].to_owned())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn configuration(State(shared): State<Arc<Shared>>) -> String {
    let url = &shared.url;
    json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
    })
    .to_string()
}

async fn keys(State(shared): State<Arc<Shared>>) -> String {
    json!({"keys": [shared.signer.jwk()]}).to_string()
}

async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Result<String, StatusCode> {
    // As RFC 6749 wants it: each part encoded as in a form.
    let shown = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:s3cret%2Fwith%3Amarks")));
    if headers.get("authorization").is_none_or(|value| *value != *shown) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let body = String::from_utf8(body.to_vec()).unwrap();
    let form: BTreeMap<_, _> = body.split('&').filter_map(|pair| pair.split_once('=')).collect();
    // A code is good once.
    let known = shared.codes.lock().unwrap().remove(form["code"]);
    let (challenge, claims) = known.ok_or(StatusCode::BAD_REQUEST)?;
    if URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"])) != challenge {
        return Err(StatusCode::BAD_REQUEST);
    }
    let token = shared.signer.sign(&claims);
    Ok(json!({"access_token": "unused", "token_type": "Bearer", "expires_in": 60, "id_token": token}).to_string())
}
