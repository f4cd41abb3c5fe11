//! The activity.

use jiff::SignedDuration;

use super::{
    ACTIVITY, Change, ControlPlane, FieldChange, ObservedActivity, ProvisionError, Spec, StepReport, Tags,
    apply::Job,
    observe::{arn_of, found},
    patience::{Patience, unthrottled},
    plan, tags,
};
use crate::{clock::Clock, stepfunctions::CallError};

/// How long the tags of something new may take to be seen.
const SETTLE: SignedDuration = SignedDuration::from_secs(10);

pub(super) async fn observe(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    name: &str,
) -> Result<Option<ObservedActivity>, CallError> {
    match arn_of(clock, name, |next| control.list_activities(next)).await? {
        Some(arn) => describe(control, clock, &arn).await,
        None => Ok(None),
    }
}

/// An activity that is known by its ARN. Lists forget late what is deleted, and some emulators keep no tags for it.
pub(super) async fn describe(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    arn: &str,
) -> Result<Option<ObservedActivity>, CallError> {
    let tags = found(unthrottled(clock, || control.list_tags(arn)).await)?;
    if tags.is_none() && found(unthrottled(clock, || control.describe_activity(arn)).await)?.is_none() {
        return Ok(None);
    }
    Ok(Some(ObservedActivity { arn: arn.to_owned(), tags }))
}

pub(super) fn changes(activity: &ObservedActivity, spec: &Spec) -> Vec<FieldChange> {
    activity.tags.as_ref().map(|tags| tags::changes(tags, spec)).unwrap_or_default()
}

/// Brings the activity to what it should be, and tells its ARN.
pub(super) async fn apply(
    job: &Job<'_>,
    observed: Option<ObservedActivity>,
) -> Result<(String, StepReport), ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let name = spec.activity_name.as_str();
    let activity = match observed {
        Some(activity) => activity,
        None => {
            let tags = tags::desired(spec);
            let arn = unthrottled(clock, || control.create_activity(name, &tags)).await?;
            let tags = tags_of_new(job, &arn).await?;
            if tags.as_ref().is_none_or(|tags| tags::owned(tags, &spec.name)) {
                let report = plan::report(ACTIVITY, name, Some(&arn), &Change::Create);
                return Ok((arn, report));
            }
            // It was there all along, and creating it again changed nothing: lists learn late.
            ObservedActivity { arn, tags }
        }
    };
    if let Some(found) = &activity.tags {
        tags::check_owner(found, spec, job.adopt, ACTIVITY, name)?;
        let missing = tags::missing(found, spec);
        if !missing.is_empty() {
            unthrottled(clock, || control.tag_resource(&activity.arn, &missing)).await?;
        }
    }
    let report = plan::report(ACTIVITY, name, Some(&activity.arn), &tags::update(changes(&activity, spec)));
    Ok((activity.arn, report))
}

/// The tags of what was just made, or of what was there instead. New tags take a moment to be seen. `None`: nobody knows
/// of any.
pub(super) async fn tags_of_new(job: &Job<'_>, arn: &str) -> Result<Option<Tags>, CallError> {
    let mut patience = Patience::new(job.clock, SETTLE);
    loop {
        let tags = found(unthrottled(job.clock, || job.control.list_tags(arn)).await)?;
        if tags.as_ref().is_some_and(Tags::is_empty) && patience.wait().await {
            continue;
        }
        return Ok(tags);
    }
}
