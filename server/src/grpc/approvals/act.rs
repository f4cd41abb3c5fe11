//! What people do with approvals beside deciding.

use std::sync::Arc;

use approve_proto::v1::{
    CancelApprovalRequest, ClaimApprovalRequest, HoldApprovalRequest, ReassignApprovalRequest, ReleaseApprovalRequest,
    ResumeApprovalRequest, WithdrawVoteRequest,
};
use jiff::SignedDuration;

use super::{Approvals, read};
use crate::{
    approval::{Approval, ApprovalId, Command, Origin},
    auth::{Caller, Permission},
    grpc::{convert, status::ApiError},
    store::{Executed, RequestKey, Revision},
};

/// How long a claim lasts where the caller does not say.
const CLAIM: SignedDuration = SignedDuration::from_hours(1);
/// How long a reassignment lasts where the caller does not say.
const REASSIGNMENT: SignedDuration = SignedDuration::from_hours(24);

impl Approvals {
    /// Carries out a command, and sees to it that what follows from it is done.
    pub(super) async fn execute(
        &self,
        id: &ApprovalId,
        command: Command,
        origin: Origin,
        key: Option<RequestKey>,
    ) -> Result<(Arc<Approval>, Revision), ApiError> {
        match self.store.execute(id, command, origin, self.clock.now(), key).await? {
            Executed::Done { approval, revision } => {
                self.worker.decided(&approval);
                Ok((approval, revision))
            }
            Executed::Refused(refusal) => Err(refusal.into()),
            Executed::KeyReused => Err(ApiError::KeyReused),
            Executed::NotFound => Err(ApiError::ApprovalNotFound(id.to_string())),
        }
    }

    async fn act(&self, id: &ApprovalId, command: Command, origin: Origin) -> Result<Arc<Approval>, ApiError> {
        self.execute(id, command, origin, None).await.map(|(approval, _)| approval)
    }

    /// Whether the caller may operate an approval.
    async fn operates(&self, caller: &Caller, id: &ApprovalId) -> Result<bool, ApiError> {
        let approval = self.store.get(id).await?.ok_or_else(|| ApiError::ApprovalNotFound(id.to_string()))?;
        Ok(caller.may_on(Permission::Operate, &approval))
    }

    /// Refuses whoever may not operate an approval.
    async fn must_operate(&self, caller: &Caller, id: &ApprovalId) -> Result<(), ApiError> {
        let approval = self.store.get(id).await?.ok_or_else(|| ApiError::ApprovalNotFound(id.to_string()))?;
        let request = &approval.request;
        Ok(caller.require(Permission::Operate, Some(&request.source.workflow), Some(&request.labels))?)
    }

    pub(super) async fn withdraw(
        &self,
        caller: Caller,
        request: WithdrawVoteRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let key = read::key(&request.request_id, caller.origin.by.as_str(), &request)?;
        let command = Command::Withdraw { by: caller.person, comment: read::comment(request.comment)? };
        self.execute(&id, command, caller.origin, key).await.map(|(approval, _)| approval)
    }

    pub(super) async fn claim(&self, caller: Caller, request: ClaimApprovalRequest) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let until = read::until(request.duration, CLAIM, self.clock.now())?;
        self.act(&id, Command::Claim { by: caller.person, until }, caller.origin).await
    }

    pub(super) async fn release(
        &self,
        caller: Caller,
        request: ReleaseApprovalRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let operator = self.operates(&caller, &id).await?;
        self.act(&id, Command::Release { by: caller.person.principal, operator }, caller.origin).await
    }

    pub(super) async fn reassign(
        &self,
        caller: Caller,
        request: ReassignApprovalRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let command = Command::Reassign {
            to: convert::read_actor("to", &request.to)?,
            comment: read::comment(request.comment)?,
            until: read::until(request.duration, REASSIGNMENT, self.clock.now())?,
            operator: self.operates(&caller, &id).await?,
            by: caller.person,
        };
        self.act(&id, command, caller.origin).await
    }

    pub(super) async fn cancel(
        &self,
        caller: Caller,
        request: CancelApprovalRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let key = read::key(&request.request_id, caller.origin.by.as_str(), &request)?;
        let command = Command::Cancel {
            reason: read::reason(request.reason)?,
            operator: self.operates(&caller, &id).await?,
            by: caller.person.principal,
        };
        self.execute(&id, command, caller.origin, key).await.map(|(approval, _)| approval)
    }

    pub(super) async fn hold(&self, caller: Caller, request: HoldApprovalRequest) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let reason = read::reason(request.reason)?;
        let until = request.end_time.map(|end| convert::read_timestamp("end_time", end)).transpose()?;
        if until.is_some_and(|until| until <= self.clock.now()) {
            return Err(ApiError::field("end_time", "expected a time in the future"));
        }
        self.must_operate(&caller, &id).await?;
        self.act(&id, Command::Hold { by: caller.person.principal, until, reason }, caller.origin).await
    }

    pub(super) async fn resume(
        &self,
        caller: Caller,
        request: ResumeApprovalRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        self.must_operate(&caller, &id).await?;
        self.act(&id, Command::Resume { by: caller.person.principal }, caller.origin).await
    }
}
