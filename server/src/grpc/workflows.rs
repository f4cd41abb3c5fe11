//! `approve.v1.WorkflowService`.

use std::sync::Arc;

use approve_proto::v1::{
    self as proto, ApplyWorkflowRequest, ApplyWorkflowResponse, AttachWorkflowRequest, AttachWorkflowResponse,
    DestroyWorkflowRequest, DestroyWorkflowResponse, ExportFormat, ExportWorkflowRequest, ExportWorkflowResponse,
    GetExecutionRequest, GetExecutionResponse, GetWorkflowDriftRequest, GetWorkflowDriftResponse, GetWorkflowRequest,
    GetWorkflowResponse, ListWorkflowsRequest, ListWorkflowsResponse, PlanWorkflowRequest, PlanWorkflowResponse,
    StartExecutionRequest, StartExecutionResponse, apply_workflow_response::Event,
    destroy_workflow_request::Workflow as Destroyed, export_workflow_request::Workflow as Exported,
    workflow_service_server::WorkflowService,
};
use futures::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, codegen::BoxStream};
use uuid::Uuid;

use super::{
    convert,
    status::ApiError,
    workflow_spec::{describe, plan, read_spec, resource_step},
};
use crate::{
    approval::{MAX_OUTPUT_BYTES, Origin},
    audit::{AdminEvent, Hash},
    auth::{self, Caller, Permission, Place},
    provision::{Attachment, Format, Options, Plan, Progress, ProvisionError, Spec, export},
    stepfunctions::{CallError, Execution, ExecutionStatus, Failure, HistoryEvent},
    store::StoreError,
    worker::WorkerHandle,
    workflows::{Provisioner, ProvisionerError, Workflow, WorkflowMap},
};

/// How many states of an execution are told.
const MAX_STATES: usize = 1_000;

/// What is to be destroyed.
enum Target {
    Known(Arc<Workflow>),
    /// Of an apply that never succeeded.
    Leftovers(Box<Spec>),
}

/// What the service needs.
pub(crate) struct WorkflowCalls {
    pub(crate) provisioner: Arc<Provisioner>,
    pub(crate) worker: WorkerHandle,
    /// Waited for when the server stops.
    pub(crate) applies: TaskTracker,
}

#[tonic::async_trait]
impl WorkflowService for WorkflowCalls {
    async fn apply_workflow(
        &self,
        request: Request<ApplyWorkflowRequest>,
    ) -> Result<Response<BoxStream<ApplyWorkflowResponse>>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let request = request.into_inner();
        let spec = required(request.spec)?;
        caller.require(Permission::Provision, Some(&spec.name), None).map_err(ApiError::from)?;
        // What is not ours may be another workflow's.
        if request.adopt {
            caller.require(Permission::Provision, None, None).map_err(ApiError::from)?;
        }
        let options = Options { adopt: request.adopt, replace: request.replace, force: request.force };
        let provisioner = Arc::clone(&self.provisioner);
        let (sender, steps) = tokio::sync::mpsc::unbounded_channel();
        // A caller that goes away does not stop an apply half-way.
        self.applies.spawn(async move {
            let warnings = provisioner.warnings(&spec);
            let report = |progress: Progress| {
                let event = match progress {
                    Progress::Planned(planned) => Event::Plan(plan(planned, warnings.clone())),
                    Progress::Done(step) => Event::Step(resource_step(step)),
                    Progress::Waiting(what) => Event::Waiting(what),
                    Progress::Failed(left) => Event::LeftBehind(plan(left, Vec::new())),
                };
                let _ = sender.send(Ok(ApplyWorkflowResponse { event: Some(event) }));
            };
            let applied = match provisioner.apply(spec, options, report).await {
                Ok(workflow) => record_applied(&provisioner, caller.origin, &workflow).await.map(|()| workflow),
                Err(error) => Err(error),
            };
            let last = applied
                .map(|workflow| ApplyWorkflowResponse { event: Some(Event::Workflow(describe(&workflow))) })
                .map_err(|error| Status::from(ApiError::from(error)));
            let _ = sender.send(last);
        });
        Ok(Response::new(UnboundedReceiverStream::new(steps).boxed()))
    }

    async fn plan_workflow(
        &self,
        request: Request<PlanWorkflowRequest>,
    ) -> Result<Response<PlanWorkflowResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let spec = required(request.into_inner().spec)?;
        caller.require(Permission::Provision, Some(&spec.name), None).map_err(ApiError::from)?;
        let (planned, warnings) = self.provisioner.plan(&spec).await.map_err(ApiError::from)?;
        Ok(Response::new(PlanWorkflowResponse { plan: Some(plan(planned, warnings)) }))
    }

    async fn get_workflow_drift(
        &self,
        request: Request<GetWorkflowDriftRequest>,
    ) -> Result<Response<GetWorkflowDriftResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let workflow = self.named(&caller, &request.into_inner().name).await?;
        caller.require(Permission::Provision, Some(&workflow.record.name), None).map_err(ApiError::from)?;
        let drift = self.provisioner.drift(&workflow).await.map_err(ApiError::from)?;
        Ok(Response::new(GetWorkflowDriftResponse { plan: Some(plan(drift, Vec::new())) }))
    }

    async fn export_workflow(
        &self,
        request: Request<ExportWorkflowRequest>,
    ) -> Result<Response<ExportWorkflowResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let request = request.into_inner();
        let spec = match request.workflow {
            Some(Exported::Name(ref name)) => self.named(&caller, name).await?.record.spec.clone(),
            Some(Exported::Spec(ref spec)) => read_spec(spec.clone())?.checked().map_err(ApiError::from)?,
            None => return Err(ApiError::field("workflow", "expected a workflow's name or spec").into()),
        };
        caller.require(Permission::Provision, Some(&spec.name), None).map_err(ApiError::from)?;
        let (format, file_name) = match request.format() {
            ExportFormat::Cloudformation => (Format::CloudFormation, format!("{}.template.yaml", spec.name)),
            ExportFormat::Terraform => (Format::Terraform, format!("{}.tf.json", spec.name)),
            ExportFormat::Pulumi => (Format::Pulumi, "Pulumi.yaml".to_owned()),
            ExportFormat::Unspecified => return Err(ApiError::field("format", "expected a format").into()),
        };
        Ok(Response::new(ExportWorkflowResponse { text: export(&spec, format), file_name }))
    }

    async fn attach_workflow(
        &self,
        request: Request<AttachWorkflowRequest>,
    ) -> Result<Response<AttachWorkflowResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        // Whoever names a state machine by its ARN can name anybody's.
        caller.require(Permission::Provision, None, None).map_err(ApiError::from)?;
        let request = request.into_inner();
        let attachment = Attachment {
            name: request.name,
            state_machine_arn: request.state_machine_arn,
            activity_arns: request.activity_arns,
            rule: convert::read_rule("rule", request.rule.unwrap_or_default())?,
        };
        let refused = |error| match error {
            ProvisionerError::Provision(ProvisionError::Field { field, problem }) => ApiError::Field { field, problem },
            error => ApiError::from(error),
        };
        let workflow = self.provisioner.attach(attachment).await.map_err(refused)?;
        record_applied(&self.provisioner, caller.origin, &workflow).await.map_err(ApiError::from)?;
        let warnings = self.provisioner.warnings(&workflow.record.spec);
        Ok(Response::new(AttachWorkflowResponse {
            workflow: Some(describe(&workflow)),
            warnings: plan(Plan { actions: Vec::new() }, warnings).warnings,
        }))
    }

    async fn get_workflow(
        &self,
        request: Request<GetWorkflowRequest>,
    ) -> Result<Response<GetWorkflowResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let workflow = self.named(&caller, &request.into_inner().name).await?;
        Ok(Response::new(GetWorkflowResponse { workflow: Some(describe(&workflow)) }))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let all = self.provisioner.workflows.all();
        let seen = all.values().filter(|workflow| sees(&caller, &workflow.record.name));
        Ok(Response::new(ListWorkflowsResponse { workflows: seen.map(|each| describe(each)).collect() }))
    }

    async fn destroy_workflow(
        &self,
        request: Request<DestroyWorkflowRequest>,
    ) -> Result<Response<DestroyWorkflowResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let request = request.into_inner();
        let (name, target) = match request.workflow {
            Some(Destroyed::Name(name)) => {
                let workflow = self.named(&caller, &name).await?;
                (name, Target::Known(workflow))
            }
            Some(Destroyed::Spec(spec)) => {
                let spec = read_spec(spec)?.checked().map_err(ApiError::from)?;
                let known = self.named(&caller, &spec.name).await.ok();
                (spec.name.clone(), known.map_or_else(|| Target::Leftovers(Box::new(spec)), Target::Known))
            }
            None => return Err(ApiError::field("workflow", "expected a workflow's name or spec").into()),
        };
        caller.require(Permission::Provision, Some(&name), None).map_err(ApiError::from)?;
        let store = &self.provisioner.store;
        let pending = store.count_pending(Some(&name)).await.map_err(ApiError::from)?;
        if pending > 0 && !request.force {
            return Err(ApiError::ApprovalsPending { pending }.into());
        }
        let steps = match target {
            Target::Known(workflow) => self.provisioner.destroy(&workflow).await,
            Target::Leftovers(spec) => self.provisioner.clear(&spec).await,
        };
        let steps = steps.map_err(ApiError::from)?;
        let destroyed = AdminEvent::WorkflowDestroyed { pending };
        let (origin, at) = (caller.origin.clone(), self.provisioner.clock.now());
        store.record(origin, Some(name.clone()), None, destroyed, at).await.map_err(ApiError::from)?;
        let reason = "its workflow was destroyed";
        self.worker.cancel_all(&name, &caller.origin, reason).await.map_err(ApiError::from)?;
        Ok(Response::new(DestroyWorkflowResponse { steps: steps.into_iter().map(resource_step).collect() }))
    }

    async fn start_execution(
        &self,
        request: Request<StartExecutionRequest>,
    ) -> Result<Response<StartExecutionResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let request = request.into_inner();
        let workflow = self.named_or_only(&caller, &request.workflow).await?;
        caller.require(Permission::Start, Some(&workflow.record.name), None).map_err(ApiError::from)?;
        let input = read_input(request.input_json)?;
        let name = match request.name {
            name if name.is_empty() => Uuid::now_v7().to_string(),
            name => name,
        };
        check_execution_name(&name)?;
        let state_machine = &workflow.record.state_machine_arn;
        let started = self.provisioner.stepfunctions.start_execution(state_machine, &name, &input).await;
        let started = started.map_err(|error| match error.code.as_deref() {
            Some("ExecutionAlreadyExists") => ApiError::ExecutionExists,
            Some("InvalidExecutionInput") => ApiError::field("input_json", error.message),
            Some("InvalidName") => ApiError::field("name", error.message),
            _ => ApiError::Aws(error),
        })?;
        let name_of = workflow.record.name.clone();
        let event = AdminEvent::ExecutionStarted { execution_arn: started.arn.clone(), input_sha256: Hash::of(&input) };
        let (store, at) = (&self.provisioner.store, self.provisioner.clock.now());
        store.record(caller.origin, Some(name_of), None, event, at).await.map_err(ApiError::from)?;
        Ok(Response::new(StartExecutionResponse {
            execution_arn: started.arn,
            name,
            start_time: Some(convert::timestamp(started.started)),
            workflow: workflow.record.name.clone(),
        }))
    }

    async fn get_execution(
        &self,
        request: Request<GetExecutionRequest>,
    ) -> Result<Response<GetExecutionResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let request = request.into_inner();
        let arn = self.execution_arn(&caller, &request).await?;
        if !self.may_read(&caller, &arn) {
            return Err(ApiError::ExecutionNotFound(arn).into());
        }
        let not_found = |error: CallError| match error.failure {
            Failure::Gone => ApiError::ExecutionNotFound(arn.clone()),
            Failure::Refused => ApiError::field("execution", error.message),
            Failure::Throttled | Failure::TimedOut | Failure::Denied | Failure::Unknown => ApiError::Aws(error),
        };
        let port = &self.provisioner.stepfunctions;
        let execution = port.describe_execution(&arn).await.map_err(not_found)?;
        let mut states = Vec::new();
        let mut page = None;
        loop {
            let (events, next) = port.execution_history(&arn, false, page).await.map_err(not_found)?;
            visits(&events, &mut states);
            if next.is_none() || states.len() >= MAX_STATES {
                break;
            }
            page = next;
        }
        states.truncate(MAX_STATES);
        Ok(Response::new(GetExecutionResponse { execution: Some(describe_execution(execution, states)) }))
    }
}

impl WorkflowCalls {
    /// A workflow by its name. One that the caller may do nothing with is none.
    async fn named(&self, caller: &Caller, name: &str) -> Result<Arc<Workflow>, ApiError> {
        let not_found = || ApiError::WorkflowNotFound(name.to_owned());
        if !sees(caller, name) {
            return Err(not_found());
        }
        if let Some(workflow) = self.provisioner.workflows.get(name) {
            return Ok(workflow);
        }
        self.catch_up().await?;
        self.provisioner.workflows.get(name).ok_or_else(not_found)
    }

    /// Reads what another server may just have applied.
    async fn catch_up(&self) -> Result<(), ApiError> {
        let store = &self.provisioner.store;
        if store.standing().borrow().lease.is_some() {
            self.provisioner.workflows.reload(store).await?;
        }
        Ok(())
    }

    async fn named_or_only(&self, caller: &Caller, name: &str) -> Result<Arc<Workflow>, ApiError> {
        if !name.is_empty() {
            return self.named(caller, name).await;
        }
        if self.provisioner.workflows.all().is_empty() {
            self.catch_up().await?;
        }
        let all = self.provisioner.workflows.all();
        let seen: WorkflowMap = all.iter().filter(|(name, _)| sees(caller, name)).map(cloned).collect();
        let mut workflows = seen.values();
        match (workflows.next(), workflows.next()) {
            (Some(only), None) => Ok(Arc::clone(only)),
            (None, _) => Err(ApiError::field("workflow", "there is no workflow yet; apply one first")),
            (Some(_), Some(_)) => {
                let names: Vec<_> = seen.keys().map(String::as_str).collect();
                Err(ApiError::field("workflow", format!("there are several; name one of: {}", names.join(", "))))
            }
        }
    }

    /// An execution's ARN is its state machine's, with `execution` and its name.
    async fn execution_arn(&self, caller: &Caller, request: &GetExecutionRequest) -> Result<String, ApiError> {
        if request.execution.starts_with("arn:") {
            return Ok(request.execution.clone());
        }
        check_execution_name(&request.execution)
            .map_err(|_| ApiError::field("execution", "expected an execution's ARN or name"))?;
        let workflow = self.named_or_only(caller, &request.workflow).await?;
        Ok(format!("{}:{}", executions_of(&workflow), request.execution))
    }

    /// Whether the caller may see an execution: it holds what approvals with all labels hold.
    fn may_read(&self, caller: &Caller, arn: &str) -> bool {
        let reads = |place| caller.may(Permission::View, place) || caller.may(Permission::Start, place);
        let is_of = |workflow: &Arc<Workflow>| {
            arn.strip_prefix(&executions_of(workflow)).is_some_and(|name| name.starts_with(':'))
        };
        let all = self.provisioner.workflows.all();
        reads(Place::Everywhere) || all.values().any(|each| is_of(each) && reads(Place::Workflow(&each.record.name)))
    }
}

/// How the ARNs of a workflow's executions begin.
fn executions_of(workflow: &Workflow) -> String {
    workflow.record.state_machine_arn.replacen(":stateMachine:", ":execution:", 1)
}

/// Whether the caller may do anything with a workflow.
fn sees(caller: &Caller, workflow: &str) -> bool {
    let reasons = [Permission::View, Permission::Start, Permission::Provision];
    reasons.into_iter().any(|permission| caller.may(permission, Place::Workflow(workflow)))
}

fn cloned((name, workflow): (&String, &Arc<Workflow>)) -> (String, Arc<Workflow>) {
    (name.clone(), Arc::clone(workflow))
}

/// Says in the record what was applied.
async fn record_applied(
    provisioner: &Provisioner,
    origin: Origin,
    workflow: &Workflow,
) -> Result<(), ProvisionerError> {
    let record = &workflow.record;
    let spec = serde_json::to_string(&record.spec).map_err(|error| StoreError::Unavailable(error.into()))?;
    let applied = AdminEvent::WorkflowApplied {
        spec_sha256: Hash::of(&spec),
        definition_sha256: Hash::of(&record.definition),
        state_machine_arn: record.state_machine_arn.clone(),
        activity_arn: record.activity_arn.clone(),
    };
    let at = provisioner.clock.now();
    Ok(provisioner.store.record(origin, Some(record.name.clone()), None, applied, at).await?)
}

fn required(spec: Option<proto::WorkflowSpec>) -> Result<Spec, ApiError> {
    read_spec(spec.ok_or_else(|| ApiError::field("spec", "expected a workflow's spec"))?)
}

fn read_input(text: String) -> Result<String, ApiError> {
    if text.is_empty() {
        return Ok("{}".to_owned());
    }
    if text.len() > MAX_OUTPUT_BYTES {
        let problem = format!("expected at most {MAX_OUTPUT_BYTES} bytes, found {}", text.len());
        return Err(ApiError::field("input_json", problem));
    }
    if let Err(error) = serde_json::from_str::<&serde_json::value::RawValue>(&text) {
        return Err(ApiError::field("input_json", format!("expected JSON: {error}")));
    }
    Ok(text)
}

fn check_execution_name(name: &str) -> Result<(), ApiError> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "?*<>{}[]\"#%\\^|~$&,;:/`".contains(c);
    if !(1..=80).contains(&name.chars().count()) || name.contains(forbidden) {
        let problem =
            "expected 1 to 80 characters, none of them white space or ? * < > { } [ ] \" # % \\ ^ | ~ $ & , ; : / `";
        return Err(ApiError::field("name", problem));
    }
    Ok(())
}

/// Adds the states that the events enter and leave. States of parallel branches may be open at once.
fn visits(events: &[HistoryEvent], states: &mut Vec<proto::StateVisit>) {
    for event in events {
        let Some(name) = &event.state else { continue };
        if event.kind.ends_with("StateEntered") {
            states.push(proto::StateVisit {
                name: name.clone(),
                enter_time: Some(convert::timestamp(event.at)),
                exit_time: None,
            });
        } else if event.kind.ends_with("StateExited") {
            let open = |visit: &&mut proto::StateVisit| visit.name == *name && visit.exit_time.is_none();
            if let Some(visit) = states.iter_mut().find(open) {
                visit.exit_time = Some(convert::timestamp(event.at));
            }
        }
    }
}

fn describe_execution(execution: Execution, states: Vec<proto::StateVisit>) -> proto::Execution {
    proto::Execution {
        arn: execution.arn,
        name: execution.name,
        state_machine_arn: execution.state_machine_arn,
        status: match execution.status {
            ExecutionStatus::Running => proto::ExecutionStatus::Running,
            ExecutionStatus::Succeeded => proto::ExecutionStatus::Succeeded,
            ExecutionStatus::Failed => proto::ExecutionStatus::Failed,
            ExecutionStatus::TimedOut => proto::ExecutionStatus::TimedOut,
            ExecutionStatus::Aborted => proto::ExecutionStatus::Aborted,
            ExecutionStatus::PendingRedrive => proto::ExecutionStatus::PendingRedrive,
        }
        .into(),
        input_json: execution.input.unwrap_or_default(),
        output_json: execution.output.unwrap_or_default(),
        error: execution.error.unwrap_or_default(),
        cause: execution.cause.unwrap_or_default(),
        start_time: Some(convert::timestamp(execution.started)),
        stop_time: execution.stopped.map(convert::timestamp),
        states,
    }
}
