//! What is there.

use std::{collections::BTreeMap, future::Future};

use super::{
    ControlPlane, Encryption, Named, ObservedRole, ObservedStateMachine, Page, Spec, Tags, activity, inline_policy,
    patience::unthrottled, policy, role, state_machine,
};
use crate::{
    clock::Clock,
    stepfunctions::{CallError, Failure},
};

/// An activity of a workflow's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedActivity {
    /// Its ARN.
    pub arn: String,
    /// Its tags; `None` where the endpoint keeps none for activities, as some emulators do.
    pub tags: Option<Tags>,
    /// Its encryption, if it is with a key of the customer's.
    pub encryption: Option<Encryption>,
}

/// What there is of the names that a spec gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// The activities, by name.
    pub activities: BTreeMap<String, ObservedActivity>,
    /// The execution role.
    pub role: Option<ObservedRole>,
    /// ARNs of the managed policies attached to the role.
    pub policies: Vec<String>,
    /// The role's inline policies by name: JSON text.
    pub inline_policies: BTreeMap<String, String>,
    /// The state machine, and its tags.
    pub state_machine: Option<(ObservedStateMachine, Tags)>,
}

impl Observed {
    /// The ARN of a spec's main activity.
    pub(super) fn activity_arn(&self, spec: &Spec) -> Option<&str> {
        self.activities.get(&spec.activity_name).map(|activity| activity.arn.as_str())
    }

    /// Any ARN that AWS gave for what is there: it tells partition and account.
    pub(super) fn near(&self) -> Option<&str> {
        let activity = self.activities.values().next().map(|activity| activity.arn.as_str());
        let role = || self.role.as_ref().map(|role| role.arn.as_str());
        let machine = || self.state_machine.as_ref().map(|(machine, _)| machine.arn.as_str());
        activity.or_else(role).or_else(machine)
    }
}

/// Looks for a spec's resources by name. Only reads. Waits out throttling, for half a minute at most for each call.
pub async fn observe(control: &dyn ControlPlane, clock: &dyn Clock, spec: &Spec) -> Result<Observed, CallError> {
    let mut activities = BTreeMap::new();
    for name in spec.activity_names() {
        if let Some(activity) = activity::observe(control, clock, name).await? {
            activities.insert(name.to_owned(), activity);
        }
    }
    let role = role::observe(control, clock, &spec.role.name).await?;
    let (policies, inline_policies) = match &role {
        Some(_) => (
            policy::observe(control, clock, &spec.role.name).await?,
            inline_policy::observe(control, clock, &spec.role.name).await?,
        ),
        None => Default::default(),
    };
    let state_machine = state_machine::observe(control, clock, &spec.state_machine.name).await?;
    Ok(Observed { activities, role, policies, inline_policies, state_machine })
}

/// What a call found, or nothing if there is no such thing.
pub(super) fn found<T>(outcome: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.failure == Failure::Gone => Ok(None),
        Err(error) => Err(error),
    }
}

/// Everything in a list.
pub(super) async fn all<T, F>(clock: &dyn Clock, page: impl Fn(Option<String>) -> F) -> Result<Vec<T>, CallError>
where
    F: Future<Output = Result<Page<T>, CallError>>,
{
    let (mut items, mut next) = (Vec::new(), None);
    loop {
        let answer = unthrottled(clock, || page(next.clone())).await?;
        items.extend(answer.items);
        next = answer.next;
        if next.is_none() {
            return Ok(items);
        }
    }
}

/// The ARN of the one of that name in a list.
pub(super) async fn arn_of<F>(
    clock: &dyn Clock,
    name: &str,
    page: impl Fn(Option<String>) -> F,
) -> Result<Option<String>, CallError>
where
    F: Future<Output = Result<Page<Named>, CallError>>,
{
    let mut next = None;
    loop {
        let answer = unthrottled(clock, || page(next.clone())).await?;
        if let Some(found) = answer.items.into_iter().find(|item| item.name == name) {
            return Ok(Some(found.arn));
        }
        next = answer.next;
        if next.is_none() {
            return Ok(None);
        }
    }
}
