use std::time::Duration;

use approve_proto::v1::{
    ApplyWorkflowRequest, DestroyWorkflowRequest, Execution, GetExecutionRequest, GetWorkflowRequest,
    ListWorkflowsRequest, ResourceStep, StartExecutionRequest, StartExecutionResponse, Workflow, WorkflowSpec,
    apply_workflow_response::Event,
};
use futures::{Stream, StreamExt, stream};
use tokio::time::Instant;

use crate::{Client, Error, call::Repeat};

/// One step of applying a workflow, or its end.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ApplyEvent {
    /// A resource is as it should be.
    Step(ResourceStep),
    /// All are. The last event.
    Applied(Box<Workflow>),
}

/// Asks for an execution of a workflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartExecution(StartExecutionRequest);

impl StartExecution {
    /// Of the only workflow that there is, with a name that the server makes and the input `{}`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this workflow.
    pub fn workflow(mut self, name: impl Into<String>) -> Self {
        self.0.workflow = name.into();
        self
    }

    /// With this name, which makes starting it idempotent while it runs.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// With this input, as JSON text. At most 262,144 bytes.
    pub fn input_json(mut self, json: impl Into<String>) -> Self {
        self.0.input_json = json.into();
        self
    }
}

impl Client {
    /// Brings a workflow's AWS resources to what the spec says, and reports each as it is worked on. With `adopt`,
    /// resources of these names that are not the server's are taken over. Idempotent: after a failure, apply again.
    ///
    /// The stream ends after [`ApplyEvent::Applied`] or the first error.
    ///
    /// # Errors
    /// Reasons [`InvalidField`](crate::Reason::InvalidField),
    /// [`InvalidDefinition`](crate::Reason::InvalidDefinition), [`NotOwned`](crate::Reason::NotOwned), and those of AWS.
    pub fn apply_workflow(
        &self,
        spec: WorkflowSpec,
        adopt: bool,
    ) -> impl Stream<Item = Result<ApplyEvent, Error>> + Send + Unpin + use<> {
        let client = self.clone();
        let timeout = client.config().provisioning_timeout;
        let message = ApplyWorkflowRequest { spec: Some(spec), adopt };
        let opened = stream::once(async move {
            let deadline = Instant::now() + timeout;
            let responses = client
                .call(timeout, Repeat::Untouched, client.workflows(), message, |mut service, request| async move {
                    service.apply_workflow(request).await
                })
                .await?;
            Ok::<_, Error>(apply_events(client, responses, timeout, deadline))
        });
        Box::pin(futures::TryStreamExt::try_flatten(opened))
    }

    /// Returns one workflow. Reason [`WorkflowNotFound`](crate::Reason::WorkflowNotFound) if there is none.
    ///
    /// # Errors
    /// As above.
    pub async fn get_workflow(&self, name: impl Into<String>) -> Result<Workflow, Error> {
        let message = GetWorkflowRequest { name: name.into() };
        self.unary(self.workflows(), message, |mut service, request| async move { service.get_workflow(request).await })
            .await?
            .workflow
            .ok_or(Error::Protocol { missing: "workflow" })
    }

    /// Returns all workflows, by name.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn list_workflows(&self) -> Result<Vec<Workflow>, Error> {
        let response = self
            .unary(self.workflows(), ListWorkflowsRequest {}, |mut service, request| async move {
                service.list_workflows(request).await
            })
            .await?;
        Ok(response.workflows)
    }

    /// Deletes a workflow's AWS resources and forgets it; says what was done with each. With `force` also where
    /// approvals of it are pending: they become CANCELED.
    ///
    /// # Errors
    /// Reasons [`WorkflowNotFound`](crate::Reason::WorkflowNotFound),
    /// [`ApprovalsPending`](crate::Reason::ApprovalsPending), and those of AWS.
    pub async fn destroy_workflow(&self, name: impl Into<String>, force: bool) -> Result<Vec<ResourceStep>, Error> {
        let message = DestroyWorkflowRequest { name: name.into(), force };
        let timeout = self.config().provisioning_timeout;
        let response = self
            .call(timeout, Repeat::Untouched, self.workflows(), message, |mut service, request| async move {
                service.destroy_workflow(request).await
            })
            .await?;
        Ok(response.steps)
    }

    /// Starts an execution of a workflow's state machine.
    ///
    /// # Errors
    /// Reasons [`WorkflowNotFound`](crate::Reason::WorkflowNotFound),
    /// [`ExecutionAlreadyExists`](crate::Reason::ExecutionAlreadyExists),
    /// [`InvalidField`](crate::Reason::InvalidField).
    pub async fn start_execution(&self, start: StartExecution) -> Result<StartExecutionResponse, Error> {
        self.unary(
            self.workflows(),
            start.0,
            |mut service, request| async move { service.start_execution(request).await },
        )
        .await
    }

    /// Returns one execution, by its ARN, or by its name and workflow. The workflow may be empty where there is only
    /// one, and with an ARN.
    ///
    /// # Errors
    /// Reason [`ExecutionNotFound`](crate::Reason::ExecutionNotFound),
    /// [`WorkflowNotFound`](crate::Reason::WorkflowNotFound).
    pub async fn get_execution(
        &self,
        execution: impl Into<String>,
        workflow: impl Into<String>,
    ) -> Result<Execution, Error> {
        let message = GetExecutionRequest { execution: execution.into(), workflow: workflow.into() };
        self.unary(
            self.workflows(),
            message,
            |mut service, request| async move { service.get_execution(request).await },
        )
        .await?
        .execution
        .ok_or(Error::Protocol { missing: "execution" })
    }
}

/// The events of an apply that was started; an end before the workflow is an error.
fn apply_events(
    client: Client,
    responses: tonic::Streaming<approve_proto::v1::ApplyWorkflowResponse>,
    timeout: Duration,
    deadline: Instant,
) -> impl Stream<Item = Result<ApplyEvent, Error>> {
    stream::unfold(Some((client, responses)), move |state| async move {
        let (client, mut responses) = state?;
        let item = match tokio::time::timeout_at(deadline, responses.next()).await {
            Err(_) => Err(Error::Timeout { after: timeout }),
            Ok(None) => Err(Error::Protocol { missing: "workflow" }),
            Ok(Some(Err(status))) => Err(client.error(status, timeout)),
            Ok(Some(Ok(response))) => match response.event {
                Some(Event::Step(step)) => {
                    return Some((Ok(ApplyEvent::Step(step)), Some((client, responses))));
                }
                Some(Event::Workflow(workflow)) => Ok(ApplyEvent::Applied(Box::new(workflow))),
                None => Err(Error::Protocol { missing: "event" }),
            },
        };
        Some((item, None))
    })
}
