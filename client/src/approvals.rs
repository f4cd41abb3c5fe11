use approve_proto::v1::{Approval, DecideRequest, GetApprovalRequest, ListApprovalsRequest};
use futures::{Stream, TryStreamExt, stream};

use crate::{Client, Decide, Decided, Error, List, Page, Watch, WatchStream, call::Repeat};

impl Client {
    /// Returns one approval, by its id or a prefix of it that fits only one (`apr_` and at least 4 characters).
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound), [`AmbiguousId`](crate::Reason::AmbiguousId),
    /// [`InvalidField`](crate::Reason::InvalidField).
    pub async fn get(&self, approval_id: impl Into<String>) -> Result<Approval, Error> {
        let message = GetApprovalRequest { approval_id: approval_id.into() };
        self.read(Self::approvals, message, |mut service, request| async move { service.get_approval(request).await })
            .await?
            .approval
            .ok_or(Error::Protocol { missing: "approval" })
    }

    /// Returns one page of approvals.
    ///
    /// # Errors
    /// Reasons [`InvalidField`](crate::Reason::InvalidField), [`PageTokenInvalid`](crate::Reason::PageTokenInvalid).
    pub async fn list(&self, list: List) -> Result<Page, Error> {
        let message = ListApprovalsRequest::from(list);
        let page = self
            .read(Self::approvals, message, |mut service, request| async move { service.list_approvals(request).await })
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
    /// [`AlreadyDecided`](crate::Reason::AlreadyDecided), [`OnHold`](crate::Reason::OnHold),
    /// [`Claimed`](crate::Reason::Claimed), [`StageNotOpen`](crate::Reason::StageNotOpen),
    /// [`NotAnApprover`](crate::Reason::NotAnApprover), [`SelfApproval`](crate::Reason::SelfApproval),
    /// [`EtagMismatch`](crate::Reason::EtagMismatch), [`CommentRequired`](crate::Reason::CommentRequired),
    /// [`OutcomeUnknown`](crate::Reason::OutcomeUnknown), [`ResponseInvalid`](crate::Reason::ResponseInvalid),
    /// [`RequestIdReused`](crate::Reason::RequestIdReused), [`InvalidField`](crate::Reason::InvalidField). After
    /// [`Error::Timeout`] and [`Error::ConnectionLost`] the decision may have been recorded: send the same value again
    /// to know.
    pub async fn decide(&self, decide: Decide) -> Result<Decided, Error> {
        let message = DecideRequest::from(decide);
        let repeat = Repeat::by(&message.request_id);
        let decided = self
            .call(self.config().request_timeout, repeat, Self::approvals, message, |mut service, request| async move {
                service.decide(request).await
            })
            .await?;
        let approval = decided.approval.ok_or(Error::Protocol { missing: "approval" })?;
        Ok(Decided::new(approval, decided.revision))
    }

    /// Watches pending approvals: a snapshot, [`Synced`](crate::WatchEvent::Synced), then every change. The stream
    /// reconnects and resumes by itself, and ends only after an error that trying again would not mend. It connects
    /// when it is first polled.
    ///
    /// What is not read waits: up to 1 MiB of it in this process, the rest at the server. Clones share a connection,
    /// which takes 8 MiB that nobody read: where that many streams may stall at once, give each a client of its own.
    pub fn watch(&self, watch: Watch) -> WatchStream {
        WatchStream::new(self.clone(), watch)
    }
}
