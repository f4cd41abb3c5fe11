//! The state machine.

use std::future::Future;

use jiff::SignedDuration;

use super::{
    Change, ControlPlane, Diagnostic, FieldChange, MachineInput, Observed, ObservedStateMachine, Placeholders,
    ProvisionError, STATE_MACHINE, Settings, Spec, Tags,
    activity::tags_of_new,
    apply::{Job, Progress},
    definition,
    observe::{arn_of, found},
    patience::{Patience, unthrottled},
    plan, tags,
};
use crate::{clock::Clock, stepfunctions::CallError};

/// How long Step Functions may take to learn of a new role.
const ROLE_KNOWN: SignedDuration = SignedDuration::from_secs(60);
/// How long a state machine of the same name may take to go.
const DELETED: SignedDuration = SignedDuration::from_secs(60);
/// How long something new may take to be seen.
const SETTLE: SignedDuration = SignedDuration::from_secs(10);

/// What the state machine should be, once its activity and its role are there.
pub(super) struct Desired<'a> {
    pub(super) definition: &'a str,
    pub(super) role_arn: &'a str,
    pub(super) settings: &'a Settings,
    /// Whether the role is so new that Step Functions may not know of it yet.
    pub(super) fresh_role: bool,
}

impl<'a> Desired<'a> {
    fn input(&self) -> MachineInput<'a> {
        MachineInput { definition: self.definition, role_arn: self.role_arn, settings: self.settings }
    }
}

/// The settings that a spec asks for.
pub(super) fn settings(spec: &Spec) -> Settings {
    let machine = &spec.state_machine;
    Settings { logging: machine.logging.clone(), tracing: machine.tracing, encryption: spec.encryption.clone() }
}

pub(super) async fn observe(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    name: &str,
) -> Result<Option<(ObservedStateMachine, Tags)>, CallError> {
    match arn_of(clock, name, |next| control.list_state_machines(next)).await? {
        Some(arn) => describe(control, clock, &arn).await,
        None => Ok(None),
    }
}

async fn describe(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    arn: &str,
) -> Result<Option<(ObservedStateMachine, Tags)>, CallError> {
    let Some(machine) = found(unthrottled(clock, || control.describe_state_machine(arn)).await)? else {
        return Ok(None);
    };
    let tags = found(unthrottled(clock, || control.list_tags(arn)).await)?;
    Ok(Some((machine, tags.unwrap_or_default())))
}

/// In what it differs, but for tags. `None`: known only after another resource is made.
pub(super) fn changes(
    machine: &ObservedStateMachine,
    definition: Option<&str>,
    role_arn: Option<&str>,
    settings: &Settings,
) -> Vec<FieldChange> {
    let later = |field: &str| FieldChange { field: field.to_owned(), from: None, to: None };
    let mut changes = match definition {
        Some(definition) => definition::differences("definition", &machine.definition, definition),
        None => vec![later("definition")],
    };
    changes.extend(match role_arn {
        Some(role_arn) => plan::field("role_arn", Some(&machine.role_arn), Some(&role_arn.to_owned())),
        None => vec![later("role_arn")],
    });
    changes.extend(setting_changes(&machine.settings, settings));
    changes
}

pub(super) fn setting_changes(from: &Settings, to: &Settings) -> Vec<FieldChange> {
    let group = |settings: &Settings| settings.logging.as_ref().map(|logging| logging.log_group_arn.clone());
    let level = |settings: &Settings| settings.logging.as_ref().map_or("OFF", |logging| logging.level.name());
    let data = |settings: &Settings| settings.logging.as_ref().is_some_and(|logging| logging.include_execution_data);
    [
        plan::field("logging.level", Some(&level(from)), Some(&level(to))),
        plan::field("logging.log_group_arn", group(from).as_ref(), group(to).as_ref()),
        plan::field("logging.include_execution_data", Some(&data(from)), Some(&data(to))),
        plan::field("tracing", Some(&from.tracing), Some(&to.tracing)),
        plan::encryption(from.encryption.as_ref(), to.encryption.as_ref()),
    ]
    .concat()
}

/// Refuses one that can't wait for people.
pub(super) fn check_standard(machine: &ObservedStateMachine) -> Result<(), ProvisionError> {
    if machine.standard {
        return Ok(());
    }
    let problem = "a state machine of that name is of type EXPRESS: its executions end after five minutes and can't wait \
                   for an activity, and the type is for good; choose another name";
    Err(ProvisionError::field("state_machine.name", problem))
}

/// Asks Step Functions about a user's definition, unless it is the one that is there.
pub(super) async fn validate(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    spec: &Spec,
    observed: &Observed,
) -> Result<(), ProvisionError> {
    let Some(text) = &spec.state_machine.definition else { return Ok(()) };
    let activity_arn = observed.activity_arn(spec);
    let definition = match activity_arn {
        Some(arn) => definition::desired(spec, arn),
        None => Placeholders::anywhere(spec).substitute(text),
    };
    let known = observed.state_machine.as_ref().filter(|(machine, _)| !machine.deleting);
    let same = |known: &str| definition::differences("definition", known, &definition).is_empty();
    if known.is_some_and(|(machine, _)| same(&machine.definition)) {
        return Ok(());
    }
    let found = diagnose(control, clock, &definition).await;
    // An activity that is yet to be made is in an account and a region that are only assumed.
    let assumed = |one: &Diagnostic| {
        activity_arn.is_none() && one.location.as_ref().is_some_and(|location| location.ends_with("/Resource"))
    };
    reject(found.into_iter().filter(|one| !assumed(one)).collect())
}

/// What Step Functions holds against a definition. Not everybody may ask, and not every endpoint answers: then nothing, and
/// making the state machine asks again.
async fn diagnose(control: &dyn ControlPlane, clock: &dyn Clock, definition: &str) -> Vec<Diagnostic> {
    unthrottled(clock, || control.validate_definition(definition)).await.unwrap_or_default()
}

/// The first place, and all that is wrong.
fn reject(diagnostics: Vec<Diagnostic>) -> Result<(), ProvisionError> {
    let place = |one: &Diagnostic| one.location.clone().unwrap_or_else(|| "/".to_owned());
    let Some((first, others)) = diagnostics.split_first() else { return Ok(()) };
    let mut message = first.message.clone();
    for other in others {
        message.push_str(&format!("; and at {}: {}", place(other), other.message));
    }
    Err(ProvisionError::InvalidDefinition { location: place(first), message })
}

pub(super) async fn apply(
    job: &Job<'_>,
    observed: Option<(ObservedStateMachine, Tags)>,
    desired: &Desired<'_>,
) -> Result<String, ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let name = spec.state_machine.name.as_str();
    match observed.filter(|(machine, _)| !machine.deleting) {
        Some((machine, tags)) => update(job, machine, tags, desired).await,
        None => {
            let tags = tags::desired(spec);
            let create = || control.create_state_machine(name, desired.input(), &tags);
            match once_ready(job, desired, create).await {
                Ok((arn, waited)) => created(job, arn, waited, desired).await,
                // It was there all along: lists learn late.
                Err(ProvisionError::Call(error)) if error.code.as_deref() == Some("StateMachineAlreadyExists") => {
                    let mut patience = Patience::new(clock, SETTLE);
                    loop {
                        if let Some((machine, tags)) = observe(control, clock, name).await? {
                            return update(job, machine, tags, desired).await;
                        }
                        if !patience.wait().await {
                            return Err(error.into());
                        }
                    }
                }
                Err(error) => Err(error),
            }
        }
    }
}

/// Looks at what was created: where one with that name and definition was there, role and tags are still its own.
async fn created(
    job: &Job<'_>,
    arn: String,
    waited: Option<SignedDuration>,
    desired: &Desired<'_>,
) -> Result<String, ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let tags = tags_of_new(job, &arn).await?;
    let machine = found(unthrottled(clock, || control.describe_state_machine(&arn)).await)?;
    let ours = tags.as_ref().is_none_or(|tags| tags::owned(tags, &spec.name));
    let same = |machine: &ObservedStateMachine| {
        let changes = changes(machine, Some(desired.definition), Some(desired.role_arn), desired.settings);
        machine.standard && changes.is_empty()
    };
    match (machine, tags) {
        (Some(machine), Some(tags)) if !ours || !same(&machine) => update(job, machine, tags, desired).await,
        _ => {
            let mut report = plan::report(STATE_MACHINE, &spec.state_machine.name, Some(&arn), &Change::Create);
            report.detail = waited.map(told_wait);
            (job.tell)(Progress::Done(report));
            Ok(arn)
        }
    }
}

async fn update(
    job: &Job<'_>,
    machine: ObservedStateMachine,
    observed_tags: Tags,
    desired: &Desired<'_>,
) -> Result<String, ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let name = spec.state_machine.name.as_str();
    tags::check_owner(&observed_tags, spec, job.options.adopt, STATE_MACHINE, name)?;
    check_standard(&machine)?;
    let missing = tags::missing(&observed_tags, spec);
    if !missing.is_empty() {
        unthrottled(clock, || control.tag_resource(&machine.arn, &missing)).await?;
    }
    let mut all = tags::changes(&observed_tags, spec);
    let changes = changes(&machine, Some(desired.definition), Some(desired.role_arn), desired.settings);
    let mut waited = None;
    if !changes.is_empty() {
        let update = || control.update_state_machine(&machine.arn, desired.input());
        (_, waited) = once_ready(job, desired, update).await?;
        all.extend(changes);
    }
    let mut report = plan::report(STATE_MACHINE, name, Some(&machine.arn), &plan::update(all));
    if let (Some(waited), Some(detail)) = (waited, &mut report.detail) {
        detail.push_str("; ");
        detail.push_str(&told_wait(waited));
    }
    (job.tell)(Progress::Done(report));
    Ok(machine.arn)
}

fn told_wait(waited: SignedDuration) -> String {
    format!("waited {} s until Step Functions could assume the new role", waited.as_secs())
}

/// Makes a call, again while a new role is not known yet, or while a state machine of that name is being deleted. Tells how
/// long the role took.
async fn once_ready<T, F>(
    job: &Job<'_>,
    desired: &Desired<'_>,
    call: impl Fn() -> F,
) -> Result<(T, Option<SignedDuration>), ProvisionError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let mut for_role = Patience::new(job.clock, ROLE_KNOWN);
    let mut for_deletion = Patience::new(job.clock, DELETED);
    let mut refused = false;
    loop {
        let error = match unthrottled(job.clock, &call).await {
            Ok(answer) => return Ok((answer, refused.then(|| for_role.waited()))),
            Err(error) => error,
        };
        match error.code.as_deref() {
            Some("AccessDeniedException") if desired.fresh_role => {
                if !refused {
                    let most = ROLE_KNOWN.as_secs();
                    let what = format!("Step Functions can't assume the new role yet; waiting up to {most} s");
                    (job.tell)(Progress::Waiting(what));
                }
                refused = true;
                if !for_role.wait().await {
                    let role_arn = desired.role_arn.to_owned();
                    return Err(ProvisionError::RoleNotAssumable {
                        role_arn,
                        waited: for_role.waited(),
                        source: error,
                    });
                }
            }
            Some("StateMachineDeleting") if for_deletion.wait().await => {}
            Some("InvalidDefinition") => {
                reject(diagnose(job.control, job.clock, desired.definition).await)?;
                let location = "/".to_owned();
                return Err(ProvisionError::InvalidDefinition { location, message: error.message });
            }
            _ => return Err(error.into()),
        }
    }
}
