//! `approve.v1.ApprovalService`.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use approve_proto::v1::{
    self as proto, DecideRequest, DecideResponse, GetApprovalRequest, GetApprovalResponse, ListApprovalsRequest,
    ListApprovalsResponse, StreamPendingApprovalsRequest, StreamPendingApprovalsResponse,
    approval_service_server::ApprovalService, stream_pending_approvals_response::Change,
};
use futures::stream;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, codegen::BoxStream, metadata::MetadataMap};

use super::{convert, deadline, status::ApiError, token};
use crate::{
    approval::{Approval, ApprovalId, Command, Limits},
    auth::{self, Caller},
    clock::SharedClock,
    store::{Executed, ListQuery, RequestKey, SharedStore},
    watch::{Hub, Subscription, Update},
    worker::WorkerHandle,
};

/// How long a decision's delivery is waited for at most.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How many approvals an ambiguous prefix names.
const MAX_MATCHES: usize = 5;

/// What the service needs.
pub(crate) struct Approvals {
    pub(crate) store: SharedStore,
    pub(crate) hub: Arc<Hub>,
    pub(crate) worker: WorkerHandle,
    pub(crate) clock: SharedClock,
    /// Ends streams.
    pub(crate) closing: CancellationToken,
}

#[tonic::async_trait]
impl ApprovalService for Approvals {
    async fn stream_pending_approvals(
        &self,
        request: Request<StreamPendingApprovalsRequest>,
    ) -> Result<Response<BoxStream<StreamPendingApprovalsResponse>>, Status> {
        let caller = auth::caller(&request);
        let request = request.into_inner();
        let filter = convert::read_filter(request.filter, || Ok(caller?.person))?;
        let digest = token::digest(&filter, "");
        let resume = match request.resume_token.as_str() {
            "" => None,
            token => Some(token::read_resume(token, digest).ok_or(ApiError::ResumeToken)?),
        };
        let interval = match request.heartbeat_interval {
            Some(interval) => convert::read_duration("heartbeat_interval", interval)?.unsigned_abs(),
            None => Duration::from_secs(10),
        };
        let subscription = self.hub.subscribe(filter, resume).map_err(ApiError::from)?;
        let feed = Feed {
            subscription,
            digest,
            ready: VecDeque::new(),
            interval: interval.clamp(Duration::from_secs(1), Duration::from_mins(1)),
            last: Instant::now(),
            closing: self.closing.clone(),
            ended: false,
        };
        Ok(Response::new(Box::pin(stream::unfold(feed, Feed::next))))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let (metadata, _, request) = request.into_parts();
        Ok(Response::new(self.carry_out(caller, &metadata, request).await?))
    }

    async fn get_approval(
        &self,
        request: Request<GetApprovalRequest>,
    ) -> Result<Response<GetApprovalResponse>, Status> {
        let approval = self.find(&request.into_inner().approval_id).await?;
        Ok(Response::new(GetApprovalResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn list_approvals(
        &self,
        request: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        let caller = auth::caller(&request);
        let request = request.into_inner();
        let filter = convert::read_filter(request.filter, || Ok(caller?.person))?;
        let statuses = convert::read_statuses(&request.statuses)?;
        let order = convert::read_order(request.order)?;
        let digest = token::digest(&filter, &token::list_rest(&statuses, order));
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(token::read_page(token, digest).ok_or(ApiError::PageToken)?),
        };
        let limit = match request.page_size {
            0 => 50,
            size => usize::try_from(size).unwrap_or(usize::MAX).min(1_000),
        };
        let query = ListQuery { filter, statuses, order, after, limit };
        let page = self.store.list(query).await.map_err(ApiError::from)?;
        Ok(Response::new(ListApprovalsResponse {
            approvals: page.approvals.iter().map(|approval| convert::approval(approval)).collect(),
            next_page_token: page.next.map(|next| token::page(digest, &next)).unwrap_or_default(),
        }))
    }
}

impl Approvals {
    async fn carry_out(
        &self,
        caller: Caller,
        metadata: &MetadataMap,
        request: DecideRequest,
    ) -> Result<DecideResponse, ApiError> {
        let wait_until = deadline(metadata).unwrap_or(MAX_WAIT).min(MAX_WAIT);
        let wait_until = Instant::now() + wait_until.mul_f64(0.9);
        let id = read_id(&request.approval_id)?;
        let decision = convert::read_decision(request.decision)?;
        check_comment(&request.comment)?;
        let response = read_response(&request.response_json)?;
        let key = read_key(&request, caller.origin.by.as_str())?;
        let etag = Some(request.etag).filter(|etag| !etag.is_empty());
        let cast_by = caller.origin.on_behalf_of.is_some().then(|| caller.origin.by.clone());
        let command = Command::Vote { by: caller.person, decision, comment: request.comment, response, etag, cast_by };
        let executed = self.store.execute(&id, command, caller.origin, self.clock.now(), key).await?;
        let (mut approval, revision) = match executed {
            Executed::Done { approval, revision } => (approval, revision),
            Executed::Refused(refusal) => return Err(refusal.into()),
            Executed::KeyReused => return Err(ApiError::KeyReused),
            Executed::NotFound => return Err(ApiError::ApprovalNotFound(id.to_string())),
        };
        self.worker.decided(&approval);
        if request.wait_for_delivery && approval.status.is_final() {
            // A deadline that passes here loses nothing: the decision is on disk, and on its way.
            if let Ok(Some(settled)) = tokio::time::timeout_at(wait_until, self.hub.settled(&id)).await {
                approval = settled;
            }
        }
        Ok(DecideResponse { approval: Some(convert::approval(&approval)), revision })
    }

    async fn find(&self, text: &str) -> Result<Arc<Approval>, ApiError> {
        let id = match text.parse::<ApprovalId>() {
            Ok(id) => id,
            Err(_) if ApprovalId::is_prefix(text) => {
                let mut matches = self.store.find_prefix(text, MAX_MATCHES).await?;
                match (matches.pop(), matches.is_empty()) {
                    (Some(only), true) => only,
                    (None, _) => return Err(ApiError::ApprovalNotFound(text.to_owned())),
                    (Some(last), false) => {
                        matches.push(last);
                        let matches = matches.iter().map(ToString::to_string).collect();
                        return Err(ApiError::AmbiguousId { prefix: text.to_owned(), matches });
                    }
                }
            }
            Err(error) => {
                let problem = format!("{error}, or at least the first four of them");
                return Err(ApiError::field("approval_id", problem));
            }
        };
        self.store.get(&id).await?.ok_or_else(|| ApiError::ApprovalNotFound(id.to_string()))
    }
}

fn read_id(text: &str) -> Result<ApprovalId, ApiError> {
    text.parse().map_err(|error: crate::approval::NotAnId| ApiError::field("approval_id", error.to_string()))
}

fn check_comment(comment: &str) -> Result<(), ApiError> {
    if comment.len() > Limits::COMMENT {
        let problem = format!("expected at most {} bytes, found {}", Limits::COMMENT, comment.len());
        return Err(ApiError::field("comment", problem));
    }
    Ok(())
}

fn read_response(text: &str) -> Result<Option<String>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > Limits::RESPONSE {
        let problem = format!("expected at most {} bytes, found {}", Limits::RESPONSE, text.len());
        return Err(ApiError::field("response_json", problem));
    }
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(raw) => Ok(Some(raw.get().to_owned())),
        Err(error) => Err(ApiError::field("response_json", format!("expected JSON: {error}"))),
    }
}

fn read_key(request: &DecideRequest, caller: &str) -> Result<Option<RequestKey>, ApiError> {
    let id = &request.request_id;
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > 128 || !id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(ApiError::field("request_id", "expected 1 to 128 bytes of printable ASCII"));
    }
    // Waiting is no part of what is decided.
    let body = DecideRequest { wait_for_delivery: false, ..request.clone() };
    Ok(Some(RequestKey {
        caller: caller.to_owned(),
        id: id.clone(),
        fingerprint: Sha256::digest(body.encode_to_vec()).into(),
    }))
}

/// One stream: its subscription, what of it is ready to be sent, and when to send a sign of life.
struct Feed {
    subscription: Subscription,
    digest: token::QueryDigest,
    ready: VecDeque<Update>,
    interval: Duration,
    last: Instant,
    closing: CancellationToken,
    ended: bool,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<StreamPendingApprovalsResponse, Status>, Self)> {
        if self.ended {
            return None;
        }
        let response = loop {
            if let Some(update) = self.ready.pop_front() {
                break Ok(self.response(update));
            }
            // What was read is told before the stream closes: its token is the one to resume from.
            let idle = self.last + self.interval;
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break Err(ApiError::ShuttingDown),
                // Before the updates: those that do not match must not put it off.
                () = tokio::time::sleep_until(idle) => {
                    let covered = self.subscription.covered();
                    break Ok(self.bookmark(false, covered));
                }
                updates = self.subscription.next() => match updates {
                    Ok(updates) => self.ready.extend(updates),
                    Err(error) => break Err(error.into()),
                },
            }
        };
        self.last = Instant::now();
        self.ended = response.is_err();
        Some((response.map_err(Status::from), self))
    }

    fn response(&self, update: Update) -> StreamPendingApprovalsResponse {
        let resume = |revision| token::resume(self.digest, revision);
        match update {
            Update::Upserted { approval, resume: at } => StreamPendingApprovalsResponse {
                change: Some(Change::Upserted(convert::approval(&approval))),
                resume_token: at.map(resume).unwrap_or_default(),
            },
            Update::Removed { id, status, revision } => StreamPendingApprovalsResponse {
                change: Some(Change::Removed(proto::RemovedApproval {
                    id: id.to_string(),
                    status: convert::status(status).into(),
                    revision,
                })),
                resume_token: resume(revision),
            },
            Update::Synced(revision) => self.bookmark(true, Some(revision)),
        }
    }

    fn bookmark(&self, synced: bool, covered: Option<i64>) -> StreamPendingApprovalsResponse {
        StreamPendingApprovalsResponse {
            change: Some(Change::Bookmark(proto::Bookmark { synced, revision: covered.unwrap_or_default() })),
            resume_token: covered.map(|revision| token::resume(self.digest, revision)).unwrap_or_default(),
        }
    }
}
