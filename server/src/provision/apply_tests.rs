//! Apply against an AWS in memory, with a failure at every call.

use jiff::SignedDuration;

use super::{
    Action, Diagnostic, MANAGED_BY, Options, Outputs, Progress, ProvisionError, STEP_FUNCTIONS_FULL_ACCESS, Spec,
    StepReport, WORKFLOW, apply, destroy,
    fake::{Fake, Fault, Machine, Role},
    preview,
};
use crate::{clock::Clock as _, stepfunctions::Failure, store::WorkflowRecord};

const PLAIN: &str =
    r#"{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"${activity_arn}","HeartbeatSeconds":60,"End":true}}}"#;

async fn run(fake: &Fake, spec: &Spec, adopt: bool) -> (Result<Outputs, ProvisionError>, Vec<StepReport>) {
    let (outcome, progress) = watched(fake, spec, Options { adopt, ..Options::default() }).await;
    let done = |event| if let Progress::Done(report) = event { Some(report) } else { None };
    (outcome, progress.into_iter().filter_map(done).collect())
}

async fn watched(fake: &Fake, spec: &Spec, options: Options) -> (Result<Outputs, ProvisionError>, Vec<Progress>) {
    let mut progress = Vec::new();
    let outcome = apply(fake, &*fake.clock, spec, options, |event| progress.push(event)).await;
    (outcome, progress)
}

pub(super) async fn applied(fake: &Fake, spec: &Spec) -> (Outputs, Vec<StepReport>) {
    let (outcome, reports) = run(fake, spec, false).await;
    (outcome.unwrap(), reports)
}

pub(super) fn told(reports: &[StepReport]) -> Vec<(&str, Action)> {
    reports.iter().map(|report| (report.resource_type, report.action)).collect()
}

pub(super) fn all(action: Action) -> [(&'static str, Action); 4] {
    [("activity", action), ("role", action), ("policy_attachment", action), ("state_machine", action)]
}

pub(super) fn record(spec: &Spec, outputs: Outputs) -> WorkflowRecord {
    WorkflowRecord {
        name: spec.name.clone(),
        spec: spec.clone(),
        activity_arn: outputs.activity_arn,
        role_arn: outputs.role_arn,
        state_machine_arn: outputs.state_machine_arn,
        definition: outputs.definition,
        created: jiff::Timestamp::UNIX_EPOCH,
        updated: jiff::Timestamp::UNIX_EPOCH,
    }
}

pub(super) fn writes(fake: &Fake) -> Vec<&'static str> {
    fake.take_calls().into_iter().filter(|(_, writes)| *writes).map(|(operation, _)| operation).collect()
}

#[tokio::test]
async fn the_reference_stack_is_made_and_the_second_apply_writes_nothing() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    let (outputs, reports) = applied(&fake, &spec).await;
    assert_eq!(told(&reports), all(Action::Created));
    assert_eq!(reports[2].resource_name, STEP_FUNCTIONS_FULL_ACCESS);
    assert_eq!(reports[3].arn.as_deref(), Some(outputs.state_machine_arn.as_str()));
    assert_eq!(writes(&fake), ["CreateActivity", "CreateRole", "AttachRolePolicy", "CreateStateMachine"]);
    {
        let state = fake.state();
        let machine = &state.resources.machines["HumanApprovalStateMachine"];
        assert_eq!(machine.definition, outputs.definition);
        assert!(machine.definition.contains(&outputs.activity_arn));
        assert_eq!(machine.role_arn, outputs.role_arn);
        for tags in [&machine.tags, &state.resources.activities["HumanApprovalActivity"]] {
            assert_eq!(tags[MANAGED_BY.0], MANAGED_BY.1);
            assert_eq!(tags[WORKFLOW], "HumanApproval");
        }
    }
    let (again, reports) = applied(&fake, &spec).await;
    assert_eq!(again, outputs);
    assert_eq!(told(&reports), all(Action::Unchanged));
    assert_eq!(writes(&fake), [""; 0]);
}

#[tokio::test]
async fn resources_are_found_on_later_pages() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    for name in ["A", "B"] {
        fake.state().resources.activities.insert(name.to_owned(), super::Tags::new());
        fake.state().resources.machines.insert(name.to_owned(), Machine::default());
    }
    applied(&fake, &spec).await;
    fake.take_calls();
    let (_, reports) = applied(&fake, &spec).await;
    assert_eq!(told(&reports), all(Action::Unchanged));
    assert_eq!(writes(&fake), [""; 0]);
}

#[tokio::test]
async fn what_lists_have_not_forgotten_yet_is_made_anew() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    fake.state().ghosts = [spec.activity_name.clone(), spec.state_machine.name.clone()].into();
    let (_, reports) = applied(&fake, &spec).await;
    assert_eq!(told(&reports), all(Action::Created));
    assert_eq!(settled(&fake), made(&[spec]).await);
}

/// The spec of an update that touches everything, against what was made with the reference.
fn changed() -> Spec {
    let mut spec = Spec::reference();
    spec.state_machine.definition = Some(PLAIN.to_owned());
    spec.role.managed_policy_arns.clear();
    spec.tags.insert("team".to_owned(), "payments".to_owned());
    spec
}

/// Resources as they come out of `specs` applied in order, with times left out.
async fn made(specs: &[Spec]) -> super::fake::Resources {
    let fake = Fake::new();
    for spec in specs {
        applied(&fake, spec).await;
    }
    settled(&fake)
}

pub(super) fn settled(fake: &Fake) -> super::fake::Resources {
    let mut resources = fake.state().resources.clone();
    for role in resources.roles.values_mut() {
        (role.created, role.trusted) = Default::default();
    }
    resources
}

#[tokio::test]
async fn after_a_failure_at_any_call_the_same_apply_goes_on() {
    let specs = [Spec::reference(), changed()];
    for number_of_specs in [1, 2] {
        let (last, before) = specs[..number_of_specs].split_last().unwrap();
        let goal = made(&specs[..number_of_specs]).await;
        for fault in [Fault::Before, Fault::After] {
            let mut failures = 0;
            for call in 0.. {
                let fake = Fake::new();
                for spec in before {
                    applied(&fake, spec).await;
                }
                fake.take_calls();
                fake.state().fault = Some((call, fault));
                let (outcome, _) = run(&fake, last, false).await;
                let calls = fake.take_calls();
                if calls.len() <= call {
                    outcome.unwrap();
                    break;
                }
                let failing = calls[call].0;
                // Validation is advice: it may fail.
                if failing != "ValidateStateMachineDefinition" {
                    let error = outcome.unwrap_err();
                    assert!(
                        matches!(&error, ProvisionError::Call(error) if error.operation == failing),
                        "call {call} {fault:?}: {error:?}"
                    );
                    failures += 1;
                }
                fake.state().fault = None;
                applied(&fake, last).await;
                assert_eq!(settled(&fake), goal, "after {failing} failed {fault:?}");
                fake.take_calls();
                applied(&fake, last).await;
                assert_eq!(writes(&fake), [""; 0], "after {failing} failed {fault:?}");
            }
            assert!(failures >= 8, "only {failures} calls failed");
        }
    }
}

#[tokio::test]
async fn what_drifted_is_put_right_and_told() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    applied(&fake, &spec).await;
    {
        let mut state = fake.state();
        let machine = state.resources.machines.get_mut("HumanApprovalStateMachine").unwrap();
        machine.definition = machine.definition.replace("300", "7");
        let role = state.resources.roles.get_mut("HumanApprovalRole").unwrap();
        role.trust_policy = role.trust_policy.replace("states", "ec2");
        role.attached = ["arn:aws:iam::aws:policy/AdministratorAccess".to_owned()].into();
    }
    fake.take_calls();
    let (_, reports) = applied(&fake, &spec).await;
    let expected = [
        ("activity", Action::Unchanged),
        ("role", Action::Updated),
        ("policy_attachment", Action::Created),
        ("policy_attachment", Action::Deleted),
        ("state_machine", Action::Updated),
    ];
    assert_eq!(told(&reports), expected);
    assert_eq!(reports[4].detail.as_deref(), Some("definition/States/ApprovalStep/TimeoutSeconds: 7 → 300"));
    assert_eq!(settled(&fake), made(&[spec]).await);
}

#[tokio::test]
async fn other_peoples_tags_stay() {
    let (fake, mut spec) = (Fake::new(), Spec::reference());
    applied(&fake, &spec).await;
    let cost = ("cost-center".to_owned(), "7".to_owned());
    fake.state().resources.roles.get_mut("HumanApprovalRole").unwrap().tags.extend([cost.clone()]);
    spec.tags.insert("team".to_owned(), "payments".to_owned());
    let (_, reports) = applied(&fake, &spec).await;
    assert_eq!(reports[1].detail.as_deref(), Some("tags.team: added \"payments\""));
    assert_eq!(fake.state().resources.roles["HumanApprovalRole"].tags.get(&cost.0), Some(&cost.1));
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone_unless_adopted() {
    type Occupy = fn(&mut super::fake::Resources);
    let occupied: [(&str, Occupy); 4] = [
        ("activity HumanApprovalActivity", |resources| {
            resources.activities.insert("HumanApprovalActivity".to_owned(), super::Tags::new());
        }),
        ("role HumanApprovalRole", |resources| {
            let role = Role { path: "/".to_owned(), ..Role::default() };
            resources.roles.insert("HumanApprovalRole".to_owned(), role);
        }),
        ("state machine HumanApprovalStateMachine", |resources| {
            let machine = Machine { definition: "{}".to_owned(), ..Machine::default() };
            resources.machines.insert("HumanApprovalStateMachine".to_owned(), machine);
        }),
        ("activity HumanApprovalActivity", |resources| {
            let tags = [(MANAGED_BY.0, MANAGED_BY.1), (WORKFLOW, "another")];
            let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            resources.activities.insert("HumanApprovalActivity".to_owned(), tags);
        }),
    ];
    for (expected, occupy) in occupied {
        for stale_lists in [false, true] {
            let (fake, spec) = (Fake::new(), Spec::reference());
            occupy(&mut fake.state().resources);
            let before = fake.state().resources.clone();
            fake.state().stale_lists = stale_lists;
            let (outcome, _) = run(&fake, &spec, false).await;
            match outcome.unwrap_err() {
                ProvisionError::NotOwned { resource } => assert_eq!(resource, expected),
                // It can't be found, and so not be judged: it is refused all the same.
                ProvisionError::Call(error) if stale_lists => {
                    assert_eq!(error.code.as_deref(), Some("StateMachineAlreadyExists"));
                }
                other => panic!("{other:?}"),
            }
            if !stale_lists {
                assert_eq!(fake.state().resources, before, "{expected}: something was written");
            }
            fake.state().stale_lists = false;
            run(&fake, &spec, true).await.0.unwrap();
            assert_eq!(settled(&fake), made(&[spec]).await, "{expected}: adopted");
        }
    }
}

#[tokio::test]
async fn a_twin_that_lists_did_not_show_gets_our_role_and_not_our_blessing() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    applied(&fake, &spec).await;
    fake.state().resources.machines.get_mut("HumanApprovalStateMachine").unwrap().role_arn = "arn:other".to_owned();
    fake.state().stale_lists = true;
    let (outputs, reports) = applied(&fake, &spec).await;
    assert_eq!(reports[3].action, Action::Updated);
    assert_eq!(fake.state().resources.machines["HumanApprovalStateMachine"].role_arn, outputs.role_arn);

    fake.state().resources.machines.get_mut("HumanApprovalStateMachine").unwrap().tags.clear();
    let (outcome, _) = run(&fake, &spec, false).await;
    assert!(matches!(outcome, Err(ProvisionError::NotOwned { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_new_role_is_waited_for() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    fake.state().role_lag = SignedDuration::from_secs(20);
    let began = fake.clock.now();
    let (_, reports) = applied(&fake, &spec).await;
    let waited = fake.clock.now().duration_since(began);
    assert!((20..=30).contains(&waited.as_secs()), "{waited:#}");
    assert_eq!(reports[3].action, Action::Created);
    let detail = reports[3].detail.as_deref().unwrap();
    assert!(detail.contains(&format!("waited {} s", waited.as_secs())), "{detail}");
}

#[tokio::test]
async fn a_role_that_is_trusted_again_is_waited_for_too() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    applied(&fake, &spec).await;
    fake.pass(SignedDuration::from_hours(1));
    fake.state().role_lag = SignedDuration::from_secs(5);
    {
        let mut state = fake.state();
        state.resources.roles.get_mut("HumanApprovalRole").unwrap().trust_policy = "{}".to_owned();
        state.resources.machines.get_mut("HumanApprovalStateMachine").unwrap().role_arn = "arn:other".to_owned();
    }
    let (_, reports) = applied(&fake, &spec).await;
    assert!(reports[3].detail.as_deref().unwrap().contains("waited"), "{:?}", reports[3]);
}

#[tokio::test]
async fn waiting_for_a_role_ends() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    fake.state().role_lag = SignedDuration::from_hours(1);
    let began = fake.clock.now();
    let error = run(&fake, &spec, false).await.0.unwrap_err();
    let ProvisionError::RoleNotAssumable { waited, source, .. } = error else { panic!("{error:?}") };
    assert_eq!(waited, SignedDuration::from_secs(60));
    assert_eq!(source.code.as_deref(), Some("AccessDeniedException"));
    assert_eq!(fake.clock.now().duration_since(began), waited);
}

#[tokio::test]
async fn of_an_old_role_a_denial_is_believed_at_once() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    applied(&fake, &spec).await;
    fake.pass(SignedDuration::from_hours(1));
    fake.state().role_lag = SignedDuration::from_hours(2);
    fake.state().resources.machines.clear();
    let began = fake.clock.now();
    let error = run(&fake, &spec, false).await.0.unwrap_err();
    assert!(matches!(&error, ProvisionError::Call(error) if error.failure == Failure::Denied), "{error:?}");
    assert_eq!(fake.clock.now(), began);
}

#[tokio::test]
async fn a_role_of_an_apply_that_failed_is_still_new() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    fake.state().fault = Some((6, Fault::Before));
    run(&fake, &spec, false).await.0.unwrap_err();
    assert!(fake.state().resources.roles.contains_key("HumanApprovalRole"));
    fake.state().fault = None;
    fake.state().role_lag = SignedDuration::from_secs(20);
    applied(&fake, &spec).await;
}

#[tokio::test]
async fn throttling_is_waited_out_within_bounds() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    fake.state().throttled = 3;
    applied(&fake, &spec).await;
    fake.state().throttled = usize::MAX;
    let began = fake.clock.now();
    let error = run(&fake, &spec, false).await.0.unwrap_err();
    assert!(matches!(&error, ProvisionError::Call(error) if error.failure == Failure::Throttled), "{error:?}");
    assert_eq!(fake.clock.now().duration_since(began), SignedDuration::from_secs(30));
}

#[tokio::test]
async fn a_policy_that_is_none_is_named() {
    let (fake, mut spec) = (Fake::new(), Spec::reference());
    let policy = "arn:aws:iam::aws:policy/service-role/AWSStepFunctionsFullAccess";
    spec.role.managed_policy_arns = vec![policy.to_owned()];
    let error = run(&fake, &spec, false).await.0.unwrap_err();
    let ProvisionError::Field { field, problem } = error else { panic!("{error:?}") };
    assert_eq!(field, "role.managed_policy_arns");
    assert!(problem.contains(policy), "{problem}");
}

#[tokio::test]
async fn a_malformed_spec_makes_no_call() {
    let (fake, mut spec) = (Fake::new(), Spec::reference());
    spec.activity_name = "white space".to_owned();
    let error = run(&fake, &spec, false).await.0.unwrap_err();
    assert!(matches!(&error, ProvisionError::Field { field, .. } if field == "activity_name"), "{error:?}");
    assert_eq!(fake.take_calls(), []);
}

fn diagnostic(location: &str, message: &str) -> Diagnostic {
    Diagnostic { location: Some(location.to_owned()), message: message.to_owned() }
}

#[tokio::test]
async fn a_definition_that_step_functions_refuses_is_told_with_all_that_is_wrong_before_anything_is_made() {
    let (fake, spec) = (Fake::new(), changed());
    fake.state().diagnostics = vec![diagnostic("/States/A/Nope", "Unknown field"), diagnostic("/States/B", "Unknown")];
    let (outcome, reports) = run(&fake, &spec, false).await;
    let ProvisionError::InvalidDefinition { location, message } = outcome.unwrap_err() else { panic!("{reports:?}") };
    assert_eq!((location.as_str(), message.as_str()), ("/States/A/Nope", "Unknown field; and at /States/B: Unknown"));
    assert_eq!(writes(&fake), [""; 0]);
    let planned = preview(&fake, &*fake.clock, &spec).await;
    assert!(matches!(planned, Err(ProvisionError::InvalidDefinition { .. })), "{planned:?}");
}

#[tokio::test]
async fn step_functions_is_asked_once_before_the_first_write_and_only_about_what_is_new() {
    let (fake, mut spec) = (Fake::new(), changed());
    for (attempt, asked) in [(1, 1), (2, 0), (3, 1)] {
        if attempt == 3 {
            let definition = spec.state_machine.definition.as_mut().unwrap();
            *definition = definition.replacen('{', "{\"Comment\": \"new\", ", 1);
        }
        run(&fake, &spec, false).await.0.unwrap();
        let calls = fake.take_calls();
        let first_write = calls.iter().position(|(_, writes)| *writes).unwrap_or(calls.len());
        let asks = |calls: &[(&str, bool)]| {
            calls.iter().filter(|(operation, _)| *operation == "ValidateStateMachineDefinition").count()
        };
        assert_eq!((asks(&calls[..first_write]), asks(&calls[first_write..])), (asked, 0), "{attempt}: {calls:?}");
    }
}

#[tokio::test]
async fn what_is_said_of_an_activity_that_is_yet_to_be_made_is_not_believed() {
    let (fake, spec) = (Fake::new(), changed());
    let said = vec![diagnostic("/States/A/Resource", "is not in this account")];
    fake.state().diagnostics = said.clone();
    preview(&fake, &*fake.clock, &spec).await.unwrap();
    fake.state().diagnostics.clear();
    run(&fake, &Spec::reference(), false).await.0.unwrap();
    fake.state().diagnostics = said;
    let error = preview(&fake, &*fake.clock, &spec).await.unwrap_err();
    assert!(matches!(error, ProvisionError::InvalidDefinition { .. }), "{error:?}");
}

#[tokio::test]
async fn a_definition_without_an_approval_step_changes_nothing() {
    let (fake, mut spec) = (Fake::new(), Spec::reference());
    spec.state_machine.definition = Some(PLAIN.replace("${activity_arn}", "arn:aws:states:::sqs:sendMessage"));
    let error = run(&fake, &spec, false).await.0.unwrap_err();
    assert!(matches!(error, ProvisionError::InvalidDefinition { .. }), "{error:?}");
    assert_eq!(writes(&fake), [""; 0]);
}

#[tokio::test]
async fn an_express_state_machine_is_refused_even_for_adoption() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    let machine = Machine { definition: "{}".to_owned(), express: true, ..Machine::default() };
    fake.state().resources.machines.insert(spec.state_machine.name.clone(), machine);
    let error = run(&fake, &spec, true).await.0.unwrap_err();
    assert!(matches!(&error, ProvisionError::Field { field, .. } if field == "state_machine.name"), "{error:?}");
}

#[tokio::test]
async fn activities_whose_tags_nobody_keeps_are_taken_at_their_name() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    fake.state().no_activity_tags = true;
    let (outputs, _) = applied(&fake, &spec).await;
    fake.take_calls();
    let (_, reports) = applied(&fake, &spec).await;
    assert_eq!(told(&reports), all(Action::Unchanged));
    assert_eq!(writes(&fake), [""; 0]);
    destroy(&fake, &record(&spec, outputs)).await.unwrap();
    assert!(fake.state().resources.activities.is_empty());
}
