//! The account's own managed policies. Their documents are checked for form and not kept: nothing is authorized here.

use super::{Iam, ManagedPolicy, checks, trust};
use crate::engine::ApiError;

impl Iam {
    /// CreatePolicy.
    pub fn create_policy(&mut self, name: &str, path: Option<&str>, document: &str) -> Result<ManagedPolicy, ApiError> {
        checks::policy_name(name)?;
        let path = path.unwrap_or("/");
        checks::path(path)?;
        trust::check_json(document)?;
        checks::managed_size(document)?;
        let arn = format!("arn:aws:iam::{}:policy{path}{name}", self.account_id);
        if self.policies.values().any(|policy| policy.name == name) {
            return Err(ApiError::new(
                "EntityAlreadyExists",
                format!("A policy called {name} already exists. Duplicate names are not allowed."),
            ));
        }
        let policy = ManagedPolicy { arn: arn.clone(), name: name.to_owned(), path: path.to_owned() };
        self.policies.insert(arn, policy.clone());
        Ok(policy)
    }

    /// DeletePolicy: refused while a role has it.
    pub fn delete_policy(&mut self, arn: &str) -> Result<(), ApiError> {
        self.policy(arn)?;
        if !self.policies.contains_key(arn) {
            return Err(ApiError::new("AccessDenied", "The managed policies of AWS cannot be deleted"));
        }
        if self.roles("/").any(|role| {
            role.attached.iter().any(|attached| attached == arn) || role.permissions_boundary.as_deref() == Some(arn)
        }) {
            return Err(ApiError::new("DeleteConflict", "Cannot delete a policy attached to entities."));
        }
        self.policies.remove(arn);
        Ok(())
    }
}
