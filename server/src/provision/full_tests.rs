//! A workflow that uses everything: made, changed, replaced, with a failure at every call, and by two at once.

use jiff::SignedDuration;

use super::{
    Action, Encryption, LogLevel, Logging, Options, Outputs, Progress, ProvisionError, Spec, apply, destroy,
    destroy_spec,
    fake::{Fake, Fault, Resources},
    observe, permissions, plan,
};
use crate::store::WorkflowRecord;

const TWO_STEPS: &str = r#"{"StartAt":"A","States":{
    "A":{"Type":"Task","Resource":"${activity_arn}","HeartbeatSeconds":60,"Next":"B"},
    "B":{"Type":"Task","Resource":"${activity_arn.legal}","HeartbeatSeconds":60,"End":true}},
    "Comment":"${workflow} by ${role_arn}"}"#;

/// A spec in which nothing is left out.
fn full() -> Spec {
    let mut spec = Spec::reference();
    spec.more_activities.insert("legal".to_owned(), "Legal".to_owned());
    spec.state_machine.definition = Some(TWO_STEPS.to_owned());
    spec.state_machine.logging = Some(Logging {
        level: LogLevel::Error,
        log_group_arn: "arn:aws:logs:eu-central-1:123456789012:log-group:g:*".to_owned(),
        include_execution_data: false,
    });
    spec.state_machine.tracing = true;
    spec.role.path = "/approvals/".to_owned();
    spec.role.permissions_boundary_arn = Some("arn:aws:iam::123456789012:policy/bounds".to_owned());
    spec.role.inline_policies.insert("logs".to_owned(), r#"{"Statement": []}"#.to_owned());
    spec.tags.insert("team".to_owned(), "payments".to_owned());
    spec.encryption = Some(Encryption {
        kms_key_id: "arn:aws:kms:eu-central-1:123456789012:key/1".to_owned(),
        data_key_reuse: SignedDuration::from_secs(300),
    });
    spec
}

/// The same with all changed that can be changed in place.
fn edited() -> Spec {
    let mut spec = full();
    spec.state_machine.definition = Some(TWO_STEPS.replace("60", "120"));
    spec.state_machine.logging = None;
    spec.state_machine.tracing = false;
    spec.role.permissions_boundary_arn = None;
    spec.role.managed_policy_arns.clear();
    spec.role.inline_policies = [("other".to_owned(), r#"{"Statement": [1]}"#.to_owned())].into();
    spec.tags.insert("team".to_owned(), "risk".to_owned());
    spec
}

/// The same with all changed that takes new resources.
fn replaced() -> Spec {
    let mut spec = edited();
    spec.encryption = None;
    spec.role.path = "/".to_owned();
    spec
}

const REPLACE: Options = Options { adopt: false, replace: true, force: false };

async fn run(fake: &Fake, spec: &Spec) -> (Result<Outputs, ProvisionError>, Vec<Progress>) {
    let mut progress = Vec::new();
    let outcome = apply(fake, &*fake.clock, spec, REPLACE, |event| progress.push(event)).await;
    (outcome, progress)
}

fn settled(fake: &Fake) -> Resources {
    let mut resources = fake.state().resources.clone();
    for role in resources.roles.values_mut() {
        (role.created, role.trusted) = Default::default();
    }
    resources
}

async fn made(specs: &[Spec]) -> Resources {
    let fake = Fake::new();
    for spec in specs {
        run(&fake, spec).await.0.unwrap();
    }
    settled(&fake)
}

fn writes(fake: &Fake) -> Vec<&'static str> {
    fake.take_calls().into_iter().filter(|(_, writes)| *writes).map(|(operation, _)| operation).collect()
}

#[tokio::test]
async fn every_part_of_a_spec_arrives_and_the_second_apply_writes_nothing() {
    let (fake, spec) = (Fake::new(), full());
    let (outputs, _) = run(&fake, &spec).await;
    let outputs = outputs.unwrap();
    assert!(outputs.definition.contains(":activity:Legal\"") && !outputs.definition.contains("${"));
    assert!(outputs.definition.contains(&format!("HumanApproval by {}", outputs.role_arn)), "{outputs:?}");
    assert_eq!(outputs.role_arn, "arn:aws:iam::123456789012:role/approvals/HumanApprovalRole");
    {
        let state = fake.state();
        let role = &state.resources.roles["HumanApprovalRole"];
        assert_eq!(role.boundary, spec.role.permissions_boundary_arn);
        assert_eq!(role.inline, spec.role.inline_policies);
        assert!(role.trust_policy.contains(r#""aws:SourceAccount":"123456789012""#), "{}", role.trust_policy);
        let machine = &state.resources.machines["HumanApprovalStateMachine"];
        assert_eq!(machine.settings.logging, spec.state_machine.logging);
        assert_eq!((machine.settings.tracing, &machine.settings.encryption), (true, &spec.encryption));
        for name in spec.activity_names() {
            assert_eq!(state.resources.activities[name]["team"], "payments");
            assert_eq!(state.resources.encryption.get(name), spec.encryption.as_ref());
        }
    }
    fake.take_calls();
    let (again, _) = run(&fake, &spec).await;
    assert_eq!(again.unwrap(), outputs);
    assert_eq!(writes(&fake), [""; 0]);
    let observed = observe(&fake, &*fake.clock, &spec).await.unwrap();
    assert!(plan(&spec, &observed).is_empty());
}

/// Fails each call of the last of the specs in turn, before and after its effect; the same apply has to end as if
/// nothing had happened.
async fn converges(specs: &[Spec], least: usize) -> Vec<&'static str> {
    let (last, before) = specs.split_last().unwrap();
    let goal = made(specs).await;
    let mut injected = Vec::new();
    for fault in [Fault::Before, Fault::After] {
        for call in 0.. {
            let fake = Fake::new();
            for spec in before {
                run(&fake, spec).await.0.unwrap();
            }
            fake.take_calls();
            fake.state().fault = Some((call, fault));
            let (outcome, progress) = run(&fake, last).await;
            let calls = fake.take_calls();
            if calls.len() <= call {
                outcome.unwrap();
                break;
            }
            let (failing, is_write) = calls[call];
            if failing != "ValidateStateMachineDefinition" {
                outcome.unwrap_err();
                if is_write {
                    let told = matches!(progress.last(), Some(Progress::Failed(_)));
                    assert!(told, "what {failing} left behind was not told: {progress:?}");
                }
                injected.push(failing);
            }
            fake.state().fault = None;
            run(&fake, last).await.0.unwrap();
            assert_eq!(settled(&fake), goal, "after {failing} failed {fault:?}");
            fake.take_calls();
            run(&fake, last).await.0.unwrap();
            assert_eq!(writes(&fake), [""; 0], "after {failing} failed {fault:?}");
        }
    }
    assert!(injected.len() >= least, "only {} calls failed: {injected:?}", injected.len());
    injected
}

#[tokio::test]
async fn a_failure_at_any_call_of_a_creation_converges() {
    let injected = converges(&[full()], 24).await;
    for operation in ["CreateActivity", "CreateRole", "AttachRolePolicy", "PutRolePolicy", "CreateStateMachine"] {
        assert!(injected.contains(&operation), "{operation}");
    }
}

#[tokio::test]
async fn a_failure_at_any_call_of_a_change_converges() {
    let injected = converges(&[full(), edited()], 30).await;
    for operation in [
        "TagResource",
        "TagRole",
        "DetachRolePolicy",
        "DeleteRolePolicy",
        "DeleteRolePermissionsBoundary",
        "UpdateStateMachine",
    ] {
        assert!(injected.contains(&operation), "{operation}");
    }
}

#[tokio::test]
async fn a_failure_at_any_call_of_a_replacement_converges() {
    let injected = converges(&[full(), replaced()], 30).await;
    for operation in ["DeleteActivity", "DeleteRole", "CreateRole", "UpdateStateMachine"] {
        assert!(injected.contains(&operation), "{operation}");
    }
}

#[tokio::test]
async fn a_role_that_is_made_anew_gets_its_policies_again() {
    let moved = || {
        let mut spec = full();
        spec.role.path = "/".to_owned();
        spec
    };
    let fake = Fake::new();
    for spec in [full(), moved()] {
        run(&fake, &spec).await.0.unwrap();
    }
    assert_eq!(settled(&fake), made(&[moved()]).await);
}

#[tokio::test]
async fn nothing_is_replaced_unasked() {
    let fake = Fake::new();
    run(&fake, &edited()).await.0.unwrap();
    fake.take_calls();
    let outcome = apply(&fake, &*fake.clock, &replaced(), Options::default(), |_| {}).await;
    assert!(matches!(outcome, Err(ProvisionError::ReplaceNeeded { .. })), "{outcome:?}");
    assert_eq!(writes(&fake), [""; 0]);
}

/// Fails each call of a first apply in turn, and then each call of the destroy by its spec: nothing stays.
#[tokio::test]
async fn what_a_first_apply_left_behind_is_destroyed_by_its_spec() {
    let spec = full();
    for fault in [Fault::Before, Fault::After] {
        let mut destroyed = 0;
        for call in 0.. {
            let fake = Fake::new();
            fake.state().fault = Some((call, fault));
            let _ = run(&fake, &spec).await;
            if fake.take_calls().len() <= call {
                assert!(call >= 15, "only {call} calls");
                break;
            }
            let left = settled(&fake) != Resources::default();
            fake.state().fault = None;
            let steps = destroy_spec(&fake, &*fake.clock, &spec).await.unwrap();
            fake.pass(SignedDuration::from_mins(1));
            assert_eq!(
                settled_later(&fake).await,
                Resources::default(),
                "after call {call} failed {fault:?}: {steps:?}"
            );
            assert_eq!(steps.iter().any(|step| step.action == Action::Deleted), left, "{steps:?}");
            let names = ["HumanApprovalStateMachine", "HumanApprovalRole", "HumanApprovalActivity", "Legal"];
            for name in names {
                assert!(steps.iter().any(|step| step.resource_name == name), "{name} is not told of: {steps:?}");
            }
            destroyed += usize::from(left);
        }
        assert!(destroyed >= 8, "only {destroyed} left something");
    }
}

async fn settled_later(fake: &Fake) -> Resources {
    let _ = super::ControlPlane::list_state_machines(fake, None).await;
    settled(fake)
}

#[tokio::test]
async fn what_a_failed_destroy_leaves_is_told_and_the_same_destroy_goes_on() {
    let spec = full();
    for fault in [Fault::Before, Fault::After] {
        for call in 0.. {
            let fake = Fake::new();
            run(&fake, &spec).await.0.unwrap();
            fake.take_calls();
            fake.state().fault = Some((call, fault));
            let outcome = destroy_spec(&fake, &*fake.clock, &spec).await;
            let calls = fake.take_calls();
            fake.state().fault = None;
            if calls.len() <= call {
                outcome.unwrap();
                assert!(call > 20, "only {call} calls");
                break;
            }
            let deleting = calls.iter().any(|(_, writes)| *writes);
            match outcome.unwrap_err() {
                ProvisionError::Incomplete { left, .. } => assert!(left.ends_with("activity Legal"), "{left}"),
                error => assert!(!deleting, "what is left after {calls:?} is not told: {error}"),
            }
            destroy_spec(&fake, &*fake.clock, &spec).await.unwrap();
            fake.pass(SignedDuration::from_mins(1));
            assert_eq!(settled_later(&fake).await, Resources::default(), "after {:?} failed {fault:?}", calls[call]);
        }
    }
}

#[tokio::test]
async fn a_destroy_by_spec_leaves_what_is_not_the_workflows() {
    let (fake, spec) = (Fake::new(), full());
    run(&fake, &spec).await.0.unwrap();
    let mut other = spec.clone();
    other.name = "other".to_owned();
    let before = settled(&fake);
    let steps = destroy_spec(&fake, &*fake.clock, &other).await.unwrap();
    assert!(steps.iter().all(|step| step.action == Action::Skipped && step.detail.is_some()), "{steps:?}");
    assert_eq!(settled(&fake), before);
}

#[tokio::test]
async fn what_a_failed_apply_left_behind_is_told() {
    let (fake, spec) = (Fake::new(), full());
    run(&fake, &spec).await.0.unwrap();
    let at = fake.take_calls().iter().position(|(operation, _)| *operation == "CreateStateMachine").unwrap();
    let fake = Fake::new();
    fake.state().fault = Some((at, Fault::Before));
    let (_, progress) = run(&fake, &spec).await;
    let Some(Progress::Failed(left)) = progress.last() else { panic!("{progress:?}") };
    let there: Vec<(&str, bool)> =
        left.actions.iter().map(|action| (action.resource_type, action.change == super::Change::Unchanged)).collect();
    let expected = [
        ("activity", true),
        ("activity", true),
        ("role", true),
        ("policy_attachment", true),
        ("inline_policy", true),
        ("state_machine", false),
    ];
    assert_eq!(there, expected);
    assert_eq!(left.actions[2].arn.as_deref(), Some("arn:aws:iam::123456789012:role/approvals/HumanApprovalRole"));
}

#[tokio::test]
async fn waiting_for_a_role_is_told_with_its_bound() {
    let (fake, spec) = (Fake::new(), full());
    fake.state().role_lag = SignedDuration::from_secs(20);
    let (_, progress) = run(&fake, &spec).await;
    let waits: Vec<&String> = progress
        .iter()
        .filter_map(|event| if let Progress::Waiting(what) = event { Some(what) } else { None })
        .collect();
    assert_eq!(waits.len(), 1, "{progress:?}");
    assert!(waits[0].contains("assume") && waits[0].contains("60 s"), "{}", waits[0]);
}

#[tokio::test]
async fn drift_of_every_kind_is_seen() {
    type Meddle = fn(&mut Resources);
    let meddling: [(&str, &str, Meddle); 9] = [
        ("activity", "tags.team", |all| drop(all.activities.get_mut("Legal").unwrap().remove("team"))),
        ("activity", "", |all| drop(all.activities.remove("Legal"))),
        ("role", "trust_policy", |all| {
            let role = all.roles.get_mut("HumanApprovalRole").unwrap();
            role.trust_policy = role.trust_policy.replace("123456789012", "999999999999");
        }),
        ("role", "permissions_boundary", |all| all.roles.get_mut("HumanApprovalRole").unwrap().boundary = None),
        ("policy_attachment", "", |all| all.roles.get_mut("HumanApprovalRole").unwrap().attached.clear()),
        ("inline_policy", "policy/Statement", |all| {
            let role = all.roles.get_mut("HumanApprovalRole").unwrap();
            role.inline.insert("logs".to_owned(), r#"{"Statement": ["*"]}"#.to_owned());
        }),
        ("state_machine", "definition/States/A/HeartbeatSeconds", |all| {
            let machine = all.machines.get_mut("HumanApprovalStateMachine").unwrap();
            machine.definition = machine.definition.replacen("60", "7", 1);
        }),
        ("state_machine", "tracing", |all| {
            all.machines.get_mut("HumanApprovalStateMachine").unwrap().settings.tracing = false;
        }),
        ("state_machine", "tags.approve:workflow", |all| {
            all.machines.get_mut("HumanApprovalStateMachine").unwrap().tags.remove("approve:workflow");
        }),
    ];
    for (resource_type, field, meddle) in meddling {
        let (fake, spec) = (Fake::new(), full());
        run(&fake, &spec).await.0.unwrap();
        meddle(&mut fake.state().resources);
        let observed = observe(&fake, &*fake.clock, &spec).await.unwrap();
        let plan = plan(&spec, &observed);
        let changed: Vec<_> = plan.actions.iter().filter(|action| action.change != super::Change::Unchanged).collect();
        assert_eq!(changed.len(), 1, "{resource_type} {field}: {changed:?}");
        assert_eq!(changed[0].resource_type, resource_type, "{field}");
        if let super::Change::Update(fields) = &changed[0].change {
            assert!(fields[0].field.starts_with(field) && !field.is_empty(), "{fields:?}");
        } else {
            assert_eq!((&changed[0].change, field), (&super::Change::Create, ""));
        }
    }
}

#[tokio::test]
async fn the_servers_policy_allows_every_call_that_provisioning_makes_and_no_other() {
    let fake = Fake::new();
    let mut called: Vec<&str> = Vec::new();
    let mut outputs = None;
    for spec in [edited(), full(), edited(), replaced()] {
        outputs = Some(run(&fake, &spec).await.0.unwrap());
        if let Some(role) = fake.state().resources.roles.get_mut("HumanApprovalRole") {
            role.trust_policy = "{}".to_owned();
        }
        called.extend(fake.take_calls().into_iter().map(|(operation, _)| operation));
    }
    let (spec, outputs) = (replaced(), outputs.unwrap());
    let record = WorkflowRecord {
        name: spec.name.clone(),
        spec,
        activity_arn: outputs.activity_arn,
        role_arn: outputs.role_arn,
        state_machine_arn: outputs.state_machine_arn,
        definition: outputs.definition,
        created: jiff::Timestamp::UNIX_EPOCH,
        updated: jiff::Timestamp::UNIX_EPOCH,
    };
    let steps = destroy(&fake, &record).await.unwrap();
    assert!(steps.iter().all(|step| step.action == Action::Deleted), "{steps:?}");
    called.extend(fake.take_calls().into_iter().map(|(operation, _)| operation));
    called.sort_unstable();
    called.dedup();
    let mut allowed = permissions::operations();
    allowed.retain(|operation| !permissions::WORKERS.contains(operation));
    allowed.sort_unstable();
    assert_eq!(called, allowed);
}
