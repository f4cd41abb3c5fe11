//! What callers say in metadata: who they are, where that is believed, and for whom they act.

use approve_proto::{ACTOR_METADATA, GROUPS_METADATA, ON_BEHALF_OF_METADATA};
use http::HeaderMap;

use super::{
    AuthError,
    names::{self, MAX_GROUPS},
};
use crate::approval::{Person, Principal};

/// The caller's word for who they are: a user or a service, with groups.
pub(super) fn actor(headers: &HeaderMap) -> Result<Person, AuthError> {
    let actor = text(headers, ACTOR_METADATA)?.ok_or(AuthError::Missing)?;
    let principal: Principal = actor.parse().map_err(|error| AuthError::malformed(ACTOR_METADATA, error))?;
    if !principal.is_actor() {
        return Err(AuthError::malformed(ACTOR_METADATA, "expected a user or a service, found a group"));
    }
    // With somebody to act for, the groups are theirs.
    let groups = if headers.contains_key(ON_BEHALF_OF_METADATA) { Vec::new() } else { groups(headers)? };
    Ok(Person { principal, groups })
}

/// The person that the caller acts for, if any.
pub(super) fn on_behalf_of(headers: &HeaderMap) -> Result<Option<Person>, AuthError> {
    let Some(name) = text(headers, ON_BEHALF_OF_METADATA)? else { return Ok(None) };
    let malformed = |problem: String| AuthError::Malformed { field: ON_BEHALF_OF_METADATA, problem };
    let principal: Principal = name.parse().map_err(|error| AuthError::malformed(ON_BEHALF_OF_METADATA, error))?;
    if !principal.is_user() {
        return Err(malformed("expected a user: nobody acts for a group or a service".to_owned()));
    }
    let bare = principal.as_str().trim_start_matches("user:");
    names::principal("user", bare).map_err(malformed)?;
    Ok(Some(Person { principal, groups: groups(headers)? }))
}

/// Refuses a word for who one is, where it is not believed.
pub(super) fn nothing_asserted(headers: &HeaderMap) -> Result<(), AuthError> {
    if headers.contains_key(ACTOR_METADATA) {
        return Err(AuthError::NotBelieved(ACTOR_METADATA));
    }
    if headers.contains_key(GROUPS_METADATA) && !headers.contains_key(ON_BEHALF_OF_METADATA) {
        return Err(AuthError::NotBelieved(GROUPS_METADATA));
    }
    Ok(())
}

fn groups(headers: &HeaderMap) -> Result<Vec<Principal>, AuthError> {
    let mut groups = Vec::new();
    for name in text(headers, GROUPS_METADATA)?.unwrap_or_default().split(',').map(str::trim) {
        if name.is_empty() {
            continue;
        }
        let name = name.strip_prefix("group:").unwrap_or(name);
        groups.push(names::principal("group", name).map_err(|error| AuthError::malformed(GROUPS_METADATA, error))?);
        if groups.len() > MAX_GROUPS {
            return Err(AuthError::malformed(GROUPS_METADATA, "expected at most 200 groups"));
        }
    }
    Ok(groups)
}

/// The one value of a header. Two are none: which of them another reader would take is not known.
pub(super) fn text<'a>(headers: &'a HeaderMap, field: &'static str) -> Result<Option<&'a str>, AuthError> {
    let mut values = headers.get_all(field).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(AuthError::malformed(field, "expected it once"));
    }
    value.to_str().map(Some).map_err(|_| AuthError::malformed(field, "expected visible ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_who_they_say() {
        let mut headers = HeaderMap::new();
        assert_eq!(actor(&headers), Err(AuthError::Missing));
        headers.insert(ACTOR_METADATA, "ana".parse().unwrap());
        headers.insert(GROUPS_METADATA, "finance, group:ops".parse().unwrap());
        let ana = actor(&headers).unwrap();
        assert_eq!(ana.principal.as_str(), "user:ana");
        assert_eq!(ana.groups.iter().map(Principal::as_str).collect::<Vec<_>>(), ["group:finance", "group:ops"]);
    }

    #[test]
    fn nobody_is_a_group_or_the_system() {
        for name in ["group:finance", "system:expiry", " ana"] {
            let headers = HeaderMap::from_iter([(ACTOR_METADATA.parse().unwrap(), name.parse().unwrap())]);
            assert!(matches!(actor(&headers), Err(AuthError::Malformed { .. })), "{name}");
        }
        for name in ["group:finance", "service:bot", "system:expiry", "user:system:expiry", ""] {
            let headers = HeaderMap::from_iter([(ON_BEHALF_OF_METADATA.parse().unwrap(), name.parse().unwrap())]);
            assert!(matches!(on_behalf_of(&headers), Err(AuthError::Malformed { .. })), "{name}");
        }
    }

    #[test]
    fn two_names_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(ACTOR_METADATA, "ana".parse().unwrap());
        headers.append(ACTOR_METADATA, "bob".parse().unwrap());
        assert!(matches!(actor(&headers), Err(AuthError::Malformed { .. })));
    }
}
