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
    role_arn: &'a str,
    create_time: Option<String>,
    update_time: Option<String>,
    spec: Option<SpecJson<'a>>,
}

#[derive(Serialize)]
struct SpecJson<'a> {
    activity_name: Option<&'a str>,
    state_machine: Option<StateMachineJson<'a>>,
    role: Option<RoleJson<'a>>,
    rule: Option<RuleJson<'a>>,
    tags: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct StateMachineJson<'a> {
    name: Option<&'a str>,
    definition: Option<&'a str>,
    timeout_seconds: Option<i64>,
    heartbeat_seconds: Option<i64>,
}

#[derive(Serialize)]
struct RoleJson<'a> {
    name: Option<&'a str>,
    managed_policies: &'a [String],
}

impl<'a> From<&'a Workflow> for WorkflowJson<'a> {
    fn from(workflow: &'a Workflow) -> Self {
        Self {
            name: &workflow.name,
            state_machine_arn: &workflow.state_machine_arn,
            activity_arn: &workflow.activity_arn,
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
            state_machine: spec.state_machine.as_ref().map(|machine| StateMachineJson {
                name: present(&machine.name),
                definition: present(&machine.definition),
                timeout_seconds: whole_seconds(machine.timeout.as_ref()),
                heartbeat_seconds: whole_seconds(machine.heartbeat.as_ref()),
            }),
            role: spec
                .role
                .as_ref()
                .map(|role| RoleJson { name: present(&role.name), managed_policies: &role.managed_policy_arns }),
            rule: spec.rule.as_ref().map(RuleJson::from),
            tags: sorted(&spec.tags),
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
