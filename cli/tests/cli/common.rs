//! A fake server with a few approvals, and the program run against it.

mod secure;
mod services;
mod terminal;

use std::{
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use approve_proto::v1::{
    access_service_server::AccessServiceServer,
    approval_service_server::{ApprovalService, ApprovalServiceServer},
    audit_service_server::AuditServiceServer,
    stream_pending_approvals_response::Change,
    *,
};
use futures::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, codegen::BoxStream, metadata::MetadataMap, transport::Server};
use tonic_types::{ErrorDetails, StatusExt};

pub(crate) use secure::Pki;
pub(crate) use terminal::Session;

/// A hostile title: it clears the screen, sets the window's title and reverses what follows.
pub(crate) const HOSTILE: &str = "Pay\x1b[2J\x1b]0;x\x07 \u{202e}me";

#[derive(Clone, Default)]
pub(crate) struct Fake {
    pub(crate) approvals: Arc<Mutex<Vec<Approval>>>,
    pub(crate) decisions: Arc<Mutex<Vec<DecideRequest>>>,
    pub(crate) callers: Arc<Mutex<Vec<(String, String)>>>,
    /// What else was asked for, a line each.
    pub(crate) acts: Arc<Mutex<Vec<String>>>,
    /// The metadata of the last of those.
    pub(crate) metadata: Arc<Mutex<MetadataMap>>,
    pub(crate) events: Arc<Mutex<Vec<AuditEvent>>>,
}

/// A fake server that runs as long as this lives.
pub(crate) struct Running {
    pub(crate) fake: Fake,
    pub(crate) url: String,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::serve("http", Server::builder())
    }

    /// Over TLS, with a certificate of this authority; asks for one of the caller's.
    pub(crate) fn start_secure(pki: &Pki) -> Self {
        Self::serve("https", Server::builder().tls_config(pki.server()).unwrap())
    }

    fn serve(scheme: &str, mut server: Server) -> Self {
        let fake = Fake::default();
        *fake.approvals.lock().unwrap() = vec![approval("one", "Pay invoice 4711"), approval("two", HOSTILE)];
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let server = server
            .add_service(ApprovalServiceServer::new(fake.clone()))
            .add_service(AccessServiceServer::new(fake.clone()))
            .add_service(AuditServiceServer::new(fake.clone()));
        let (reporter, health) = runtime.block_on(async { tonic_health::server::health_reporter() });
        runtime.block_on(reporter.set_service_status("", tonic_health::ServingStatus::Serving));
        let server = server.add_service(health);
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { fake, url, runtime }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_approve-cli"));
        let ours = |name: &str| name.starts_with("APPROVE_") || name.starts_with("XDG_");
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command
            .args(args)
            .env("APPROVE_SERVER", &self.url)
            .env("APPROVE_ACTOR", "ana")
            .env("TZ", "UTC")
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// Ends the server.
    pub(crate) fn stop(self) {
        self.runtime.shutdown_background();
    }
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn approval(name: &str, title: &str) -> Approval {
    Approval {
        id: format!("apr_{name:0<26}"),
        status: ApprovalStatus::Pending.into(),
        etag: format!("etag-{name}"),
        workflow: "invoices".into(),
        title: title.to_owned(),
        requester: "user:bo".into(),
        rule: Some(Rule { stages: vec![Stage { required_approvals: 2, ..Stage::default() }], ..Rule::default() }),
        input_json: "{\"amount\": 1200.50,\n \"big\": 123456789012345678901234567890}".into(),
        priority: Priority::Normal.into(),
        ..Approval::default()
    }
}

fn refusal(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut details = ErrorDetails::with_error_info(
        reason,
        approve_proto::ERROR_DOMAIN,
        metadata.collect::<std::collections::HashMap<_, _>>(),
    );
    if reason == "COMMENT_REQUIRED" {
        details.add_bad_request_violation("comment", "is required to reject");
    }
    Status::with_error_details(code, format!("refused as {reason}"), details)
}

impl Fake {
    fn act<T>(&self, request: &Request<T>, what: String) {
        *self.metadata.lock().unwrap() = request.metadata().clone();
        self.acts.lock().unwrap().push(what);
    }

    pub(crate) fn acts(&self) -> Vec<String> {
        std::mem::take(&mut self.acts.lock().unwrap())
    }

    /// One value of the last call's metadata.
    pub(crate) fn sent(&self, key: &str) -> Option<String> {
        self.metadata.lock().unwrap().get(key).map(|value| value.to_str().unwrap().to_owned())
    }

    fn find(&self, prefix: &str) -> Result<Approval, Status> {
        let approvals = self.approvals.lock().unwrap();
        let found: Vec<_> = approvals.iter().filter(|approval| approval.id.starts_with(prefix)).collect();
        match found.as_slice() {
            [] => Err(refusal(Code::NotFound, "APPROVAL_NOT_FOUND", &[])),
            [one] => Ok((*one).clone()),
            several => {
                let ids: Vec<_> = several.iter().map(|approval| approval.id.as_str()).collect();
                Err(refusal(Code::InvalidArgument, "AMBIGUOUS_ID", &[("matches", &ids.join(","))]))
            }
        }
    }
}

#[tonic::async_trait]
impl ApprovalService for Fake {
    async fn stream_pending_approvals(
        &self,
        _: Request<StreamPendingApprovalsRequest>,
    ) -> Result<Response<BoxStream<StreamPendingApprovalsResponse>>, Status> {
        let mut changes: Vec<_> = self.approvals.lock().unwrap().iter().cloned().map(Change::Upserted).collect();
        changes.push(Change::Bookmark(Bookmark { synced: true, revision: 9 }));
        let id = approval("one", "").id;
        changes.push(Change::Removed(RemovedApproval { id, status: ApprovalStatus::Approved.into(), revision: 10 }));
        let changes = changes
            .into_iter()
            .map(|change| Ok(StreamPendingApprovalsResponse { change: Some(change), resume_token: String::new() }));
        Ok(Response::new(Box::pin(stream::iter(changes).chain(stream::pending()))))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        let header = |key| request.metadata().get(key).map(|value| value.to_str().unwrap().to_owned());
        let caller = (header("approve-actor").unwrap_or_default(), header("approve-groups").unwrap_or_default());
        self.callers.lock().unwrap().push(caller);
        let request = request.into_inner();
        let mut approval = self.find(&request.approval_id)?;
        self.decisions.lock().unwrap().push(request.clone());
        if !request.etag.is_empty() && request.etag != approval.etag {
            return Err(refusal(Code::Aborted, "ETAG_MISMATCH", &[("etag", &approval.etag)]));
        }
        if request.decision() == Decision::Reject && request.comment.is_empty() {
            return Err(refusal(Code::InvalidArgument, "COMMENT_REQUIRED", &[]));
        }
        if request.response_json.contains("-1") {
            return Err(refusal(Code::InvalidArgument, "RESPONSE_INVALID", &[]));
        }
        if request.comment == "late" {
            let decided = [("status", "APPROVED"), ("decided_by", "user:bo"), ("decided_at", "2026-03-01T12:00:00Z")];
            return Err(refusal(Code::FailedPrecondition, "ALREADY_DECIDED", &decided));
        }
        approval.status = ApprovalStatus::Approved.into();
        let state = if request.comment == "gone" { DeliveryState::Undeliverable } else { DeliveryState::Delivered };
        approval.delivery = Some(Delivery { state: state.into(), attempts: 1, ..Delivery::default() });
        Ok(Response::new(DecideResponse { approval: Some(approval), revision: 11 }))
    }

    async fn get_approval(
        &self,
        request: Request<GetApprovalRequest>,
    ) -> Result<Response<GetApprovalResponse>, Status> {
        let approval = self.find(&request.into_inner().approval_id)?;
        Ok(Response::new(GetApprovalResponse { approval: Some(approval) }))
    }

    async fn list_approvals(
        &self,
        request: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        let request = request.into_inner();
        let approvals = self.approvals.lock().unwrap();
        let matching = approvals
            .iter()
            .filter(|approval| request.statuses.is_empty() || request.statuses.contains(&approval.status));
        let approvals = matching.take(request.page_size as usize).cloned().collect();
        Ok(Response::new(ListApprovalsResponse { approvals, next_page_token: String::new() }))
    }

    async fn withdraw_vote(
        &self,
        request: Request<WithdrawVoteRequest>,
    ) -> Result<Response<WithdrawVoteResponse>, Status> {
        let WithdrawVoteRequest { approval_id, comment, request_id } = request.get_ref();
        assert!(!request_id.is_empty());
        self.act(&request, format!("withdraw {approval_id} {comment:?}"));
        Ok(Response::new(WithdrawVoteResponse { approval: Some(self.find(approval_id)?) }))
    }

    async fn claim_approval(
        &self,
        request: Request<ClaimApprovalRequest>,
    ) -> Result<Response<ClaimApprovalResponse>, Status> {
        let ClaimApprovalRequest { approval_id, duration } = request.get_ref();
        self.act(&request, format!("claim {:?}", duration.map(|duration| duration.seconds)));
        let mut approval = self.find(approval_id)?;
        if approval.assignment.is_some() {
            let metadata = [("assignee", "user:bo"), ("until", "2026-03-01T12:00:00Z")];
            return Err(refusal(Code::FailedPrecondition, "CLAIMED", &metadata));
        }
        approval.assignment = Some(assignment(&[]));
        Ok(Response::new(ClaimApprovalResponse { approval: Some(approval) }))
    }

    async fn release_approval(
        &self,
        request: Request<ReleaseApprovalRequest>,
    ) -> Result<Response<ReleaseApprovalResponse>, Status> {
        self.act(&request, "release".into());
        Ok(Response::new(ReleaseApprovalResponse { approval: Some(self.find(&request.get_ref().approval_id)?) }))
    }

    async fn reassign_approval(
        &self,
        request: Request<ReassignApprovalRequest>,
    ) -> Result<Response<ReassignApprovalResponse>, Status> {
        let ReassignApprovalRequest { approval_id, to, comment, duration } = request.get_ref();
        let seconds = duration.map(|duration| duration.seconds);
        self.act(&request, format!("reassign to {to} {comment:?} {seconds:?}"));
        let mut approval = self.find(approval_id)?;
        approval.assignment = Some(assignment(&["user:bo\n", "user:cy"]));
        Ok(Response::new(ReassignApprovalResponse { approval: Some(approval) }))
    }

    async fn cancel_approval(
        &self,
        request: Request<CancelApprovalRequest>,
    ) -> Result<Response<CancelApprovalResponse>, Status> {
        let CancelApprovalRequest { approval_id, reason, request_id } = request.get_ref();
        self.act(&request, format!("cancel {reason:?} {request_id}"));
        let mut approval = self.find(approval_id)?;
        approval.status = ApprovalStatus::Canceled.into();
        Ok(Response::new(CancelApprovalResponse { approval: Some(approval) }))
    }

    async fn hold_approval(
        &self,
        request: Request<HoldApprovalRequest>,
    ) -> Result<Response<HoldApprovalResponse>, Status> {
        let HoldApprovalRequest { approval_id, end_time, reason } = request.get_ref();
        self.act(&request, format!("hold {reason:?} {:?}", end_time.map(|end| end.seconds)));
        let mut approval = self.find(approval_id)?;
        approval.hold = Some(Hold { held_by: "user:op".into(), end_time: *end_time, reason: reason.clone() });
        Ok(Response::new(HoldApprovalResponse { approval: Some(approval) }))
    }

    async fn resume_approval(
        &self,
        request: Request<ResumeApprovalRequest>,
    ) -> Result<Response<ResumeApprovalResponse>, Status> {
        self.act(&request, "resume".into());
        Ok(Response::new(ResumeApprovalResponse { approval: Some(self.find(&request.get_ref().approval_id)?) }))
    }

    async fn explain_approval(
        &self,
        request: Request<ExplainApprovalRequest>,
    ) -> Result<Response<ExplainApprovalResponse>, Status> {
        let ExplainApprovalRequest { approval_id, person } = request.get_ref();
        let person = person.as_ref().map(|person| format!(" for {} in {:?}", person.principal, person.groups));
        self.act(&request, format!("explain {approval_id}{}", person.unwrap_or_default()));
        Ok(Response::new(ExplainApprovalResponse { explanation: Some(services::explanation()) }))
    }

    async fn check_rule(&self, request: Request<CheckRuleRequest>) -> Result<Response<CheckRuleResponse>, Status> {
        let CheckRuleRequest { rule, requester, person } = request.get_ref();
        let rule = rule.clone().unwrap_or_default();
        let required = rule.stages.first().map_or(0, |stage| stage.required_approvals);
        let person = person.as_ref().map(|person| person.principal.as_str());
        self.act(&request, format!("check {required} asked by {requester:?} for {person:?}"));
        let problem = |what: &str| RuleProblem { field: "stages[0].required".into(), problem: what.into() };
        let problems = if required > 2 { vec![problem("only 2\x1b people can approve")] } else { Vec::new() };
        let explanation = problems.is_empty().then(services::explanation);
        Ok(Response::new(CheckRuleResponse { problems, explanation, rule_version: "v1".into() }))
    }
}

/// A claim of user:ana that does not lapse soon.
fn assignment(by: &[&str]) -> Assignment {
    let expire_time = Some(std::time::SystemTime::now() + std::time::Duration::from_secs(7230));
    Assignment {
        assignee: "user:ana".into(),
        assigned_by: by.iter().map(|by| (*by).to_owned()).collect(),
        expire_time: expire_time.map(Into::into),
    }
}
