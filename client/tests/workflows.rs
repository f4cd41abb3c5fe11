//! Applying a workflow against a fake server.

mod common;

use approve_client::{
    ApplyEvent, ApplyOptions, Code, Error, Reason,
    proto::{ApplyWorkflowResponse, ResourceStep, Workflow, WorkflowSpec, apply_workflow_response::Event},
};
use common::{Fake, refusal};
use futures::StreamExt;

fn spec() -> WorkflowSpec {
    WorkflowSpec { name: "w".into(), ..WorkflowSpec::default() }
}

fn step(name: &str) -> ApplyWorkflowResponse {
    let step = ResourceStep { resource_name: name.into(), ..ResourceStep::default() };
    ApplyWorkflowResponse { event: Some(Event::Step(step)) }
}

fn applied() -> ApplyWorkflowResponse {
    ApplyWorkflowResponse { event: Some(Event::Workflow(Workflow { name: "w".into(), ..Workflow::default() })) }
}

#[tokio::test(start_paused = true)]
async fn each_step_comes_then_the_workflow_and_that_is_all() {
    let fake = Fake::default();
    fake.state().apply = vec![Ok(step("activity")), Ok(step("role")), Ok(applied()), Ok(step("after the end"))];
    let events: Vec<_> =
        fake.client().apply_workflow(spec(), ApplyOptions::new().adopt(true)).map(Result::unwrap).collect().await;
    assert!(matches!(&events[0], ApplyEvent::Step(step) if step.resource_name == "activity"));
    assert!(matches!(&events[2], ApplyEvent::Applied(workflow) if workflow.name == "w"));
    assert_eq!(events.len(), 3);
    let sent = &fake.state().apply_requests[0];
    assert_eq!((sent.spec.clone(), sent.adopt), (Some(spec()), true));
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_the_events_with_its_reason() {
    let fake = Fake::default();
    fake.state().apply = vec![Ok(step("activity")), Err(refusal(Code::FailedPrecondition, "NOT_OWNED"))];
    let mut events = fake.client().apply_workflow(spec(), ApplyOptions::new());
    assert!(events.next().await.unwrap().is_ok());
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::NotOwned));
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_what_was_promised_is_an_error() {
    let fake = Fake::default();
    fake.state().apply = vec![Ok(step("activity"))];
    let mut events = fake.client().apply_workflow(spec(), ApplyOptions::new());
    assert!(events.next().await.unwrap().is_ok());
    assert!(matches!(events.next().await, Some(Err(Error::Protocol { .. }))));
    assert!(events.next().await.is_none());
    assert!(matches!(fake.client().get_workflow("w").await, Err(Error::Protocol { .. })));
}
