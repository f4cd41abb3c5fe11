//! What a workflow should be.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::approval::Rule;

/// The managed policy of the reference stack.
pub const STEP_FUNCTIONS_FULL_ACCESS: &str = "arn:aws:iam::aws:policy/AWSStepFunctionsFullAccess";

/// One activity, one execution role, one state machine. Names are whole: defaults are filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The workflow's name here.
    pub name: String,
    /// The activity's name in Step Functions.
    pub activity_name: String,
    /// The state machine.
    pub state_machine: StateMachineSpec,
    /// The execution role.
    pub role: RoleSpec,
    /// The workflow's own rule, which task input may only tighten.
    pub rule: Rule,
    /// Tags for every resource.
    pub tags: BTreeMap<String, String>,
}

/// The state machine of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMachineSpec {
    /// Its name in Step Functions.
    pub name: String,
    /// The user's definition with `${activity_arn}` in it; `None` for the reference definition.
    pub definition: Option<String>,
    /// TimeoutSeconds of the reference definition.
    pub timeout: SignedDuration,
    /// HeartbeatSeconds of the reference definition.
    pub heartbeat: SignedDuration,
}

/// The execution role of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpec {
    /// Its name in IAM.
    pub name: String,
    /// The managed policies attached to it.
    pub managed_policy_arns: Vec<String>,
}

impl Spec {
    /// A workflow with all names made from its own: `<name>-activity`, `<name>-role`, `<name>-state-machine`; the
    /// reference definition and the reference role's policy.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            activity_name: format!("{name}-activity"),
            state_machine: StateMachineSpec {
                name: format!("{name}-state-machine"),
                definition: None,
                timeout: SignedDuration::from_secs(300),
                heartbeat: SignedDuration::from_secs(60),
            },
            role: RoleSpec {
                name: format!("{name}-role"),
                managed_policy_arns: vec![STEP_FUNCTIONS_FULL_ACCESS.to_owned()],
            },
            rule: Rule::default(),
            tags: BTreeMap::new(),
        }
    }

    /// The reference stack.
    #[must_use]
    pub fn reference() -> Self {
        let mut spec = Self::named("HumanApproval");
        spec.activity_name = "HumanApprovalActivity".to_owned();
        spec.state_machine.name = "HumanApprovalStateMachine".to_owned();
        spec.role.name = "HumanApprovalRole".to_owned();
        spec
    }
}
