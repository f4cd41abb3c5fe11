//! An AWS in memory, with the traps of the real one, that fails where it is told to; and a clock that jumps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::{
    ControlPlane, Diagnostic, Encryption, MachineInput, Named, NewRole, ObservedRole, ObservedStateMachine, Page,
    STEP_FUNCTIONS_FULL_ACCESS, Settings, Tags,
};
use crate::{
    clock::Clock,
    stepfunctions::{CallError, Failure},
};

/// Sleeping moves it.
#[derive(Debug)]
pub(super) struct JumpClock(Mutex<Timestamp>);

#[async_trait]
impl Clock for JumpClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut now = self.0.lock().unwrap();
        *now = deadline.max(*now);
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It has no effect.
    Before,
    /// It has its effect, and the answer is lost.
    After,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Role {
    pub(super) path: String,
    pub(super) trust_policy: String,
    pub(super) boundary: Option<String>,
    pub(super) tags: Tags,
    pub(super) created: Timestamp,
    pub(super) trusted: Timestamp,
    pub(super) attached: BTreeSet<String>,
    pub(super) inline: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Machine {
    pub(super) definition: String,
    pub(super) role_arn: String,
    pub(super) settings: Settings,
    pub(super) tags: Tags,
    pub(super) express: bool,
    pub(super) gone_at: Option<Timestamp>,
}

/// What there is, by name. ARNs end in names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Resources {
    pub(super) activities: BTreeMap<String, Tags>,
    /// Of the activities that have one.
    pub(super) encryption: BTreeMap<String, Encryption>,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) machines: BTreeMap<String, Machine>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) resources: Resources,
    /// Each call, and whether it writes.
    pub(super) calls: Vec<(&'static str, bool)>,
    /// Which call fails, and how.
    pub(super) fault: Option<(usize, Fault)>,
    /// So many calls are throttled first.
    pub(super) throttled: usize,
    /// How long Step Functions takes to learn of a role.
    pub(super) role_lag: SignedDuration,
    /// Lists know nothing.
    pub(super) stale_lists: bool,
    /// Names that lists still tell, though there is nothing of that name.
    pub(super) ghosts: BTreeSet<String>,
    /// Activities have no tags.
    pub(super) no_activity_tags: bool,
    /// What validation finds.
    pub(super) diagnostics: Vec<Diagnostic>,
}

pub(super) struct Fake {
    pub(super) clock: Arc<JumpClock>,
    state: Mutex<State>,
}

const ACTIVITY: &str = "arn:aws:states:eu-central-1:123456789012:activity:";
const MACHINE: &str = "arn:aws:states:eu-central-1:123456789012:stateMachine:";
const ROLE: &str = "arn:aws:iam::123456789012:role";

impl Fake {
    pub(super) fn new() -> Self {
        let clock = JumpClock(Mutex::new("2026-01-01T00:00:00Z".parse().unwrap()));
        Self { clock: Arc::new(clock), state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn pass(&self, time: SignedDuration) {
        let mut now = self.clock.0.lock().unwrap();
        *now += time;
    }

    /// The calls made since it was last asked.
    pub(super) fn take_calls(&self) -> Vec<(&'static str, bool)> {
        std::mem::take(&mut self.state().calls)
    }

    fn call<T>(
        &self,
        operation: &'static str,
        writes: bool,
        act: impl FnOnce(&mut State, Timestamp) -> Result<T, &'static str>,
    ) -> Result<T, CallError> {
        let now = self.clock.now();
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push((operation, writes));
        let lost = CallError { failure: Failure::Unknown, operation, code: None, message: "lost".to_owned() };
        if state.fault == Some((number, Fault::Before)) {
            return Err(lost);
        }
        if state.throttled > 0 {
            state.throttled -= 1;
            return Err(error(operation, "ThrottlingException"));
        }
        let outcome = act(&mut state, now);
        if state.fault == Some((number, Fault::After)) {
            return Err(lost);
        }
        outcome.map_err(|code| error(operation, code))
    }
}

fn error(operation: &'static str, code: &str) -> CallError {
    let failure = match code {
        "ThrottlingException" => Failure::Throttled,
        "AccessDeniedException" => Failure::Denied,
        code if code.ends_with("DoesNotExist") => Failure::Gone,
        "NoSuchEntity" | "ResourceNotFound" => Failure::Gone,
        _ => Failure::Refused,
    };
    CallError { failure, operation, code: Some(code.to_owned()), message: format!("{code}, says AWS") }
}

fn observed(name: &str, role: &Role) -> ObservedRole {
    ObservedRole {
        arn: format!("{ROLE}{}{name}", role.path),
        path: role.path.clone(),
        trust_policy: role.trust_policy.clone(),
        permissions_boundary: role.boundary.clone(),
        tags: role.tags.clone(),
        created: role.created,
    }
}

fn last(arn: &str) -> &str {
    arn.rsplit([':', '/']).next().unwrap()
}

impl State {
    fn role(&mut self, name: &str) -> Result<&mut Role, &'static str> {
        self.resources.roles.get_mut(name).ok_or("NoSuchEntity")
    }

    fn machine(&mut self, arn: &str, now: Timestamp) -> Result<&mut Machine, &'static str> {
        self.resources.machines.retain(|_, machine| machine.gone_at.is_none_or(|gone| gone > now));
        self.resources.machines.get_mut(last(arn)).ok_or("StateMachineDoesNotExist")
    }

    fn tags(&mut self, arn: &str, now: Timestamp) -> Result<&mut Tags, &'static str> {
        if arn.starts_with(ACTIVITY) {
            let hidden = self.no_activity_tags;
            return self.resources.activities.get_mut(last(arn)).filter(|_| !hidden).ok_or("ResourceNotFound");
        }
        self.machine(arn, now).map(|machine| &mut machine.tags).map_err(|_| "ResourceNotFound")
    }

    /// Whether Step Functions can assume a role by now.
    fn assume(&self, role_arn: &str, now: Timestamp) -> Result<(), &'static str> {
        let role = self.resources.roles.get(last(role_arn)).ok_or("AccessDeniedException")?;
        let known = role.trust_policy.contains("states.amazonaws.com") && role.trusted + self.role_lag <= now;
        if known { Ok(()) } else { Err("AccessDeniedException") }
    }
}

fn one_by_one(names: impl Iterator<Item = String>, prefix: &str, next: Option<String>) -> Page<Named> {
    let mut rest = names.skip_while(|name| next.as_ref().is_some_and(|next| name < next));
    let items = rest.next().map(|name| Named { arn: format!("{prefix}{name}"), name });
    Page { items: items.into_iter().collect(), next: rest.next() }
}

#[async_trait]
impl ControlPlane for Fake {
    async fn list_activities(&self, next: Option<String>) -> Result<Page<Named>, CallError> {
        self.call("ListActivities", false, |state, _| {
            let names = state.resources.activities.keys().filter(|_| !state.stale_lists);
            let names: BTreeSet<String> = names.chain(&state.ghosts).cloned().collect();
            Ok(one_by_one(names.into_iter(), ACTIVITY, next))
        })
    }

    async fn describe_activity(&self, arn: &str) -> Result<Option<Encryption>, CallError> {
        self.call("DescribeActivity", false, |state, _| {
            state.resources.activities.get(last(arn)).ok_or("ActivityDoesNotExist")?;
            Ok(state.resources.encryption.get(last(arn)).cloned())
        })
    }

    async fn create_activity(
        &self,
        name: &str,
        encryption: Option<&Encryption>,
        tags: &Tags,
    ) -> Result<String, CallError> {
        self.call("CreateActivity", true, |state, _| {
            if !state.resources.activities.contains_key(name) {
                state.resources.activities.insert(name.to_owned(), tags.clone());
                let encryption = encryption.map(|one| (name.to_owned(), one.clone()));
                state.resources.encryption.extend(encryption);
            } else if state.resources.encryption.get(name) != encryption {
                return Err("ActivityAlreadyExists");
            }
            Ok(format!("{ACTIVITY}{name}"))
        })
    }

    async fn delete_activity(&self, arn: &str) -> Result<(), CallError> {
        self.call("DeleteActivity", true, |state, _| {
            state.resources.activities.remove(last(arn));
            state.resources.encryption.remove(last(arn));
            Ok(())
        })
    }

    async fn list_tags(&self, arn: &str) -> Result<Tags, CallError> {
        self.call("ListTagsForResource", false, |state, now| state.tags(arn, now).cloned())
    }

    async fn tag_resource(&self, arn: &str, tags: &Tags) -> Result<(), CallError> {
        self.call("TagResource", true, |state, now| {
            state.tags(arn, now)?.extend(tags.clone());
            Ok(())
        })
    }

    async fn list_state_machines(&self, next: Option<String>) -> Result<Page<Named>, CallError> {
        self.call("ListStateMachines", false, |state, now| {
            let _ = state.machine("", now);
            let names = state.resources.machines.keys().filter(|_| !state.stale_lists);
            let names: BTreeSet<String> = names.chain(&state.ghosts).cloned().collect();
            Ok(one_by_one(names.into_iter(), MACHINE, next))
        })
    }

    async fn describe_state_machine(&self, arn: &str) -> Result<ObservedStateMachine, CallError> {
        self.call("DescribeStateMachine", false, |state, now| {
            state.machine(arn, now).map(|machine| ObservedStateMachine {
                arn: arn.to_owned(),
                definition: machine.definition.clone(),
                role_arn: machine.role_arn.clone(),
                settings: machine.settings.clone(),
                standard: !machine.express,
                deleting: machine.gone_at.is_some(),
            })
        })
    }

    async fn create_state_machine(
        &self,
        name: &str,
        input: MachineInput<'_>,
        tags: &Tags,
    ) -> Result<String, CallError> {
        let MachineInput { definition, role_arn, settings } = input;
        self.call("CreateStateMachine", true, |state, now| {
            let arn = format!("{MACHINE}{name}");
            if !state.diagnostics.is_empty() {
                return Err("InvalidDefinition");
            }
            match state.machine(&arn, now) {
                Ok(machine) if machine.gone_at.is_some() => return Err("StateMachineDeleting"),
                Ok(machine) if machine.definition == definition && machine.settings == *settings => return Ok(arn),
                Ok(_) => return Err("StateMachineAlreadyExists"),
                Err(_) => {}
            }
            state.assume(role_arn, now)?;
            let machine = Machine {
                definition: definition.to_owned(),
                role_arn: role_arn.to_owned(),
                settings: settings.clone(),
                tags: tags.clone(),
                ..Machine::default()
            };
            state.resources.machines.insert(name.to_owned(), machine);
            Ok(arn)
        })
    }

    async fn update_state_machine(&self, arn: &str, input: MachineInput<'_>) -> Result<(), CallError> {
        let MachineInput { definition, role_arn, settings } = input;
        self.call("UpdateStateMachine", true, |state, now| {
            state.assume(role_arn, now)?;
            let machine = state.machine(arn, now)?;
            (machine.definition, machine.role_arn) = (definition.to_owned(), role_arn.to_owned());
            machine.settings = settings.clone();
            Ok(())
        })
    }

    async fn delete_state_machine(&self, arn: &str) -> Result<(), CallError> {
        self.call("DeleteStateMachine", true, |state, now| {
            if let Ok(machine) = state.machine(arn, now) {
                machine.gone_at = Some(now + SignedDuration::from_secs(20));
            }
            Ok(())
        })
    }

    async fn validate_definition(&self, _definition: &str) -> Result<Vec<Diagnostic>, CallError> {
        self.call("ValidateStateMachineDefinition", false, |state, _| Ok(state.diagnostics.clone()))
    }

    async fn get_role(&self, name: &str) -> Result<ObservedRole, CallError> {
        self.call("GetRole", false, |state, _| state.role(name).map(|role| observed(name, role)))
    }

    async fn create_role(&self, new: NewRole<'_>) -> Result<ObservedRole, CallError> {
        self.call("CreateRole", true, |state, now| {
            if state.resources.roles.contains_key(new.name) {
                return Err("EntityAlreadyExists");
            }
            let role = Role {
                path: new.path.to_owned(),
                trust_policy: new.trust_policy.to_owned(),
                boundary: new.permissions_boundary.map(str::to_owned),
                tags: new.tags.clone(),
                created: now,
                trusted: now,
                ..Role::default()
            };
            let observed = observed(new.name, &role);
            state.resources.roles.insert(new.name.to_owned(), role);
            Ok(observed)
        })
    }

    async fn update_trust_policy(&self, name: &str, trust_policy: &str) -> Result<(), CallError> {
        self.call("UpdateAssumeRolePolicy", true, |state, now| {
            let role = state.role(name)?;
            (role.trust_policy, role.trusted) = (trust_policy.to_owned(), now);
            Ok(())
        })
    }

    async fn set_permissions_boundary(&self, name: &str, policy_arn: Option<&str>) -> Result<(), CallError> {
        let operation = match policy_arn {
            Some(_) => "PutRolePermissionsBoundary",
            None => "DeleteRolePermissionsBoundary",
        };
        self.call(operation, true, |state, _| {
            state.role(name)?.boundary = policy_arn.map(str::to_owned);
            Ok(())
        })
    }

    async fn tag_role(&self, name: &str, tags: &Tags) -> Result<(), CallError> {
        self.call("TagRole", true, |state, _| {
            state.role(name)?.tags.extend(tags.clone());
            Ok(())
        })
    }

    async fn delete_role(&self, name: &str) -> Result<(), CallError> {
        self.call("DeleteRole", true, |state, _| {
            let role = state.role(name)?;
            if !role.attached.is_empty() || !role.inline.is_empty() {
                return Err("DeleteConflict");
            }
            state.resources.roles.remove(name);
            Ok(())
        })
    }

    async fn list_attached_policies(&self, role: &str, next: Option<String>) -> Result<Page<String>, CallError> {
        self.call("ListAttachedRolePolicies", false, |state, _| {
            let page = one_by_one(state.role(role)?.attached.iter().cloned(), "", next);
            Ok(Page { items: page.items.into_iter().map(|item| item.arn).collect(), next: page.next })
        })
    }

    async fn attach_policy(&self, role: &str, policy_arn: &str) -> Result<(), CallError> {
        self.call("AttachRolePolicy", true, |state, _| {
            let role = state.role(role)?;
            if policy_arn != STEP_FUNCTIONS_FULL_ACCESS {
                return Err("NoSuchEntity");
            }
            role.attached.insert(policy_arn.to_owned());
            Ok(())
        })
    }

    async fn detach_policy(&self, role: &str, policy_arn: &str) -> Result<(), CallError> {
        self.call("DetachRolePolicy", true, |state, _| {
            let removed = state.role(role)?.attached.remove(policy_arn);
            if removed { Ok(()) } else { Err("NoSuchEntity") }
        })
    }

    async fn list_inline_policies(&self, role: &str, next: Option<String>) -> Result<Page<String>, CallError> {
        self.call("ListRolePolicies", false, |state, _| {
            let page = one_by_one(state.role(role)?.inline.keys().cloned(), "", next);
            Ok(Page { items: page.items.into_iter().map(|item| item.name).collect(), next: page.next })
        })
    }

    async fn get_inline_policy(&self, role: &str, policy: &str) -> Result<String, CallError> {
        self.call("GetRolePolicy", false, |state, _| {
            state.role(role)?.inline.get(policy).cloned().ok_or("NoSuchEntity")
        })
    }

    async fn put_inline_policy(&self, role: &str, policy: &str, document: &str) -> Result<(), CallError> {
        self.call("PutRolePolicy", true, |state, _| {
            state.role(role)?.inline.insert(policy.to_owned(), document.to_owned());
            Ok(())
        })
    }

    async fn delete_inline_policy(&self, role: &str, policy: &str) -> Result<(), CallError> {
        self.call("DeleteRolePolicy", true, |state, _| {
            state.role(role)?.inline.remove(policy).map(drop).ok_or("NoSuchEntity")
        })
    }
}
