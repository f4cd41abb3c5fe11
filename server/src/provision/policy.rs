//! The managed policies attached to the execution role.

use jiff::SignedDuration;

use super::{
    Change, ControlPlane, POLICY_ATTACHMENT, ProvisionError, Spec,
    apply::{Job, Progress},
    observe::{all, found},
    patience::{Patience, unthrottled},
    plan,
};
use crate::{
    clock::Clock,
    stepfunctions::{CallError, Failure},
};

/// How long a new role may take to be seen by all of IAM.
const SETTLE: SignedDuration = SignedDuration::from_secs(10);

/// Policies of AWS's own, in the partition that a spec is written for.
pub(super) const AWS_MANAGED: &str = "arn:aws:iam::aws:policy/";

/// The policies that should be attached. AWS's own go by another name in each partition: theirs is that of `near`, an
/// ARN that AWS gave.
pub(super) fn desired(spec: &Spec, near: Option<&str>) -> Vec<String> {
    let partition = near.and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
    let local = |arn: &String| match arn.strip_prefix(AWS_MANAGED) {
        Some(name) => format!("arn:{partition}:iam::aws:policy/{name}"),
        None => arn.clone(),
    };
    spec.role.managed_policy_arns.iter().map(local).collect()
}

/// Whether two ARNs mean the same policy of AWS's own.
pub(super) fn same_managed(one: &str, other: &str) -> bool {
    let after_partition = |arn: &str| arn.splitn(3, ':').nth(2).map(str::to_owned);
    after_partition(one) == after_partition(other)
}

pub(super) async fn observe(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    role: &str,
) -> Result<Vec<String>, CallError> {
    Ok(found(all(clock, |next| control.list_attached_policies(role, next)).await)?.unwrap_or_default())
}

/// What is to be done: first what should be attached, then what should not.
pub(super) fn changes(desired: &[String], observed: &[String]) -> Vec<(String, Change)> {
    let wanted = desired.iter().map(|arn| {
        let change = if observed.contains(arn) { Change::Unchanged } else { Change::Create };
        (arn.clone(), change)
    });
    let unwanted = observed.iter().filter(|arn| !desired.contains(arn)).map(|arn| (arn.clone(), Change::Delete));
    wanted.chain(unwanted).collect()
}

pub(super) async fn apply(job: &Job<'_>, near: &str, observed: &[String]) -> Result<(), ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let role = spec.role.name.as_str();
    for (arn, change) in changes(&desired(spec, Some(near)), observed) {
        match change {
            Change::Create => attach(job, &arn).await?,
            Change::Delete => {
                found(unthrottled(clock, || control.detach_policy(role, &arn)).await)?;
            }
            Change::Update(_) | Change::Replace(_) | Change::Unchanged => {}
        }
        (job.tell)(Progress::Done(plan::report(POLICY_ATTACHMENT, &arn, None, &change)));
    }
    Ok(())
}

async fn attach(job: &Job<'_>, arn: &str) -> Result<(), ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let role = spec.role.name.as_str();
    let mut patience = Patience::new(clock, SETTLE);
    loop {
        let Err(error) = unthrottled(clock, || control.attach_policy(role, arn)).await else { return Ok(()) };
        let blame = |problem: &str| {
            Err(ProvisionError::field("role.managed_policy_arns", format!("{arn}: {problem}: {}", error.message)))
        };
        if error.failure == Failure::Gone {
            // The role, or the policy? IAM gives one code for both.
            if found(unthrottled(clock, || control.get_role(role)).await)?.is_some() {
                return blame("there is no such policy");
            }
            if patience.wait().await {
                continue;
            }
        }
        if matches!(
            error.code.as_deref(),
            Some("PolicyNotAttachable" | "InvalidInput" | "ValidationError" | "ValidationException")
        ) {
            return blame("it can't be attached to a role");
        }
        return Err(error.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::STEP_FUNCTIONS_FULL_ACCESS;

    #[test]
    fn policies_of_aws_follow_the_partition() {
        let mut spec = Spec::reference();
        let own = "arn:aws:iam::123456789012:policy/own".to_owned();
        spec.role.managed_policy_arns.push(own.clone());
        let near = Some("arn:aws-cn:states:cn-north-1:123456789012:activity:A");
        assert_eq!(desired(&spec, near), ["arn:aws-cn:iam::aws:policy/AWSStepFunctionsFullAccess", own.as_str()]);
        assert_eq!(desired(&spec, None), [STEP_FUNCTIONS_FULL_ACCESS, own.as_str()]);
    }

    #[test]
    fn attachments_are_compared_as_sets() {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let changes = changes(&own(&["a", "b"]), &own(&["c", "b"]));
        let expected = [("a", Change::Create), ("b", Change::Unchanged), ("c", Change::Delete)]
            .map(|(arn, change)| (arn.to_owned(), change));
        assert_eq!(changes, expected);
    }
}
