use approve_client::proto::{FieldChange, Plan, PlannedAction, PlannedResource};
use serde::Serialize;

use super::present;
use crate::output::names::Name;

#[derive(Serialize)]
pub(crate) struct PlanJson<'a> {
    resources: Vec<ResourceJson<'a>>,
    warnings: Vec<WarningJson<'a>>,
}

#[derive(Serialize)]
struct ResourceJson<'a> {
    action: String,
    resource_type: &'a str,
    resource_name: &'a str,
    arn: Option<&'a str>,
    fields: Vec<FieldJson<'a>>,
    not_ours: Option<&'a str>,
}

#[derive(Serialize)]
struct FieldJson<'a> {
    field: &'a str,
    before: Option<&'a str>,
    after: Option<&'a str>,
    known_later: bool,
}

#[derive(Serialize)]
struct WarningJson<'a> {
    field: &'a str,
    message: &'a str,
}

impl<'a> From<&'a Plan> for PlanJson<'a> {
    fn from(plan: &'a Plan) -> Self {
        let warnings = plan.warnings.iter();
        Self {
            resources: plan.resources.iter().map(ResourceJson::from).collect(),
            warnings: warnings.map(|one| WarningJson { field: &one.field, message: &one.message }).collect(),
        }
    }
}

impl<'a> From<&'a PlannedResource> for ResourceJson<'a> {
    fn from(resource: &'a PlannedResource) -> Self {
        Self {
            action: PlannedAction::lower(resource.action),
            resource_type: &resource.resource_type,
            resource_name: &resource.resource_name,
            arn: present(&resource.arn),
            fields: resource.fields.iter().map(FieldJson::from).collect(),
            not_ours: present(&resource.not_ours),
        }
    }
}

impl<'a> From<&'a FieldChange> for FieldJson<'a> {
    fn from(change: &'a FieldChange) -> Self {
        Self {
            field: &change.field,
            before: change.before.as_deref(),
            after: change.after.as_deref(),
            known_later: change.known_later,
        }
    }
}
