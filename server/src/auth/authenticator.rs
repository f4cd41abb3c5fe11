//! From what a call shows to a caller.

use std::{net::SocketAddr, sync::Arc};

use approve_proto::ON_BEHALF_OF_METADATA;
use http::HeaderMap;

use super::{AuthError, Authenticated, Caller, Grant, Grants as _, Permission, asserted, role::Roles};
use crate::{
    approval::{Origin, Person, Via},
    config::{Config, IdentityMode},
};

/// What a call shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    /// Its metadata.
    pub(crate) headers: &'a HeaderMap,
    /// Where it comes from.
    pub(crate) address: Option<SocketAddr>,
}

/// Knows who calls.
#[derive(Debug)]
pub struct Authenticator {
    mode: IdentityMode,
    roles: Roles,
    /// Of whoever is believed.
    everything: Arc<[Grant]>,
}

/// Somebody who showed who they are.
struct Identified {
    person: Person,
    via: Via,
    grants: Arc<[Grant]>,
}

impl Authenticator {
    /// By a config that was checked.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { mode: config.identity(), roles: Roles::new(&config.role), everything: Arc::new([Grant::everything()]) }
    }

    /// Whether callers show who they are, so that one can be told from another.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.mode != IdentityMode::Trust
    }

    /// Who calls.
    pub(crate) async fn authenticate(&self, shown: Shown<'_>) -> Result<Authenticated, AuthError> {
        let who = match self.mode {
            IdentityMode::Trust => {
                let person = asserted::actor(shown.headers)?;
                Identified { person, via: Via::Asserted, grants: Arc::clone(&self.everything) }
            }
            IdentityMode::Checked { .. } => {
                asserted::nothing_asserted(shown.headers)?;
                return Err(AuthError::NothingShown("no credentials"));
            }
        };
        let caller = behalf(who, shown)?;
        Ok(Authenticated { caller, until: None, revoked: None })
    }
}

/// The caller, or the person that they act for.
fn behalf(who: Identified, shown: Shown<'_>) -> Result<Caller, AuthError> {
    let address = shown.address.map(|address| address.to_string());
    let by = who.person.principal.clone();
    let Some(person) = asserted::on_behalf_of(shown.headers)? else {
        let origin = Origin { by, on_behalf_of: None, via: who.via, address };
        return Ok(Caller { person: who.person, origin, grants: who.grants });
    };
    let grants = who.grants.on_behalf();
    if !who.grants.allow_somewhere(Permission::ActOnBehalf) {
        return Err(AuthError::Permission(Permission::ActOnBehalf));
    }
    if person.principal == by {
        return Err(AuthError::malformed(ON_BEHALF_OF_METADATA, "expected another person"));
    }
    let origin = Origin { by, on_behalf_of: Some(person.principal.clone()), via: who.via, address };
    Ok(Caller { person, origin, grants: grants.into() })
}
