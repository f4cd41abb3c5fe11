//! A small OpenID provider on loopback: discovery, sign-in with PKCE, device codes, refresh tokens that are good for one
//! use, revocation. Its tokens are JWTs which a server takes that is configured with [`OidcProvider::jwt_table`].
//!
//! Who signs in is said by the test: with [`OidcProvider::sign_in`] for everybody who comes, or, where several people come
//! at once, on the page that `/authorize` shows, which also takes `as=ana&groups=finance` in its query.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

use crate::issuer::{AUDIENCE, Signer};

/// How often a device may ask whether somebody has signed in, in seconds.
const DEVICE_INTERVAL: u64 = 1;

/// The provider, serving.
pub struct OidcProvider {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    issuer: String,
    signer: Signer,
    state: Mutex<Book>,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    name: String,
    groups: Vec<String>,
}

/// What the provider remembers.
#[derive(Default)]
struct Book {
    signed_in: Option<Identity>,
    lifetime: i64,
    secrets: BTreeMap<String, String>,
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
    refresh_tokens: HashMap<String, Granted>,
    grants: Vec<String>,
    away: bool,
    redirects: Vec<String>,
    claims: BTreeMap<String, Value>,
}

/// To whom something was given, and for whom.
#[derive(Clone)]
struct Granted {
    client_id: String,
    identity: Identity,
    scope: String,
}

struct Code {
    granted: Granted,
    redirect_uri: String,
    challenge: Option<String>,
    nonce: Option<String>,
}

struct Device {
    client_id: String,
    scope: String,
    user_code: String,
    /// `None`: nobody has answered. `Some(None)`: somebody said no.
    answer: Option<Option<Identity>>,
}

type Fields = HashMap<String, String>;

impl OidcProvider {
    /// Starts it. Any client without a secret is known.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let state = Mutex::new(Book { lifetime: 3_600, ..Book::default() });
        let shared = Arc::new(Shared { issuer, signer: Signer::new("oidc"), state });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/device_authorization", post(device_authorization))
            .route("/device", get(device))
            .route("/revoke", post(revoke))
            .route("/end_session", get(end_session))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, serving }
    }

    /// Its issuer's name, which is also its URL.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// A table for a server's configuration that takes its tokens for this audience: [`AUDIENCE`] for access tokens, a
    /// client's id for ID tokens.
    pub fn jwt_table(&self, audience: &str) -> String {
        let issuer = self.issuer();
        format!(
            "[[auth.jwt]]\nissuer = \"{issuer}\"\naudience = \"{audience}\"\njwks_url = \"{issuer}/keys\"\n\
             algorithms = [\"ES256\"]\nleeway_seconds = 0\n"
        )
    }

    /// Whoever comes from now on is this person, and is not asked.
    pub fn sign_in(&self, name: &str, groups: &[&str]) {
        self.book().signed_in = Some(identity(name, &groups.join(",")));
    }

    /// Whoever comes from now on is asked who they are.
    pub fn sign_out(&self) {
        self.book().signed_in = None;
    }

    /// How long tokens from now on are good, in seconds. May be negative.
    pub fn set_lifetime(&self, seconds: i64) {
        self.book().lifetime = seconds;
    }

    /// A client that has to show a secret.
    pub fn set_secret(&self, client_id: &str, secret: &str) {
        self.book().secrets.insert(client_id.to_owned(), secret.to_owned());
    }

    /// A place to send people back to, beside those on loopback.
    pub fn allow_redirect(&self, uri: &str) {
        self.book().redirects.push(uri.to_owned());
    }

    /// What ID tokens from now on say, whatever else would be true. Empty: the truth.
    pub fn set_claims(&self, claims: &[(&str, Value)]) {
        self.book().claims = claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    }

    /// An access token of somebody, for [`AUDIENCE`].
    pub fn access_token(&self, name: &str, groups: &[&str]) -> String {
        let identity = identity(name, &groups.join(","));
        let granted = Granted { client_id: String::new(), identity, scope: String::new() };
        let answer = self.shared.tokens(&mut self.book(), granted, None);
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Whether it answers everything with 503 from now on.
    pub fn set_away(&self, away: bool) {
        self.book().away = away;
    }

    /// Lets the device with this user code in as somebody. False if there is no such code.
    pub fn approve_device(&self, user_code: &str, name: &str, groups: &[&str]) -> bool {
        self.book().answer(user_code, Some(identity(name, &groups.join(","))))
    }

    /// Turns the device with this user code away. False if there is no such code.
    pub fn deny_device(&self, user_code: &str) -> bool {
        self.book().answer(user_code, None)
    }

    /// Forgets all refresh tokens: everybody has to sign in again.
    pub fn forget(&self) {
        self.book().refresh_tokens.clear();
    }

    /// The grants that it was asked for and gave, in order: `authorization_code`, `refresh_token`, `device_code`, and
    /// `revoked` for each refresh token that was given back.
    pub fn grants(&self) -> Vec<String> {
        self.book().grants.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Book {
    fn answer(&mut self, user_code: &str, answer: Option<Identity>) -> bool {
        let device = self.devices.values_mut().find(|device| device.user_code == user_code);
        device.map(|device| device.answer = Some(answer)).is_some()
    }
}

fn identity(name: &str, groups: &str) -> Identity {
    let groups = groups.split([',', ' ']).filter(|group| !group.is_empty()).map(str::to_owned).collect();
    Identity { name: name.to_owned(), groups }
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    let issuer = &shared.issuer;
    answer(
        &shared,
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "device_authorization_endpoint": format!("{issuer}/device_authorization"),
            "revocation_endpoint": format!("{issuer}/revoke"),
            "end_session_endpoint": format!("{issuer}/end_session"),
            "jwks_uri": format!("{issuer}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "scopes_supported": ["openid", "profile", "groups", "offline_access"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": [
                "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"
            ],
        }),
    )
}

async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    answer(&shared, json!({"keys": [shared.signer.jwk()]}))
}

async fn authorize(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let fields = read(&query);
    let field = |name: &str| fields.get(name).cloned();
    let (Some(redirect_uri), Some(client_id)) = (field("redirect_uri"), field("client_id")) else {
        return refused("invalid_request");
    };
    let loopback = ["http://127.0.0.1:", "http://localhost:", "https://127.0.0.1:", "https://localhost:"];
    let known = loopback.iter().any(|way| redirect_uri.starts_with(way))
        || shared.state.lock().unwrap().redirects.contains(&redirect_uri);
    if field("response_type").as_deref() != Some("code") || !known {
        return refused("invalid_request");
    }
    let back = |answer: &[(&str, &str)]| {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(answer);
        pairs.extend_pairs(field("state").iter().map(|state| ("state", state)));
        let sign = if redirect_uri.contains('?') { '&' } else { '?' };
        Redirect::to(&format!("{redirect_uri}{sign}{}", pairs.finish())).into_response()
    };
    let scope = field("scope").unwrap_or_default();
    if !scope.split(' ').any(|scope| scope == "openid") {
        return back(&[("error", "invalid_scope")]);
    }
    if field("code_challenge").is_some() && field("code_challenge_method").as_deref() != Some("S256") {
        return back(&[("error", "invalid_request"), ("error_description", "only S256")]);
    }
    let mut book = shared.state.lock().unwrap();
    let chosen = field("as").map(|name| identity(&name, fields.get("groups").map_or("", String::as_str)));
    let Some(identity) = chosen.or_else(|| book.signed_in.clone()) else { return page("/authorize", &fields) };
    if identity.name.is_empty() {
        return back(&[("error", "access_denied"), ("error_description", "you said no")]);
    }
    let code = Uuid::new_v4().simple().to_string();
    let granted = Granted { client_id, identity, scope };
    let (challenge, nonce) = (field("code_challenge"), field("nonce"));
    book.codes.insert(code.clone(), Code { granted, redirect_uri: redirect_uri.clone(), challenge, nonce });
    back(&[("code", &code)])
}

/// Asks who somebody is. Nobody is whoever says no.
fn page(action: &str, fields: &Fields) -> Response {
    let escape = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let hidden: String = fields
        .iter()
        .map(|(name, value)| format!(r#"<input type="hidden" name="{}" value="{}">"#, escape(name), escape(value)))
        .collect();
    Html(format!(
        r#"<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1><form action="{action}">{hidden}
<label>Name <input name="as"></label> <label>Groups <input name="groups"></label> <button>Sign in</button></form>"#
    ))
    .into_response()
}

async fn device_authorization(State(shared): State<Arc<Shared>>, body: String) -> Response {
    let fields = read(&body);
    let Some(client_id) = fields.get("client_id").cloned() else { return refused("invalid_client") };
    let (device_code, user_code) = (Uuid::new_v4().simple().to_string(), user_code());
    let scope = fields.get("scope").cloned().unwrap_or_default();
    let device = Device { client_id, scope, user_code: user_code.clone(), answer: None };
    shared.state.lock().unwrap().devices.insert(device_code.clone(), device);
    let uri = format!("{}/device", shared.issuer);
    answer(
        &shared,
        json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": uri,
            "verification_uri_complete": format!("{uri}?user_code={user_code}"),
            "expires_in": 600,
            "interval": DEVICE_INTERVAL,
        }),
    )
}

/// Eight letters that are told apart when they are read out.
fn user_code() -> String {
    const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
    let id = Uuid::new_v4();
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    let (first, second) = id.as_bytes().split_at(8);
    first.iter().take(4).map(letter).chain(['-']).chain(second.iter().rev().take(4).map(letter)).collect()
}

/// What a person opens who was given a user code.
async fn device(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let fields = read(&query.unwrap_or_default());
    let mut book = shared.state.lock().unwrap();
    let chosen = fields.get("as").map(|name| identity(name, fields.get("groups").map_or("", String::as_str)));
    let Some(identity) = chosen.or_else(|| book.signed_in.clone()) else { return page("/device", &fields) };
    let known = fields.get("user_code").is_some_and(|code| book.answer(code, Some(identity)));
    if known { Html("You may close this window.").into_response() } else { refused("unknown user code") }
}

async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let fields = read(&body);
    let mut book = shared.state.lock().unwrap();
    if book.away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (client_id, secret) = client(&headers, &fields);
    if client_id.is_empty() || book.secrets.get(&client_id) != secret.as_ref() {
        return refused("invalid_client");
    }
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let (granted, nonce) = match field("grant_type") {
        "authorization_code" => match book.codes.remove(field("code")) {
            Some(code) if code.fits(&client_id, field("redirect_uri"), field("code_verifier")) => {
                (code.granted, code.nonce)
            }
            _ => return refused("invalid_grant"),
        },
        "refresh_token" => match book.refresh_tokens.remove(field("refresh_token")) {
            Some(granted) if granted.client_id == client_id => (granted, None),
            _ => return refused("invalid_grant"),
        },
        "urn:ietf:params:oauth:grant-type:device_code" => match book.devices.get(field("device_code")) {
            Some(Device { answer: None, .. }) => return refused("authorization_pending"),
            Some(Device { answer: Some(None), .. }) => return refused("access_denied"),
            Some(Device { answer: Some(Some(identity)), client_id: of, scope, .. }) if *of == client_id => {
                let granted =
                    Granted { client_id: client_id.clone(), identity: identity.clone(), scope: scope.clone() };
                book.devices.remove(field("device_code"));
                (granted, None)
            }
            _ => return refused("expired_token"),
        },
        _ => return refused("unsupported_grant_type"),
    };
    let grant = field("grant_type").rsplit(':').next().unwrap_or_default().to_owned();
    book.grants.push(grant);
    let answer = shared.tokens(&mut book, granted, nonce);
    (StatusCode::OK, [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, JSON)], answer.to_string())
        .into_response()
}

impl Code {
    fn fits(&self, client_id: &str, redirect_uri: &str, verifier: &str) -> bool {
        let proven = self.challenge.as_ref().is_none_or(|challenge| {
            let made = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
            (43..=128).contains(&verifier.len()) && *challenge == made
        });
        proven && self.granted.client_id == client_id && self.redirect_uri == redirect_uri
    }
}

impl Shared {
    fn tokens(&self, book: &mut Book, granted: Granted, nonce: Option<String>) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let claims = |audience: &str| {
            json!({
                "iss": self.issuer, "aud": audience, "sub": granted.identity.name, "groups": granted.identity.groups,
                "iat": now, "exp": now + book.lifetime, "jti": Uuid::new_v4().to_string(),
            })
        };
        let mut id_claims = claims(&granted.client_id);
        if let Some(nonce) = nonce {
            id_claims["nonce"] = nonce.into();
        }
        for (name, value) in &book.claims {
            id_claims[name.as_str()] = value.clone();
        }
        let mut answer = json!({
            "token_type": "Bearer",
            "expires_in": book.lifetime.max(0),
            "access_token": self.signer.sign(&claims(AUDIENCE)),
            "id_token": self.signer.sign(&id_claims),
            "scope": granted.scope,
        });
        if granted.scope.split(' ').any(|scope| scope == "offline_access") {
            let refresh = Uuid::new_v4().simple().to_string();
            book.refresh_tokens.insert(refresh.clone(), granted);
            answer["refresh_token"] = refresh.into();
        }
        answer
    }
}

async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let fields = read(&body);
    let mut book = shared.state.lock().unwrap();
    let (client_id, secret) = client(&headers, &fields);
    if client_id.is_empty() || book.secrets.get(&client_id) != secret.as_ref() {
        return refused("invalid_client");
    }
    if fields.get("token").and_then(|token| book.refresh_tokens.remove(token)).is_some() {
        book.grants.push("revoked".to_owned());
    }
    StatusCode::OK.into_response()
}

async fn end_session(RawQuery(query): RawQuery) -> Response {
    match read(&query.unwrap_or_default()).get("post_logout_redirect_uri") {
        Some(uri) => Redirect::to(uri).into_response(),
        None => Html("You are signed out.").into_response(),
    }
}

/// Which client calls, and the secret that it shows.
fn client(headers: &HeaderMap, fields: &Fields) -> (String, Option<String>) {
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let basic = basic.and_then(|basic| String::from_utf8(STANDARD.decode(basic).ok()?).ok());
    match basic.as_deref().and_then(|basic| basic.split_once(':')) {
        Some((id, secret)) => (decoded(id), Some(decoded(secret)).filter(|secret| !secret.is_empty())),
        None => (fields.get("client_id").cloned().unwrap_or_default(), fields.get("client_secret").cloned()),
    }
}

fn decoded(text: &str) -> String {
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

fn read(pairs: &str) -> Fields {
    form_urlencoded::parse(pairs.as_bytes()).into_owned().collect()
}

const JSON: &str = "application/json";

fn answer(shared: &Shared, value: Value) -> Response {
    if shared.state.lock().unwrap().away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    ([(header::CONTENT_TYPE, JSON)], value.to_string()).into_response()
}

fn refused(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, JSON)], json!({"error": error}).to_string()).into_response()
}
