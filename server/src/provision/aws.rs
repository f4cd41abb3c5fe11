//! The narrow port to AWS that provisioning makes its calls through.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Encryption, Logging};
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

/// What a role is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRole<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its path.
    pub path: &'a str,
    /// Its trust policy: JSON text.
    pub trust_policy: &'a str,
    /// ARN of its permissions boundary.
    pub permissions_boundary: Option<&'a str>,
    /// Its tags.
    pub tags: &'a Tags,
}

/// A role as IAM tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRole {
    /// Its ARN.
    pub arn: String,
    /// Its path.
    pub path: String,
    /// Its trust policy: JSON text.
    pub trust_policy: String,
    /// ARN of its permissions boundary.
    pub permissions_boundary: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// When it was created.
    pub created: Timestamp,
}

/// How a state machine is run, beside its definition and role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Where executions are logged to.
    pub logging: Option<Logging>,
    /// Whether X-Ray traces executions.
    pub tracing: bool,
    /// The customer's key.
    pub encryption: Option<Encryption>,
}

/// What a state machine is made of, or changed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineInput<'a> {
    /// Its definition: JSON text.
    pub definition: &'a str,
    /// Its execution role.
    pub role_arn: &'a str,
    /// The rest.
    pub settings: &'a Settings,
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
    /// The rest.
    pub settings: Settings,
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
    /// Its encryption, if it is with a key of the customer's.
    async fn describe_activity(&self, arn: &str) -> Result<Option<Encryption>, CallError>;
    /// Returns its ARN. Of an activity that exists already: that one's, unchanged, whatever its tags.
    async fn create_activity(
        &self,
        name: &str,
        encryption: Option<&Encryption>,
        tags: &Tags,
    ) -> Result<String, CallError>;
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
    async fn create_state_machine(&self, name: &str, input: MachineInput<'_>, tags: &Tags)
    -> Result<String, CallError>;
    /// Sets a state machine's definition, role and settings.
    async fn update_state_machine(&self, arn: &str, input: MachineInput<'_>) -> Result<(), CallError>;
    /// Begins to delete a state machine.
    async fn delete_state_machine(&self, arn: &str) -> Result<(), CallError>;
    /// The errors of a definition.
    async fn validate_definition(&self, definition: &str) -> Result<Vec<Diagnostic>, CallError>;

    /// A role.
    async fn get_role(&self, name: &str) -> Result<ObservedRole, CallError>;
    /// Creates a role.
    async fn create_role(&self, role: NewRole<'_>) -> Result<ObservedRole, CallError>;
    /// Sets a role's trust policy.
    async fn update_trust_policy(&self, name: &str, trust_policy: &str) -> Result<(), CallError>;
    /// Sets a role's permissions boundary, or takes it away.
    async fn set_permissions_boundary(&self, name: &str, policy_arn: Option<&str>) -> Result<(), CallError>;
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
    /// An inline policy: JSON text.
    async fn get_inline_policy(&self, role: &str, policy: &str) -> Result<String, CallError>;
    /// Writes an inline policy, in place of what it was.
    async fn put_inline_policy(&self, role: &str, policy: &str, document: &str) -> Result<(), CallError>;
    /// Deletes an inline policy.
    async fn delete_inline_policy(&self, role: &str, policy: &str) -> Result<(), CallError>;
}
