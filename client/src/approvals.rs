use std::time::Duration;

use approve_proto::v1::{Approval, DecideRequest, DecideResponse, GetApprovalRequest, ListApprovalsRequest};
use futures::{Stream, TryStreamExt, stream};
use tokio::time::Instant;

use crate::{Client, Decide, Decided, Error, List, Page, Watch, WatchStream, backoff::Backoff};

/// How often a decision is sent at most.
const DECIDE_ATTEMPTS: u32 = 6;
const DECIDE_BACKOFF_MIN: Duration = Duration::from_millis(50);
const DECIDE_BACKOFF_MAX: Duration = Duration::from_secs(5);

impl Client {
    /// Returns one approval, by its id or a prefix of it that fits only one (`apr_` and at least 4 characters).
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound), [`AmbiguousId`](crate::Reason::AmbiguousId),
    /// [`InvalidField`](crate::Reason::InvalidField).
    pub async fn get(&self, approval_id: impl Into<String>) -> Result<Approval, Error> {
        let message = GetApprovalRequest { approval_id: approval_id.into() };
        let mut service = self.approvals();
        self.unary(message, |request| async move { service.get_approval(request).await })
            .await?
            .approval
            .ok_or(Error::Protocol { missing: "approval" })
    }

    /// Returns one page of approvals.
    ///
    /// # Errors
    /// Reasons [`InvalidField`](crate::Reason::InvalidField), [`PageTokenInvalid`](crate::Reason::PageTokenInvalid).
    pub async fn list(&self, list: List) -> Result<Page, Error> {
        let mut service = self.approvals();
        let page = self
            .unary(ListApprovalsRequest::from(list), |request| async move { service.list_approvals(request).await })
            .await?;
        Ok(Page { approvals: page.approvals, next: Some(page.next_page_token).filter(|token| !token.is_empty()) })
    }

    /// Returns all approvals, fetching page after page as they are taken. The stream ends after the first error, which
    /// is one of [`list`](Self::list).
    pub fn list_all(&self, list: List) -> impl Stream<Item = Result<Approval, Error>> + Send + Unpin + use<> {
        let client = self.clone();
        let pages = stream::try_unfold(Some(list), move |list| {
            let client = client.clone();
            async move {
                let Some(list) = list else { return Ok(None) };
                let page = client.list(list.clone()).await?;
                let rest = page.next.map(|token| list.page_token(token));
                let approvals = page.approvals.into_iter().map(Ok::<_, Error>);
                Ok::<_, Error>(Some((stream::iter(approvals), rest)))
            }
        });
        Box::pin(pages.try_flatten())
    }

    /// Records a decision. Answers once it is on disk, or with
    /// [`wait_for_delivery`](Decide::wait_for_delivery) once the workflow has heard of it.
    ///
    /// Where the server is unavailable or the connection is lost, it is sent again, a few times within the request
    /// timeout, with the same request id: it counts once.
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound),
    /// [`AlreadyDecided`](crate::Reason::AlreadyDecided), [`NotAnApprover`](crate::Reason::NotAnApprover),
    /// [`SelfApproval`](crate::Reason::SelfApproval), [`EtagMismatch`](crate::Reason::EtagMismatch),
    /// [`CommentRequired`](crate::Reason::CommentRequired), [`RequestIdReused`](crate::Reason::RequestIdReused),
    /// [`InvalidField`](crate::Reason::InvalidField). After [`Error::Timeout`] and [`Error::ConnectionLost`] the
    /// decision may have been recorded: send the same value again to know.
    pub async fn decide(&self, decide: Decide) -> Result<Decided, Error> {
        let message = DecideRequest::from(decide);
        let timeout = self.config().request_timeout;
        let deadline = Instant::now() + timeout;
        let mut backoff = Backoff::new(DECIDE_BACKOFF_MIN, DECIDE_BACKOFF_MAX);
        let mut attempt = 1;
        loop {
            let error = match self.decide_once(message.clone(), timeout, deadline).await {
                Ok(response) => {
                    let approval = response.approval.ok_or(Error::Protocol { missing: "approval" })?;
                    return Ok(Decided::new(approval, response.revision));
                }
                Err(error) => error,
            };
            let safe = !message.request_id.is_empty() && error.code() == tonic::Code::Unavailable;
            let delay = backoff.next(rand::random(), error.retry_delay());
            if !safe || attempt == DECIDE_ATTEMPTS || Instant::now() + delay >= deadline {
                return Err(error);
            }
            tracing::debug!(attempt, ?delay, %error, "a decision is sent again");
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    async fn decide_once(
        &self,
        message: DecideRequest,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<DecideResponse, Error> {
        let mut service = self.approvals();
        self.call(message, timeout, deadline, |request| async move { service.decide(request).await }).await
    }

    /// Watches pending approvals: a snapshot, [`Synced`](crate::WatchEvent::Synced), then every change. The stream
    /// reconnects and resumes by itself, and ends only after an error that trying again would not mend. It connects
    /// when it is first polled.
    pub fn watch(&self, watch: Watch) -> WatchStream {
        WatchStream::new(self.clone(), watch)
    }
}
