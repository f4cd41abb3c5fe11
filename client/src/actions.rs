//! What may be done with an approval beside deciding it.

use std::time::{Duration, SystemTime};

use approve_proto::v1::{
    Approval, CancelApprovalRequest, ClaimApprovalRequest, HoldApprovalRequest, ReassignApprovalRequest,
    ReleaseApprovalRequest, ResumeApprovalRequest, WithdrawVoteRequest,
};
use uuid::Uuid;

use crate::{Client, Error, call::Repeat};

const NO_APPROVAL: Error = Error::Protocol { missing: "approval" };

/// Takes the caller's vote back, with a request id of its own: it may be sent as often as needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Withdraw(WithdrawVoteRequest);

impl Withdraw {
    /// From the approval of this whole id.
    pub fn new(approval_id: impl Into<String>) -> Self {
        Self(WithdrawVoteRequest {
            approval_id: approval_id.into(),
            request_id: Uuid::new_v4().to_string(),
            ..WithdrawVoteRequest::default()
        })
    }

    /// Why. At most 4,096 bytes.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.0.comment = comment.into();
        self
    }

    /// Takes a request id from elsewhere. 1 to 128 bytes of printable ASCII.
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.0.request_id = request_id.into();
        self
    }

    /// The request id: made with the value, unless another was given.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }
}

/// Ends a pending approval without a decision, with a request id of its own: it may be sent as often as needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancel(CancelApprovalRequest);

impl Cancel {
    /// The approval of this whole id, and why: 1 to 4,096 bytes.
    pub fn new(approval_id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self(CancelApprovalRequest {
            approval_id: approval_id.into(),
            reason: reason.into(),
            request_id: Uuid::new_v4().to_string(),
        })
    }

    /// Takes a request id from elsewhere. 1 to 128 bytes of printable ASCII.
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.0.request_id = request_id.into();
        self
    }

    /// The request id: made with the value, unless another was given.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }
}

/// Gives an approval to another person, as if they had claimed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reassign(ReassignApprovalRequest);

impl Reassign {
    /// The approval of this whole id, to this principal: `user:<name>` or `service:<name>`.
    pub fn new(approval_id: impl Into<String>, to: impl Into<String>) -> Self {
        Self(ReassignApprovalRequest {
            approval_id: approval_id.into(),
            to: to.into(),
            ..ReassignApprovalRequest::default()
        })
    }

    /// Why. At most 4,096 bytes.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.0.comment = comment.into();
        self
    }

    /// For how long. Default 24 hours; the server keeps it within 1 minute and 7 days.
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.0.duration = prost_types::Duration::try_from(duration).ok();
        self
    }
}

/// Holds a pending approval: nobody may vote until it is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold(HoldApprovalRequest);

impl Hold {
    /// The approval of this whole id, and why: 1 to 4,096 bytes. Until it is resumed.
    pub fn new(approval_id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self(HoldApprovalRequest { approval_id: approval_id.into(), reason: reason.into(), end_time: None })
    }

    /// Until then, which is in the future.
    pub fn until(mut self, end: SystemTime) -> Self {
        self.0.end_time = Some(end.into());
        self
    }
}

impl Client {
    /// Takes the caller's own vote back. Without a vote it changes nothing. Sent again like a decision.
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound),
    /// [`AlreadyDecided`](crate::Reason::AlreadyDecided), [`OnHold`](crate::Reason::OnHold).
    pub async fn withdraw(&self, withdraw: Withdraw) -> Result<Approval, Error> {
        let repeat = Repeat::by(withdraw.request_id());
        let timeout = self.config().request_timeout;
        self.call(timeout, repeat, Self::approvals, withdraw.0, |mut service, request| async move {
            service.withdraw_vote(request).await
        })
        .await?
        .approval
        .ok_or(NO_APPROVAL)
    }

    /// Takes the approval of this whole id for oneself: nobody else may vote on it until it is released or the claim
    /// lapses. Without a duration 1 hour; the server keeps it within 1 minute and 7 days. Claiming again renews it.
    ///
    /// # Errors
    /// Those of [`decide`](Self::decide); [`Claimed`](crate::Reason::Claimed) where somebody else has it.
    pub async fn claim(&self, approval_id: impl Into<String>, duration: Option<Duration>) -> Result<Approval, Error> {
        let message = ClaimApprovalRequest {
            approval_id: approval_id.into(),
            duration: duration.and_then(|duration| prost_types::Duration::try_from(duration).ok()),
        };
        self.unary(
            Self::approvals,
            message,
            |mut service, request| async move { service.claim_approval(request).await },
        )
        .await?
        .approval
        .ok_or(NO_APPROVAL)
    }

    /// Lets go of the claim of the approval of this whole id: one's own, or as an operator anybody's. Without a claim it
    /// changes nothing.
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound),
    /// [`AlreadyDecided`](crate::Reason::AlreadyDecided), [`Claimed`](crate::Reason::Claimed).
    pub async fn release(&self, approval_id: impl Into<String>) -> Result<Approval, Error> {
        let message = ReleaseApprovalRequest { approval_id: approval_id.into() };
        self.unary(
            Self::approvals,
            message,
            |mut service, request| async move { service.release_approval(request).await },
        )
        .await?
        .approval
        .ok_or(NO_APPROVAL)
    }

    /// Gives an approval to another person. It never widens who may decide: the rule has to let them.
    ///
    /// # Errors
    /// Those of [`claim`](Self::claim), [`ReassignmentLoop`](crate::Reason::ReassignmentLoop).
    pub async fn reassign(&self, reassign: Reassign) -> Result<Approval, Error> {
        self.unary(Self::approvals, reassign.0, |mut service, request| async move {
            service.reassign_approval(request).await
        })
        .await?
        .approval
        .ok_or(NO_APPROVAL)
    }

    /// Ends a pending approval without a decision: one's own request, or as an operator any. The task fails with
    /// `Approval.Canceled`. Sent again like a decision.
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound),
    /// [`AlreadyDecided`](crate::Reason::AlreadyDecided), [`NotTheRequester`](crate::Reason::NotTheRequester).
    pub async fn cancel(&self, cancel: Cancel) -> Result<Approval, Error> {
        let repeat = Repeat::by(cancel.request_id());
        let timeout = self.config().request_timeout;
        self.call(timeout, repeat, Self::approvals, cancel.0, |mut service, request| async move {
            service.cancel_approval(request).await
        })
        .await?
        .approval
        .ok_or(NO_APPROVAL)
    }

    /// Holds a pending approval. Its deadline stays. For operators.
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound),
    /// [`AlreadyDecided`](crate::Reason::AlreadyDecided), [`InvalidField`](crate::Reason::InvalidField).
    pub async fn hold(&self, hold: Hold) -> Result<Approval, Error> {
        self.unary(Self::approvals, hold.0, |mut service, request| async move { service.hold_approval(request).await })
            .await?
            .approval
            .ok_or(NO_APPROVAL)
    }

    /// Ends the hold of the approval of this whole id. Without one it changes nothing. For operators.
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound),
    /// [`AlreadyDecided`](crate::Reason::AlreadyDecided).
    pub async fn resume(&self, approval_id: impl Into<String>) -> Result<Approval, Error> {
        let message = ResumeApprovalRequest { approval_id: approval_id.into() };
        self.unary(
            Self::approvals,
            message,
            |mut service, request| async move { service.resume_approval(request).await },
        )
        .await?
        .approval
        .ok_or(NO_APPROVAL)
    }
}
