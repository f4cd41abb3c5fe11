//! The plan, pure: what an apply would do, resource by resource, field by field.

use std::fmt;

use super::{
    ACTIVITY, Action, Observed, POLICY_ATTACHMENT, ProvisionError, ROLE, STATE_MACHINE, STEP_FUNCTIONS_FULL_ACCESS,
    Spec, StepReport, activity, definition, policy, role, state_machine, tags,
};

/// One field that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Its path in the resource.
    pub field: String,
    /// What it is; `None` if it is not there.
    pub from: Option<String>,
    /// What it should be; `None` if it should not be there. Neither: it is only known after another resource is made.
    pub to: Option<String>,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{}: {from} → {to}", self.field),
            (None, Some(to)) => write!(f, "{}: added {to}", self.field),
            (Some(from), None) => write!(f, "{}: removed {from}", self.field),
            (None, None) => f.write_str(&self.field),
        }
    }
}

/// What is to be done to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is not there.
    Create,
    /// It is there and differs, in these fields.
    Update(Vec<FieldChange>),
    /// It is as it should be.
    Unchanged,
    /// It is there and should not be.
    Delete,
}

/// What is to be done to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedAction {
    /// `activity`, `role`, `policy_attachment` or `state_machine`.
    pub resource_type: &'static str,
    /// Its name; for an attachment the policy's ARN.
    pub resource_name: String,
    /// Its ARN, where it is there and has one.
    pub arn: Option<String>,
    /// What is to be done.
    pub change: Change,
    /// Why it is not the workflow's, if it is not: then it has to be adopted.
    pub foreign: Option<String>,
}

/// What an apply would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which it would be done.
    pub actions: Vec<PlannedAction>,
    /// What the user may want to think about.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Refuses to touch what is not the workflow's.
    pub(super) fn check_owners(&self) -> Result<(), ProvisionError> {
        match self.actions.iter().find(|action| action.foreign.is_some()) {
            Some(action) => Err(ProvisionError::not_owned(action.resource_type, &action.resource_name)),
            None => Ok(()),
        }
    }
}

/// Compares what should be with what is.
#[must_use]
pub fn plan(spec: &Spec, observed: &Observed) -> Plan {
    let mut actions = vec![plan_activity(spec, observed), plan_role(spec, observed)];
    let near = observed.activity.as_ref().map(|activity| activity.arn.as_str());
    let near = near.or_else(|| observed.role.as_ref().map(|role| role.arn.as_str()));
    let attachments = policy::changes(&policy::desired(spec, near), &observed.policies);
    actions.extend(attachments.into_iter().map(|(arn, change)| PlannedAction {
        resource_type: POLICY_ATTACHMENT,
        resource_name: arn,
        arn: None,
        change,
        foreign: None,
    }));
    actions.push(plan_state_machine(spec, observed));
    Plan { actions, warnings: warnings(spec) }
}

fn plan_activity(spec: &Spec, observed: &Observed) -> PlannedAction {
    let found = observed.activity.as_ref();
    let tags = found.and_then(|activity| activity.tags.as_ref());
    PlannedAction {
        resource_type: ACTIVITY,
        resource_name: spec.activity_name.clone(),
        arn: found.map(|activity| activity.arn.clone()),
        change: found.map_or(Change::Create, |activity| tags::update(activity::changes(activity, spec))),
        foreign: tags.and_then(|tags| tags::foreign(tags, &spec.name)),
    }
}

fn plan_role(spec: &Spec, observed: &Observed) -> PlannedAction {
    let found = observed.role.as_ref();
    PlannedAction {
        resource_type: ROLE,
        resource_name: spec.role.name.clone(),
        arn: found.map(|role| role.arn.clone()),
        change: found.map_or(Change::Create, |role| tags::update(role::changes(role, spec))),
        foreign: found.and_then(|role| tags::foreign(&role.tags, &spec.name)),
    }
}

fn plan_state_machine(spec: &Spec, observed: &Observed) -> PlannedAction {
    let found = observed.state_machine.as_ref().filter(|(machine, _)| !machine.deleting);
    let definition = observed.activity.as_ref().map(|activity| definition::desired(spec, &activity.arn));
    let role_arn = observed.role.as_ref().map(|role| role.arn.as_str());
    PlannedAction {
        resource_type: STATE_MACHINE,
        resource_name: spec.state_machine.name.clone(),
        arn: found.map(|(machine, _)| machine.arn.clone()),
        change: found.map_or(Change::Create, |(machine, tags)| {
            let mut changes = tags::changes(tags, spec);
            changes.extend(state_machine::changes(machine, definition.as_deref(), role_arn));
            tags::update(changes)
        }),
        foreign: found.and_then(|(_, tags)| tags::foreign(tags, &spec.name)),
    }
}

fn warnings(spec: &Spec) -> Vec<String> {
    let mut warnings = Vec::new();
    let full = |arn: &String| policy::same_managed(arn, STEP_FUNCTIONS_FULL_ACCESS);
    if spec.state_machine.definition.is_none() && spec.role.managed_policy_arns.iter().any(full) {
        let text = "role.managed_policy_arns: AWSStepFunctionsFullAccess lets the state machine do everything in Step \
                    Functions; one that only waits for an activity needs no policy at all";
        warnings.push(text.to_owned());
    }
    warnings
}

/// What was done, told from what was to be done.
pub(super) fn report(
    resource_type: &'static str,
    resource_name: &str,
    arn: Option<&str>,
    change: &Change,
) -> StepReport {
    let (action, detail) = match change {
        Change::Create => (Action::Created, None),
        Change::Update(changes) => {
            let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
            (Action::Updated, Some(told.join("; ")))
        }
        Change::Unchanged => (Action::Unchanged, None),
        Change::Delete => (Action::Deleted, Some("the spec does not name it".to_owned())),
    };
    StepReport { resource_type, resource_name: resource_name.to_owned(), arn: arn.map(str::to_owned), action, detail }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::provision::{ObservedActivity, ObservedRole, ObservedStateMachine, Tags, WORKFLOW};

    const ACTIVITY_ARN: &str = "arn:aws:states:eu-central-1:123456789012:activity:HumanApprovalActivity";
    const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/HumanApprovalRole";
    const MACHINE_ARN: &str = "arn:aws:states:eu-central-1:123456789012:stateMachine:HumanApprovalStateMachine";

    fn as_it_should_be(spec: &Spec) -> Observed {
        let tags = tags::desired(spec);
        Observed {
            activity: Some(ObservedActivity { arn: ACTIVITY_ARN.to_owned(), tags: Some(tags.clone()) }),
            role: Some(ObservedRole {
                arn: ROLE_ARN.to_owned(),
                trust_policy: role::trust_policy(),
                tags: tags.clone(),
                created: Timestamp::UNIX_EPOCH,
            }),
            policies: spec.role.managed_policy_arns.clone(),
            state_machine: Some((
                ObservedStateMachine {
                    arn: MACHINE_ARN.to_owned(),
                    definition: definition::desired(spec, ACTIVITY_ARN),
                    role_arn: ROLE_ARN.to_owned(),
                    standard: true,
                    deleting: false,
                },
                tags,
            )),
        }
    }

    fn told(plan: &Plan) -> Vec<String> {
        let tell = |action: &PlannedAction| match &action.change {
            Change::Create => format!("create {}", action.resource_type),
            Change::Update(changes) => {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                format!("update {}: {}", action.resource_type, changes.join("; "))
            }
            Change::Unchanged => format!("keep {}", action.resource_type),
            Change::Delete => format!("delete {} {}", action.resource_type, action.resource_name),
        };
        plan.actions.iter().map(tell).collect()
    }

    #[test]
    fn of_nothing_everything_is_created_in_order() {
        let plan = plan(&Spec::reference(), &Observed::default());
        assert_eq!(told(&plan), ["create activity", "create role", "create policy_attachment", "create state_machine"]);
    }

    #[test]
    fn what_is_as_it_should_be_is_kept() {
        let spec = Spec::reference();
        let plan = plan(&spec, &as_it_should_be(&spec));
        assert_eq!(told(&plan), ["keep activity", "keep role", "keep policy_attachment", "keep state_machine"]);
        assert!(plan.actions.iter().all(|action| action.foreign.is_none()));
        plan.check_owners().unwrap();
    }

    #[test]
    fn drift_is_told_field_by_field() {
        let mut spec = Spec::reference();
        let mut observed = as_it_should_be(&spec);
        spec.tags.insert("team".to_owned(), "payments".to_owned());
        spec.state_machine.timeout = jiff::SignedDuration::from_secs(600);
        observed.policies = vec!["arn:aws:iam::aws:policy/AdministratorAccess".to_owned()];
        observed.role.as_mut().unwrap().trust_policy = "{}".to_owned();
        let (machine, tags) = observed.state_machine.as_mut().unwrap();
        machine.role_arn = "arn:aws:iam::123456789012:role/other".to_owned();
        tags.insert("team".to_owned(), "risk".to_owned());
        let told = told(&plan(&spec, &observed));
        assert_eq!(told[0], "update activity: tags.team: added \"payments\"");
        assert!(told[1].starts_with("update role: tags.team: added \"payments\"; trust_policy"), "{}", told[1]);
        assert_eq!(told[2], "create policy_attachment");
        assert_eq!(told[3], "delete policy_attachment arn:aws:iam::aws:policy/AdministratorAccess");
        assert_eq!(
            told[4],
            format!(
                "update state_machine: tags.team: \"risk\" → \"payments\"; \
                 definition/States/ApprovalStep/TimeoutSeconds: 300 → 600; \
                 role_arn: arn:aws:iam::123456789012:role/other → {ROLE_ARN}"
            )
        );
    }

    #[test]
    fn what_depends_on_a_new_resource_is_known_later() {
        let spec = Spec::reference();
        let mut observed = as_it_should_be(&spec);
        observed.role = None;
        observed.policies.clear();
        assert_eq!(told(&plan(&spec, &observed))[3], "update state_machine: role_arn");
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let spec = Spec::reference();
        type Damage = fn(&mut Tags);
        let damages: [Damage; 2] = [Tags::clear, |tags| drop(tags.insert(WORKFLOW.to_owned(), "other".to_owned()))];
        for damage in damages {
            let mut observed = as_it_should_be(&spec);
            damage(&mut observed.role.as_mut().unwrap().tags);
            let error = plan(&spec, &observed).check_owners().unwrap_err();
            assert!(
                matches!(&error, ProvisionError::NotOwned { resource } if resource == "role HumanApprovalRole"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_state_machine_that_is_being_deleted_is_created_anew() {
        let spec = Spec::reference();
        let mut observed = as_it_should_be(&spec);
        let (machine, tags) = observed.state_machine.as_mut().unwrap();
        machine.deleting = true;
        tags.clear();
        let plan = plan(&spec, &observed);
        assert_eq!(told(&plan)[3], "create state_machine");
        plan.check_owners().unwrap();
    }

    #[test]
    fn more_rights_than_needed_are_warned_of() {
        let mut spec = Spec::reference();
        assert!(plan(&spec, &Observed::default()).warnings[0].contains("needs no policy"));
        spec.role.managed_policy_arns.clear();
        assert!(plan(&spec, &Observed::default()).warnings.is_empty());
    }
}
