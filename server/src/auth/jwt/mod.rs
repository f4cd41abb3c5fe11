//! JWTs: who issued one, whether it is meant for this server, and whom it names.
//!
//! An issuer's keys and algorithms are fixed by the config and its key set. Nothing in a token chooses more than which
//! of those keys it was signed with.

mod claims;
pub(super) mod fetch;
mod header;
mod keys;
mod source;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use self::{claims::Claims, header::Header, source::KeySource};
use super::AuthError;
use crate::{approval::Person, clock::SharedClock, config};

/// The longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// A key set that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The URL did not answer with a key set.
    #[error("cannot get {url}")]
    Fetch {
        /// Which.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is not a JWK set.
    #[error("{place} holds no JWK set")]
    Malformed {
        /// Where it is.
        place: String,
        /// Why.
        source: serde_json::Error,
    },
    /// None of its keys is for the algorithms of the config.
    #[error("{place} holds no key for the algorithms that are taken")]
    Empty {
        /// Where it is.
        place: String,
    },
    /// Roots of certificates can't be used.
    #[error("cannot use the certificates in {path}")]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Somebody whom a token names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) person: Person,
    /// When the token ends.
    pub(super) until: Timestamp,
    /// Of the issuer's keys: with another one the token has to be looked at again.
    pub(super) generation: u64,
    /// Which issuer, by its place in the config.
    pub(super) issuer: usize,
}

/// All issuers.
#[derive(Debug)]
pub(super) struct Issuers {
    issuers: Vec<Issuer>,
    clock: SharedClockDebug,
}

#[derive(Debug)]
struct Issuer {
    settings: config::Jwt,
    keys: KeySource,
}

/// A clock has nothing to show.
struct SharedClockDebug(SharedClock);

impl std::fmt::Debug for SharedClockDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

fn refused(problem: &str) -> AuthError {
    AuthError::Refused(format!("the token {problem}"))
}

impl Issuers {
    /// Reads the key files; URLs are asked by [`Issuers::keep_fresh`].
    pub(super) fn new(settings: &[config::Jwt], clock: SharedClock) -> Result<Self, KeysError> {
        let issuer = |settings: &config::Jwt| {
            let keys = KeySource::new(settings, Arc::clone(&clock))?;
            Ok(Issuer { settings: settings.clone(), keys })
        };
        let issuers = settings.iter().map(issuer).collect::<Result<_, KeysError>>()?;
        Ok(Self { issuers, clock: SharedClockDebug(clock) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Reads keys again and again until told to stop.
    pub(super) async fn keep_fresh(&self, stop: &CancellationToken) {
        let each = self.issuers.iter().map(|issuer| issuer.keys.keep_fresh(stop));
        futures::future::join_all(each).await;
    }

    /// The generation of an issuer's keys.
    pub(super) fn generation(&self, issuer: usize) -> Option<u64> {
        self.issuers.get(issuer).map(|issuer| issuer.keys.generation())
    }

    /// Whom a token names, if it is good now.
    pub(super) async fn verify(&self, token: &str) -> Result<Named, AuthError> {
        self.read(token).await.map(|(named, _)| named)
    }

    /// Whom an ID token names that answers a sign-in of this client with this nonce.
    pub(super) async fn verify_id_token(&self, token: &str, client: &str, nonce: &str) -> Result<Named, AuthError> {
        let (named, claims) = self.read(token).await?;
        claims.answers(client, nonce)?;
        Ok(named)
    }

    async fn read(&self, token: &str) -> Result<(Named, Claims), AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(refused("is too long"));
        }
        let not_one = || AuthError::Refused("the bearer token is neither an API token nor a JWT".to_owned());
        let (message, signature) = token.rsplit_once('.').ok_or_else(not_one)?;
        let (header, payload) = message.split_once('.').ok_or_else(not_one)?;
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| not_one());
        let header = Header::read(&part(header)?)?;
        let claims = Claims::read(&part(payload)?)?;
        // Not believed before the signature is checked: it says whose keys to check it with, and they say the rest.
        let named = claims.issuer().ok_or_else(|| refused("names no issuer"))?;
        let of_issuer = |issuer: &&(usize, &Issuer)| issuer.1.settings.issuer == named;
        let known: Vec<_> = self.issuers.iter().enumerate().collect();
        let known: Vec<_> = known.iter().filter(of_issuer).collect();
        let for_it = known.iter().find(|(_, issuer)| claims.is_for(&issuer.settings.audience));
        let (place, issuer) =
            for_it.or(known.first()).ok_or_else(|| refused("is of an issuer that is not known here"))?;
        let algorithm = header.algorithm;
        if !issuer.settings.algorithms.contains(&algorithm) {
            return Err(refused("is signed in a way that is not accepted"));
        }
        let key = issuer.keys.find(header.kid.as_deref(), algorithm).await?;
        if !key.key.verifies(signature, message.as_bytes(), algorithm) {
            return Err(refused("has a signature that is not valid"));
        }
        let now = self.clock.0.now();
        let until = claims.check(&issuer.settings, now)?;
        let person = claims.person(&issuer.settings)?;
        Ok((Named { person, until, generation: key.generation, issuer: *place }, claims))
    }
}
