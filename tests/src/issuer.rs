//! An issuer of JWTs on loopback, as an OpenID provider is one: its keys are at a URL, change, and can't always be had.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// Its name, as in `iss`.
pub const ISSUER: &str = "https://login.example.com";
/// Whom its tokens are for.
pub const AUDIENCE: &str = "approve";

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// With its keys.
    Serves,
    /// With an error.
    Fails,
    /// Not at all.
    Stalls,
}

#[derive(Debug)]
struct Shared {
    keys: Mutex<Vec<Value>>,
    mood: Mutex<Mood>,
    asked: AtomicU32,
}

/// A key pair that signs tokens.
pub struct Signer {
    kid: String,
    pair: KeyPair,
}

impl Signer {
    /// A new one.
    pub fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    /// Its public key.
    pub fn jwk(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let point = self.pair.der_bytes();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        })
    }

    /// Its public key, in PEM.
    pub fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let message = message(&json!({"alg": "ES256", "typ": "JWT", "kid": self.kid}), claims);
        let key = EncodingKey::from_ec_der(self.pair.serialized_der());
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

/// What a signature is made of.
pub fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// The claims of a good token that ends in so many seconds.
pub fn claims(name: &str, groups: &[&str], seconds: i64) -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": name, "groups": groups, "iat": now, "exp": now + seconds})
}

/// The issuer, serving.
pub struct TestIssuer {
    /// What signs its tokens.
    pub signer: Signer,
    shared: Arc<Shared>,
    url: String,
    serving: JoinHandle<()>,
}

impl TestIssuer {
    /// Starts it.
    pub async fn start() -> Self {
        let signer = Signer::new("first");
        let shared = Arc::new(Shared {
            keys: Mutex::new(vec![signer.jwk()]),
            mood: Mutex::new(Mood::Serves),
            asked: AtomicU32::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", get(keys)).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { signer, shared, url, serving }
    }

    /// Where its keys are.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A good token of a user, for an hour.
    pub fn token(&self, name: &str, groups: &[&str]) -> String {
        self.signer.sign(&claims(name, groups, 3_600))
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&Signer]) {
        *self.shared.keys.lock().unwrap() = keys.iter().map(|signer| signer.jwk()).collect();
    }

    /// Answers like this from now on.
    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> u32 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn keys(State(shared): State<Arc<Shared>>) -> Result<String, StatusCode> {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let mood = *shared.mood.lock().unwrap();
    match mood {
        Mood::Serves => Ok(json!({"keys": *shared.keys.lock().unwrap()}).to_string()),
        Mood::Fails => Err(StatusCode::SERVICE_UNAVAILABLE),
        Mood::Stalls => std::future::pending().await,
    }
}
