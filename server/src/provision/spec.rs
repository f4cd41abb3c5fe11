//! What a workflow should be.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::approval::Rule;

/// The managed policy of the reference stack.
pub const STEP_FUNCTIONS_FULL_ACCESS: &str = "arn:aws:iam::aws:policy/AWSStepFunctionsFullAccess";

/// Activities, one execution role, one state machine. Names are whole: defaults are filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The workflow's name here.
    pub name: String,
    /// The activity's name in Step Functions.
    pub activity_name: String,
    /// Names of further activities, by the key that the definition calls them by: `${activity_arn.<key>}`.
    #[serde(default)]
    pub more_activities: BTreeMap<String, String>,
    /// The state machine.
    pub state_machine: StateMachineSpec,
    /// The execution role.
    pub role: RoleSpec,
    /// The workflow's own rule, which task input may only tighten.
    pub rule: Rule,
    /// Tags for every resource.
    pub tags: BTreeMap<String, String>,
    /// The customer's key that activities and state machine are encrypted with; `None` for one of AWS's own.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// How many approvals may be pending at once; `None` if nobody said. A plan warns if heartbeats can't carry them.
    #[serde(default)]
    pub expected_pending: Option<u64>,
    /// Whether others provision it, by code: it is then never changed or deleted from here.
    #[serde(default)]
    pub attached: bool,
}

/// Encryption with a key of the customer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// The key's id, ARN or alias, as AWS takes it.
    pub kms_key_id: String,
    /// How long a data key is used again. 60 to 900 seconds.
    pub data_key_reuse: SignedDuration,
}

/// What of an execution's history is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLevel {
    /// Every event.
    All,
    /// Errors.
    Error,
    /// What ends executions.
    Fatal,
}

impl LogLevel {
    /// As Step Functions calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// Where executions are logged to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// What is logged.
    pub level: LogLevel,
    /// The log group's ARN, which ends in `:*`.
    pub log_group_arn: String,
    /// Whether inputs and outputs are logged, too.
    pub include_execution_data: bool,
}

/// The state machine of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMachineSpec {
    /// Its name in Step Functions.
    pub name: String,
    /// The user's definition with `${activity_arn}` and other [outputs](super::Placeholders) in it; `None` for the reference definition.
    pub definition: Option<String>,
    /// TimeoutSeconds of the reference definition.
    pub timeout: SignedDuration,
    /// HeartbeatSeconds of the reference definition.
    pub heartbeat: SignedDuration,
    /// Where executions are logged to; `None`: nowhere.
    #[serde(default)]
    pub logging: Option<Logging>,
    /// Whether X-Ray traces executions.
    #[serde(default)]
    pub tracing: bool,
}

/// The execution role of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpec {
    /// Its name in IAM.
    pub name: String,
    /// Its path in IAM: begins and ends with a slash.
    #[serde(default = "root_path")]
    pub path: String,
    /// The managed policies attached to it.
    pub managed_policy_arns: Vec<String>,
    /// Inline policies by name: JSON text.
    #[serde(default)]
    pub inline_policies: BTreeMap<String, String>,
    /// The policy that bounds what it may ever do.
    #[serde(default)]
    pub permissions_boundary_arn: Option<String>,
}

fn root_path() -> String {
    "/".to_owned()
}

impl Spec {
    /// A workflow with all names made from its own: `<name>-activity`, `<name>-role`, `<name>-state-machine`; the
    /// reference definition and the reference role's policy.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            activity_name: format!("{name}-activity"),
            more_activities: BTreeMap::new(),
            state_machine: StateMachineSpec {
                name: format!("{name}-state-machine"),
                definition: None,
                timeout: SignedDuration::from_secs(300),
                heartbeat: SignedDuration::from_secs(60),
                logging: None,
                tracing: false,
            },
            role: RoleSpec {
                name: format!("{name}-role"),
                path: root_path(),
                managed_policy_arns: vec![STEP_FUNCTIONS_FULL_ACCESS.to_owned()],
                inline_policies: BTreeMap::new(),
                permissions_boundary_arn: None,
            },
            rule: Rule::default(),
            tags: BTreeMap::new(),
            encryption: None,
            expected_pending: None,
            attached: false,
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

    /// The names of its activities, the main one first.
    pub fn activity_names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.activity_name).chain(self.more_activities.values()).map(String::as_str)
    }

    /// The ARNs of its activities, by that of the main one.
    #[must_use]
    pub fn activity_arns(&self, main: &str) -> Vec<String> {
        let prefix = main.strip_suffix(self.activity_name.as_str()).unwrap_or(main);
        let more = self.more_activities.values().map(|name| format!("{prefix}{name}"));
        std::iter::once(main.to_owned()).chain(more).collect()
    }
}
