//! Specs, plans and workflows, between the API and the domain.

use approve_proto::v1 as proto;
use jiff::SignedDuration;

use super::{convert, status::ApiError};
use crate::{
    provision::{
        Action, Change, Encryption, FieldChange, LogLevel, Logging, Plan, PlannedAction, RoleSpec, Spec,
        StateMachineSpec, StepReport, Warning,
    },
    workflows::Workflow,
};

/// How long a data key is used again where nobody says.
const DATA_KEY_REUSE: SignedDuration = SignedDuration::from_secs(300);

/// A spec with its defaults filled in.
pub(super) fn read_spec(spec: proto::WorkflowSpec) -> Result<Spec, ApiError> {
    let mut read = Spec::named(&spec.name);
    if let Some(name) = some(spec.activity_name) {
        read.activity_name = name;
    }
    let further = |(key, name): (String, String)| {
        let name = some(name).unwrap_or_else(|| format!("{}-{key}-activity", spec.name));
        (key, name)
    };
    read.more_activities = spec.more_activities.into_iter().map(further).collect();
    read.state_machine = read_state_machine(spec.state_machine.unwrap_or_default(), read.state_machine)?;
    if let Some(role) = spec.role {
        read.role = RoleSpec {
            name: some(role.name).unwrap_or(read.role.name),
            path: some(role.path).unwrap_or(read.role.path),
            managed_policy_arns: role.managed_policy_arns,
            inline_policies: role.inline_policies.into_iter().collect(),
            permissions_boundary_arn: some(role.permissions_boundary_arn),
        };
    }
    if let Some(rule) = spec.rule {
        read.rule = convert::read_rule("spec.rule", rule)?;
    }
    read.tags = spec.tags.into_iter().collect();
    read.encryption = match spec.encryption {
        Some(encryption) => Some(Encryption {
            kms_key_id: encryption.kms_key_id,
            data_key_reuse: match encryption.data_key_reuse {
                Some(reuse) => convert::read_duration("spec.encryption.data_key_reuse", reuse)?,
                None => DATA_KEY_REUSE,
            },
        }),
        None => None,
    };
    read.expected_pending = Some(spec.expected_pending).filter(|pending| *pending > 0);
    Ok(read)
}

fn read_state_machine(
    machine: proto::StateMachineSpec,
    default: StateMachineSpec,
) -> Result<StateMachineSpec, ApiError> {
    if !matches!(machine.r#type.as_str(), "" | "STANDARD") {
        let problem = format!(
            "{:?}: expected STANDARD; an EXPRESS state machine ends after five minutes, runs steps more than once and \
             can't wait for an activity, so that no person could decide in it",
            machine.r#type
        );
        return Err(ApiError::field("spec.state_machine.type", problem));
    }
    Ok(StateMachineSpec {
        name: some(machine.name).unwrap_or(default.name),
        definition: some(machine.definition),
        timeout: match machine.timeout {
            Some(timeout) => convert::read_duration("spec.state_machine.timeout", timeout)?,
            None => default.timeout,
        },
        heartbeat: match machine.heartbeat {
            Some(heartbeat) => convert::read_duration("spec.state_machine.heartbeat", heartbeat)?,
            None => default.heartbeat,
        },
        logging: machine.logging.map(read_logging).transpose()?,
        tracing: machine.tracing,
    })
}

fn read_logging(logging: proto::Logging) -> Result<Logging, ApiError> {
    let level = match logging.level.as_str() {
        "ALL" => LogLevel::All,
        "ERROR" => LogLevel::Error,
        "FATAL" => LogLevel::Fatal,
        other => {
            let problem = format!("{other:?}: expected ALL, ERROR or FATAL; leave logging out for none");
            return Err(ApiError::field("spec.state_machine.logging.level", problem));
        }
    };
    let include_execution_data = logging.include_execution_data;
    Ok(Logging { level, log_group_arn: logging.log_group_arn, include_execution_data })
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn describe(workflow: &Workflow) -> proto::Workflow {
    let record = &workflow.record;
    let further = record.spec.more_activities.keys().cloned();
    proto::Workflow {
        name: record.name.clone(),
        spec: Some(describe_spec(&record.spec)),
        state_machine_arn: record.state_machine_arn.clone(),
        activity_arn: record.activity_arn.clone(),
        role_arn: record.role_arn.clone(),
        create_time: Some(convert::timestamp(record.created)),
        update_time: Some(convert::timestamp(record.updated)),
        more_activity_arns: further.zip(workflow.activity_arns.iter().skip(1).cloned()).collect(),
        attached: record.spec.attached,
    }
}

fn describe_spec(spec: &Spec) -> proto::WorkflowSpec {
    let (machine, role) = (&spec.state_machine, &spec.role);
    proto::WorkflowSpec {
        name: spec.name.clone(),
        activity_name: spec.activity_name.clone(),
        state_machine: Some(proto::StateMachineSpec {
            name: machine.name.clone(),
            definition: machine.definition.clone().unwrap_or_default(),
            timeout: Some(whole_seconds(machine.timeout)),
            heartbeat: Some(whole_seconds(machine.heartbeat)),
            r#type: "STANDARD".to_owned(),
            logging: machine.logging.as_ref().map(|logging| proto::Logging {
                level: logging.level.name().to_owned(),
                log_group_arn: logging.log_group_arn.clone(),
                include_execution_data: logging.include_execution_data,
            }),
            tracing: machine.tracing,
        }),
        role: Some(proto::RoleSpec {
            name: role.name.clone(),
            managed_policy_arns: role.managed_policy_arns.clone(),
            path: role.path.clone(),
            inline_policies: role.inline_policies.clone().into_iter().collect(),
            permissions_boundary_arn: role.permissions_boundary_arn.clone().unwrap_or_default(),
        }),
        rule: Some(convert::rule(&spec.rule)),
        tags: spec.tags.clone().into_iter().collect(),
        more_activities: spec.more_activities.clone().into_iter().collect(),
        encryption: spec.encryption.as_ref().map(|encryption| proto::Encryption {
            kms_key_id: encryption.kms_key_id.clone(),
            data_key_reuse: Some(whole_seconds(encryption.data_key_reuse)),
        }),
        expected_pending: spec.expected_pending.unwrap_or_default(),
    }
}

fn whole_seconds(span: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: span.as_secs(), nanos: 0 }
}

pub(super) fn plan(plan: Plan, warnings: Vec<Warning>) -> proto::Plan {
    let warning = |warning: Warning| proto::PlanWarning { field: warning.field, message: warning.message };
    proto::Plan {
        resources: plan.actions.into_iter().map(planned_resource).collect(),
        warnings: warnings.into_iter().map(warning).collect(),
    }
}

fn planned_resource(action: PlannedAction) -> proto::PlannedResource {
    let (planned, fields) = match action.change {
        Change::Create => (proto::PlannedAction::Create, action.initial),
        Change::Update(fields) => (proto::PlannedAction::Update, fields),
        Change::Replace(fields) => (proto::PlannedAction::Replace, fields),
        Change::Unchanged => (proto::PlannedAction::NoOp, Vec::new()),
        Change::Delete => (proto::PlannedAction::Delete, Vec::new()),
    };
    let field = |change: FieldChange| proto::FieldChange {
        field: change.field,
        known_later: change.from.is_none() && change.to.is_none(),
        before: change.from,
        after: change.to,
    };
    proto::PlannedResource {
        resource_type: action.resource_type.to_owned(),
        resource_name: action.resource_name,
        arn: action.arn.unwrap_or_default(),
        action: planned.into(),
        fields: fields.into_iter().map(field).collect(),
        not_ours: action.foreign.unwrap_or_default(),
    }
}

pub(super) fn resource_step(step: StepReport) -> proto::ResourceStep {
    proto::ResourceStep {
        resource_type: step.resource_type.to_owned(),
        resource_name: step.resource_name,
        arn: step.arn.unwrap_or_default(),
        action: match step.action {
            Action::Created => proto::ResourceAction::Created,
            Action::Updated => proto::ResourceAction::Updated,
            Action::Replaced => proto::ResourceAction::Replaced,
            Action::Unchanged => proto::ResourceAction::Unchanged,
            Action::Deleted => proto::ResourceAction::Deleted,
            Action::Skipped => proto::ResourceAction::Skipped,
        }
        .into(),
        detail: step.detail.unwrap_or_default(),
    }
}
