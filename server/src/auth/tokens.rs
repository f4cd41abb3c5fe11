//! API tokens: made here, kept as hashes, and found again without a read of the store.
//!
//! All tokens are in memory, so that a call costs a hash and a look into a map, a made-up token costs no more, and a
//! revoked one ends at once. Looking up by hash leaks nothing of a secret by its timing.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{AuthError, Grant, Secret};
use crate::{
    approval::{Origin, Principal},
    clock::SharedClock,
    entropy::SharedEntropy,
    store::{ApiTokenRecord, SharedStore, StoreError},
};

/// How every secret begins.
const PREFIX: &str = "apt_";
/// The most tokens that are alive at once.
const MAX_LIVE: usize = 10_000;
/// The longest life of a token.
const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The shortest.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// How long a token lives where nothing is said.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A field can't be used.
    #[error("{field}: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A token of that name is alive.
    #[error("a token named {0:?} exists; revoke it first, or choose another name")]
    Exists(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// How long it lives.
    pub lifetime: Duration,
    /// Who makes it.
    pub origin: Origin,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its name: the caller is `service:<name>`.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: Principal,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// A token that was shown and is good.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) principal: Principal,
    pub(super) grants: Arc<[Grant]>,
    pub(super) expires: Timestamp,
    pub(super) revoked: CancellationToken,
}

/// All API tokens.
pub struct ApiTokens {
    store: SharedStore,
    clock: SharedClock,
    entropy: SharedEntropy,
    known: RwLock<HashMap<Vec<u8>, Kept>>,
    /// One change at a time, so that memory follows the store's order.
    changing: tokio::sync::Mutex<()>,
}

struct Kept {
    record: ApiTokenRecord,
    known: Known,
}

impl std::fmt::Debug for ApiTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiTokens").finish_non_exhaustive()
    }
}

impl ApiTokens {
    /// Reads what is stored.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn load(store: SharedStore, clock: SharedClock, entropy: SharedEntropy) -> Result<Self, StoreError> {
        let known = store.api_tokens().await?.into_iter().map(keep).collect::<Result<_, _>>()?;
        Ok(Self { store, clock, entropy, known: RwLock::new(known), changing: tokio::sync::Mutex::default() })
    }

    /// Reads anew what is stored: another server may have made tokens, or ended some, which ends them here.
    ///
    /// # Errors
    /// [`StoreError`]; then all is as it was.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        let mut stored: HashMap<Vec<u8>, Kept> =
            self.store.api_tokens().await?.into_iter().map(keep).collect::<Result<_, _>>()?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (digest, before) in known.drain() {
            match stored.get_mut(&digest) {
                // With what ends the calls that it is used for.
                Some(now) if now.record == before.record => *now = before,
                _ => before.known.revoked.cancel(),
            }
        }
        *known = stored;
        Ok(())
    }

    /// Whether a bearer token is meant to be one of these.
    pub(super) fn is_one(bearer: &str) -> bool {
        bearer.starts_with(PREFIX)
    }

    /// The token of a secret, if it is good.
    pub(super) fn find(&self, secret: &str) -> Result<Known, AuthError> {
        let refused = |problem: &str| AuthError::Refused(format!("the API token {problem}"));
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let kept = known.get(digest(secret).as_slice()).ok_or_else(|| refused("is not known"))?;
        if kept.record.revoked.is_some() {
            return Err(refused("was revoked"));
        }
        if kept.record.expires <= self.clock.now() {
            return Err(refused("has expired"));
        }
        if kept.record.seal != seal(secret, &kept.record) {
            tracing::error!(token = kept.record.name, "an API token was edited in the store: it is refused");
            return Err(refused("is not valid"));
        }
        Ok(kept.known.clone())
    }

    /// Makes a token. Whether its maker may give what it may do is checked by the caller.
    ///
    /// # Errors
    /// [`TokenError`]; then nothing was made.
    pub async fn create(&self, new: NewToken) -> Result<(ApiToken, Secret), TokenError> {
        new.check()?;
        let _changing = self.changing.lock().await;
        let now = self.clock.now();
        if self.count_live(now) >= MAX_LIVE {
            let problem = format!("there are {MAX_LIVE} tokens already; revoke some");
            return Err(TokenError::Field { field: "name", problem });
        }
        let secret = self.secret();
        let lifetime = jiff::SignedDuration::try_from(new.lifetime).unwrap_or_default();
        let mut record = ApiTokenRecord {
            digest: digest(secret.reveal()),
            name: new.name.clone(),
            grants: serde_json::to_string(&new.grants).map_err(|error| StoreError::Corrupt(error.into()))?,
            seal: Vec::new(),
            created: now,
            created_by: new.origin.by.clone(),
            expires: now.checked_add(lifetime).unwrap_or(now),
            revoked: None,
        };
        record.seal = seal(secret.reveal(), &record);
        if !self.store.put_api_token(record.clone(), new.origin).await? {
            return Err(TokenError::Exists(new.name));
        }
        let (digest, kept) = keep(record)?;
        let token = describe(&kept.record, &kept.known);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(digest, kept);
        Ok((token, secret))
    }

    /// Ends the newest token of a name, at once; `None` where there is none. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`StoreError`]; then it still lives.
    pub async fn revoke(&self, name: &str, origin: Origin) -> Result<Option<ApiToken>, StoreError> {
        let _changing = self.changing.lock().await;
        let Some(record) = self.store.revoke_api_token(name, origin, self.clock.now()).await? else { return Ok(None) };
        let (digest, kept) = keep(record)?;
        let token = describe(&kept.record, &kept.known);
        let before = self.known.write().unwrap_or_else(PoisonError::into_inner).insert(digest, kept);
        if let Some(before) = before {
            before.known.revoked.cancel();
        }
        Ok(Some(token))
    }

    /// All tokens, by name, newest first.
    #[must_use]
    pub fn all(&self) -> Vec<ApiToken> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.values().map(|kept| describe(&kept.record, &kept.known)).collect();
        all.sort_by(|one, two| (&one.name, two.created).cmp(&(&two.name, one.created)));
        all
    }

    fn count_live(&self, now: Timestamp) -> usize {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|kept| kept.record.revoked.is_none() && kept.record.expires > now).count()
    }

    fn secret(&self) -> Secret {
        let mut random = [0_u8; 32];
        for part in random.chunks_mut(8) {
            part.copy_from_slice(&self.entropy.bits().to_be_bytes());
        }
        Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
    }
}

impl NewToken {
    fn check(&self) -> Result<(), TokenError> {
        let field = |field, problem: &str| Err(TokenError::Field { field, problem: problem.to_owned() });
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(known) {
            return field("name", "expected 1 to 64 characters of [A-Za-z0-9_.-]");
        }
        if self.grants.is_empty() || self.grants.iter().any(|grant| grant.permissions.is_empty()) {
            return field("grants", "expected at least one, each with at least one permission");
        }
        if self.grants.len() > 50 || self.grants.iter().any(|grant| grant.scope.workflows.len() > 100) {
            return field("grants", "expected at most 50, each for at most 100 workflows");
        }
        if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&self.lifetime) {
            return field("lifetime", "expected 1 minute to 366 days");
        }
        Ok(())
    }
}

fn keep(record: ApiTokenRecord) -> Result<(Vec<u8>, Kept), StoreError> {
    let corrupt = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Corrupt(error);
    let grants: Vec<Grant> = serde_json::from_str(&record.grants).map_err(|error| corrupt(error.into()))?;
    let principal = format!("service:{}", record.name).parse::<Principal>().map_err(|error| corrupt(error.into()))?;
    let known = Known { principal, grants: grants.into(), expires: record.expires, revoked: CancellationToken::new() };
    Ok((record.digest.clone(), Kept { record, known }))
}

fn describe(record: &ApiTokenRecord, known: &Known) -> ApiToken {
    ApiToken {
        name: record.name.clone(),
        grants: known.grants.to_vec(),
        created: record.created,
        created_by: record.created_by.clone(),
        expires: record.expires,
        revoked: record.revoked,
    }
}

fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Ties what a token may do to its secret. The inner digest has a fixed length, so that nothing can be appended.
fn seal(secret: &str, record: &ApiTokenRecord) -> Vec<u8> {
    let mut said = Sha256::new();
    for part in [record.name.as_str(), &record.grants, &record.expires.as_millisecond().to_string()] {
        said.update(part.len().to_be_bytes());
        said.update(part);
    }
    Sha256::new()
        .chain_update(b"approve api token seal\n")
        .chain_update(secret)
        .chain_update(said.finalize())
        .finalize()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        auth::Permission,
        clock::Clock,
        entropy::SystemEntropy,
        store::sqlite::{Options, SqliteStore},
    };

    struct FixedClock(std::sync::Mutex<Timestamp>);

    #[async_trait::async_trait]
    impl Clock for FixedClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        async fn sleep_until(&self, _: Timestamp) {
            std::future::pending().await
        }
    }

    struct World {
        tokens: ApiTokens,
        clock: Arc<FixedClock>,
        store: SharedStore,
        folder: TempDir,
    }

    async fn world() -> World {
        let folder = TempDir::new().unwrap();
        let store: SharedStore = Arc::new(SqliteStore::open(folder.path(), Options::default()).unwrap());
        let clock = Arc::new(FixedClock(Timestamp::UNIX_EPOCH.into()));
        let tokens = ApiTokens::load(store.clone(), clock.clone(), Arc::new(SystemEntropy)).await.unwrap();
        World { tokens, clock, store, folder }
    }

    fn new(name: &str) -> NewToken {
        NewToken {
            name: name.to_owned(),
            grants: vec![Grant { permissions: vec![Permission::View], scope: crate::approval::Scope::default() }],
            lifetime: Duration::from_secs(3_600),
            origin: Origin::system("test"),
        }
    }

    fn refusal(found: Result<Known, AuthError>) -> String {
        found.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_token_is_good_until_it_is_revoked_and_after_a_restart_likewise() {
        let world = world().await;
        let (_, bot) = world.tokens.create(new("bot")).await.unwrap();
        let (_, other) = world.tokens.create(new("other")).await.unwrap();
        assert_eq!(bot.reveal().len(), 47);
        let known = world.tokens.find(bot.reveal()).unwrap();
        assert_eq!(known.principal.as_str(), "service:bot");
        assert!(matches!(world.tokens.create(new("bot")).await, Err(TokenError::Exists(_))));

        assert!(world.tokens.revoke("bot", Origin::system("test")).await.unwrap().unwrap().revoked.is_some());
        assert!(known.revoked.is_cancelled(), "its streams go on");
        let again = ApiTokens::load(world.store.clone(), world.clock.clone(), Arc::new(SystemEntropy)).await.unwrap();
        for tokens in [&world.tokens, &again] {
            assert!(refusal(tokens.find(bot.reveal())).contains("revoked"));
            assert!(tokens.find(other.reveal()).is_ok());
            assert!(refusal(tokens.find("apt_made-up")).contains("not known"));
        }
        assert!(world.tokens.create(new("bot")).await.is_ok(), "a name that is revoked may be used again");
        assert!(world.tokens.revoke("nobody", Origin::system("test")).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_token_expires() {
        let world = world().await;
        let (token, secret) = world.tokens.create(new("bot")).await.unwrap();
        *world.clock.0.lock().unwrap() = token.expires - 1.millisecond();
        assert!(world.tokens.find(secret.reveal()).is_ok());
        *world.clock.0.lock().unwrap() = token.expires;
        assert!(refusal(world.tokens.find(secret.reveal())).contains("expired"));
        assert!(world.tokens.create(new("bot")).await.is_ok());
        assert_eq!(world.tokens.all().len(), 2);
    }

    #[tokio::test]
    async fn a_token_whose_grants_were_edited_in_the_store_is_refused() {
        let world = world().await;
        let (_, secret) = world.tokens.create(new("bot")).await.unwrap();
        let database = rusqlite::Connection::open(world.folder.path().join("approve.db")).unwrap();
        for edit in ["grants = replace(grants, 'view', 'operate')", "expires = expires + 1000"] {
            database.execute(&format!("UPDATE api_tokens SET {edit}"), []).unwrap();
            let again =
                ApiTokens::load(world.store.clone(), world.clock.clone(), Arc::new(SystemEntropy)).await.unwrap();
            assert!(refusal(again.find(secret.reveal())).contains("not valid"), "{edit}");
        }
    }

    #[tokio::test]
    async fn the_secret_is_not_kept() {
        let world = world().await;
        let (_, secret) = world.tokens.create(new("bot")).await.unwrap();
        assert!(!format!("{secret:?}").contains(secret.reveal()));
        world.store.close().await.unwrap();
        for file in std::fs::read_dir(world.folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(secret.reveal().len()).any(|part| part == secret.reveal().as_bytes()));
        }
    }

    #[tokio::test]
    async fn what_can_not_be_a_token_is_refused() {
        let world = world().await;
        for name in ["", "a b", "ä", "a:b", &"x".repeat(65)] {
            assert!(matches!(world.tokens.create(new(name)).await, Err(TokenError::Field { field: "name", .. })));
        }
        let nothing = NewToken { grants: Vec::new(), ..new("bot") };
        assert!(matches!(world.tokens.create(nothing).await, Err(TokenError::Field { field: "grants", .. })));
        let short = NewToken { lifetime: Duration::from_secs(59), ..new("bot") };
        assert!(matches!(world.tokens.create(short).await, Err(TokenError::Field { field: "lifetime", .. })));
    }
}
