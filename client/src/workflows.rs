use std::time::Duration;

use approve_proto::v1::{
    ApplyWorkflowRequest, AttachWorkflowRequest, AttachWorkflowResponse, DestroyWorkflowRequest, Execution,
    ExportFormat, ExportWorkflowRequest, ExportWorkflowResponse, GetExecutionRequest, GetWorkflowDriftRequest,
    GetWorkflowRequest, ListWorkflowsRequest, Plan, PlanWorkflowRequest, ResourceStep, StartExecutionRequest,
    StartExecutionResponse, Workflow, WorkflowSpec, apply_workflow_response::Event,
    destroy_workflow_request::Workflow as Destroyed, export_workflow_request::Workflow as Exported,
};
use futures::{Stream, StreamExt, stream};
use tokio::time::Instant;

use crate::{Client, Error, call::Repeat};

/// One step of applying a workflow, or its end.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ApplyEvent {
    /// What is going to be done. The first event.
    Planned(Plan),
    /// It waits: for what, and how long at most, in words.
    Waiting(String),
    /// What there is, and what is still to be done: the error that ended the apply follows.
    LeftBehind(Plan),
    /// A resource is as it should be.
    Step(ResourceStep),
    /// All are. The last event.
    Applied(Box<Workflow>),
}

/// What an apply may do that it does not do by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    adopt: bool,
    replace: bool,
    force: bool,
}

impl ApplyOptions {
    /// None of it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to take over resources of the spec's names that are not the server's.
    pub fn adopt(mut self, adopt: bool) -> Self {
        self.adopt = adopt;
        self
    }

    /// Whether to delete and make anew what can't be changed in place.
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Whether to replace even while approvals of the workflow are pending.
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }
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
    /// Says what applying a spec would do, and what of it may be a mistake. Changes nothing.
    ///
    /// # Errors
    /// Reasons [`InvalidField`](crate::Reason::InvalidField),
    /// [`InvalidDefinition`](crate::Reason::InvalidDefinition), and those of AWS.
    pub async fn plan_workflow(&self, spec: WorkflowSpec) -> Result<Plan, Error> {
        let message = PlanWorkflowRequest { spec: Some(spec) };
        let timeout = self.config().provisioning_timeout;
        let response = self
            .call(timeout, Repeat::Safe, Self::workflows, message, |mut service, request| async move {
                service.plan_workflow(request).await
            })
            .await?;
        response.plan.ok_or(Error::Protocol { missing: "plan" })
    }

    /// Writes a workflow's stack as code: of one that was applied, by its name, or of a spec.
    ///
    /// # Errors
    /// Reasons [`WorkflowNotFound`](crate::Reason::WorkflowNotFound), [`InvalidField`](crate::Reason::InvalidField),
    /// [`InvalidDefinition`](crate::Reason::InvalidDefinition).
    pub async fn export_workflow(&self, what: Exported, format: ExportFormat) -> Result<ExportWorkflowResponse, Error> {
        let message = ExportWorkflowRequest { workflow: Some(what), format: format.into() };
        let timeout = self.config().request_timeout;
        self.call(timeout, Repeat::Safe, Self::workflows, message, |mut service, request| async move {
            service.export_workflow(request).await
        })
        .await
    }

    /// Makes the server work for a state machine that others provision. Changes nothing in AWS; may be repeated.
    ///
    /// # Errors
    /// Reasons [`InvalidField`](crate::Reason::InvalidField),
    /// [`InvalidDefinition`](crate::Reason::InvalidDefinition), and those of AWS.
    pub async fn attach_workflow(&self, request: AttachWorkflowRequest) -> Result<AttachWorkflowResponse, Error> {
        let timeout = self.config().provisioning_timeout;
        self.call(timeout, Repeat::Safe, Self::workflows, request, |mut service, request| async move {
            service.attach_workflow(request).await
        })
        .await
    }

    /// Compares a workflow's resources with what was last applied.
    ///
    /// # Errors
    /// Reason [`WorkflowNotFound`](crate::Reason::WorkflowNotFound), and those of AWS.
    pub async fn workflow_drift(&self, name: impl Into<String>) -> Result<Plan, Error> {
        let message = GetWorkflowDriftRequest { name: name.into() };
        let timeout = self.config().provisioning_timeout;
        let response = self
            .call(timeout, Repeat::Safe, Self::workflows, message, |mut service, request| async move {
                service.get_workflow_drift(request).await
            })
            .await?;
        response.plan.ok_or(Error::Protocol { missing: "plan" })
    }

    /// Brings a workflow's AWS resources to what the spec says, and tells of each as it is done. Idempotent: after a
    /// failure, apply again.
    ///
    /// The stream ends after [`ApplyEvent::Applied`] or the first error.
    ///
    /// # Errors
    /// Reasons [`InvalidField`](crate::Reason::InvalidField),
    /// [`InvalidDefinition`](crate::Reason::InvalidDefinition), [`NotOwned`](crate::Reason::NotOwned),
    /// [`ReplaceNeeded`](crate::Reason::ReplaceNeeded), [`ApprovalsPending`](crate::Reason::ApprovalsPending),
    /// [`WorkflowAttached`](crate::Reason::WorkflowAttached), and those of AWS.
    pub fn apply_workflow(
        &self,
        spec: WorkflowSpec,
        options: ApplyOptions,
    ) -> impl Stream<Item = Result<ApplyEvent, Error>> + Send + Unpin + use<> {
        let client = self.clone();
        let timeout = client.config().provisioning_timeout;
        let message = ApplyWorkflowRequest {
            spec: Some(spec),
            adopt: options.adopt,
            replace: options.replace,
            force: options.force,
        };
        let opened = stream::once(async move {
            let deadline = Instant::now() + timeout;
            let responses = client
                .call(timeout, Repeat::Untouched, Self::workflows, message, |mut service, request| async move {
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
        self.read(Self::workflows, message, |mut service, request| async move { service.get_workflow(request).await })
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
            .read(Self::workflows, ListWorkflowsRequest {}, |mut service, request| async move {
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
        self.destroy(Destroyed::Name(name.into()), force).await
    }

    /// Deletes what an apply that never succeeded left behind of a spec's resources; says what was done with each. If a
    /// workflow of its name was applied, that one is destroyed, as it was applied.
    ///
    /// # Errors
    /// Those of [`destroy_workflow`](Self::destroy_workflow), and reason
    /// [`InvalidField`](crate::Reason::InvalidField).
    pub async fn destroy_by_spec(&self, spec: WorkflowSpec, force: bool) -> Result<Vec<ResourceStep>, Error> {
        self.destroy(Destroyed::Spec(spec), force).await
    }

    async fn destroy(&self, what: Destroyed, force: bool) -> Result<Vec<ResourceStep>, Error> {
        let message = DestroyWorkflowRequest { workflow: Some(what), force };
        let timeout = self.config().provisioning_timeout;
        let response = self
            .call(timeout, Repeat::Untouched, Self::workflows, message, |mut service, request| async move {
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
            Self::workflows,
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
        self.read(Self::workflows, message, |mut service, request| async move { service.get_execution(request).await })
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
            Ok(Some(Ok(response))) => {
                let event = match response.event {
                    Some(Event::Workflow(workflow)) => {
                        return Some((Ok(ApplyEvent::Applied(Box::new(workflow))), None));
                    }
                    Some(Event::Plan(plan)) => Ok(ApplyEvent::Planned(plan)),
                    Some(Event::Step(step)) => Ok(ApplyEvent::Step(step)),
                    Some(Event::Waiting(what)) => Ok(ApplyEvent::Waiting(what)),
                    Some(Event::LeftBehind(plan)) => Ok(ApplyEvent::LeftBehind(plan)),
                    None => Err(Error::Protocol { missing: "event" }),
                };
                match event {
                    Ok(event) => return Some((Ok(event), Some((client, responses)))),
                    Err(error) => Err(error),
                }
            }
        };
        Some((item, None))
    })
}
