//! What people do with approvals beside deciding.

use std::sync::Arc;

use approve_proto::v1::{
    CancelApprovalRequest, ClaimApprovalRequest, HoldApprovalRequest, ReassignApprovalRequest, ReleaseApprovalRequest,
    ResumeApprovalRequest, WithdrawVoteRequest,
};
use jiff::SignedDuration;

use super::{Approvals, read};
use crate::{
    approval::{Approval, ApprovalId, Command},
    auth::{Caller, Permission},
    grpc::{convert, status::ApiError},
    store::RequestKey,
};

/// How long a claim lasts where the caller does not say.
const CLAIM: SignedDuration = SignedDuration::from_hours(1);
/// How long a reassignment lasts where the caller does not say.
const REASSIGNMENT: SignedDuration = SignedDuration::from_hours(24);

impl Approvals {
    async fn carry_out(
        &self,
        caller: &Caller,
        permission: Permission,
        id: &ApprovalId,
        command: Command,
        key: Option<RequestKey>,
    ) -> Result<Arc<Approval>, ApiError> {
        let (approval, _) = self.operations.execute(caller, permission, id, command, key).await?;
        Ok(approval)
    }

    async fn act(
        &self,
        caller: &Caller,
        permission: Permission,
        id: &ApprovalId,
        command: Command,
    ) -> Result<Arc<Approval>, ApiError> {
        self.carry_out(caller, permission, id, command, None).await
    }

    /// What the caller acts as on an approval: an operator where they are one, else as `other` says.
    async fn role(&self, caller: &Caller, id: &ApprovalId, other: Permission) -> Result<(bool, Permission), ApiError> {
        let approval = self.operations.seen(caller, id).await?;
        let operator = caller.may_on(Permission::Operate, &approval);
        Ok((operator, if operator { Permission::Operate } else { other }))
    }

    pub(super) async fn withdraw(
        &self,
        caller: Caller,
        request: WithdrawVoteRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let key = read::key(&request.request_id, &caller.key(), &request)?;
        let command = Command::Withdraw { by: caller.person.clone(), comment: read::comment(request.comment)? };
        self.carry_out(&caller, Permission::Decide, &id, command, key).await
    }

    pub(super) async fn claim(&self, caller: Caller, request: ClaimApprovalRequest) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let until = read::until(request.duration, CLAIM, self.operations.clock.now())?;
        let command = Command::Claim { by: caller.person.clone(), until };
        self.act(&caller, Permission::Decide, &id, command).await
    }

    pub(super) async fn release(
        &self,
        caller: Caller,
        request: ReleaseApprovalRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let (operator, permission) = self.role(&caller, &id, Permission::Decide).await?;
        let command = Command::Release { by: caller.person.principal.clone(), operator };
        self.act(&caller, permission, &id, command).await
    }

    pub(super) async fn reassign(
        &self,
        caller: Caller,
        request: ReassignApprovalRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let (operator, permission) = self.role(&caller, &id, Permission::Decide).await?;
        let command = Command::Reassign {
            to: convert::read_actor("to", &request.to)?,
            comment: read::comment(request.comment)?,
            until: read::until(request.duration, REASSIGNMENT, self.operations.clock.now())?,
            operator,
            by: caller.person.clone(),
        };
        self.act(&caller, permission, &id, command).await
    }

    pub(super) async fn cancel(
        &self,
        caller: Caller,
        request: CancelApprovalRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let key = read::key(&request.request_id, &caller.key(), &request)?;
        let reason = read::reason(request.reason)?;
        // Whoever asked for it needs no more than to see it.
        let (operator, permission) = self.role(&caller, &id, Permission::View).await?;
        let command = Command::Cancel { reason, operator, by: caller.person.principal.clone() };
        self.carry_out(&caller, permission, &id, command, key).await
    }

    pub(super) async fn hold(&self, caller: Caller, request: HoldApprovalRequest) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let reason = read::reason(request.reason)?;
        let until = request.end_time.map(|end| convert::read_timestamp("end_time", end)).transpose()?;
        if until.is_some_and(|until| until <= self.operations.clock.now()) {
            return Err(ApiError::field("end_time", "expected a time in the future"));
        }
        let command = Command::Hold { by: caller.person.principal.clone(), until, reason };
        self.act(&caller, Permission::Operate, &id, command).await
    }

    pub(super) async fn resume(
        &self,
        caller: Caller,
        request: ResumeApprovalRequest,
    ) -> Result<Arc<Approval>, ApiError> {
        let id = read::id(&request.approval_id)?;
        let command = Command::Resume { by: caller.person.principal.clone() };
        self.act(&caller, Permission::Operate, &id, command).await
    }
}
