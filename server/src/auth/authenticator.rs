//! From what a call shows to a caller.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use approve_proto::ON_BEHALF_OF_METADATA;
use http::HeaderMap;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    ApiTokens, AuthError, Authenticated, Caller, Grant, Grants as _, KeysError, Permission, asserted, certificate,
    jwt::{Issuers, Named},
    role::Roles,
};
use crate::{
    approval::{Origin, Person, Via},
    clock::SharedClock,
    config::{self, Certificates, Config, IdentityMode},
};

/// So many tokens that were checked are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// What a call shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    /// Its metadata.
    pub(crate) headers: &'a HeaderMap,
    /// Where it comes from.
    pub(crate) address: Option<SocketAddr>,
    /// Its certificate, which TLS has checked, in DER.
    pub(crate) certificate: Option<&'a [u8]>,
}

/// Knows who calls.
pub struct Authenticator {
    /// Replaced as a whole when the config is.
    rules: watch::Sender<Arc<Rules>>,
    tokens: Arc<ApiTokens>,
    clock: SharedClock,
    /// Of whoever is believed.
    everything: Arc<[Grant]>,
}

/// What the config says.
pub(crate) struct Rules {
    mode: IdentityMode,
    roles: Roles,
    certificates: Option<Certificates>,
    issuers: Arc<Issuers>,
    /// What the issuers were made of.
    jwt: Vec<config::Jwt>,
    /// JWTs that were good, by digest: signatures cost more than a look into a map.
    remembered: Mutex<HashMap<[u8; 32], Arc<Named>>>,
    /// Ends streams that were let in by these.
    replaced: CancellationToken,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("mode", &self.rules.borrow().mode).finish_non_exhaustive()
    }
}

/// Somebody who showed who they are.
struct Identified {
    person: Person,
    via: Via,
    grants: Arc<[Grant]>,
    until: Option<Timestamp>,
    revoked: Option<CancellationToken>,
}

impl Authenticator {
    /// By a config that was checked.
    ///
    /// # Errors
    /// [`KeysError`] where a file of keys can't be used.
    pub fn new(config: &Config, tokens: Arc<ApiTokens>, clock: SharedClock) -> Result<Self, KeysError> {
        let issuers = Arc::new(Issuers::new(&config.auth.jwt, Arc::clone(&clock))?);
        let rules = watch::Sender::new(Arc::new(Rules::new(config, issuers)));
        Ok(Self { rules, tokens, clock, everything: Arc::new([Grant::everything()]) })
    }

    /// Reads another config, that was checked, for [`Authenticator::replace`].
    ///
    /// # Errors
    /// [`KeysError`] where a file of keys can't be used.
    pub(crate) fn read(&self, config: &Config) -> Result<Rules, KeysError> {
        let before = Arc::clone(&self.rules.borrow());
        // Keys that are known stay known: their issuer may be away.
        let issuers = match before.jwt == config.auth.jwt {
            true => Arc::clone(&before.issuers),
            false => Arc::new(Issuers::new(&config.auth.jwt, Arc::clone(&self.clock))?),
        };
        Ok(Rules::new(config, issuers))
    }

    /// Goes by these from the next call on. Streams that were let in by those before end with a status to come again on,
    /// as they show what their callers might see then.
    pub(crate) fn replace(&self, rules: Rules) {
        self.rules.send_replace(Arc::new(rules)).replaced.cancel();
    }

    /// Cancelled when other roles hold: streams that were opened before end then.
    pub(crate) fn replaced(&self) -> CancellationToken {
        self.rules.borrow().replaced.clone()
    }

    /// Whether callers show who they are, so that one can be told from another.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.rules.borrow().mode != IdentityMode::Trust
    }

    /// Somebody who signed in to the inbox, with what they may do now.
    pub(crate) fn signed_in(&self, person: Person, address: Option<SocketAddr>) -> Caller {
        let rules = self.rules.borrow();
        let grants = match rules.mode {
            IdentityMode::Trust => Arc::clone(&self.everything),
            IdentityMode::Checked { .. } => rules.roles.grants(&person),
        };
        let address = address.map(|address| address.to_string());
        let origin = Origin { by: person.principal.clone(), on_behalf_of: None, via: Via::Web, address };
        Caller { person, origin, grants }
    }

    /// Reads issuers' keys again and again until told to stop.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        let mut rules = self.rules.subscribe();
        while !stop.is_cancelled() {
            let issuers = Arc::clone(&rules.borrow_and_update().issuers);
            tokio::select! {
                () = issuers.keep_fresh(&stop) => {}
                changed = rules.changed() => if changed.is_err() { return } else { continue },
            }
            // There are none whose keys could change.
            tokio::select! {
                () = stop.cancelled() => {}
                changed = rules.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Who calls. `unknown` is asked before a credential is looked at that was not seen to be good before.
    pub(crate) async fn authenticate(
        &self,
        shown: Shown<'_>,
        unknown: impl Fn() -> Result<(), AuthError> + Send,
    ) -> Result<Authenticated, AuthError> {
        let rules = Arc::clone(&self.rules.borrow());
        let who = match rules.mode {
            IdentityMode::Trust => {
                let person = asserted::actor(shown.headers)?;
                let grants = Arc::clone(&self.everything);
                Identified { person, via: Via::Asserted, grants, until: None, revoked: None }
            }
            IdentityMode::Checked { api_tokens } => {
                asserted::nothing_asserted(shown.headers)?;
                self.identify(&rules, shown, api_tokens, unknown).await?
            }
        };
        let (until, revoked) = (who.until, who.revoked.clone());
        Ok(Authenticated { caller: behalf(who, shown)?, until, revoked, replaced: rules.replaced.clone() })
    }

    /// A bearer token says who calls; without one the certificate does. One that is shown must be good in any case.
    async fn identify(
        &self,
        rules: &Rules,
        shown: Shown<'_>,
        api_tokens: bool,
        unknown: impl Fn() -> Result<(), AuthError> + Send,
    ) -> Result<Identified, AuthError> {
        let now = self.clock.now();
        let settings = rules.certificates.as_ref();
        let certificate = shown.certificate.map(|der| certificate::Shown::read(der, settings, now)).transpose()?;
        let Some(bearer) = bearer(shown.headers)? else {
            return match (&certificate, settings) {
                (Some(certificate), Some(settings)) => {
                    let person = certificate.person(settings)?;
                    let grants = rules.roles.grants(&person);
                    let until = Some(certificate.until);
                    Ok(Identified { person, via: Via::Certificate, grants, until, revoked: None })
                }
                _ => Err(AuthError::NothingShown(rules.wanted(api_tokens))),
            };
        };
        let mut who = if ApiTokens::is_one(bearer) && api_tokens {
            let known = self.tokens.find(bearer);
            if known.is_err() {
                unknown()?;
            }
            let known = known?;
            Identified {
                person: Person { principal: known.principal, groups: Vec::new() },
                via: Via::ApiToken,
                grants: known.grants,
                until: Some(known.expires),
                revoked: Some(known.revoked),
            }
        } else if rules.issuers.is_empty() {
            return Err(AuthError::NothingShown(rules.wanted(api_tokens)));
        } else {
            let named = rules.named(bearer, self.clock.now(), unknown).await?;
            Identified {
                grants: rules.roles.grants(&named.person),
                person: named.person.clone(),
                via: Via::Jwt,
                until: Some(named.until),
                revoked: None,
            }
        };
        if let Some(certificate) = certificate {
            who.until = who.until.map(|until| until.min(certificate.until));
        }
        Ok(who)
    }
}

impl Rules {
    fn new(config: &Config, issuers: Arc<Issuers>) -> Self {
        Self {
            mode: config.identity(),
            roles: Roles::new(&config.role),
            certificates: config.auth.certificates.clone(),
            issuers,
            jwt: config.auth.jwt.clone(),
            remembered: Mutex::default(),
            replaced: CancellationToken::new(),
        }
    }

    /// Whom a JWT names. One that was good is looked at again when it ends, or when its issuer has other keys.
    async fn named(
        &self,
        token: &str,
        now: Timestamp,
        unknown: impl Fn() -> Result<(), AuthError> + Send,
    ) -> Result<Arc<Named>, AuthError> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(known) = known
            && now < known.until
            && self.issuers.generation(known.issuer) == Some(known.generation)
        {
            return Ok(known);
        }
        unknown()?;
        let named = Arc::new(self.issuers.verify(token).await?);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, named| now < named.until);
        }
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(digest, Arc::clone(&named));
        Ok(named)
    }

    /// What callers may show, for one who shows nothing.
    fn wanted(&self, api_tokens: bool) -> &'static str {
        match (api_tokens || !self.issuers.is_empty(), self.certificates.is_some()) {
            (true, true) => "metadata \"authorization: Bearer <token>\", or a client certificate",
            (true, false) => "metadata \"authorization: Bearer <token>\"",
            (false, _) => "a client certificate",
        }
    }
}

/// The token of `authorization: Bearer <token>`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let Some(value) = asserted::text(headers, AUTHORIZATION)? else { return Ok(None) };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(AuthError::malformed(AUTHORIZATION, "expected \"Bearer <token>\""));
    }
    Ok(Some(token))
}

const AUTHORIZATION: &str = "authorization";

/// The caller, or the person that they act for.
fn behalf(who: Identified, shown: Shown<'_>) -> Result<Caller, AuthError> {
    let address = shown.address.map(|address| address.to_string());
    let by = who.person.principal.clone();
    let Some(person) = asserted::on_behalf_of(shown.headers)? else {
        let origin = Origin { by, on_behalf_of: None, via: who.via, address };
        return Ok(Caller { person: who.person, origin, grants: who.grants });
    };
    if !who.grants.allow_somewhere(Permission::ActOnBehalf) {
        return Err(AuthError::Permission(Permission::ActOnBehalf));
    }
    if person.principal == by {
        return Err(AuthError::malformed(ON_BEHALF_OF_METADATA, "expected another person"));
    }
    let grants = who.grants.on_behalf().into();
    let origin = Origin { by, on_behalf_of: Some(person.principal.clone()), via: who.via, address };
    Ok(Caller { person, origin, grants })
}
