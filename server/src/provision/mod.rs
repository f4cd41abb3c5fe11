//! Provisioning: the AWS resources behind an approval step, desired against observed.
//!
//! A workflow is one or more activities, an execution role with its policies, and a state machine. [`apply`] brings them to what a
//! [`Spec`] says and may be repeated after a failure at any step; [`plan`] tells without changing anything what it
//! would do; [`destroy`] deletes what is ours. Ours is what carries our tags.

mod activity;
mod apply;
#[cfg(test)]
mod apply_tests;
mod attach;
mod aws;
mod aws_sdk;
mod checks;
mod definition;
mod destroy;
#[cfg(test)]
mod destroy_tests;
mod export;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod full_tests;
mod inline_policy;
mod observe;
mod patience;
pub mod permissions;
mod placeholders;
mod plan;
mod policy;
mod role;
mod role_needs;
mod spec;
mod state_machine;
mod steps;
mod tags;
mod warnings;
#[cfg(test)]
mod wire_tests;

use jiff::SignedDuration;

pub use self::{
    apply::{Options, Outputs, Progress, apply, preview},
    attach::{Attachment, attach},
    aws::{
        ControlPlane, Diagnostic, MachineInput, Named, NewRole, ObservedRole, ObservedStateMachine, Page, Settings,
        Tags,
    },
    aws_sdk::SdkControlPlane,
    definition::reference,
    destroy::{destroy, destroy_spec},
    export::{Format, export},
    observe::{Observed, ObservedActivity, observe},
    placeholders::{ACTIVITY_ARN, Placeholders},
    plan::{Change, FieldChange, Plan, PlannedAction, plan},
    spec::{Encryption, LogLevel, Logging, RoleSpec, STEP_FUNCTIONS_FULL_ACCESS, Spec, StateMachineSpec},
    steps::{Step, heartbeat, steps},
    tags::{MANAGED_BY, WORKFLOW},
    warnings::{Heartbeats, Warning, renamed, warnings},
};
use crate::stepfunctions::CallError;

/// An activity, in reports.
pub(crate) const ACTIVITY: &str = "activity";
/// An execution role, in reports.
pub(crate) const ROLE: &str = "role";
/// A managed policy on a role, in reports.
pub(crate) const POLICY_ATTACHMENT: &str = "policy_attachment";
/// An inline policy of a role, in reports.
pub(crate) const INLINE_POLICY: &str = "inline_policy";
/// A state machine, in reports.
pub(crate) const STATE_MACHINE: &str = "state_machine";

/// What was done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It did not exist, and was made.
    Created,
    /// It existed, and was changed.
    Updated,
    /// It existed, could not be changed in place, and was deleted and made anew.
    Replaced,
    /// It was as it should be.
    Unchanged,
    /// It was deleted.
    Deleted,
    /// It was left: it is not ours, or it was gone already.
    Skipped,
}

/// One step of provisioning, done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// `activity`, `role`, `policy_attachment`, `inline_policy` or `state_machine`.
    pub resource_type: &'static str,
    /// Its name; for an attachment the policy's ARN.
    pub resource_name: String,
    /// Its ARN, where it has one.
    pub arn: Option<String>,
    /// What was done.
    pub action: Action,
    /// What was changed, or why it was skipped.
    pub detail: Option<String>,
}

/// Why provisioning stopped. What was done stays; the same call goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A field of the spec is malformed, or AWS does not know what it names. Nothing else was tried after it.
    #[error("{field}: {problem}")]
    Field {
        /// Its path in the spec.
        field: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// The state machine's definition is refused.
    #[error("the definition is invalid at {location}: {message}")]
    InvalidDefinition {
        /// A JSON pointer into the definition, or a line and column of its text.
        location: String,
        /// What is wrong there.
        message: String,
    },
    /// A resource of that name exists and does not carry our tags, or carries another workflow's.
    #[error("{resource} exists and does not belong to this workflow; adopt it, or choose another name")]
    NotOwned {
        /// Its type and name.
        resource: String,
    },
    /// A resource would have to be deleted and made anew.
    #[error("{resource} can't be changed in place ({fields}); it would have to be replaced")]
    ReplaceNeeded {
        /// Its type and name.
        resource: String,
        /// The fields that differ.
        fields: String,
    },
    /// Step Functions could not assume a role that had just been made.
    #[error("Step Functions could not assume the role {role_arn} for {waited:#}")]
    RoleNotAssumable {
        /// The role.
        role_arn: String,
        /// How long it was tried.
        waited: SignedDuration,
        /// What AWS said in the end. The same error code tells a caller who may not pass the role.
        source: CallError,
    },
    /// A call failed while resources were being deleted.
    #[error("{failed}; not everything is deleted, there may still be: {left}")]
    Incomplete {
        /// Types and names.
        left: String,
        /// The call.
        failed: CallError,
    },
    /// A call to AWS failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl ProvisionError {
    fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }

    fn not_owned(resource_type: &str, name: &str) -> Self {
        let words = resource_type.replace('_', " ");
        Self::NotOwned { resource: format!("{words} {name}") }
    }
}
