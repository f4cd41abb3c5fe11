//! `approve.v1.ApprovalService`.

mod act;
mod decide;
mod explain;
mod frame;
mod read;
mod service;
mod snapshot;
mod stream;

use std::{sync::Arc, time::Duration};

use approve_proto::v1::{
    CancelApprovalRequest, CancelApprovalResponse, CheckRuleRequest, CheckRuleResponse, ClaimApprovalRequest,
    ClaimApprovalResponse, DecideRequest, DecideResponse, ExplainApprovalRequest, ExplainApprovalResponse,
    GetApprovalRequest, GetApprovalResponse, HoldApprovalRequest, HoldApprovalResponse, ListApprovalsRequest,
    ListApprovalsResponse, ReassignApprovalRequest, ReassignApprovalResponse, ReleaseApprovalRequest,
    ReleaseApprovalResponse, ResumeApprovalRequest, ResumeApprovalResponse, StreamPendingApprovalsRequest,
    WithdrawVoteRequest, WithdrawVoteResponse, approval_service_server::ApprovalService,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, codegen::BoxStream};

use self::frame::Frame;
pub(crate) use self::service::ApprovalRoutes;
use super::{convert, status::ApiError, token};
use crate::{
    approval::{Approval, ApprovalId},
    auth::{self, Caller, Permission},
    operations::{self, Operations},
    store::{Filter, ListQuery, Order},
    telemetry::trace::CallContext,
    watch::Hub,
};

/// How many approvals an ambiguous prefix names.
const MAX_MATCHES: usize = 5;

/// What the service needs.
pub(crate) struct Approvals {
    pub(crate) operations: Operations,
    pub(crate) hub: Arc<Hub>,
    /// Ends streams.
    pub(crate) closing: CancellationToken,
}

#[tonic::async_trait]
impl ApprovalService for Approvals {
    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let (metadata, extensions, request) = request.into_parts();
        let call = extensions.get::<CallContext>().cloned();
        Ok(Response::new(self.vote(caller, &metadata, call, request).await?))
    }

    async fn get_approval(
        &self,
        request: Request<GetApprovalRequest>,
    ) -> Result<Response<GetApprovalResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let approval = self.find(&caller, &request.into_inner().approval_id).await?;
        Ok(Response::new(GetApprovalResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn list_approvals(
        &self,
        request: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let request = request.into_inner();
        let filter = convert::read_filter(request.filter, &caller)?;
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
        let page = self.operations.store.list(query).await.map_err(ApiError::from)?;
        Ok(Response::new(ListApprovalsResponse {
            approvals: page.approvals.iter().map(|approval| convert::approval(approval)).collect(),
            next_page_token: page.next.map(|next| token::page(digest, &next)).unwrap_or_default(),
        }))
    }

    async fn withdraw_vote(
        &self,
        request: Request<WithdrawVoteRequest>,
    ) -> Result<Response<WithdrawVoteResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let approval = self.withdraw(caller, request.into_inner()).await?;
        Ok(Response::new(WithdrawVoteResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn claim_approval(
        &self,
        request: Request<ClaimApprovalRequest>,
    ) -> Result<Response<ClaimApprovalResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let approval = self.claim(caller, request.into_inner()).await?;
        Ok(Response::new(ClaimApprovalResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn release_approval(
        &self,
        request: Request<ReleaseApprovalRequest>,
    ) -> Result<Response<ReleaseApprovalResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let approval = self.release(caller, request.into_inner()).await?;
        Ok(Response::new(ReleaseApprovalResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn reassign_approval(
        &self,
        request: Request<ReassignApprovalRequest>,
    ) -> Result<Response<ReassignApprovalResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let approval = self.reassign(caller, request.into_inner()).await?;
        Ok(Response::new(ReassignApprovalResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn cancel_approval(
        &self,
        request: Request<CancelApprovalRequest>,
    ) -> Result<Response<CancelApprovalResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let approval = self.cancel(caller, request.into_inner()).await?;
        Ok(Response::new(CancelApprovalResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn hold_approval(
        &self,
        request: Request<HoldApprovalRequest>,
    ) -> Result<Response<HoldApprovalResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let approval = self.hold(caller, request.into_inner()).await?;
        Ok(Response::new(HoldApprovalResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn resume_approval(
        &self,
        request: Request<ResumeApprovalRequest>,
    ) -> Result<Response<ResumeApprovalResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let approval = self.resume(caller, request.into_inner()).await?;
        Ok(Response::new(ResumeApprovalResponse { approval: Some(convert::approval(&approval)) }))
    }

    async fn explain_approval(
        &self,
        request: Request<ExplainApprovalRequest>,
    ) -> Result<Response<ExplainApprovalResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        Ok(Response::new(self.explain(&caller, request.into_inner()).await?))
    }

    async fn check_rule(&self, request: Request<CheckRuleRequest>) -> Result<Response<CheckRuleResponse>, Status> {
        Ok(Response::new(explain::check_rule(request.into_inner(), self.operations.clock.now())?))
    }
}

impl Approvals {
    /// The stream of pending approvals. Not in the generated service: its responses are bytes.
    async fn stream(&self, request: Request<StreamPendingApprovalsRequest>) -> Result<BoxStream<Frame>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let request = request.into_inner();
        let filter = convert::read_filter(request.filter, &caller)?;
        let digest = token::digest(&filter, "");
        let resume = match request.resume_token.as_str() {
            "" => None,
            token => Some(token::read_resume(token, digest).ok_or(ApiError::ResumeToken)?),
        };
        let interval = match request.heartbeat_interval {
            Some(interval) => convert::read_duration("heartbeat_interval", interval)?.unsigned_abs(),
            None => Duration::from_secs(10),
        };
        let standing = self.operations.store.standing();
        if !standing.borrow().reachable {
            return Err(ApiError::StoreAway.into());
        }
        if let Some(revision) = resume {
            self.hub.reach(revision).await;
        }
        let subscription = self.hub.subscribe(filter, resume).map_err(ApiError::from)?;
        let interval = interval.clamp(Duration::from_secs(1), Duration::from_mins(1));
        Ok(stream::responses(subscription, digest, interval, standing, self.closing.clone()))
    }

    /// An approval by its id, or the beginning of it.
    async fn find(&self, caller: &Caller, text: &str) -> Result<Arc<Approval>, ApiError> {
        let begun = Instant::now();
        let id = match text.parse::<ApprovalId>() {
            Ok(id) => id,
            Err(_) if ApprovalId::is_prefix(text) => {
                let mut matches = self.matches(caller, text).await?;
                match (matches.pop(), matches.is_empty()) {
                    (Some(only), true) => only,
                    (None, _) => return Err(not_found(caller, text.to_owned(), begun).await),
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
        Ok(self.operations.seen(caller, &id).await?)
    }

    /// The ids that begin so, of approvals that the caller sees; a few of them.
    async fn matches(&self, caller: &Caller, prefix: &str) -> Result<Vec<ApprovalId>, ApiError> {
        let Some(visible) = caller.scopes(Permission::View) else {
            return Ok(self.operations.store.find_prefix(prefix, MAX_MATCHES).await?);
        };
        let filter = Filter { visible: Some(visible), ..Filter::default() };
        let mut found = Vec::new();
        let mut after = ApprovalId::first_of(prefix);
        while let Some(from) = after {
            let order = Order::OldestFirst;
            let query = ListQuery {
                filter: filter.clone(),
                statuses: Vec::new(),
                order,
                after: Some(from),
                limit: MAX_MATCHES,
            };
            let page = self.operations.store.list(query).await?;
            for approval in page.approvals {
                if !approval.id.as_str().starts_with(prefix) || found.len() == MAX_MATCHES {
                    return Ok(found);
                }
                found.push(approval.id.clone());
            }
            after = page.next.filter(|next| next.as_str().starts_with(prefix));
        }
        Ok(found)
    }
}

/// There is none: said after the same time to whoever does not see all, so that it does not tell what is hidden.
async fn not_found(caller: &Caller, id: String, begun: Instant) -> ApiError {
    operations::hide(caller, begun).await;
    ApiError::ApprovalNotFound(id)
}
