//! Decisions.

use std::time::Duration;

use approve_proto::v1::{DecideRequest, DecideResponse};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::{Approvals, read};
use crate::{
    auth::Caller,
    grpc::{convert, deadline, status::ApiError},
    operations::Decide,
    telemetry::trace::CallContext,
};

/// How long a decision's delivery is waited for at most.
const MAX_WAIT: Duration = Duration::from_secs(30);

impl Approvals {
    pub(super) async fn vote(
        &self,
        caller: Caller,
        metadata: &MetadataMap,
        call: Option<CallContext>,
        request: DecideRequest,
    ) -> Result<DecideResponse, ApiError> {
        let wait_until = deadline(metadata.as_ref()).unwrap_or(MAX_WAIT).min(MAX_WAIT);
        let wait_until = Instant::now() + wait_until.mul_f64(0.9);
        let id = read::id(&request.approval_id)?;
        // Waiting is no part of what is decided.
        let body = DecideRequest { wait_for_delivery: false, ..request.clone() };
        let key = read::key(&request.request_id, &caller.key(), &body)?;
        let decide = Decide {
            choice: convert::read_choice(request.decision, request.outcome)?,
            comment: request.comment,
            response: request.response_json,
            etag: Some(request.etag).filter(|etag| !etag.is_empty()),
            call,
        };
        let (mut approval, revision) = self.operations.decide(&caller, &id, decide, key).await?;
        if request.wait_for_delivery && approval.status.is_final() {
            // A deadline that passes here loses nothing: the decision is on disk, and on its way.
            if let Ok(Some(settled)) = tokio::time::timeout_at(wait_until, self.hub.settled(&id)).await {
                approval = settled;
            }
        }
        Ok(DecideResponse { approval: Some(convert::approval(&approval)), revision })
    }
}
