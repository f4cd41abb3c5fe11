//! Destroy against an AWS in memory, with a failure at every call.

use jiff::SignedDuration;

use super::{
    Action, MANAGED_BY, Spec, WORKFLOW,
    apply_tests::{all, applied, record, settled, told, writes},
    destroy,
    fake::{Fake, Fault},
};

#[tokio::test]
async fn destroy_deletes_in_reverse_and_may_be_repeated() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    let (outputs, _) = applied(&fake, &spec).await;
    fake.state()
        .resources
        .roles
        .get_mut("HumanApprovalRole")
        .unwrap()
        .inline
        .insert("by-hand".to_owned(), "{}".to_owned());
    let record = record(&spec, outputs);
    fake.take_calls();
    let steps = destroy(&fake, &record).await.unwrap();
    let expected = [
        ("state_machine", Action::Deleted),
        ("policy_attachment", Action::Deleted),
        ("inline_policy", Action::Deleted),
        ("role", Action::Deleted),
        ("activity", Action::Deleted),
    ];
    assert_eq!(told(&steps), expected);
    assert_eq!(steps[2].resource_name, "by-hand");
    assert_eq!(
        writes(&fake),
        ["DeleteStateMachine", "DetachRolePolicy", "DeleteRolePolicy", "DeleteRole", "DeleteActivity"]
    );
    let steps = destroy(&fake, &record).await.unwrap();
    assert!(steps.iter().all(|step| step.action == Action::Skipped), "{steps:?}");
    assert_eq!(writes(&fake), [""; 0]);
    // The state machine takes its time to go.
    let (_, reports) = applied(&fake, &spec).await;
    assert_eq!(told(&reports), all(Action::Created));
}

#[tokio::test]
async fn after_a_failure_at_any_call_the_same_destroy_goes_on() {
    for fault in [Fault::Before, Fault::After] {
        for call in 0.. {
            let (fake, spec) = (Fake::new(), Spec::reference());
            let (outputs, _) = applied(&fake, &spec).await;
            let record = record(&spec, outputs);
            fake.take_calls();
            fake.state().fault = Some((call, fault));
            let outcome = destroy(&fake, &record).await;
            let calls = fake.take_calls();
            fake.state().fault = None;
            if calls.len() <= call {
                outcome.unwrap();
                assert!(call >= 10, "only {call} calls");
                break;
            }
            outcome.unwrap_err();
            destroy(&fake, &record).await.unwrap();
            fake.pass(SignedDuration::from_mins(1));
            let _ = super::ControlPlane::list_state_machines(&fake, None).await;
            assert_eq!(settled(&fake), super::fake::Resources::default(), "after {:?} failed {fault:?}", calls[call]);
        }
    }
}

#[tokio::test]
async fn destroy_leaves_what_is_not_ours() {
    let (fake, spec) = (Fake::new(), Spec::reference());
    let (outputs, _) = applied(&fake, &spec).await;
    {
        let mut state = fake.state();
        state.resources.activities.get_mut("HumanApprovalActivity").unwrap().clear();
        state
            .resources
            .roles
            .get_mut("HumanApprovalRole")
            .unwrap()
            .tags
            .insert(WORKFLOW.to_owned(), "other".to_owned());
        state.resources.machines.get_mut("HumanApprovalStateMachine").unwrap().tags.remove(MANAGED_BY.0);
    }
    fake.take_calls();
    let steps = destroy(&fake, &record(&spec, outputs)).await.unwrap();
    assert!(steps.iter().all(|step| step.action == Action::Skipped), "{steps:?}");
    assert_eq!(steps[1].detail.as_deref(), Some("it belongs to the workflow other"));
    assert_eq!(writes(&fake), [""; 0]);
}
