//! Deleting a workflow's resources: state machine, policies, role, activities, in that order.

use std::future::Future;

use super::{
    ACTIVITY, Action, ControlPlane, INLINE_POLICY, POLICY_ATTACHMENT, Page, ProvisionError, ROLE, STATE_MACHINE, Spec,
    StepReport,
    observe::{found, observe},
    tags,
};
use crate::{clock::Clock, stepfunctions::CallError, store::WorkflowRecord};

const GONE: &str = "it was gone already";
const NONE: &str = "there is none";

/// What is to be deleted: names, and the ARNs of what is there.
struct Stack<'a> {
    spec: &'a Spec,
    state_machine_arn: Option<String>,
    role_arn: Option<String>,
    /// In the order of the spec.
    activity_arns: Vec<Option<String>>,
}

/// Deletes a workflow's resources, those that are ours, and tells what became of each. May be repeated after a failure.
///
/// # Errors
/// [`ProvisionError::Incomplete`].
pub async fn destroy(control: &dyn ControlPlane, record: &WorkflowRecord) -> Result<Vec<StepReport>, ProvisionError> {
    let stack = Stack {
        spec: &record.spec,
        state_machine_arn: Some(record.state_machine_arn.clone()),
        role_arn: Some(record.role_arn.clone()),
        activity_arns: record.spec.activity_arns(&record.activity_arn).into_iter().map(Some).collect(),
    };
    stack.destroy(control).await
}

/// Deletes what there is of the names that a spec gives, as far as it is ours: what an apply that never succeeded left
/// behind. Tells what became of each, and may be repeated after a failure.
///
/// # Errors
/// [`ProvisionError::Field`] for a malformed spec, [`ProvisionError::Call`] if nothing was deleted,
/// [`ProvisionError::Incomplete`].
pub async fn destroy_spec(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    spec: &Spec,
) -> Result<Vec<StepReport>, ProvisionError> {
    spec.check()?;
    let observed = observe(control, clock, spec).await?;
    let activity = |name: &str| observed.activities.get(name).map(|activity| activity.arn.clone());
    let stack = Stack {
        spec,
        state_machine_arn: observed.state_machine.as_ref().map(|(machine, _)| machine.arn.clone()),
        role_arn: observed.role.as_ref().map(|role| role.arn.clone()),
        activity_arns: spec.activity_names().map(activity).collect(),
    };
    stack.destroy(control).await
}

impl Stack<'_> {
    async fn destroy(&self, control: &dyn ControlPlane) -> Result<Vec<StepReport>, ProvisionError> {
        let mut steps = Vec::new();
        match self.delete(control, &mut steps).await {
            Ok(()) => Ok(steps),
            Err(failed) => Err(ProvisionError::Incomplete { left: self.left(&steps).join(", "), failed }),
        }
    }

    async fn delete(&self, control: &dyn ControlPlane, steps: &mut Vec<StepReport>) -> Result<(), CallError> {
        steps.push(self.state_machine(control).await?);
        self.role(control, steps).await?;
        for (name, arn) in self.spec.activity_names().zip(&self.activity_arns) {
            steps.push(activity(control, &self.spec.name, name, arn.as_deref()).await?);
        }
        Ok(())
    }

    /// Names of what may still be there.
    fn left(&self, steps: &[StepReport]) -> Vec<String> {
        let Spec { state_machine, role, .. } = self.spec;
        let activities = self.spec.activity_names().map(|name| (ACTIVITY, name));
        let all =
            [(STATE_MACHINE, state_machine.name.as_str()), (ROLE, role.name.as_str())].into_iter().chain(activities);
        let done =
            |of: &(&str, &str)| steps.iter().any(|step| (step.resource_type, step.resource_name.as_str()) == *of);
        let left = all.filter(|one| !done(one));
        left.map(|(resource_type, name)| format!("{} {name}", resource_type.replace('_', " "))).collect()
    }

    async fn state_machine(&self, control: &dyn ControlPlane) -> Result<StepReport, CallError> {
        let Self { spec, state_machine_arn, .. } = self;
        let report = |action, detail: Option<String>| {
            Ok(step(STATE_MACHINE, &spec.state_machine.name, state_machine_arn.as_deref(), action, detail))
        };
        let Some(arn) = state_machine_arn else { return report(Action::Skipped, Some(NONE.to_owned())) };
        let Some(machine) = found(control.describe_state_machine(arn).await)? else {
            return report(Action::Skipped, Some(GONE.to_owned()));
        };
        if machine.deleting {
            return report(Action::Skipped, Some("it is being deleted already".to_owned()));
        }
        let tags = found(control.list_tags(arn).await)?.unwrap_or_default();
        if let Some(foreign) = tags::foreign(&tags, &spec.name) {
            return report(Action::Skipped, Some(foreign));
        }
        found(control.delete_state_machine(arn).await)?;
        report(Action::Deleted, None)
    }

    async fn role(&self, control: &dyn ControlPlane, steps: &mut Vec<StepReport>) -> Result<(), CallError> {
        let name = self.spec.role.name.as_str();
        let report = |arn: Option<&str>, action, detail: Option<String>| step(ROLE, name, arn, action, detail);
        let Some(role) = found(control.get_role(name).await)? else {
            let why = if self.role_arn.is_some() { GONE } else { NONE };
            steps.push(report(self.role_arn.as_deref(), Action::Skipped, Some(why.to_owned())));
            return Ok(());
        };
        if let Some(foreign) = tags::foreign(&role.tags, &self.spec.name) {
            steps.push(report(Some(&role.arn), Action::Skipped, Some(foreign)));
            return Ok(());
        }
        let (attached, inline) = strip_role(control, name).await?;
        let mut gone = |resource_type, policies: Vec<String>| {
            steps.extend(policies.iter().map(|policy| step(resource_type, policy, None, Action::Deleted, None)));
        };
        gone(POLICY_ATTACHMENT, attached);
        gone(INLINE_POLICY, inline);
        found(control.delete_role(name).await)?;
        steps.push(report(Some(&role.arn), Action::Deleted, None));
        Ok(())
    }
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

async fn activity(
    control: &dyn ControlPlane,
    workflow: &str,
    name: &str,
    arn: Option<&str>,
) -> Result<StepReport, CallError> {
    let report = |action, detail: Option<String>| Ok(step(ACTIVITY, name, arn, action, detail));
    let Some(arn) = arn else { return report(Action::Skipped, Some(NONE.to_owned())) };
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
