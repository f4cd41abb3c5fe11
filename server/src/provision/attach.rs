//! Working for a state machine that others provision: looked at, never changed.

use super::{
    ControlPlane, Outputs, ProvisionError, RoleSpec, Spec, StateMachineSpec, inline_policy, observe::found,
    patience::unthrottled, policy, role, state_machine, steps::task_resources,
};
use crate::{approval::Rule, clock::Clock};

/// What to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// What the workflow is called here.
    pub name: String,
    /// The state machine.
    pub state_machine_arn: String,
    /// Its activities; none: all that its definition names.
    pub activity_arns: Vec<String>,
    /// The workflow's own rule.
    pub rule: Rule,
}

/// Looks at a state machine, its activities and its role, and tells them as a spec that would have made them. Only reads.
///
/// # Errors
/// Any [`ProvisionError`] but those of changes.
pub async fn attach(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    attachment: Attachment,
) -> Result<(Spec, Outputs), ProvisionError> {
    let arn = attachment.state_machine_arn;
    let machine = found(unthrottled(clock, || control.describe_state_machine(&arn)).await)?;
    let Some(machine) = machine.filter(|machine| !machine.deleting) else {
        return Err(ProvisionError::field("state_machine_arn", "there is no such state machine"));
    };
    state_machine::check_standard(&machine)?;
    let activity_arns = activities(&machine.definition, attachment.activity_arns)?;
    for arn in &activity_arns {
        if found(unthrottled(clock, || control.describe_activity(arn)).await)?.is_none() {
            return Err(ProvisionError::field("activity_arns", format!("there is no activity {arn}")));
        }
    }
    let mut names = activity_arns.iter().map(|arn| last(arn));
    let mut spec = Spec::named(&attachment.name);
    spec.activity_name = names.next().unwrap_or_default();
    spec.more_activities = names.enumerate().map(|(at, name)| (format!("activity-{}", at + 2), name)).collect();
    let arns: Vec<&String> = activity_arns.iter().take(1).collect();
    let main = arns.first().map_or("", |arn| arn.as_str());
    if spec.activity_arns(main) != activity_arns {
        let problem = "expected activities of one account and region: that of the state machine";
        return Err(ProvisionError::field("activity_arns", problem));
    }
    spec.role = read_role(control, clock, &machine.role_arn).await?;
    spec.state_machine = StateMachineSpec {
        name: last(&machine.arn),
        definition: Some(machine.definition.clone()),
        logging: machine.settings.logging,
        tracing: machine.settings.tracing,
        ..spec.state_machine
    };
    spec.encryption = machine.settings.encryption;
    spec.rule = attachment.rule;
    spec.attached = true;
    spec.check()?;
    let outputs = Outputs {
        activity_arn: main.to_owned(),
        role_arn: machine.role_arn,
        state_machine_arn: machine.arn,
        definition: machine.definition,
    };
    Ok((spec, outputs))
}

/// The activities that the definition's tasks wait for; of these those that are wanted, if any are.
fn activities(definition: &str, wanted: Vec<String>) -> Result<Vec<String>, ProvisionError> {
    let mut named = task_resources(definition);
    named.retain(|resource| resource.contains(":states:") && resource.contains(":activity:"));
    named.sort();
    named.dedup();
    if named.is_empty() {
        let message = "no state is a Task on an activity".to_owned();
        return Err(ProvisionError::InvalidDefinition { location: "/States".to_owned(), message });
    }
    if let Some(stray) = wanted.iter().find(|arn| !named.contains(arn)) {
        let problem = format!("no state of the state machine is a Task on {stray}");
        return Err(ProvisionError::field("activity_arns", problem));
    }
    Ok(if wanted.is_empty() { named } else { wanted })
}

async fn read_role(control: &dyn ControlPlane, clock: &dyn Clock, arn: &str) -> Result<RoleSpec, ProvisionError> {
    let (_, path_and_name) = arn.split_once(":role").unwrap_or_default();
    let (path, name) = path_and_name.rsplit_once('/').unwrap_or_default();
    let mut spec = RoleSpec {
        name: name.to_owned(),
        path: format!("{path}/"),
        managed_policy_arns: Vec::new(),
        inline_policies: Default::default(),
        permissions_boundary_arn: None,
    };
    if let Some(role) = role::observe(control, clock, name).await? {
        spec.managed_policy_arns = policy::observe(control, clock, name).await?;
        spec.inline_policies = inline_policy::observe(control, clock, name).await?;
        spec.permissions_boundary_arn = role.permissions_boundary;
    }
    Ok(spec)
}

fn last(arn: &str) -> String {
    arn.rsplit(':').next().unwrap_or_default().to_owned()
}
