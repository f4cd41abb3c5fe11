//! The execution role.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Change, ControlPlane, FieldChange, ObservedRole, ProvisionError, ROLE, Spec, StepReport, apply::Job, definition,
    observe::found, patience::unthrottled, plan, tags,
};
use crate::{clock::Clock, stepfunctions::CallError};

/// How old a role is that Step Functions surely can assume.
const KNOWN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// A role that is as it should be.
pub(super) struct Applied {
    pub(super) arn: String,
    /// Whether it is so new that Step Functions may not know of it yet.
    pub(super) fresh: bool,
    pub(super) report: StepReport,
}

/// Lets Step Functions assume the role.
pub(super) fn trust_policy() -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }],
    })
    .to_string()
}

pub(super) async fn observe(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    name: &str,
) -> Result<Option<ObservedRole>, CallError> {
    found(unthrottled(clock, || control.get_role(name)).await)
}

pub(super) fn changes(role: &ObservedRole, spec: &Spec) -> Vec<FieldChange> {
    let mut changes = tags::changes(&role.tags, spec);
    changes.extend(trust_changes(role));
    changes
}

fn trust_changes(role: &ObservedRole) -> Vec<FieldChange> {
    definition::differences("trust_policy", &role.trust_policy, &trust_policy())
}

pub(super) async fn apply(job: &Job<'_>, observed: Option<ObservedRole>) -> Result<Applied, ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let name = spec.role.name.as_str();
    let role = match observed {
        Some(role) => role,
        None => {
            let (trust, tags) = (trust_policy(), tags::desired(spec));
            match unthrottled(clock, || control.create_role(name, &trust, &tags)).await {
                Ok(role) => {
                    let report = plan::report(ROLE, name, Some(&role.arn), &Change::Create);
                    return Ok(Applied { arn: role.arn, fresh: true, report });
                }
                // It was there all along: reads learn late.
                Err(error) if error.code.as_deref() == Some("EntityAlreadyExists") => {
                    observe(control, clock, name).await?.ok_or(error)?
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    tags::check_owner(&role.tags, spec, job.adopt, ROLE, name)?;
    let missing = tags::missing(&role.tags, spec);
    if !missing.is_empty() {
        unthrottled(clock, || control.tag_role(name, &missing)).await?;
    }
    let distrusted = !trust_changes(&role).is_empty();
    if distrusted {
        let trust = trust_policy();
        unthrottled(clock, || control.update_trust_policy(name, &trust)).await?;
    }
    let report = plan::report(ROLE, name, Some(&role.arn), &tags::update(changes(&role, spec)));
    Ok(Applied { fresh: distrusted || is_young(role.created, clock.now()), arn: role.arn, report })
}

fn is_young(created: Timestamp, now: Timestamp) -> bool {
    now.duration_since(created) < KNOWN_AFTER
}
