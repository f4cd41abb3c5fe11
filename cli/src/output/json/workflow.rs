use std::collections::BTreeMap;

use approve_client::proto::{ResourceAction, ResourceStep, Workflow, WorkflowSpec};
use serde::Serialize;

use super::{RuleJson, moment, present, sorted, whole_seconds};
use crate::output::names::Name;

#[derive(Serialize)]
pub(crate) struct WorkflowJson<'a> {
    name: &'a str,
    state_machine_arn: &'a str,
    activity_arn: &'a str,
    more_activity_arns: BTreeMap<&'a str, &'a str>,
    role_arn: &'a str,
    create_time: Option<String>,
    update_time: Option<String>,
    spec: Option<SpecJson<'a>>,
}

#[derive(Serialize)]
struct SpecJson<'a> {
    activity_name: Option<&'a str>,
    activities: BTreeMap<&'a str, &'a str>,
    state_machine: Option<StateMachineJson<'a>>,
    role: Option<RoleJson<'a>>,
    rule: Option<RuleJson<'a>>,
    tags: BTreeMap<&'a str, &'a str>,
    encryption: Option<EncryptionJson<'a>>,
    expected_pending: Option<u64>,
}

#[derive(Serialize)]
struct EncryptionJson<'a> {
    kms_key: &'a str,
    data_key_reuse_seconds: Option<i64>,
}

#[derive(Serialize)]
struct LoggingJson<'a> {
    level: &'a str,
    log_group: &'a str,
    include_execution_data: bool,
}

#[derive(Serialize)]
struct StateMachineJson<'a> {
    name: Option<&'a str>,
    definition: Option<&'a str>,
    timeout_seconds: Option<i64>,
    heartbeat_seconds: Option<i64>,
    logging: Option<LoggingJson<'a>>,
    tracing: bool,
}

#[derive(Serialize)]
struct RoleJson<'a> {
    name: Option<&'a str>,
    path: Option<&'a str>,
    managed_policies: &'a [String],
    inline_policies: BTreeMap<&'a str, &'a str>,
    permissions_boundary: Option<&'a str>,
}

impl<'a> From<&'a Workflow> for WorkflowJson<'a> {
    fn from(workflow: &'a Workflow) -> Self {
        Self {
            name: &workflow.name,
            state_machine_arn: &workflow.state_machine_arn,
            activity_arn: &workflow.activity_arn,
            more_activity_arns: sorted(&workflow.more_activity_arns),
            role_arn: &workflow.role_arn,
            create_time: moment(workflow.create_time.as_ref()),
            update_time: moment(workflow.update_time.as_ref()),
            spec: workflow.spec.as_ref().map(SpecJson::from),
        }
    }
}

impl<'a> From<&'a WorkflowSpec> for SpecJson<'a> {
    fn from(spec: &'a WorkflowSpec) -> Self {
        Self {
            activity_name: present(&spec.activity_name),
            activities: sorted(&spec.more_activities),
            state_machine: spec.state_machine.as_ref().map(|machine| StateMachineJson {
                name: present(&machine.name),
                definition: present(&machine.definition),
                timeout_seconds: whole_seconds(machine.timeout.as_ref()),
                heartbeat_seconds: whole_seconds(machine.heartbeat.as_ref()),
                logging: machine.logging.as_ref().map(|logging| LoggingJson {
                    level: &logging.level,
                    log_group: &logging.log_group_arn,
                    include_execution_data: logging.include_execution_data,
                }),
                tracing: machine.tracing,
            }),
            role: spec.role.as_ref().map(|role| RoleJson {
                name: present(&role.name),
                path: present(&role.path),
                managed_policies: &role.managed_policy_arns,
                inline_policies: sorted(&role.inline_policies),
                permissions_boundary: present(&role.permissions_boundary_arn),
            }),
            rule: spec.rule.as_ref().map(RuleJson::from),
            tags: sorted(&spec.tags),
            encryption: spec.encryption.as_ref().map(|encryption| EncryptionJson {
                kms_key: &encryption.kms_key_id,
                data_key_reuse_seconds: whole_seconds(encryption.data_key_reuse.as_ref()),
            }),
            expected_pending: Some(spec.expected_pending).filter(|pending| *pending > 0),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct StepJson<'a> {
    action: String,
    resource_type: &'a str,
    resource_name: &'a str,
    arn: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> From<&'a ResourceStep> for StepJson<'a> {
    fn from(step: &'a ResourceStep) -> Self {
        Self {
            action: ResourceAction::lower(step.action),
            resource_type: &step.resource_type,
            resource_name: &step.resource_name,
            arn: present(&step.arn),
            detail: present(&step.detail),
        }
    }
}
