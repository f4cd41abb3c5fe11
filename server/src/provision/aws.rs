//! The narrow port to AWS that provisioning makes its calls through.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::stepfunctions::CallError;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Some of a list, and where the rest begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In AWS's order.
    pub items: Vec<T>,
    /// What to ask with for the next page; `None` at the end.
    pub next: Option<String>,
}

/// A resource in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

/// A role as IAM tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRole {
    /// Its ARN.
    pub arn: String,
    /// Its trust policy: JSON text.
    pub trust_policy: String,
    /// Its tags.
    pub tags: Tags,
    /// When it was created.
    pub created: Timestamp,
}

/// A state machine as Step Functions tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedStateMachine {
    /// Its ARN.
    pub arn: String,
    /// Its definition: JSON text.
    pub definition: String,
    /// Its execution role.
    pub role_arn: String,
    /// Whether its type is STANDARD: only such a one can wait for people.
    pub standard: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// What ValidateStateMachineDefinition holds against a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where: a JSON pointer, if AWS gave one.
    pub location: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// The calls that provisioning makes. None retries by itself. Each fails with a [`CallError`] whose `failure` is `Gone`
/// where the thing that it names does not exist.
#[async_trait]
pub trait ControlPlane: Send + Sync + 'static {
    /// Activities of this account and region.
    async fn list_activities(&self, next: Option<String>) -> Result<Page<Named>, CallError>;
    /// Fails if there is no such activity.
    async fn describe_activity(&self, arn: &str) -> Result<(), CallError>;
    /// Returns its ARN. Of an activity that exists already: that one's, unchanged, whatever its tags.
    async fn create_activity(&self, name: &str, tags: &Tags) -> Result<String, CallError>;
    /// Deletes an activity.
    async fn delete_activity(&self, arn: &str) -> Result<(), CallError>;

    /// Tags of an activity or a state machine.
    async fn list_tags(&self, arn: &str) -> Result<Tags, CallError>;
    /// Adds tags to an activity or a state machine.
    async fn tag_resource(&self, arn: &str, tags: &Tags) -> Result<(), CallError>;

    /// State machines of this account and region.
    async fn list_state_machines(&self, next: Option<String>) -> Result<Page<Named>, CallError>;
    /// A state machine.
    async fn describe_state_machine(&self, arn: &str) -> Result<ObservedStateMachine, CallError>;
    /// Returns its ARN. Of a state machine with that name and definition: that one's, unchanged, whatever its role and
    /// tags.
    async fn create_state_machine(
        &self,
        name: &str,
        definition: &str,
        role_arn: &str,
        tags: &Tags,
    ) -> Result<String, CallError>;
    /// Sets a state machine's definition and role.
    async fn update_state_machine(&self, arn: &str, definition: &str, role_arn: &str) -> Result<(), CallError>;
    /// Begins to delete a state machine.
    async fn delete_state_machine(&self, arn: &str) -> Result<(), CallError>;
    /// The errors of a definition.
    async fn validate_definition(&self, definition: &str) -> Result<Vec<Diagnostic>, CallError>;

    /// A role.
    async fn get_role(&self, name: &str) -> Result<ObservedRole, CallError>;
    /// Creates a role.
    async fn create_role(&self, name: &str, trust_policy: &str, tags: &Tags) -> Result<ObservedRole, CallError>;
    /// Sets a role's trust policy.
    async fn update_trust_policy(&self, name: &str, trust_policy: &str) -> Result<(), CallError>;
    /// Adds tags to a role.
    async fn tag_role(&self, name: &str, tags: &Tags) -> Result<(), CallError>;
    /// Deletes a role without policies.
    async fn delete_role(&self, name: &str) -> Result<(), CallError>;

    /// ARNs of the managed policies attached to a role.
    async fn list_attached_policies(&self, role: &str, next: Option<String>) -> Result<Page<String>, CallError>;
    /// Attaches a managed policy. Nothing happens if it is attached already.
    async fn attach_policy(&self, role: &str, policy_arn: &str) -> Result<(), CallError>;
    /// Detaches a managed policy.
    async fn detach_policy(&self, role: &str, policy_arn: &str) -> Result<(), CallError>;
    /// Names of a role's inline policies.
    async fn list_inline_policies(&self, role: &str, next: Option<String>) -> Result<Page<String>, CallError>;
    /// Deletes an inline policy.
    async fn delete_inline_policy(&self, role: &str, policy: &str) -> Result<(), CallError>;
}
