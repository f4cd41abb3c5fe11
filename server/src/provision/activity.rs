//! The activities.

use jiff::SignedDuration;

use super::{
    ACTIVITY, Change, ControlPlane, ObservedActivity, ProvisionError, Spec, Tags,
    apply::{Job, Progress},
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
    let Some(encryption) = found(unthrottled(clock, || control.describe_activity(arn)).await)? else {
        return Ok(None);
    };
    let tags = found(unthrottled(clock, || control.list_tags(arn)).await)?;
    Ok(Some(ObservedActivity { arn: arn.to_owned(), tags, encryption }))
}

/// What is to be done to one. Its encryption is for good: another one takes another activity.
pub(super) fn change(activity: &ObservedActivity, spec: &Spec) -> Change {
    let mut changes = activity.tags.as_ref().map(|tags| tags::changes(tags, spec)).unwrap_or_default();
    let encrypted = plan::encryption(activity.encryption.as_ref(), spec.encryption.as_ref());
    if encrypted.is_empty() {
        return plan::update(changes);
    }
    changes.extend(encrypted);
    Change::Replace(changes)
}

/// Brings an activity to what it should be, and tells its ARN.
pub(super) async fn apply(
    job: &Job<'_>,
    name: &str,
    observed: Option<&ObservedActivity>,
) -> Result<String, ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let done = |arn: &str, change: &Change| {
        (job.tell)(Progress::Done(plan::report(ACTIVITY, name, Some(arn), change)));
        Ok(arn.to_owned())
    };
    let create = async || {
        let tags = tags::desired(spec);
        unthrottled(clock, || control.create_activity(name, spec.encryption.as_ref(), &tags)).await
    };
    let activity = match observed {
        Some(activity) => activity.clone(),
        None => {
            let arn = create().await?;
            let tags = tags_of_new(job, &arn).await?;
            if tags.as_ref().is_none_or(|tags| tags::owned(tags, &spec.name)) {
                return done(&arn, &Change::Create);
            }
            // It was there all along, and creating it again changed nothing: lists learn late.
            ObservedActivity { arn, tags, encryption: spec.encryption.clone() }
        }
    };
    if let Some(found) = &activity.tags {
        tags::check_owner(found, spec, job.options.adopt, ACTIVITY, name)?;
    }
    let change = change(&activity, spec);
    match (&change, &activity.tags) {
        (Change::Replace(_), _) => {
            found(unthrottled(clock, || control.delete_activity(&activity.arn)).await)?;
            create().await?;
        }
        (Change::Update(_), Some(found)) => {
            let missing = tags::missing(found, spec);
            unthrottled(clock, || control.tag_resource(&activity.arn, &missing)).await?;
        }
        _ => {}
    }
    done(&activity.arn, &change)
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
