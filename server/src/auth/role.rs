//! Roles: who gets which grants.

use std::sync::Arc;

use super::permission::Grant;
use crate::{
    approval::{Person, Principal},
    config,
};

/// Whom a role is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    /// Everybody who shows who they are.
    Anyone,
    /// A user, a service, or the members of a group.
    Principal(Principal),
}

#[derive(Debug, Clone)]
struct Role {
    members: Vec<Member>,
    grant: Grant,
}

/// All roles.
#[derive(Debug, Clone, Default)]
pub(super) struct Roles(Vec<Role>);

impl Roles {
    /// The roles of a config that was checked: members that are no principals are left out.
    pub(super) fn new(roles: &[config::Role]) -> Self {
        let role = |role: &config::Role| Role {
            members: role.members.iter().filter_map(|member| read_member(member).ok()).collect(),
            grant: Grant { permissions: role.permissions.clone(), scope: role.scope() },
        };
        Self(roles.iter().map(role).collect())
    }

    /// What a person may do.
    pub(super) fn grants(&self, person: &Person) -> Arc<[Grant]> {
        let is = |member: &Member| match member {
            Member::Anyone => true,
            Member::Principal(who) => *who == person.principal || person.groups.contains(who),
        };
        self.0.iter().filter(|role| role.members.iter().any(is)).map(|role| role.grant.clone()).collect()
    }
}

fn read_member(text: &str) -> Result<Member, String> {
    if text == "anyone" {
        return Ok(Member::Anyone);
    }
    if !text.contains(':') {
        return Err(format!("{text:?}: expected \"user:…\", \"group:…\", \"service:…\" or \"anyone\""));
    }
    text.parse().map(Member::Principal).map_err(|error| format!("{text:?}: {error}"))
}

/// What is wrong with a member's name, if anything.
pub(crate) fn check_member(text: &str) -> Result<(), String> {
    read_member(text).map(drop)
}
