//! The part of IAM that provisioning an execution role needs: roles, their trust, their policies and tags.
//!
//! Nothing is enforced but what Step Functions itself looks at: whether it may assume the role.

mod checks;
mod customer;
mod policies;
mod trust;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::checks::duplicate_tags;
use crate::engine::{ApiError, Random, Tags};

const MAX_ROLES: usize = 1000;
const MAX_ATTACHED: usize = 10;

/// A role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// 1–64 characters.
    pub name: String,
    /// `AROA…`
    pub id: String,
    /// `arn:aws:iam::<account>:role<path><name>`
    pub arn: String,
    /// `/` unless given.
    pub path: String,
    /// When it was created.
    pub created: Timestamp,
    /// The trust policy as it came.
    pub trust_policy: String,
    /// As it came.
    pub description: Option<String>,
    /// Seconds, 3,600 unless given.
    pub max_session_duration: u32,
    /// Tags by key.
    pub tags: Tags,
    /// ARNs of managed policies, in the order they were attached.
    pub attached: Vec<String>,
    /// Inline policies by name.
    pub inline: BTreeMap<String, String>,
    /// The ARN of the policy that bounds what it may do. Kept and given back; nothing is bounded.
    pub permissions_boundary: Option<String>,
}

/// A managed policy, of AWS or of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Its ARN.
    pub arn: String,
    /// The last part of the ARN.
    pub name: String,
    /// `/` or e.g. `/service-role/`.
    pub path: String,
}

/// CreateRole.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct CreateRole {
    pub name: String,
    pub path: Option<String>,
    pub trust_policy: String,
    pub description: Option<String>,
    pub max_session_duration: Option<u32>,
    pub tags: Tags,
    pub permissions_boundary: Option<String>,
}

/// Whether a service may assume a role.
pub(crate) enum Trust {
    /// The trust policy says so since then.
    Since(Timestamp),
    Never,
}

/// Roles by name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Iam {
    account_id: String,
    roles: BTreeMap<String, Entry>,
    /// The account's own managed policies, by ARN.
    policies: BTreeMap<String, ManagedPolicy>,
    random: Random,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    role: Role,
    trusted_since: Timestamp,
}

impl Iam {
    pub(crate) fn new(account_id: &str, seed: u64) -> Self {
        Self {
            account_id: account_id.to_owned(),
            roles: BTreeMap::new(),
            policies: BTreeMap::new(),
            random: Random::new(!seed),
        }
    }

    /// CreateRole.
    pub fn create_role(&mut self, request: CreateRole, now: Timestamp) -> Result<Role, ApiError> {
        let CreateRole { name, path, trust_policy, description, max_session_duration, tags, permissions_boundary } =
            request;
        checks::role_name(&name)?;
        trust::check(&trust_policy)?;
        checks::tags(&tags)?;
        if self.roles.contains_key(&name) {
            return Err(ApiError::new("EntityAlreadyExists", format!("Role with name {name} already exists.")));
        }
        let path = path.unwrap_or_else(|| "/".to_owned());
        checks::path(&path)?;
        if let Some(arn) = &permissions_boundary {
            self.attachable(arn)?;
        }
        checks::quota("RolesPerAccount", self.roles.len() + 1, MAX_ROLES)?;
        let role = Role {
            id: format!("AROA{}", self.random.upper(17)),
            arn: format!("arn:aws:iam::{}:role{path}{name}", self.account_id),
            name: name.clone(),
            path,
            created: now,
            trust_policy,
            description,
            max_session_duration: max_session_duration.unwrap_or(3600),
            tags,
            attached: Vec::new(),
            inline: BTreeMap::new(),
            permissions_boundary,
        };
        self.roles.insert(name, Entry { role: role.clone(), trusted_since: now });
        Ok(role)
    }

    /// GetRole.
    pub fn role(&self, name: &str) -> Result<&Role, ApiError> {
        checks::role_name(name)?;
        self.roles.get(name).map(|entry| &entry.role).ok_or_else(|| role_missing(name))
    }

    /// DeleteRole: refused while it has policies.
    pub fn delete_role(&mut self, name: &str) -> Result<(), ApiError> {
        let role = self.role(name)?;
        let conflict = |why: &str| Err(ApiError::new("DeleteConflict", format!("Cannot delete entity, must {why}.")));
        if !role.attached.is_empty() {
            return conflict("detach all policies first");
        }
        if !role.inline.is_empty() {
            return conflict("delete policies first");
        }
        self.roles.remove(name);
        Ok(())
    }

    /// UpdateAssumeRolePolicy.
    pub fn update_trust_policy(&mut self, name: &str, policy: &str, now: Timestamp) -> Result<(), ApiError> {
        checks::role_name(name)?;
        let entry = self.roles.get_mut(name).ok_or_else(|| role_missing(name))?;
        trust::check(policy)?;
        if entry.role.trust_policy != policy {
            policy.clone_into(&mut entry.role.trust_policy);
            entry.trusted_since = now;
        }
        Ok(())
    }

    /// AttachRolePolicy. Attaching again changes nothing.
    pub fn attach_role_policy(&mut self, name: &str, policy_arn: &str) -> Result<(), ApiError> {
        self.role(name)?;
        self.attachable(policy_arn)?;
        let role = self.role_mut(name)?;
        if role.attached.iter().any(|arn| arn == policy_arn) {
            return Ok(());
        }
        checks::quota("PoliciesPerRole", role.attached.len() + 1, MAX_ATTACHED)?;
        role.attached.push(policy_arn.to_owned());
        Ok(())
    }

    /// DetachRolePolicy.
    pub fn detach_role_policy(&mut self, name: &str, policy_arn: &str) -> Result<(), ApiError> {
        checks::policy_arn(policy_arn)?;
        let role = self.role_mut(name)?;
        let place = role.attached.iter().position(|arn| arn == policy_arn);
        let place = place.ok_or_else(|| missing(format!("Policy {policy_arn} was not found.")))?;
        role.attached.remove(place);
        Ok(())
    }

    /// PutRolePolicy.
    pub fn put_role_policy(&mut self, name: &str, policy: &str, document: &str) -> Result<(), ApiError> {
        checks::policy_name(policy)?;
        let role = self.role_mut(name)?;
        trust::check_json(document)?;
        let others = role.inline.iter().filter(|(other, _)| *other != policy).map(|(_, text)| text.as_str());
        checks::inline_size(name, others.chain([document]))?;
        role.inline.insert(policy.to_owned(), document.to_owned());
        Ok(())
    }

    /// GetRolePolicy.
    pub fn role_policy(&self, name: &str, policy: &str) -> Result<&str, ApiError> {
        let role = self.role(name)?;
        role.inline.get(policy).map(String::as_str).ok_or_else(|| inline_missing(policy))
    }

    /// DeleteRolePolicy.
    pub fn delete_role_policy(&mut self, name: &str, policy: &str) -> Result<(), ApiError> {
        let role = self.role_mut(name)?;
        role.inline.remove(policy).map(|_| ()).ok_or_else(|| inline_missing(policy))
    }

    /// TagRole.
    pub fn tag_role(&mut self, name: &str, tags: Tags) -> Result<(), ApiError> {
        let role = self.role_mut(name)?;
        checks::tags(&tags)?;
        let mut merged = role.tags.clone();
        // A key in other letters is the same key.
        merged.retain(|key, _| !tags.keys().any(|new| new.to_lowercase() == key.to_lowercase()));
        merged.extend(tags);
        checks::tags(&merged)?;
        role.tags = merged;
        Ok(())
    }

    /// UntagRole.
    pub fn untag_role(&mut self, name: &str, keys: &[String]) -> Result<(), ApiError> {
        let role = self.role_mut(name)?;
        for key in keys {
            role.tags.retain(|own, _| own.to_lowercase() != key.to_lowercase());
        }
        Ok(())
    }

    /// GetPolicy, of AWS or of the account.
    pub fn policy(&self, arn: &str) -> Result<ManagedPolicy, ApiError> {
        checks::policy_arn(arn)?;
        let found = self.policies.get(arn).cloned().or_else(|| policies::find(arn));
        found.ok_or_else(|| missing(format!("Policy {arn} does not exist or is not attachable.")))
    }

    /// GetPolicy, if a role of the account may have it.
    fn attachable(&self, arn: &str) -> Result<ManagedPolicy, ApiError> {
        let policy = self.policy(arn)?;
        if policies::is_attachable(&policy) {
            return Ok(policy);
        }
        Err(ApiError::new("PolicyNotAttachable", "Cannot attach a Service Role Policy to a Customer Role."))
    }

    /// The roles whose path begins with `prefix`, by name.
    pub fn roles<'r>(&'r self, prefix: &'r str) -> impl Iterator<Item = &'r Role> {
        self.roles.values().map(|entry| &entry.role).filter(move |role| role.path.starts_with(prefix))
    }

    /// UpdateRole: what is `None` is taken away, as with AWS.
    pub fn update_role(
        &mut self,
        name: &str,
        description: Option<String>,
        max_session_duration: Option<u32>,
    ) -> Result<(), ApiError> {
        let role = self.role_mut(name)?;
        role.description = description;
        role.max_session_duration = max_session_duration.unwrap_or(3600);
        Ok(())
    }

    /// PutRolePermissionsBoundary, or DeleteRolePermissionsBoundary with `None`.
    pub fn bound_role(&mut self, name: &str, boundary: Option<String>) -> Result<(), ApiError> {
        self.role(name)?;
        if let Some(arn) = &boundary {
            self.attachable(arn)?;
        }
        self.role_mut(name)?.permissions_boundary = boundary;
        Ok(())
    }

    pub(crate) fn trust(&self, name: &str, arn: &str, service: &str) -> Trust {
        match self.roles.get(name) {
            Some(entry) if entry.role.arn == arn && trust::allows(&entry.role.trust_policy, service) => {
                Trust::Since(entry.trusted_since)
            }
            _ => Trust::Never,
        }
    }

    fn role_mut(&mut self, name: &str) -> Result<&mut Role, ApiError> {
        checks::role_name(name)?;
        self.roles.get_mut(name).map(|entry| &mut entry.role).ok_or_else(|| role_missing(name))
    }
}

fn missing(message: String) -> ApiError {
    ApiError::new("NoSuchEntity", message)
}

fn role_missing(name: &str) -> ApiError {
    missing(format!("The role with name {name} cannot be found."))
}

fn inline_missing(policy: &str) -> ApiError {
    missing(format!("The role policy with name {policy} cannot be found."))
}

/// A policy element that may be one value or a list.
fn one_or_many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}
