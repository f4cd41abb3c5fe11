//! The execution role.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    Change, ControlPlane, FieldChange, NewRole, ObservedRole, ProvisionError, ROLE, Spec,
    apply::{Job, Progress},
    definition, destroy,
    observe::found,
    patience::unthrottled,
    plan, tags,
};
use crate::{clock::Clock, stepfunctions::CallError};

/// How old a role is that Step Functions surely can assume.
const KNOWN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// A role that is as it should be.
pub(super) struct Applied {
    pub(super) arn: String,
    /// Whether it is so new that Step Functions may not know of it yet.
    pub(super) fresh: bool,
    /// Whether it is another one than there was: it has no policies yet.
    pub(super) replaced: bool,
}

/// Lets Step Functions assume the role, for state machines of this account alone: otherwise somebody else's could be made
/// to use it.
pub(super) fn trust_policy(account: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        }],
    })
    .to_string()
}

/// The account in an ARN.
pub(super) fn account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

pub(super) async fn observe(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    name: &str,
) -> Result<Option<ObservedRole>, CallError> {
    found(unthrottled(clock, || control.get_role(name)).await)
}

/// What is to be done to it. Its path is for good: another one takes another role.
pub(super) fn change(role: &ObservedRole, spec: &Spec) -> Change {
    let mut changes = tags::changes(&role.tags, spec);
    changes.extend(trust_changes(role));
    let boundary = spec.role.permissions_boundary_arn.as_ref();
    changes.extend(plan::field("permissions_boundary", role.permissions_boundary.as_ref(), boundary));
    let moved = plan::field("path", Some(&role.path), Some(&spec.role.path));
    if moved.is_empty() {
        return plan::update(changes);
    }
    changes.extend(moved);
    Change::Replace(changes)
}

fn trust_changes(role: &ObservedRole) -> Vec<FieldChange> {
    definition::differences("trust_policy", &role.trust_policy, &trust_policy(account(&role.arn)))
}

/// Brings the role to what it should be, but for its policies. `near` is an ARN of its account.
pub(super) async fn apply(
    job: &Job<'_>,
    near: &str,
    observed: Option<ObservedRole>,
) -> Result<Applied, ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let name = spec.role.name.as_str();
    let done = |role: ObservedRole, change: &Change, fresh: bool| {
        (job.tell)(Progress::Done(plan::report(ROLE, name, Some(&role.arn), change)));
        Ok(Applied { arn: role.arn, fresh, replaced: matches!(change, Change::Replace(_)) })
    };
    let (trust, tags) = (trust_policy(account(near)), tags::desired(spec));
    let new = NewRole {
        name,
        path: &spec.role.path,
        trust_policy: &trust,
        permissions_boundary: spec.role.permissions_boundary_arn.as_deref(),
        tags: &tags,
    };
    let role = match observed {
        Some(role) => role,
        None => match unthrottled(clock, || control.create_role(new)).await {
            Ok(role) => return done(role, &Change::Create, true),
            // It was there all along: reads learn late.
            Err(error) if error.code.as_deref() == Some("EntityAlreadyExists") => {
                observe(control, clock, name).await?.ok_or(error)?
            }
            Err(error) => return Err(error.into()),
        },
    };
    tags::check_owner(&role.tags, spec, job.options.adopt, ROLE, name)?;
    let change = change(&role, spec);
    if matches!(change, Change::Replace(_)) {
        destroy::strip_role(control, name).await?;
        found(unthrottled(clock, || control.delete_role(name)).await)?;
        let role = unthrottled(clock, || control.create_role(new)).await?;
        return done(role, &change, true);
    }
    let missing = tags::missing(&role.tags, spec);
    if !missing.is_empty() {
        unthrottled(clock, || control.tag_role(name, &missing)).await?;
    }
    let distrusted = !trust_changes(&role).is_empty();
    if distrusted {
        unthrottled(clock, || control.update_trust_policy(name, &trust)).await?;
    }
    if role.permissions_boundary.as_deref() != new.permissions_boundary {
        unthrottled(clock, || control.set_permissions_boundary(name, new.permissions_boundary)).await?;
    }
    let fresh = distrusted || is_young(role.created, clock.now());
    done(role, &change, fresh)
}

fn is_young(created: Timestamp, now: Timestamp) -> bool {
    now.duration_since(created) < KNOWN_AFTER
}
