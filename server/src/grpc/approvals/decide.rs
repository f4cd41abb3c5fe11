//! Decisions.

use std::time::Duration;

use approve_proto::v1::{DecideRequest, DecideResponse};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::{Approvals, read};
use crate::{
    approval::Command,
    auth::{Caller, Permission},
    grpc::{convert, deadline, status::ApiError},
};

/// How long a decision's delivery is waited for at most.
const MAX_WAIT: Duration = Duration::from_secs(30);

impl Approvals {
    pub(super) async fn vote(
        &self,
        caller: Caller,
        metadata: &MetadataMap,
        request: DecideRequest,
    ) -> Result<DecideResponse, ApiError> {
        let wait_until = deadline(metadata).unwrap_or(MAX_WAIT).min(MAX_WAIT);
        let wait_until = Instant::now() + wait_until.mul_f64(0.9);
        let id = read::id(&request.approval_id)?;
        // Waiting is no part of what is decided.
        let body = DecideRequest { wait_for_delivery: false, ..request.clone() };
        let key = read::key(&request.request_id, &caller.key(), &body)?;
        let command = Command::Vote {
            choice: convert::read_choice(request.decision, request.outcome)?,
            comment: read::comment(request.comment)?,
            response: read::response(&request.response_json)?,
            etag: Some(request.etag).filter(|etag| !etag.is_empty()),
            cast_by: caller.origin.on_behalf_of.is_some().then(|| caller.origin.by.clone()),
            by: caller.person.clone(),
        };
        let (mut approval, revision) = self.execute(&caller, Permission::Decide, &id, command, key).await?;
        if request.wait_for_delivery && approval.status.is_final() {
            // A deadline that passes here loses nothing: the decision is on disk, and on its way.
            if let Ok(Some(settled)) = tokio::time::timeout_at(wait_until, self.hub.settled(&id)).await {
                approval = settled;
            }
        }
        Ok(DecideResponse { approval: Some(convert::approval(&approval)), revision })
    }
}
