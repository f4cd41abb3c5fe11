//! Applying a spec: activity, role, policies, state machine, in that order.

use super::{
    ControlPlane, ProvisionError, Spec, StepReport, activity, definition, observe, plan, policy, role, state_machine,
};
use crate::clock::Clock;

/// What a workflow's resources are, once they are as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// The activity's ARN.
    pub activity_arn: String,
    /// The execution role's ARN.
    pub role_arn: String,
    /// The state machine's ARN.
    pub state_machine_arn: String,
    /// The definition, as it was applied.
    pub definition: String,
}

/// What every part of an apply needs.
pub(super) struct Job<'a> {
    pub(super) control: &'a dyn ControlPlane,
    pub(super) clock: &'a dyn Clock,
    pub(super) spec: &'a Spec,
    /// Whether to take over what exists and is not ours.
    pub(super) adopt: bool,
}

/// Brings a workflow's resources to what the spec says, and reports each as it is done.
///
/// Everything is looked at before anything is changed: a malformed spec, a definition that Step Functions refuses or a
/// resource that is not ours changes nothing of what exists. What is as it should be is not touched. After a failure at
/// any step the same call goes on from there. Tags that the spec does not name are other people's, and stay. Waits, by
/// `clock`, for quota (30 s a call) and for Step Functions to learn of a new role (60 s).
///
/// # Errors
/// Any [`ProvisionError`].
pub async fn apply(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    spec: &Spec,
    adopt: bool,
    mut report: impl FnMut(StepReport) + Send,
) -> Result<Outputs, ProvisionError> {
    spec.check()?;
    let job = Job { control, clock, spec, adopt };
    let observed = observe(control, clock, spec).await?;
    let plan = plan(spec, &observed);
    if !adopt {
        plan.check_owners()?;
    }
    definition::check_waits(spec, observed.activity.as_ref().map(|activity| activity.arn.as_str()))?;

    let (activity_arn, done) = activity::apply(&job, observed.activity).await?;
    report(done);

    let definition = definition::desired(spec, &activity_arn);
    definition::check_waits(spec, Some(&activity_arn))?;
    let known = observed.state_machine.as_ref().map(|(machine, _)| machine.definition.as_str());
    let same = known.is_some_and(|known| definition::differences("definition", known, &definition).is_empty());
    if spec.state_machine.definition.is_some() && !same {
        state_machine::validate(&job, &definition).await?;
    }

    let role = role::apply(&job, observed.role).await?;
    report(role.report);

    policy::apply(&job, &activity_arn, &observed.policies, &mut report).await?;

    let desired = state_machine::Desired { definition: &definition, role_arn: &role.arn, fresh_role: role.fresh };
    let (state_machine_arn, done) = state_machine::apply(&job, observed.state_machine, &desired).await?;
    report(done);

    Ok(Outputs { activity_arn, role_arn: role.arn, state_machine_arn, definition })
}
