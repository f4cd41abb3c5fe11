//! Heads of the chain, signed: with one that left the machine, a record that was cut short or rewritten shows.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{ChainHead, Hash};
use crate::store::Revision;

/// What DER says before the 32 bytes of an Ed25519 public key.
const PUBLIC_KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// It is not PEM of the right kind.
    #[error("expected one PEM block BEGIN PRIVATE KEY, as `approve-server audit-key` or `openssl genpkey` write it")]
    NotPem,
    /// It is no Ed25519 key.
    #[error("expected an Ed25519 key in PKCS #8: {0}")]
    NotEd25519(String),
    /// There is no randomness to make one of.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// What heads are signed with: Ed25519.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key: PEM of PKCS #8.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let body = pem.trim().strip_prefix("-----BEGIN PRIVATE KEY-----").ok_or(BadKey::NotPem)?;
        let body = body.strip_suffix("-----END PRIVATE KEY-----").ok_or(BadKey::NotPem)?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| BadKey::NotPem)?;
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|why| BadKey::NotEd25519(why.to_string()))?;
        let id = Hash::from(<[u8; 32]>::from(Sha256::digest(pair.public_key()))).to_string();
        Ok(Self { pair, id: id.chars().take(16).collect() })
    }

    /// Makes a new private key: PEM of PKCS #8.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn generate_pem() -> Result<String, BadKey> {
        let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| BadKey::NoRandomness)?;
        Ok(pem("PRIVATE KEY", der.as_ref()))
    }

    /// The public key, PEM.
    #[must_use]
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &[&PUBLIC_KEY_PREFIX, self.pair.public_key().as_ref()].concat())
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the public key's 32 bytes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    // One line holds the longest of them.
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// A place in the record, what it was, and when: an anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedHead {
    /// The revision; 0 before the first event.
    pub revision: Revision,
    /// Its hash.
    pub hash: Hash,
    /// When this was made, in whole milliseconds.
    #[serde(serialize_with = "millis")]
    pub create_time: Timestamp,
    /// Ed25519 over what `approve/v1/audit.proto` says, in base64; empty without a key.
    pub signature: String,
    /// The key's id; empty without one.
    pub key_id: String,
}

impl SignedHead {
    /// A head, signed if there is a key.
    #[must_use]
    pub fn new(head: ChainHead, create_time: Timestamp, key: Option<&SigningKey>) -> Self {
        let ChainHead { revision, hash } = head;
        let (signature, key_id) = match key {
            Some(key) => {
                let signature = key.pair.sign(message(head, create_time).as_bytes());
                (STANDARD.encode(signature), key.id.clone())
            }
            None => (String::new(), String::new()),
        };
        Self { revision, hash, create_time, signature, key_id }
    }
}

/// What is signed.
fn message(ChainHead { revision, hash }: ChainHead, create_time: Timestamp) -> String {
    format!("approve audit head\n{revision}\n{hash}\n{create_time:.3}\n")
}

fn millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    /// RFC 8032, test 1.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

    #[test]
    fn a_key_of_openssl_is_read() {
        let key = SigningKey::from_pem(KEY).unwrap();
        let public = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
        assert_eq!(key.public_pem(), public);
        // printf d75a…511a | xxd -r -p | sha256sum
        assert_eq!(key.id(), "21fe31dfa154a261");
        assert_eq!(format!("{key:?}"), "SigningKey { id: \"21fe31dfa154a261\", .. }");
    }

    #[test]
    fn what_is_signed_is_what_the_api_says() {
        let key = SigningKey::from_pem(KEY).unwrap();
        let head = ChainHead { revision: 7, hash: Hash::of("abc") };
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let signed = SignedHead::new(head, at, Some(&key));
        let message = "approve audit head\n7\nba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
                       2026-01-02T03:04:05.000Z\n";
        let public = UnparsedPublicKey::new(&ED25519, key.pair.public_key().as_ref());
        public.verify(message.as_bytes(), &STANDARD.decode(&signed.signature).unwrap()).unwrap();
        let line = serde_json::to_string(&signed).unwrap();
        assert!(line.starts_with("{\"revision\":7,\"hash\":\"ba78"), "{line}");
        assert!(line.contains("\"create_time\":\"2026-01-02T03:04:05.000Z\""), "{line}");
        assert_eq!(SignedHead::new(head, at, None).signature, "");
    }

    #[test]
    fn a_made_key_can_be_read_and_others_can_not() {
        let made = SigningKey::generate_pem().unwrap();
        let key = SigningKey::from_pem(&made).unwrap();
        assert_ne!(key.id(), SigningKey::from_pem(&SigningKey::generate_pem().unwrap()).unwrap().id());
        for bad in ["", "key", &key.public_pem(), &made.replace("PRIVATE", "EC PRIVATE"), &made.replace("MC", "MD")] {
            assert!(SigningKey::from_pem(bad).is_err(), "{bad}");
        }
    }
}
