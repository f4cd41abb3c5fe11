//! State machines.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ApiError, Engine, Tags,
    names::{check_arn, check_name, check_tags, role_name},
    random::Random,
};
use crate::{asl::Definition, iam::Trust};

const MAX_DEFINITION: usize = 1_048_576;

/// CreateStateMachine.
#[derive(Clone, Debug, Default)]
pub struct CreateStateMachine {
    /// 1–80 characters.
    pub name: String,
    /// Amazon States Language, at most 1 MiB.
    pub definition: String,
    /// The execution role.
    pub role_arn: String,
    /// Set once, here or by TagResource.
    pub tags: Tags,
    /// `loggingConfiguration` as it came; kept and given back, nothing is logged.
    pub logging: Option<Value>,
    /// `tracingConfiguration` as it came; kept and given back, nothing is traced.
    pub tracing: Option<Value>,
    /// `encryptionConfiguration` as it came; kept and given back, nothing is encrypted.
    pub encryption: Option<Value>,
}

/// UpdateStateMachine: what is `None` stays.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct UpdateStateMachine {
    pub definition: Option<String>,
    pub role_arn: Option<String>,
    pub logging: Option<Value>,
    pub tracing: Option<Value>,
    pub encryption: Option<Value>,
}

/// One state of a machine's configuration. Executions keep the one that they started with.
#[derive(Debug)]
pub struct Revision {
    /// The machine's ARN.
    pub arn: Arc<str>,
    /// The machine's name.
    pub name: Arc<str>,
    /// The definition as it came.
    pub definition_text: Arc<str>,
    /// The execution role.
    pub role_arn: Arc<str>,
    /// `loggingConfiguration`.
    pub logging: Value,
    /// `tracingConfiguration`.
    pub tracing: Value,
    /// When this configuration was set.
    pub updated: Timestamp,
    /// `None` for the configuration that the machine was created with.
    pub id: Option<String>,
    pub(crate) definition: Definition,
}

/// Whether a machine can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StateMachineStatus {
    Active,
    /// Gone once its running executions have ended.
    Deleting,
}

/// A machine as it is described and listed.
#[derive(Clone, Debug)]
pub struct MachineSummary {
    /// Its present configuration.
    pub current: Arc<Revision>,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub status: StateMachineStatus,
    /// `encryptionConfiguration`, if it was given.
    pub encryption: Option<Value>,
}

#[derive(Debug)]
pub(crate) struct StateMachine {
    pub(crate) current: Arc<Revision>,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    /// Deleted, and gone once its running executions have ended.
    pub(crate) deleting: bool,
    pub(crate) encryption: Option<Value>,
}

impl Engine {
    /// CreateStateMachine. The same name, definition and configuration again is a success that changes nothing, also
    /// where role or tags differ; another definition is refused.
    pub fn create_state_machine(
        &mut self,
        region: &str,
        request: CreateStateMachine,
        now: Timestamp,
    ) -> Result<MachineSummary, ApiError> {
        self.tick(now);
        check_name(&request.name)?;
        check_tags(&request.tags)?;
        let definition = compile(&request.definition)?;
        self.check_role(&request.role_arn)?;
        let arn = format!("arn:aws:states:{region}:{}:stateMachine:{}", self.options.account_id, request.name);
        let logging = request.logging.unwrap_or_else(default_logging);
        let tracing = request.tracing.unwrap_or_else(default_tracing);
        if let Some(machine) = self.machines.get(&arn) {
            machine.check_active()?;
            let current = &machine.current;
            let same = current.definition_text.as_ref() == request.definition
                && current.logging == logging
                && current.tracing == tracing
                && machine.encryption == request.encryption;
            return if same {
                Ok(machine.summary())
            } else {
                Err(ApiError::new("StateMachineAlreadyExists", format!("State Machine Already Exists: '{arn}'")))
            };
        }
        if self.machines.len() >= self.options.limits.state_machines {
            return Err(ApiError::new(
                "StateMachineLimitExceeded",
                "The maximum number of state machines has been reached.",
            ));
        }
        let revision = Revision {
            arn: arn.as_str().into(),
            name: request.name.as_str().into(),
            definition_text: request.definition.into(),
            role_arn: request.role_arn.into(),
            logging,
            tracing,
            updated: self.world.now,
            id: None,
            definition,
        };
        let machine = StateMachine {
            current: Arc::new(revision),
            created: self.world.now,
            tags: request.tags,
            deleting: false,
            encryption: request.encryption,
        };
        let summary = machine.summary();
        self.machines.insert(arn, machine);
        Ok(summary)
    }

    /// UpdateStateMachine. Running executions keep what they started with.
    pub fn update_state_machine(
        &mut self,
        arn: &str,
        request: UpdateStateMachine,
        now: Timestamp,
    ) -> Result<MachineSummary, ApiError> {
        self.tick(now);
        let UpdateStateMachine { definition, role_arn, logging, tracing, encryption } = request;
        let nothing = definition.is_none() && role_arn.is_none() && logging.is_none() && tracing.is_none();
        if nothing && encryption.is_none() {
            return Err(ApiError::new(
                "MissingRequiredParameter",
                "Either the definition, the role ARN, the LoggingConfiguration, the TracingConfiguration, or the \
                 EncryptionConfiguration must be specified",
            ));
        }
        let machine = self.machine(arn)?;
        machine.check_active()?;
        let current = machine.current.clone();
        let text = definition.map_or_else(|| current.definition_text.clone(), Into::into);
        let definition = compile(&text)?;
        if let Some(role_arn) = &role_arn {
            self.check_role(role_arn)?;
        }
        let revision = Revision {
            arn: current.arn.clone(),
            name: current.name.clone(),
            definition_text: text,
            role_arn: role_arn.map_or_else(|| current.role_arn.clone(), Into::into),
            logging: logging.unwrap_or_else(|| current.logging.clone()),
            tracing: tracing.unwrap_or_else(|| current.tracing.clone()),
            updated: self.world.now,
            id: Some(Random::uuid(&mut self.world.random)),
            definition,
        };
        let machine = self.machines.get_mut(arn).ok_or_else(|| machine_missing(arn))?;
        machine.current = Arc::new(revision);
        machine.encryption = encryption.or(machine.encryption.take());
        Ok(machine.summary())
    }

    /// DescribeStateMachine.
    pub fn describe_state_machine(&mut self, arn: &str, now: Timestamp) -> Result<MachineSummary, ApiError> {
        self.tick(now);
        self.machine(arn).map(StateMachine::summary)
    }

    /// DeleteStateMachine. A running execution is aborted when it would go from one state to the next, and the machine
    /// is being deleted until all have ended. Deleting what does not exist is no error.
    pub fn delete_state_machine(&mut self, arn: &str, now: Timestamp) -> Result<(), ApiError> {
        self.tick(now);
        check_arn(arn, "stateMachine")?;
        if let Some(machine) = self.machines.get_mut(arn) {
            machine.deleting = true;
            self.executions.doom(arn);
        }
        self.finish_deleting(arn);
        Ok(())
    }

    /// Removes a machine that is being deleted once none of its executions runs.
    pub(super) fn finish_deleting(&mut self, arn: &str) {
        if self.machines.get(arn).is_some_and(|machine| machine.deleting) && !self.executions.any_runs(arn) {
            self.machines.remove(arn);
        }
    }

    /// The state machines of a region, by name, but for those that are being deleted.
    pub fn list_state_machines(&mut self, region: &str, now: Timestamp) -> Vec<MachineSummary> {
        self.tick(now);
        let prefix = format!("arn:aws:states:{region}:");
        let machines = self.machines.iter().filter(|(arn, machine)| arn.starts_with(&prefix) && !machine.deleting);
        machines.map(|(_, machine)| machine.summary()).collect()
    }

    pub(super) fn machine(&self, arn: &str) -> Result<&StateMachine, ApiError> {
        check_arn(arn, "stateMachine")?;
        self.machines.get(arn).ok_or_else(|| machine_missing(arn))
    }

    fn check_role(&self, role_arn: &str) -> Result<(), ApiError> {
        let name = role_name(role_arn)
            .ok_or_else(|| ApiError::new("InvalidArn", format!("Invalid Role Arn: '{role_arn}'")))?;
        if !self.options.check_roles {
            return Ok(());
        }
        let usable = self.world.now - jiff::SignedDuration::try_from(self.options.role_propagation).unwrap_or_default();
        match self.iam.trust(name, role_arn, "states.amazonaws.com") {
            Trust::Since(created) if created <= usable => Ok(()),
            Trust::Since(_) | Trust::Never => Err(ApiError::new(
                "AccessDeniedException",
                "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to \
                 assume the provided role.",
            )),
        }
    }
}

impl StateMachine {
    fn summary(&self) -> MachineSummary {
        MachineSummary {
            current: self.current.clone(),
            created: self.created,
            status: if self.deleting { StateMachineStatus::Deleting } else { StateMachineStatus::Active },
            encryption: self.encryption.clone(),
        }
    }

    /// For calls that a machine refuses while it is being deleted.
    pub(super) fn check_active(&self) -> Result<(), ApiError> {
        if self.deleting {
            let arn = &self.current.arn;
            return Err(ApiError::new("StateMachineDeleting", format!("State Machine is being deleted: '{arn}'")));
        }
        Ok(())
    }
}

fn compile(text: &str) -> Result<Definition, ApiError> {
    if text.len() > MAX_DEFINITION {
        let constraint = format!("Member must have length less than or equal to {MAX_DEFINITION}");
        return Err(ApiError::constraint("'***'", "definition", &constraint));
    }
    Definition::parse(text).map_err(|diagnostics| {
        let list: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        ApiError::new("InvalidDefinition", format!("Invalid State Machine Definition: '{}'", list.join(", ")))
    })
}

fn default_logging() -> Value {
    json!({"level": "OFF", "includeExecutionData": false})
}

fn default_tracing() -> Value {
    json!({"enabled": false})
}

pub(super) fn machine_missing(arn: &str) -> ApiError {
    ApiError::new("StateMachineDoesNotExist", format!("State Machine Does Not Exist: '{arn}'"))
}
