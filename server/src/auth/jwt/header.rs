//! What stands before a token's claims.

use serde::{Deserialize, de::IgnoredAny};

use super::refused;
use crate::{auth::AuthError, config::JwtAlgorithm};

/// The part of a header that is looked at. Keys and links to keys in it (`jwk`, `jku`, `x5c`, `x5u`) are not.
#[derive(Deserialize)]
struct Raw {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// A header that can be accepted.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) kid: Option<String>,
}

impl Header {
    pub(super) fn read(json: &[u8]) -> Result<Self, AuthError> {
        let raw: Raw = serde_json::from_slice(json).map_err(|_| refused("has a header that can't be read"))?;
        if raw.crit.is_some() {
            return Err(refused("has extensions that are not known here"));
        }
        // Other kinds of tokens are signed with the same keys, and grant nothing here.
        let kind = raw.typ.as_deref().unwrap_or("JWT");
        let kind = kind.strip_prefix("application/").unwrap_or(kind);
        if !["JWT", "at+jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
            return Err(refused("is of another kind than an access token"));
        }
        let algorithm = match raw.alg.as_str() {
            "RS256" => JwtAlgorithm::RS256,
            "RS384" => JwtAlgorithm::RS384,
            "RS512" => JwtAlgorithm::RS512,
            "PS256" => JwtAlgorithm::PS256,
            "PS384" => JwtAlgorithm::PS384,
            "PS512" => JwtAlgorithm::PS512,
            "ES256" => JwtAlgorithm::ES256,
            "ES384" => JwtAlgorithm::ES384,
            "EdDSA" => JwtAlgorithm::EdDSA,
            _ => return Err(refused("is signed in a way that is not accepted")),
        };
        Ok(Self { algorithm, kid: raw.kid })
    }
}
