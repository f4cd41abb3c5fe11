//! A fake server in this process: it says what it was told to say, over connections that can be cut.

#![allow(clippy::unwrap_used, reason = "a test's own helper")]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod secure;
mod services;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use approve_client::{
    Approval, Client, Config, Credentials,
    proto::{
        ApplyWorkflowRequest, ApplyWorkflowResponse, AttachWorkflowRequest, AttachWorkflowResponse, AuditEvent,
        Bookmark, CancelApprovalRequest, CancelApprovalResponse, ClaimApprovalRequest, ClaimApprovalResponse,
        DecideRequest, DecideResponse, DestroyWorkflowRequest, DestroyWorkflowResponse, ExportEventsResponse,
        ExportWorkflowRequest, ExportWorkflowResponse, GetApprovalRequest, GetApprovalResponse, GetExecutionRequest,
        GetExecutionResponse, GetWorkflowDriftRequest, GetWorkflowDriftResponse, GetWorkflowRequest,
        GetWorkflowResponse, ListApprovalsRequest, ListApprovalsResponse, ListWorkflowsRequest, ListWorkflowsResponse,
        PlanWorkflowRequest, PlanWorkflowResponse, StartExecutionRequest, StartExecutionResponse,
        StreamPendingApprovalsRequest, StreamPendingApprovalsResponse, WithdrawVoteRequest, WithdrawVoteResponse,
        access_service_server::AccessServiceServer,
        approval_service_server::{ApprovalService, ApprovalServiceServer},
        audit_service_server::AuditServiceServer,
        stream_pending_approvals_response::Change,
        workflow_service_server::{WorkflowService, WorkflowServiceServer},
    },
};
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tonic::{
    Code, Request, Response, Status,
    codegen::BoxStream,
    metadata::MetadataMap,
    transport::{Endpoint, Server, Uri},
};
use tonic_types::{ErrorDetails, StatusExt};

/// What a stream does next.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Message(Box<StreamPendingApprovalsResponse>),
    Wait(Duration),
    Fail(Status),
    /// The connection is cut, without a status.
    Cut,
    /// Nothing comes any more, and the stream stays open.
    Silence,
}

#[derive(Default)]
pub(crate) struct State {
    /// One script for each stream; where there is none the stream is silent.
    pub streams: VecDeque<Vec<Say>>,
    pub stream_requests: Vec<StreamPendingApprovalsRequest>,
    /// One answer for each Decide; `None` cuts the connection.
    pub decisions: VecDeque<Option<Result<DecideResponse, Status>>>,
    pub decide_requests: Vec<DecideRequest>,
    pub approvals: Vec<Approval>,
    pub list_requests: Vec<ListApprovalsRequest>,
    /// The responses of one ApplyWorkflow.
    pub apply: Vec<Result<ApplyWorkflowResponse, Status>>,
    pub apply_requests: Vec<ApplyWorkflowRequest>,
    /// Calls beside those above, by name and what tells two of them apart.
    pub acted: Vec<(&'static str, String)>,
    /// What those calls are refused with, one each; then they succeed.
    pub refusals: VecDeque<Status>,
    pub events: Vec<AuditEvent>,
    /// The responses of one ExportEvents; it stays open after them where it should.
    pub export: Vec<Result<ExportEventsResponse, Status>>,
    pub export_stalls: bool,
    /// The only bearer token that is taken, if one is asked for.
    pub bearer: Option<String>,
    pub metadata: Option<MetadataMap>,
    /// Whether connections are refused.
    pub down: bool,
    connections: Vec<AbortHandle>,
}

/// A handle to the fake server and its script.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Ends all connections at once, as a crash would.
    pub(crate) fn cut(&self) {
        for connection in self.state().connections.drain(..) {
            connection.abort();
        }
    }

    /// A client that connects to this server, as user:ana in finance.
    pub(crate) fn client(&self) -> Client {
        let me = Credentials::asserted("user:ana", ["finance", "legal"]);
        self.client_with(Config::new("http://fake").credentials(me))
    }

    pub(crate) fn client_with(&self, config: Config) -> Client {
        let fake = self.clone();
        let connect = tower::service_fn(move |_: Uri| {
            let connection = fake.accept();
            async move { connection.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://fake").connect_with_connector_lazy(connect);
        Client::with_channel(channel, config).unwrap()
    }

    /// Takes a call: keeps its metadata, and refuses it where it has not the right token.
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let mut state = self.state();
        let metadata = request.metadata();
        state.metadata = Some(metadata.clone());
        let Some(bearer) = &state.bearer else { return Ok(()) };
        let sent = metadata.get("authorization").and_then(|value| value.to_str().ok());
        if sent == Some(&format!("Bearer {bearer}")) {
            Ok(())
        } else {
            Err(refusal(Code::Unauthenticated, "UNAUTHENTICATED"))
        }
    }

    fn act(&self, what: &'static str, detail: impl Into<String>) -> Result<Option<Approval>, Status> {
        let mut state = self.state();
        let detail = detail.into();
        state.acted.push((what, detail));
        state.refusals.pop_front().map_or(Ok(Some(approval("a"))), Err)
    }

    fn accept(&self) -> std::io::Result<tokio::io::DuplexStream> {
        let mut state = self.state();
        if state.down {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        let (client, mut near) = tokio::io::duplex(64 * 1024);
        let (mut far, server) = tokio::io::duplex(64 * 1024);
        let incoming = stream::iter([Ok::<_, std::io::Error>(server)]).chain(stream::pending());
        let serve = Server::builder()
            .add_service(ApprovalServiceServer::new(self.clone()))
            .add_service(WorkflowServiceServer::new(self.clone()))
            .add_service(AccessServiceServer::new(self.clone()))
            .add_service(AuditServiceServer::new(self.clone()))
            .serve_with_incoming(incoming);
        // What the server spawns ends when the wire does.
        let wire = tokio::spawn(async move {
            tokio::select! {
                _ = serve => {}
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            }
        });
        state.connections.push(wire.abort_handle());
        Ok(client)
    }
}

#[tonic::async_trait]
impl ApprovalService for Fake {
    async fn stream_pending_approvals(
        &self,
        request: Request<StreamPendingApprovalsRequest>,
    ) -> Result<Response<BoxStream<StreamPendingApprovalsResponse>>, Status> {
        self.admit(&request)?;
        let script = {
            let mut state = self.state();
            state.stream_requests.push(request.into_inner());
            state.streams.pop_front().unwrap_or_default()
        };
        if let Some(Say::Fail(status)) = script.first() {
            return Err(status.clone());
        }
        let fake = self.clone();
        let said = stream::iter(script).filter_map(move |say| {
            let fake = fake.clone();
            async move {
                match say {
                    Say::Message(message) => Some(Ok(*message)),
                    Say::Fail(status) => Some(Err(status)),
                    Say::Wait(time) => {
                        tokio::time::sleep(time).await;
                        None
                    }
                    Say::Cut => {
                        // What was said before gets through: on paused time this ends once all else is idle.
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        fake.cut();
                        std::future::pending().await
                    }
                    Say::Silence => std::future::pending().await,
                }
            }
        });
        Ok(Response::new(Box::pin(said.chain(stream::pending()))))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        self.admit(&request)?;
        let answer = {
            let mut state = self.state();
            state.decide_requests.push(request.into_inner());
            state.decisions.pop_front()
        };
        match answer {
            Some(Some(answer)) => answer.map(Response::new),
            Some(None) => {
                self.cut();
                std::future::pending().await
            }
            None => std::future::pending().await,
        }
    }

    async fn get_approval(
        &self,
        request: Request<GetApprovalRequest>,
    ) -> Result<Response<GetApprovalResponse>, Status> {
        self.admit(&request)?;
        let id = request.into_inner().approval_id;
        let state = self.state();
        match state.approvals.iter().find(|approval| approval.id == id) {
            Some(approval) => Ok(Response::new(GetApprovalResponse { approval: Some(approval.clone()) })),
            None => Err(refusal(Code::NotFound, "APPROVAL_NOT_FOUND")),
        }
    }

    async fn list_approvals(
        &self,
        request: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        let start = request.page_token.parse().unwrap_or(0);
        let end = state.approvals.len().min(start + request.page_size as usize);
        let next_page_token = if end < state.approvals.len() { end.to_string() } else { String::new() };
        let approvals = state.approvals[start..end].to_vec();
        state.list_requests.push(request);
        Ok(Response::new(ListApprovalsResponse { approvals, next_page_token }))
    }

    async fn withdraw_vote(
        &self,
        request: Request<WithdrawVoteRequest>,
    ) -> Result<Response<WithdrawVoteResponse>, Status> {
        let approval = self.act("withdraw", request.into_inner().request_id)?;
        Ok(Response::new(WithdrawVoteResponse { approval }))
    }

    async fn claim_approval(
        &self,
        request: Request<ClaimApprovalRequest>,
    ) -> Result<Response<ClaimApprovalResponse>, Status> {
        let seconds = request.into_inner().duration.map(|duration| duration.seconds);
        let approval = self.act("claim", format!("{seconds:?}"))?;
        Ok(Response::new(ClaimApprovalResponse { approval }))
    }

    async fn cancel_approval(
        &self,
        request: Request<CancelApprovalRequest>,
    ) -> Result<Response<CancelApprovalResponse>, Status> {
        let approval = self.act("cancel", request.into_inner().request_id)?;
        Ok(Response::new(CancelApprovalResponse { approval }))
    }
}

#[tonic::async_trait]
impl WorkflowService for Fake {
    async fn apply_workflow(
        &self,
        request: Request<ApplyWorkflowRequest>,
    ) -> Result<Response<BoxStream<ApplyWorkflowResponse>>, Status> {
        let mut state = self.state();
        state.apply_requests.push(request.into_inner());
        Ok(Response::new(Box::pin(stream::iter(std::mem::take(&mut state.apply)))))
    }

    async fn plan_workflow(&self, _: Request<PlanWorkflowRequest>) -> Result<Response<PlanWorkflowResponse>, Status> {
        Ok(Response::new(PlanWorkflowResponse::default()))
    }

    async fn export_workflow(
        &self,
        _: Request<ExportWorkflowRequest>,
    ) -> Result<Response<ExportWorkflowResponse>, Status> {
        Ok(Response::new(ExportWorkflowResponse::default()))
    }

    async fn attach_workflow(
        &self,
        _: Request<AttachWorkflowRequest>,
    ) -> Result<Response<AttachWorkflowResponse>, Status> {
        Ok(Response::new(AttachWorkflowResponse::default()))
    }

    async fn get_workflow_drift(
        &self,
        _: Request<GetWorkflowDriftRequest>,
    ) -> Result<Response<GetWorkflowDriftResponse>, Status> {
        Ok(Response::new(GetWorkflowDriftResponse::default()))
    }

    async fn get_workflow(&self, _: Request<GetWorkflowRequest>) -> Result<Response<GetWorkflowResponse>, Status> {
        Ok(Response::new(GetWorkflowResponse { workflow: None }))
    }

    async fn list_workflows(
        &self,
        _: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        Err(Status::unimplemented("not in this script"))
    }

    async fn destroy_workflow(
        &self,
        _: Request<DestroyWorkflowRequest>,
    ) -> Result<Response<DestroyWorkflowResponse>, Status> {
        Err(Status::unimplemented("not in this script"))
    }

    async fn start_execution(
        &self,
        _: Request<StartExecutionRequest>,
    ) -> Result<Response<StartExecutionResponse>, Status> {
        Err(Status::unimplemented("not in this script"))
    }

    async fn get_execution(&self, _: Request<GetExecutionRequest>) -> Result<Response<GetExecutionResponse>, Status> {
        Err(Status::unimplemented("not in this script"))
    }
}

pub(crate) fn approval(id: &str) -> Approval {
    Approval { id: id.to_owned(), title: format!("title of {id}"), ..Approval::default() }
}

pub(crate) fn upserted(id: &str, token: &str) -> Say {
    Say::Message(Box::new(StreamPendingApprovalsResponse {
        change: Some(Change::Upserted(approval(id))),
        resume_token: token.to_owned(),
    }))
}

pub(crate) fn bookmark(synced: bool, token: &str) -> Say {
    Say::Message(Box::new(StreamPendingApprovalsResponse {
        change: Some(Change::Bookmark(Bookmark { synced, revision: 1 })),
        resume_token: token.to_owned(),
    }))
}

/// A refusal that asks to wait.
pub(crate) fn later(code: Code, reason: &str, wait: Duration) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, approve_proto::ERROR_DOMAIN, []);
    details.set_retry_info(Some(wait));
    Status::with_error_details(code, "refused for now", details)
}

pub(crate) fn refusal(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, approve_proto::ERROR_DOMAIN, []);
    Status::with_error_details(code, "refused", details)
}
