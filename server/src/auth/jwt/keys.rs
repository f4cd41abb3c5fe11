//! An issuer's public keys.

use jsonwebtoken::{
    Algorithm, DecodingKey, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::JwtAlgorithm;

/// The most keys of a set that are kept.
const MAX_KEYS: usize = 100;

/// A public key, and what it may have signed.
pub(super) struct Key {
    kid: Option<String>,
    algorithms: Vec<JwtAlgorithm>,
    key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl Key {
    /// Whether this key signed the message.
    pub(super) fn verifies(&self, signature: &str, message: &[u8], algorithm: JwtAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
            && crypto::verify(signature, message, &self.key, library(algorithm)).unwrap_or(false)
    }

    fn read(jwk: &Jwk, accepted: &[JwtAlgorithm]) -> Option<Self> {
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|what| *what != PublicKeyUse::Signature) {
            return None;
        }
        if common.key_operations.as_ref().is_some_and(|what| !what.contains(&KeyOperations::Verify)) {
            return None;
        }
        let possible: &[JwtAlgorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                JwtAlgorithm::RS256,
                JwtAlgorithm::RS384,
                JwtAlgorithm::RS512,
                JwtAlgorithm::PS256,
                JwtAlgorithm::PS384,
                JwtAlgorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => &[JwtAlgorithm::ES256],
                EllipticCurve::P384 => &[JwtAlgorithm::ES384],
                _ => &[],
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[JwtAlgorithm::EdDSA],
            _ => &[],
        };
        // A key that is said to be for one algorithm is for no other.
        let named = common.key_algorithm.map(|algorithm| algorithm.to_string());
        let fits = |algorithm: &JwtAlgorithm| {
            accepted.contains(algorithm) && named.as_ref().is_none_or(|named| *named == name(*algorithm))
        };
        let algorithms: Vec<_> = possible.iter().copied().filter(fits).collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Self { kid: common.key_id.clone(), algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
    }
}

/// The keys of an issuer that can be used.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<std::sync::Arc<Key>>);

impl Keys {
    /// Reads a JWK set. Keys that can't be used are left out: sets hold keys for other ends.
    pub(super) fn read(json: &[u8], accepted: &[JwtAlgorithm]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let set: Set<'_> = serde_json::from_slice(json)?;
        let keys = set.keys.iter().filter_map(|raw| Key::read(&serde_json::from_str(raw.get()).ok()?, accepted));
        Ok(Self(keys.take(MAX_KEYS).map(std::sync::Arc::new).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of an id. Without an id: the only one for the algorithm.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: JwtAlgorithm) -> Option<std::sync::Arc<Key>> {
        let fits = |key: &&std::sync::Arc<Key>| {
            key.algorithms.contains(&algorithm) && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        };
        let mut fitting = self.0.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        }
    }
}

fn library(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::RS256 => Algorithm::RS256,
        JwtAlgorithm::RS384 => Algorithm::RS384,
        JwtAlgorithm::RS512 => Algorithm::RS512,
        JwtAlgorithm::PS256 => Algorithm::PS256,
        JwtAlgorithm::PS384 => Algorithm::PS384,
        JwtAlgorithm::PS512 => Algorithm::PS512,
        JwtAlgorithm::ES256 => Algorithm::ES256,
        JwtAlgorithm::ES384 => Algorithm::ES384,
        JwtAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

fn name(algorithm: JwtAlgorithm) -> String {
    format!("{algorithm:?}")
}
