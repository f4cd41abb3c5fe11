//! The plan, pure: what an apply would do, resource by resource, field by field.

use std::fmt;

use super::{
    ACTIVITY, Action, Encryption, INLINE_POLICY, Observed, POLICY_ATTACHMENT, ProvisionError, ROLE, STATE_MACHINE,
    Settings, Spec, StepReport, Tags, activity, definition, inline_policy, policy, role, state_machine, tags,
};

/// How many differences a report of what was done tells.
const MAX_TOLD: usize = 5;

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
    /// It is there and differs in something that can't be changed: it has to be deleted and made anew.
    Replace(Vec<FieldChange>),
    /// It is as it should be.
    Unchanged,
    /// It is there and should not be.
    Delete,
}

/// What is to be done to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedAction {
    /// `activity`, `role`, `policy_attachment`, `inline_policy` or `state_machine`.
    pub resource_type: &'static str,
    /// Its name; for an attachment the policy's ARN.
    pub resource_name: String,
    /// Its ARN, where it is there and has one.
    pub arn: Option<String>,
    /// What is to be done.
    pub change: Change,
    /// What it will be made with, if it is to be made.
    pub initial: Vec<FieldChange>,
    /// Why it is not the workflow's, if it is not: then it has to be adopted.
    pub foreign: Option<String>,
}

/// What an apply would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which it would be done.
    pub actions: Vec<PlannedAction>,
}

impl Plan {
    /// Refuses to touch what is not the workflow's.
    pub(super) fn check_owners(&self) -> Result<(), ProvisionError> {
        match self.actions.iter().find(|action| action.foreign.is_some()) {
            Some(action) => Err(ProvisionError::not_owned(action.resource_type, &action.resource_name)),
            None => Ok(()),
        }
    }

    /// Refuses to delete what can't be changed in place.
    pub(super) fn check_replaced(&self) -> Result<(), ProvisionError> {
        for action in &self.actions {
            if let Change::Replace(fields) = &action.change {
                let resource = format!("{} {}", action.resource_type.replace('_', " "), action.resource_name);
                return Err(ProvisionError::ReplaceNeeded { resource, fields: told(fields) });
            }
        }
        Ok(())
    }

    /// Leaves out what only matters for resources of ours: whose they are, their tags, whom the role trusts, and how an
    /// activity is encrypted, which an attached workflow does not say.
    pub(crate) fn forget_ownership(&mut self) {
        for action in &mut self.actions {
            action.foreign = None;
            let of_activity = action.resource_type == ACTIVITY;
            if let Change::Update(fields) | Change::Replace(fields) = &mut action.change {
                fields.retain(|field| {
                    let name = field.field.as_str();
                    let ours = name.starts_with("tags.") || name.starts_with("trust_policy");
                    !(ours || of_activity && name.starts_with("encryption."))
                });
                action.change = update(std::mem::take(fields));
            }
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.iter().all(|action| action.change == Change::Unchanged && action.foreign.is_none())
    }
}

/// A field that should be `to`, if it is not.
pub(super) fn field<T: PartialEq + fmt::Display>(name: &str, from: Option<&T>, to: Option<&T>) -> Vec<FieldChange> {
    if from == to {
        return Vec::new();
    }
    let told = |value: Option<&T>| value.map(ToString::to_string);
    vec![FieldChange { field: name.to_owned(), from: told(from), to: told(to) }]
}

/// In what encryptions differ. A key may be called by its id, ARN or alias, so that an id is the same as an ARN with it.
pub(super) fn encryption(from: Option<&Encryption>, to: Option<&Encryption>) -> Vec<FieldChange> {
    let key = |one: Option<&Encryption>| one.map(|one| one.kms_key_id.clone());
    let reuse = |one: Option<&Encryption>| one.map(|one| one.data_key_reuse.as_secs());
    let same = match (from, to) {
        (Some(from), Some(to)) => from.kms_key_id.rsplit('/').next() == to.kms_key_id.rsplit('/').next(),
        (from, to) => from == to,
    };
    let mut changes = field("encryption.data_key_reuse_seconds", reuse(from).as_ref(), reuse(to).as_ref());
    if !same {
        changes.extend(field("encryption.kms_key_id", key(from).as_ref(), key(to).as_ref()));
    }
    changes
}

/// An update for these reasons, or none.
pub(super) fn update(reasons: Vec<FieldChange>) -> Change {
    if reasons.is_empty() { Change::Unchanged } else { Change::Update(reasons) }
}

/// Compares what should be with what is.
#[must_use]
pub fn plan(spec: &Spec, observed: &Observed) -> Plan {
    let mut actions: Vec<PlannedAction> =
        spec.activity_names().map(|name| plan_activity(spec, name, observed)).collect();
    actions.push(plan_role(spec, observed));
    // Another role has no policies yet.
    let replaced = actions.last().is_some_and(|role| matches!(role.change, Change::Replace(_)));
    let none = Observed::default();
    let on_role = if replaced { &none } else { observed };
    let of_role = |resource_type, (name, change): (String, Change)| PlannedAction {
        resource_type,
        resource_name: name,
        arn: None,
        change,
        initial: Vec::new(),
        foreign: None,
    };
    let attachments = policy::changes(&policy::desired(spec, observed.near()), &on_role.policies);
    actions.extend(attachments.into_iter().map(|change| of_role(POLICY_ATTACHMENT, change)));
    let inline = inline_policy::changes(spec, &on_role.inline_policies);
    actions.extend(inline.into_iter().map(|change| of_role(INLINE_POLICY, change)));
    actions.push(plan_state_machine(spec, observed, replaced));
    Plan { actions }
}

fn plan_activity(spec: &Spec, name: &str, observed: &Observed) -> PlannedAction {
    let found = observed.activities.get(name);
    let tags = found.and_then(|activity| activity.tags.as_ref());
    let change = found.map_or(Change::Create, |activity| activity::change(activity, spec));
    let made = || [tags::changes(&Tags::new(), spec), encryption(None, spec.encryption.as_ref())].concat();
    PlannedAction {
        resource_type: ACTIVITY,
        resource_name: name.to_owned(),
        arn: found.map(|activity| activity.arn.clone()),
        initial: if change == Change::Create { made() } else { Vec::new() },
        change,
        foreign: tags.and_then(|tags| tags::foreign(tags, &spec.name)),
    }
}

fn plan_role(spec: &Spec, observed: &Observed) -> PlannedAction {
    let found = observed.role.as_ref();
    let change = found.map_or(Change::Create, |role| role::change(role, spec));
    let made = || {
        [
            tags::changes(&Tags::new(), spec),
            field("path", None, Some(&spec.role.path)),
            match observed.near() {
                Some(arn) => field("trust_policy", None, Some(&role::trust_policy(role::account(arn)))),
                None => vec![FieldChange { field: "trust_policy".to_owned(), from: None, to: None }],
            },
            field("permissions_boundary", None, spec.role.permissions_boundary_arn.as_ref()),
        ]
        .concat()
    };
    PlannedAction {
        resource_type: ROLE,
        resource_name: spec.role.name.clone(),
        arn: found.map(|role| role.arn.clone()),
        initial: if change == Change::Create { made() } else { Vec::new() },
        change,
        foreign: found.and_then(|role| tags::foreign(&role.tags, &spec.name)),
    }
}

fn plan_state_machine(spec: &Spec, observed: &Observed, new_role: bool) -> PlannedAction {
    let found = observed.state_machine.as_ref().filter(|(machine, _)| !machine.deleting);
    let activity_arn = observed.activity_arn(spec);
    let definition = activity_arn.map(|arn| definition::desired(spec, arn));
    let role_arn = observed.role.as_ref().filter(|_| !new_role).map(|role| role.arn.as_str());
    let settings = state_machine::settings(spec);
    let made = || {
        let text = definition.clone().unwrap_or_else(|| definition::unresolved(spec));
        let states = definition::differences("definition", "{}", &text);
        let settings = state_machine::setting_changes(&Settings::default(), &settings);
        [tags::changes(&Tags::new(), spec), states, settings].concat()
    };
    let change = found.map_or(Change::Create, |(machine, tags)| {
        let mut changes = tags::changes(tags, spec);
        changes.extend(state_machine::changes(machine, definition.as_deref(), role_arn, &settings));
        update(changes)
    });
    PlannedAction {
        resource_type: STATE_MACHINE,
        resource_name: spec.state_machine.name.clone(),
        arn: found.map(|(machine, _)| machine.arn.clone()),
        initial: if change == Change::Create { made() } else { Vec::new() },
        change,
        foreign: found.and_then(|(_, tags)| tags::foreign(tags, &spec.name)),
    }
}

/// Differences in words, the first few of them.
fn told(changes: &[FieldChange]) -> String {
    let mut told: Vec<String> = changes.iter().take(MAX_TOLD).map(ToString::to_string).collect();
    if changes.len() > MAX_TOLD {
        told.push(format!("{} more", changes.len() - MAX_TOLD));
    }
    told.join("; ")
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
        Change::Update(changes) => (Action::Updated, Some(told(changes))),
        Change::Replace(changes) => (Action::Replaced, Some(told(changes))),
        Change::Unchanged => (Action::Unchanged, None),
        Change::Delete => (Action::Deleted, Some("the spec does not name it".to_owned())),
    };
    StepReport { resource_type, resource_name: resource_name.to_owned(), arn: arn.map(str::to_owned), action, detail }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::provision::{
        ObservedActivity, ObservedRole, ObservedStateMachine, STEP_FUNCTIONS_FULL_ACCESS, WORKFLOW,
    };

    const ACTIVITY_ARN: &str = "arn:aws:states:eu-central-1:123456789012:activity:HumanApprovalActivity";
    const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/HumanApprovalRole";
    const MACHINE_ARN: &str = "arn:aws:states:eu-central-1:123456789012:stateMachine:HumanApprovalStateMachine";

    fn as_it_should_be(spec: &Spec) -> Observed {
        let tags = tags::desired(spec);
        Observed {
            activities: [(
                spec.activity_name.clone(),
                ObservedActivity { arn: ACTIVITY_ARN.to_owned(), tags: Some(tags.clone()), encryption: None },
            )]
            .into(),
            role: Some(ObservedRole {
                arn: ROLE_ARN.to_owned(),
                path: "/".to_owned(),
                trust_policy: role::trust_policy("123456789012"),
                permissions_boundary: None,
                tags: tags.clone(),
                created: Timestamp::UNIX_EPOCH,
            }),
            policies: spec.role.managed_policy_arns.clone(),
            inline_policies: spec.role.inline_policies.clone(),
            state_machine: Some((
                ObservedStateMachine {
                    arn: MACHINE_ARN.to_owned(),
                    definition: definition::desired(spec, ACTIVITY_ARN),
                    role_arn: ROLE_ARN.to_owned(),
                    settings: Settings::default(),
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
            Change::Replace(changes) => format!("replace {}: {}", action.resource_type, super::told(changes)),
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
    fn what_cannot_be_changed_is_replaced_only_on_request() {
        let spec = Spec::reference();
        let observed = as_it_should_be(&spec);
        let mut moved = spec.clone();
        moved.role.path = "/team/".to_owned();
        let moving = plan(&moved, &observed);
        assert_eq!(
            told(&moving)[1..],
            [
                "replace role: path: / → /team/".to_owned(),
                "create policy_attachment".to_owned(),
                "update state_machine: role_arn".to_owned()
            ]
        );
        let mut locked = spec.clone();
        let key = "arn:aws:kms:eu-central-1:123456789012:key/1";
        let reuse = jiff::SignedDuration::from_secs(300);
        locked.encryption = Some(Encryption { kms_key_id: key.to_owned(), data_key_reuse: reuse });
        let locking = plan(&locked, &observed);
        assert!(told(&locking)[0].starts_with("replace activity: encryption.data_key_reuse_seconds"));
        assert!(told(&locking)[3].starts_with("update state_machine: encryption"), "{:?}", told(&locking));
        for plan in [moving, locking] {
            let error = plan.check_replaced().unwrap_err();
            assert!(matches!(error, ProvisionError::ReplaceNeeded { .. }), "{error}");
        }
        plan(&spec, &observed).check_replaced().unwrap();
    }

    #[test]
    fn every_setting_of_a_state_machine_is_compared() {
        let mut spec = Spec::reference();
        let observed = as_it_should_be(&spec);
        let group = "arn:aws:logs:eu-central-1:123456789012:log-group:g:*".to_owned();
        let level = crate::provision::LogLevel::Error;
        spec.state_machine.logging =
            Some(crate::provision::Logging { level, log_group_arn: group.clone(), include_execution_data: true });
        spec.state_machine.tracing = true;
        assert_eq!(
            told(&plan(&spec, &observed))[3],
            format!(
                "update state_machine: logging.level: OFF → ERROR; logging.log_group_arn: added {group}; \
                 logging.include_execution_data: false → true; tracing: false → true"
            )
        );
    }

    #[test]
    fn many_differences_are_counted_where_they_are_told_in_a_line() {
        let to = r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7}"#;
        let all = definition::differences("definition", "{}", to);
        assert_eq!(all.len(), 7);
        assert!(super::told(&all).ends_with("definition/e: added 5; 2 more"), "{}", super::told(&all));
    }

    #[test]
    fn what_is_to_be_made_is_told_with_its_fields() {
        let plan = plan(&Spec::reference(), &Observed::default());
        let fields: Vec<Vec<&str>> = plan
            .actions
            .iter()
            .map(|action| action.initial.iter().map(|change| change.field.as_str()).collect())
            .collect();
        assert_eq!(fields[0], ["tags.approve:managed-by", "tags.approve:workflow"]);
        assert!(fields[1].contains(&"path") && fields[1].contains(&"trust_policy"), "{fields:?}");
        assert!(fields[3].contains(&"definition/States"), "{fields:?}");
    }

    #[test]
    fn a_policy_that_is_not_needed_is_still_the_specs_word() {
        let spec = Spec::reference();
        let plan = plan(&spec, &as_it_should_be(&spec));
        assert!(plan.is_empty());
        assert_eq!(plan.actions[2].resource_name, STEP_FUNCTIONS_FULL_ACCESS);
    }
}
