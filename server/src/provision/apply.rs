//! Applying a spec: activities, role, policies, state machine, in that order.

use std::sync::{Mutex, PoisonError};

use super::{
    ControlPlane, Plan, ProvisionError, Spec, StepReport, activity, definition, inline_policy, observe, plan, policy,
    role, state_machine,
};
use crate::clock::Clock;

/// What a workflow's resources are, once they are as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// The main activity's ARN.
    pub activity_arn: String,
    /// The execution role's ARN.
    pub role_arn: String,
    /// The state machine's ARN.
    pub state_machine_arn: String,
    /// The definition, as it was applied.
    pub definition: String,
}

/// What an apply may do that it does not do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Take over what exists and is not ours.
    pub adopt: bool,
    /// Delete and make anew what can't be changed in place.
    pub replace: bool,
    /// Do so even while approvals are pending.
    pub force: bool,
}

/// How far an apply is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// What it is going to do: comes first.
    Planned(Plan),
    /// A resource is as it should be.
    Done(StepReport),
    /// It waits for something, and says for what and how long at most.
    Waiting(String),
    /// It failed, and this is what there is and what is still to be done.
    Failed(Plan),
}

/// What every part of an apply needs.
pub(super) struct Job<'a> {
    pub(super) control: &'a dyn ControlPlane,
    pub(super) clock: &'a dyn Clock,
    pub(super) spec: &'a Spec,
    pub(super) options: Options,
    pub(super) tell: &'a (dyn Fn(Progress) + Send + Sync),
}

/// Brings a workflow's resources to what the spec says, and tells of each as it is done.
///
/// Everything is looked at before anything is changed: a malformed spec, a definition that Step Functions refuses or a
/// resource that is not ours changes nothing of what exists. What is as it should be is not touched. After a failure at
/// any step the same call goes on from there. Tags that the spec does not name are other people's, and stay. Waits, by
/// `clock`, for quota (30 s a call) and for Step Functions to learn of a new role (60 s).
///
/// # Errors
/// Any [`ProvisionError`]. If something was changed by then, what there is is told before.
pub async fn apply(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    spec: &Spec,
    options: Options,
    progress: impl FnMut(Progress) + Send,
) -> Result<Outputs, ProvisionError> {
    let progress = Mutex::new(progress);
    let tell = |event: Progress| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        (*progress)(event);
    };
    let job = Job { control, clock, spec, options, tell: &tell };
    let observed = prepare(&job).await?;
    let outcome = carry_out(&job, observed).await;
    if outcome.is_err() {
        // Best effort: what stopped the apply may stop this, too.
        if let Ok(observed) = observe(control, clock, spec).await {
            tell(Progress::Failed(plan(spec, &observed)));
        }
    }
    outcome
}

/// What an apply would do. Changes nothing, and refuses what an apply refuses, but for what is not ours or would have to
/// be replaced: that is in the plan.
///
/// # Errors
/// [`ProvisionError::Field`], [`ProvisionError::InvalidDefinition`] and [`ProvisionError::Call`].
pub async fn preview(control: &dyn ControlPlane, clock: &dyn Clock, spec: &Spec) -> Result<Plan, ProvisionError> {
    look(control, clock, spec).await.map(|(_, plan)| plan)
}

async fn look(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    spec: &Spec,
) -> Result<(super::Observed, Plan), ProvisionError> {
    spec.check()?;
    let observed = observe(control, clock, spec).await?;
    if let Some((machine, _)) = observed.state_machine.as_ref().filter(|(machine, _)| !machine.deleting) {
        state_machine::check_standard(machine)?;
    }
    definition::check_waits(spec, observed.activity_arn(spec))?;
    state_machine::validate(control, clock, spec, &observed).await?;
    let plan = plan(spec, &observed);
    Ok((observed, plan))
}

/// Everything that can be known before the first write.
async fn prepare(job: &Job<'_>) -> Result<super::Observed, ProvisionError> {
    let &Job { control, clock, spec, options, tell } = job;
    let (observed, plan) = look(control, clock, spec).await?;
    if !options.adopt {
        plan.check_owners()?;
    }
    if !options.replace {
        plan.check_replaced()?;
    }
    tell(Progress::Planned(plan));
    Ok(observed)
}

async fn carry_out(job: &Job<'_>, observed: super::Observed) -> Result<Outputs, ProvisionError> {
    let &Job { spec, .. } = job;
    let mut arns = Vec::new();
    for name in spec.activity_names() {
        arns.push(activity::apply(job, name, observed.activities.get(name)).await?);
    }
    let activity_arn = arns.swap_remove(0);

    let definition = definition::desired(spec, &activity_arn);
    definition::check_waits(spec, Some(&activity_arn))?;

    let role = role::apply(job, &activity_arn, observed.role).await?;
    let (policies, inline) = match role.replaced {
        true => Default::default(),
        false => (observed.policies, observed.inline_policies),
    };
    policy::apply(job, &activity_arn, &policies).await?;
    inline_policy::apply(job, &inline).await?;

    let settings = state_machine::settings(spec);
    let desired = state_machine::Desired {
        definition: &definition,
        role_arn: &role.arn,
        settings: &settings,
        fresh_role: role.fresh,
    };
    let state_machine_arn = state_machine::apply(job, observed.state_machine, &desired).await?;
    Ok(Outputs { activity_arn, role_arn: role.arn, state_machine_arn, definition })
}
