//! Deleting a workflow's resources: state machine, policies, role, activities, in that order.

use std::future::Future;

use super::{
    ACTIVITY, Action, ControlPlane, INLINE_POLICY, POLICY_ATTACHMENT, Page, ProvisionError, ROLE, STATE_MACHINE,
    StepReport, observe::found, tags,
};
use crate::{stepfunctions::CallError, store::WorkflowRecord};

const GONE: &str = "it was gone already";

/// Deletes a workflow's resources, those that are ours, and tells what became of each. May be repeated after a failure.
///
/// # Errors
/// [`ProvisionError::Call`].
pub async fn destroy(control: &dyn ControlPlane, record: &WorkflowRecord) -> Result<Vec<StepReport>, ProvisionError> {
    let mut steps = vec![state_machine(control, record).await?];
    role(control, record, &mut steps).await?;
    let arns = record.spec.activity_arns(&record.activity_arn);
    for (name, arn) in record.spec.activity_names().zip(&arns) {
        steps.push(activity(control, &record.name, name, arn).await?);
    }
    Ok(steps)
}

async fn state_machine(control: &dyn ControlPlane, record: &WorkflowRecord) -> Result<StepReport, CallError> {
    let arn = record.state_machine_arn.as_str();
    let report = |action, detail: Option<String>| {
        Ok(step(STATE_MACHINE, &record.spec.state_machine.name, Some(arn), action, detail))
    };
    let Some(machine) = found(control.describe_state_machine(arn).await)? else {
        return report(Action::Skipped, Some(GONE.to_owned()));
    };
    if machine.deleting {
        return report(Action::Skipped, Some("it is being deleted already".to_owned()));
    }
    let tags = found(control.list_tags(arn).await)?.unwrap_or_default();
    if let Some(foreign) = tags::foreign(&tags, &record.name) {
        return report(Action::Skipped, Some(foreign));
    }
    found(control.delete_state_machine(arn).await)?;
    report(Action::Deleted, None)
}

async fn role(
    control: &dyn ControlPlane,
    record: &WorkflowRecord,
    steps: &mut Vec<StepReport>,
) -> Result<(), CallError> {
    let name = record.spec.role.name.as_str();
    let report = |arn: &str, action, detail: Option<String>| step(ROLE, name, Some(arn), action, detail);
    let Some(role) = found(control.get_role(name).await)? else {
        steps.push(report(&record.role_arn, Action::Skipped, Some(GONE.to_owned())));
        return Ok(());
    };
    if let Some(foreign) = tags::foreign(&role.tags, &record.name) {
        steps.push(report(&role.arn, Action::Skipped, Some(foreign)));
        return Ok(());
    }
    let (attached, inline) = strip_role(control, name).await?;
    let mut gone = |resource_type, policies: Vec<String>| {
        steps.extend(policies.iter().map(|policy| step(resource_type, policy, None, Action::Deleted, None)));
    };
    gone(POLICY_ATTACHMENT, attached);
    gone(INLINE_POLICY, inline);
    found(control.delete_role(name).await)?;
    steps.push(report(&role.arn, Action::Deleted, None));
    Ok(())
}

/// Takes all policies from a role, and tells the ARNs of the attached and the names of the inline ones.
pub(super) async fn strip_role(
    control: &dyn ControlPlane,
    name: &str,
) -> Result<(Vec<String>, Vec<String>), CallError> {
    let attached = listed(|next| control.list_attached_policies(name, next)).await?;
    for policy in &attached {
        found(control.detach_policy(name, policy).await)?;
    }
    let inline = listed(|next| control.list_inline_policies(name, next)).await?;
    for policy in &inline {
        found(control.delete_inline_policy(name, policy).await)?;
    }
    Ok((attached, inline))
}

async fn activity(control: &dyn ControlPlane, workflow: &str, name: &str, arn: &str) -> Result<StepReport, CallError> {
    let report = |action, detail: Option<String>| Ok(step(ACTIVITY, name, Some(arn), action, detail));
    match found(control.list_tags(arn).await)? {
        Some(tags) => {
            if let Some(foreign) = tags::foreign(&tags, workflow) {
                return report(Action::Skipped, Some(foreign));
            }
        }
        // Some emulators keep no tags for activities; that we applied it has to do.
        None => {
            if found(control.describe_activity(arn).await)?.is_none() {
                return report(Action::Skipped, Some(GONE.to_owned()));
            }
        }
    }
    found(control.delete_activity(arn).await)?;
    report(Action::Deleted, None)
}

/// Everything in a list; nothing if what it belongs to is gone.
async fn listed<W>(page: impl Fn(Option<String>) -> W) -> Result<Vec<String>, CallError>
where
    W: Future<Output = Result<Page<String>, CallError>>,
{
    let (mut items, mut next) = (Vec::new(), None);
    loop {
        let Some(answer) = found(page(next).await)? else { return Ok(items) };
        items.extend(answer.items);
        next = answer.next;
        if next.is_none() {
            return Ok(items);
        }
    }
}

fn step(
    resource_type: &'static str,
    name: &str,
    arn: Option<&str>,
    action: Action,
    detail: Option<String>,
) -> StepReport {
    StepReport { resource_type, resource_name: name.to_owned(), arn: arn.map(str::to_owned), action, detail }
}
