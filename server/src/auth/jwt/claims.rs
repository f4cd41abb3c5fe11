//! What a token says.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::refused;
use crate::{
    approval::{Person, Principal},
    auth::{
        AuthError,
        names::{self, MAX_GROUPS},
    },
    config,
};

/// A token's claims. Worth nothing before its signature was checked.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn read(json: &[u8]) -> Result<Self, AuthError> {
        serde_json::from_slice(json).map(Self).map_err(|_| refused("has claims that can't be read"))
    }

    /// Who issued it.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.0.get("iss")?.as_str()
    }

    /// Whether it is meant for `audience`.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
            _ => false,
        }
    }

    /// Refuses what is not meant for this server, or not for this time; when it ends.
    pub(super) fn check(&self, settings: &config::Jwt, now: Timestamp) -> Result<Timestamp, AuthError> {
        if !self.is_for(&settings.audience) {
            return Err(refused("is meant for another audience"));
        }
        let leeway = i64::from(settings.leeway_seconds);
        let now = now.as_second();
        let expires = self.time("exp")?.ok_or_else(|| refused("has no time of expiry"))?;
        let until = expires.saturating_add(leeway);
        if until <= now {
            return Err(refused("has expired"));
        }
        for claim in ["nbf", "iat"] {
            if self.time(claim)?.is_some_and(|from| from > now.saturating_add(leeway)) {
                return Err(refused("is not valid yet"));
            }
        }
        // Beyond what a timestamp holds it never ends.
        Ok(Timestamp::from_second(until).unwrap_or(Timestamp::MAX))
    }

    /// Refuses an ID token that answers another sign-in, or was made for another client.
    pub(super) fn answers(&self, client: &str, nonce: &str) -> Result<(), AuthError> {
        if self.0.get("nonce").and_then(Value::as_str) != Some(nonce) {
            return Err(refused("is the answer to another sign-in"));
        }
        if self.0.get("azp").is_some_and(|party| party.as_str() != Some(client)) {
            return Err(refused("is meant for another client"));
        }
        Ok(())
    }

    /// A time in whole seconds. A fraction is cut off.
    fn time(&self, claim: &str) -> Result<Option<i64>, AuthError> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        let read = || {
            let text = value.as_number()?.to_string();
            text.split_once('.').map_or(text.as_str(), |(whole, _)| whole).parse().ok()
        };
        read().map(Some).ok_or_else(|| refused("has a time that can't be read"))
    }

    /// Whom it names.
    pub(super) fn person(&self, settings: &config::Jwt) -> Result<Person, AuthError> {
        let name = self.find(&settings.user_claim).and_then(Value::as_str);
        let name = name.ok_or_else(|| refused("does not name its caller"))?;
        let prefixed = |name: &str| format!("{}{name}", settings.name_prefix);
        let principal =
            check_bare(name).and_then(|()| names::principal(settings.principal.prefix(), &prefixed(name))).map_err(
                |problem| AuthError::Refused(format!("the token names its caller in a way that can't be: {problem}")),
            )?;
        let named = match self.find(&settings.groups_claim) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => text.split([' ', ',']).filter(|name| !name.is_empty()).collect(),
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(refused("has groups that are neither a text nor an array")),
        };
        if named.len() > MAX_GROUPS {
            return Err(refused("has more than 200 groups"));
        }
        // A group that can't be named is nobody's: its members are let in without it.
        let group = |name: &&str| -> Option<Principal> {
            check_bare(name).and_then(|()| names::principal("group", &prefixed(name))).ok()
        };
        Ok(Person { principal, groups: named.iter().filter_map(group).collect() })
    }

    /// A claim by its name, or by the names of the objects that it is in, with dots between them.
    fn find(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let mut names = path.split('.');
        let mut value = self.0.get(names.next()?)?;
        for name in names {
            value = value.get(name)?;
        }
        Some(value)
    }
}

/// Whether a name could be one without the issuer's prefix.
fn check_bare(name: &str) -> Result<(), String> {
    names::principal("user", name).map(drop)
}
