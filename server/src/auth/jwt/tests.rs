//! Tokens as an issuer makes them, and as somebody who is none does.

use std::sync::Mutex;

use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Clock,
    config::{JwtAlgorithm, PrincipalKind},
};

const ISSUER: &str = "https://login.example.com";
const NOW: i64 = 1_800_000_000;

struct FixedClock(Mutex<Timestamp>);

#[async_trait::async_trait]
impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, _: Timestamp) {
        std::future::pending().await
    }
}

/// A key pair as an issuer has it.
struct Signer {
    kid: &'static str,
    pair: KeyPair,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        Self { kid, pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    fn jwk(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let point = self.pair.der_bytes();
        let (x, y) = (&point[1..33], &point[33..65]);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"}), claims)
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let key = EncodingKey::from_ec_der(self.pair.serialized_der());
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

use serde_json::Value;

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "approve", "sub": "ana", "exp": NOW + 60, "groups": ["finance", "ops"]})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

struct World {
    folder: TempDir,
    clock: Arc<FixedClock>,
    issuers: Issuers,
}

impl World {
    fn new(keys: &[Value]) -> Self {
        Self::with_settings(keys, |_| {})
    }

    fn with_settings(keys: &[Value], change: impl FnOnce(&mut config::Jwt)) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("keys.json");
        std::fs::write(&file, json!({"keys": keys}).to_string()).unwrap();
        let mut settings: config::Jwt =
            serde_json::from_value(json!({"issuer": ISSUER, "audience": "approve", "jwks_file": file})).unwrap();
        change(&mut settings);
        let clock = Arc::new(FixedClock(Mutex::new(Timestamp::from_second(NOW).unwrap())));
        let issuers = Issuers::new(&[settings], clock.clone()).unwrap();
        Self { folder, clock, issuers }
    }

    fn publish(&self, keys: &[Value]) {
        std::fs::write(self.folder.path().join("keys.json"), json!({"keys": keys}).to_string()).unwrap();
    }

    fn at(&self, second: i64) {
        *self.clock.0.lock().unwrap() = Timestamp::from_second(second).unwrap();
    }

    async fn named(&self, token: &str) -> Person {
        self.issuers.verify(token).await.unwrap().person
    }

    async fn refusal(&self, token: &str) -> String {
        match self.issuers.verify(token).await {
            Ok(named) => panic!("{:?} was let in", named.person),
            Err(error) => error.to_string(),
        }
    }
}

fn names(person: &Person) -> Vec<&str> {
    person.groups.iter().map(|group| group.as_str()).collect()
}

#[tokio::test]
async fn a_good_token_names_its_caller_and_their_groups() {
    let signer = Signer::new("one");
    let world = World::new(&[signer.jwk()]);
    let ana = world.named(&signer.sign(&claims())).await;
    assert_eq!(ana.principal.as_str(), "user:ana");
    assert_eq!(names(&ana), ["group:finance", "group:ops"]);
    let with_text = world.named(&signer.sign(&with("groups", json!("finance, ops")))).await;
    assert_eq!(names(&with_text), ["group:finance", "group:ops"]);
    let several = world.named(&signer.sign(&with("aud", json!(["other", "approve"])))).await;
    assert_eq!(several.principal.as_str(), "user:ana");
    let fraction = format!("{NOW}.75");
    let fraction: Value = serde_json::from_str(&fraction).unwrap();
    assert!(world.issuers.verify(&signer.sign(&with("nbf", fraction))).await.is_ok());
}

#[tokio::test]
async fn a_token_has_its_time() {
    let signer = Signer::new("one");
    let world = World::new(&[signer.jwk()]);
    let token = signer.sign(&claims());
    world.at(NOW + 60 + 29);
    world.named(&token).await;
    world.at(NOW + 60 + 30);
    assert_eq!(world.refusal(&token).await, "the token has expired");
    world.at(NOW);
    for claim in ["nbf", "iat"] {
        world.named(&signer.sign(&with(claim, json!(NOW + 30)))).await;
        assert_eq!(world.refusal(&signer.sign(&with(claim, json!(NOW + 31)))).await, "the token is not valid yet");
    }
    assert!(world.refusal(&signer.sign(&without("exp"))).await.contains("no time of expiry"));
    for time in [json!("soon"), json!(1e300), json!(null), json!({}), json!(-1)] {
        world.refusal(&signer.sign(&with("exp", time))).await;
    }
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    let signer = Signer::new("one");
    let world = World::new(&[signer.jwk()]);
    for aud in [json!("other"), json!(["other"]), json!([]), json!(null), json!("approve2"), json!({"approve": 1})] {
        assert!(world.refusal(&signer.sign(&with("aud", aud))).await.contains("another audience"));
    }
    assert!(world.refusal(&signer.sign(&without("aud"))).await.contains("another audience"));
    for iss in ["https://evil.example.com", "https://login.example.com/", ""] {
        assert!(world.refusal(&signer.sign(&with("iss", json!(iss)))).await.contains("issuer"), "{iss}");
    }
    world.refusal(&signer.sign(&with("iss", json!([ISSUER])))).await;
    world.refusal(&signer.sign(&without("iss"))).await;
}

#[tokio::test]
async fn a_token_does_not_choose_how_it_is_checked() {
    let signer = Signer::new("one");
    let world = World::new(&[signer.jwk()]);
    let unsigned = |alg: &str| message(&json!({"alg": alg, "kid": "one"}), &claims());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        for signature in ["", "x"] {
            let refusal = world.refusal(&format!("{}.{signature}", unsigned(alg))).await;
            assert!(refusal.contains("not accepted"), "{alg}: {refusal}");
        }
    }
    // The public key, in every form that it is published in, as the secret of an HMAC.
    let public = signer.pair.der_bytes().to_vec();
    let pem = signer.pair.public_key_pem().into_bytes();
    let json = signer.jwk().to_string().into_bytes();
    for secret in [public, pem, json, signer.pair.subject_public_key_info()] {
        let message = unsigned("HS256");
        let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(&secret), Algorithm::HS256).unwrap();
        assert!(world.refusal(&format!("{message}.{signature}")).await.contains("not accepted"));
    }
    // An algorithm that is known, and not taken; one that is taken, and not the key's.
    assert!(
        world
            .refusal(&signer.sign_as(&json!({"alg": "EdDSA", "kid": "one"}), &claims()))
            .await
            .contains("not accepted")
    );
    assert!(
        world.refusal(&signer.sign_as(&json!({"alg": "RS256", "kid": "one"}), &claims())).await.contains("not known")
    );
    // Keys that the token brings along.
    let own = Signer::new("one");
    let header = json!({"alg": "ES256", "kid": "one", "jwk": own.jwk(), "jku": "http://127.0.0.1:1/", "x5c": [STANDARD.encode("x")]});
    assert!(world.refusal(&own.sign_as(&header, &claims())).await.contains("signature"));
    let critical = json!({"alg": "ES256", "kid": "one", "crit": ["exp"]});
    assert!(world.refusal(&signer.sign_as(&critical, &claims())).await.contains("extensions"));
    let logout = json!({"alg": "ES256", "kid": "one", "typ": "logout+jwt"});
    assert!(world.refusal(&signer.sign_as(&logout, &claims())).await.contains("another kind"));
}

#[tokio::test]
async fn what_was_signed_is_what_counts() {
    let signer = Signer::new("one");
    let world = World::new(&[signer.jwk()]);
    let token = signer.sign(&claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let header = message.split_once('.').unwrap().0;
    let forged = URL_SAFE_NO_PAD.encode(with("sub", json!("root")).to_string());
    assert!(world.refusal(&format!("{header}.{forged}.{signature}")).await.contains("signature"));
    for nonsense in ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", &token[1..], &token[..token.len() - 1]] {
        world.refusal(nonsense).await;
    }
    assert!(world.refusal(&format!("{token}.{signature}")).await.len() > 1);
    assert!(world.refusal(&"x".repeat(MAX_TOKEN + 1)).await.contains("too long"));
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(deep));
    world.refusal(&deep).await;
}

#[tokio::test]
async fn keys_come_and_go() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let world = World::new(&[one.jwk()]);
    world.named(&one.sign(&claims())).await;
    let before = world.issuers.generation(0);
    // A key that is not known is looked for.
    world.publish(&[one.jwk(), two.jwk()]);
    world.named(&two.sign(&claims())).await;
    assert_ne!(world.issuers.generation(0), before, "tokens that were remembered stay so");
    // But not more often than so.
    world.publish(&[two.jwk()]);
    assert!(world.refusal(&Signer::new("three").sign(&claims())).await.contains("not known"));
    world.named(&one.sign(&claims())).await;
    world.at(NOW + 10);
    world.refusal(&Signer::new("three").sign(&claims())).await;
    assert!(world.refusal(&one.sign(&claims())).await.contains("not known"), "a key that was withdrawn is good");
    // Another's key under a known name is not the key.
    assert!(world.refusal(&Signer::new("two").sign(&claims())).await.contains("signature"));
}

#[tokio::test]
async fn keys_stay_while_their_issuer_is_away_for_a_day() {
    let signer = Signer::new("one");
    let world = World::new(&[signer.jwk()]);
    let far = with("exp", json!(NOW + 200_000));
    std::fs::remove_file(world.folder.path().join("keys.json")).unwrap();
    world.at(NOW + 20);
    world.refusal(&Signer::new("two").sign(&far)).await;
    world.named(&signer.sign(&far)).await;
    world.at(NOW + 86_401);
    assert!(world.refusal(&signer.sign(&far)).await.contains("for a day"));
}

#[tokio::test]
async fn an_issuer_that_withdraws_all_keys_has_none() {
    let signer = Signer::new("one");
    let world = World::new(&[signer.jwk()]);
    world.publish(&[]);
    world.at(NOW + 20);
    world.refusal(&Signer::new("two").sign(&claims())).await;
    world.refusal(&signer.sign(&claims())).await;
}

#[tokio::test]
async fn a_key_signs_what_it_is_for() {
    let signer = Signer::new("one");
    let change = |name: &str, value: Value| {
        let mut jwk = signer.jwk();
        jwk[name] = value;
        jwk
    };
    let other = Signer::new("other").jwk();
    for key in [change("use", json!("enc")), change("alg", json!("ES384")), change("key_ops", json!(["encrypt"]))] {
        let world = World::new(&[key, other.clone()]);
        assert!(world.refusal(&signer.sign(&claims())).await.contains("not known"));
    }
    // Without an id there must be no choice.
    let anonymous = signer.sign_as(&json!({"alg": "ES256"}), &claims());
    World::new(&[signer.jwk()]).named(&anonymous).await;
    assert!(World::new(&[signer.jwk(), other]).refusal(&anonymous).await.contains("not known"));
    // Symmetric keys in a set are no keys.
    let symmetric = json!({"kty": "oct", "kid": "one", "k": "c2VjcmV0"});
    let world = World::new(&[symmetric, signer.jwk()]);
    world.named(&signer.sign(&claims())).await;
}

#[tokio::test]
async fn a_name_is_never_somebody_of_another_kind() {
    let signer = Signer::new("one");
    let world = World::new(&[signer.jwk()]);
    for sub in ["system:expiry", "service:bot", "user:bob", "group:finance", "", " ana", "a\nb", "a\u{202e}b"] {
        assert!(world.refusal(&signer.sign(&with("sub", json!(sub)))).await.contains("caller"), "{sub}");
    }
    for sub in [json!(7), json!(null), json!(["ana"]), json!("x".repeat(300))] {
        world.refusal(&signer.sign(&with("sub", sub))).await;
    }
    let groups = json!(["system:expiry", "service:bot", "user:bob", "group:finance", "a\u{200b}b", 7, "ok"]);
    assert_eq!(names(&world.named(&signer.sign(&with("groups", groups))).await), ["group:ok"]);
    let many: Vec<_> = (0..201).map(|at| format!("g{at}")).collect();
    assert!(world.refusal(&signer.sign(&with("groups", json!(many)))).await.contains("200"));
    world.refusal(&signer.sign(&with("groups", json!({"a": 1})))).await;
}

#[tokio::test]
async fn claims_are_found_where_the_config_says() {
    let signer = Signer::new("one");
    let world = World::with_settings(&[signer.jwk()], |settings| {
        settings.user_claim = "email".to_owned();
        settings.groups_claim = "realm_access.roles".to_owned();
        settings.principal = PrincipalKind::Service;
        settings.name_prefix = "acme/".to_owned();
    });
    let mut claims = with("email", json!("bot@example.com"));
    claims["realm_access"] = json!({"roles": ["finance"]});
    let bot = world.named(&signer.sign(&claims)).await;
    assert_eq!(bot.principal.as_str(), "service:acme/bot@example.com");
    assert_eq!(names(&bot), ["group:acme/finance"]);
    let literal =
        World::with_settings(&[signer.jwk()], |settings| "https://a.b/groups".clone_into(&mut settings.groups_claim));
    let ana = literal.named(&signer.sign(&with("https://a.b/groups", json!(["finance"])))).await;
    assert_eq!(names(&ana), ["group:finance"]);
}

#[tokio::test]
async fn edwards_keys_sign_too() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": URL_SAFE_NO_PAD.encode(pair.der_bytes())});
    let world = World::with_settings(&[jwk], |settings| settings.algorithms = vec![JwtAlgorithm::EdDSA]);
    let message = message(&json!({"alg": "EdDSA", "kid": "ed"}), &claims());
    let key = EncodingKey::from_ed_der(pair.serialized_der());
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
    world.named(&format!("{message}.{signature}")).await;
}

#[test]
fn a_file_without_keys_is_refused_at_start() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let settings: config::Jwt =
        serde_json::from_value(json!({"issuer": ISSUER, "audience": "approve", "jwks_file": file})).unwrap();
    let clock: SharedClock = Arc::new(crate::clock::SystemClock);
    let start = || Issuers::new(std::slice::from_ref(&settings), Arc::clone(&clock)).map(drop).unwrap_err();
    assert!(matches!(start(), KeysError::File { .. }));
    std::fs::write(&file, "{}").unwrap();
    assert!(matches!(start(), KeysError::Malformed { .. }));
    std::fs::write(&file, r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#).unwrap();
    assert!(matches!(start(), KeysError::Empty { .. }));
}
