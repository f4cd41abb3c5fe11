//! Who is calling.
//!
//! The server trusts its callers' own word, and so binds to loopback only.

use approve_proto::{ACTOR_METADATA, GROUPS_METADATA};
use tonic::{Request, metadata::MetadataMap};

use crate::approval::{Origin, Person, Principal, Via};

/// The most groups that a caller may have.
const MAX_GROUPS: usize = 200;

/// Why it can't be told who is calling.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The caller did not say.
    #[error("say who you are: metadata \"{ACTOR_METADATA}\" with \"user:<name>\"")]
    Missing,
    /// The caller said it in a way that can't be understood.
    #[error("metadata \"{field}\": {problem}")]
    Malformed {
        /// The metadata's key.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The one who acts: the caller, or the person that they act for.
    pub person: Person,
    /// For the record.
    pub origin: Origin,
}

/// The caller, by their own word.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, AuthError> {
    let person = asserted(request.metadata())?;
    let origin = Origin {
        by: person.principal.clone(),
        on_behalf_of: None,
        via: Via::Asserted,
        address: request.remote_addr().map(|address| address.to_string()),
    };
    Ok(Caller { person, origin })
}

fn asserted(metadata: &MetadataMap) -> Result<Person, AuthError> {
    let actor = text(metadata, ACTOR_METADATA)?.ok_or(AuthError::Missing)?;
    let principal: Principal = actor.parse().map_err(|error| malformed(ACTOR_METADATA, &error))?;
    if !principal.is_user() {
        return Err(malformed(ACTOR_METADATA, &"expected a user, found a group"));
    }
    let mut groups = Vec::new();
    for name in text(metadata, GROUPS_METADATA)?.unwrap_or_default().split(',').map(str::trim) {
        if name.is_empty() {
            continue;
        }
        let name = name.strip_prefix("group:").unwrap_or(name);
        let group = format!("group:{name}");
        groups.push(group.parse().map_err(|error| malformed(GROUPS_METADATA, &error))?);
        if groups.len() > MAX_GROUPS {
            return Err(malformed(GROUPS_METADATA, &"expected at most 200 groups"));
        }
    }
    Ok(Person { principal, groups })
}

fn text<'a>(metadata: &'a MetadataMap, field: &'static str) -> Result<Option<&'a str>, AuthError> {
    metadata.get(field).map(|value| value.to_str().map_err(|_| malformed(field, &"expected visible ASCII"))).transpose()
}

fn malformed(field: &'static str, problem: &dyn std::fmt::Display) -> AuthError {
    AuthError::Malformed { field, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_who_they_say() {
        let mut metadata = MetadataMap::new();
        assert!(matches!(asserted(&metadata), Err(AuthError::Missing)));
        metadata.insert(ACTOR_METADATA, "ana".parse().unwrap());
        metadata.insert(GROUPS_METADATA, "finance, group:ops".parse().unwrap());
        let ana = asserted(&metadata).unwrap();
        assert_eq!(ana.principal.as_str(), "user:ana");
        assert_eq!(ana.groups.iter().map(Principal::as_str).collect::<Vec<_>>(), ["group:finance", "group:ops"]);
    }

    #[test]
    fn nobody_is_a_group_or_the_system() {
        for name in ["group:finance", "system:expiry", " ana"] {
            let mut metadata = MetadataMap::new();
            metadata.insert(ACTOR_METADATA, name.parse().unwrap());
            assert!(matches!(asserted(&metadata), Err(AuthError::Malformed { .. })), "{name}");
        }
    }
}
