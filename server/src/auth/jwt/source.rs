//! Where an issuer's keys come from: asked for regularly, and when a token names a key that is not known. What was read
//! last is used while the issuer does not answer.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{
    KeysError,
    fetch::Fetcher,
    keys::{Key, Keys},
    refused,
};
use crate::{
    auth::AuthError,
    clock::SharedClock,
    config::{self, JwtAlgorithm},
};

/// How long keys are used when the issuer does not answer.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);
/// How soon an issuer is asked again for a key that it did not have.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// How long a file of keys may be, in bytes.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

/// A key, and of which reading of the keys it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: Arc<Key>,
    pub(super) generation: u64,
}

/// The keys as they were read.
#[derive(Debug, Default)]
struct Held {
    keys: Keys,
    /// What they were read from.
    text: Vec<u8>,
    /// When; `None`: never.
    read: Option<Timestamp>,
    /// Goes up when they change.
    generation: u64,
}

#[derive(Debug)]
enum Origin {
    File(PathBuf),
    Url(Box<Fetcher>),
}

/// An issuer's keys.
pub(super) struct KeySource {
    origin: Origin,
    accepted: Vec<JwtAlgorithm>,
    every: Duration,
    held: RwLock<Held>,
    /// When it was last tried. Locked while it is: one at a time, and whoever waited looks at what came.
    trying: tokio::sync::Mutex<Option<Timestamp>>,
    clock: SharedClock,
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySource").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl KeySource {
    pub(super) fn new(settings: &config::Jwt, clock: SharedClock) -> Result<Self, KeysError> {
        let origin = match (&settings.jwks_file, &settings.jwks_url) {
            (Some(file), _) => Origin::File(file.clone()),
            (None, url) => Origin::Url(Box::new(Fetcher::new(
                url.as_deref().unwrap_or_default(),
                settings.jwks_ca_file.as_deref(),
            )?)),
        };
        let source = Self {
            origin,
            accepted: settings.algorithms.clone(),
            every: Duration::from_secs(settings.refresh_seconds.into()),
            held: RwLock::default(),
            trying: tokio::sync::Mutex::new(None),
            clock,
        };
        if let Origin::File(file) = &source.origin {
            let text = std::fs::read(file).map_err(|source| KeysError::File { path: file.clone(), source })?;
            source.keep(text)?;
            if source.held.read().unwrap_or_else(PoisonError::into_inner).keys.is_empty() {
                return Err(KeysError::Empty { place: file.display().to_string() });
            }
        }
        Ok(source)
    }

    /// Reads the keys regularly until told to stop.
    pub(super) async fn keep_fresh(&self, stop: &CancellationToken) {
        loop {
            let mut trying = self.trying.lock().await;
            self.try_read(&mut trying).await;
            drop(trying);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }

    /// Goes up when the keys change.
    pub(super) fn generation(&self) -> u64 {
        self.held.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// The key of an id.
    pub(super) async fn find(&self, kid: Option<&str>, algorithm: JwtAlgorithm) -> Result<Found, AuthError> {
        if let Some(found) = self.look(kid, algorithm)? {
            return Ok(found);
        }
        let before = self.read_at();
        let mut trying = self.trying.lock().await;
        // Somebody else may have read it while this one waited.
        if self.read_at() == before {
            let now = self.clock.now();
            let interval = SignedDuration::try_from(self.every.min(MIN_INTERVAL)).unwrap_or_default();
            if trying.is_none_or(|last| now.duration_since(last) >= interval) {
                self.try_read(&mut trying).await;
            }
        }
        drop(trying);
        match self.look(kid, algorithm)? {
            Some(found) => Ok(found),
            None if self.read_at().is_none() => Err(AuthError::Undecided("the issuer's keys can't be read now")),
            None => Err(refused("is signed with a key that is not known")),
        }
    }

    fn look(&self, kid: Option<&str>, algorithm: JwtAlgorithm) -> Result<Option<Found>, AuthError> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.read.is_some_and(|read| self.clock.now().duration_since(read) > MAX_AGE) {
            return Err(AuthError::Undecided("the issuer's keys could not be read for a day"));
        }
        Ok(held.keys.find(kid, algorithm).map(|key| Found { key, generation: held.generation }))
    }

    fn read_at(&self) -> Option<Timestamp> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).read
    }

    async fn try_read(&self, trying: &mut Option<Timestamp>) {
        *trying = Some(self.clock.now());
        let text = match &self.origin {
            Origin::File(path) => {
                tokio::fs::read(path).await.map_err(|source| KeysError::File { path: path.clone(), source })
            }
            Origin::Url(fetcher) => fetcher.get().await,
        };
        if let Err(error) = text.and_then(|text| self.keep(text)) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an issuer's keys can't be read; those read before stay in use for a day"
            );
        }
    }

    fn keep(&self, text: Vec<u8>) -> Result<(), KeysError> {
        let place = || match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Url(fetcher) => fetcher.url().to_owned(),
        };
        let now = self.clock.now();
        {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            if held.read.is_some() && held.text == text {
                held.read = Some(now);
                return Ok(());
            }
        }
        let keys =
            Keys::read(&text, &self.accepted).map_err(|source| KeysError::Malformed { place: place(), source })?;
        // An issuer without keys has withdrawn them: nothing that they signed is good any more.
        if keys.is_empty() {
            tracing::warn!(place = place(), "an issuer has no key for the algorithms that are taken");
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        *held = Held { keys, text, read: Some(now), generation: held.generation + 1 };
        Ok(())
    }
}
