use std::time::SystemTime;

use approve_proto::v1::{
    AuditEvent, AuditHead, ExportEventsRequest, ExportEventsResponse, GetAuditHeadRequest, ListEventsRequest,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::{Client, Error};

/// Asks for events of the record, newest first. [`Events::new`] asks for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events(ListEventsRequest);

impl Events {
    /// All events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of the approval of this whole id.
    pub fn approval(mut self, id: impl Into<String>) -> Self {
        self.0.approval_id = id.into();
        self
    }

    /// By this principal, or on behalf of it.
    pub fn actor(mut self, principal: impl Into<String>) -> Self {
        self.0.actor = principal.into();
        self
    }

    /// Of this workflow.
    pub fn workflow(mut self, name: impl Into<String>) -> Self {
        self.0.workflow = name.into();
        self
    }

    /// Of this type. May be repeated: any of them.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.0.types.push(event_type.into());
        self
    }

    /// Not before then.
    pub fn since(mut self, start: SystemTime) -> Self {
        self.0.start_time = Some(start.into());
        self
    }

    /// Before then.
    pub fn until(mut self, end: SystemTime) -> Self {
        self.0.end_time = Some(end.into());
        self
    }

    /// How many a page holds at most. Default 100, at most 1,000.
    pub fn page_size(mut self, size: u32) -> Self {
        self.0.page_size = size;
        self
    }

    /// Starts at the page that this token of [`EventsPage::next`] names; everything else must be as it was.
    pub fn page_token(mut self, token: impl Into<String>) -> Self {
        self.0.page_token = token.into();
        self
    }
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventsPage {
    /// The events. There may be fewer than a page holds although more follow.
    pub events: Vec<AuditEvent>,
    /// For the page after this one; `None` if this is the last.
    pub next: Option<String>,
}

/// Asks for all events of a range, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportEvents(ExportEventsRequest);

impl ExportEvents {
    /// From the oldest kept to the newest.
    pub fn new() -> Self {
        Self::default()
    }

    /// From this revision on.
    pub fn from_revision(mut self, revision: i64) -> Self {
        self.0.start_revision = revision;
        self
    }

    /// To this revision, which is the last one.
    pub fn to_revision(mut self, revision: i64) -> Self {
        self.0.end_revision = revision;
        self
    }

    /// Leaves the payloads out: inputs and responses are then in it by their digest only.
    pub fn omit_payloads(mut self, omit: bool) -> Self {
        self.0.omit_payloads = omit;
        self
    }
}

impl Client {
    /// Returns one page of events.
    ///
    /// # Errors
    /// Reasons [`PermissionMissing`](crate::Reason::PermissionMissing), [`InvalidField`](crate::Reason::InvalidField),
    /// [`PageTokenInvalid`](crate::Reason::PageTokenInvalid).
    pub async fn events(&self, events: Events) -> Result<EventsPage, Error> {
        let page = self
            .read(Self::audit, events.0, |mut service, request| async move { service.list_events(request).await })
            .await?;
        Ok(EventsPage { events: page.events, next: Some(page.next_page_token).filter(|token| !token.is_empty()) })
    }

    /// Returns all events, fetching page after page as they are taken. The stream ends after the first error, which is
    /// one of [`events`](Self::events).
    pub fn events_all(&self, events: Events) -> impl Stream<Item = Result<AuditEvent, Error>> + Send + Unpin + use<> {
        let client = self.clone();
        let pages = stream::try_unfold(Some(events), move |events| {
            let client = client.clone();
            async move {
                let Some(events) = events else { return Ok(None) };
                let page = client.events(events.clone()).await?;
                let rest = page.next.map(|token| events.page_token(token));
                Ok::<_, Error>(Some((stream::iter(page.events.into_iter().map(Ok)), rest)))
            }
        });
        Box::pin(pages.try_flatten())
    }

    /// Returns all events of a range, in order and without a gap, as of when it is first polled. Only the first response
    /// has `previous_hash`. The stream ends after the first error; the request timeout holds for each response.
    ///
    /// # Errors
    /// Reasons [`PermissionMissing`](crate::Reason::PermissionMissing),
    /// [`RevisionCompacted`](crate::Reason::RevisionCompacted).
    pub fn export_events(
        &self,
        export: ExportEvents,
    ) -> impl Stream<Item = Result<ExportEventsResponse, Error>> + Send + Unpin + use<> {
        let client = self.clone();
        let timeout = client.config().request_timeout;
        let opened = stream::once(async move {
            let responses = client.open(timeout, Self::audit, export.0, |mut service, request| async move {
                service.export_events(request).await
            });
            let responses = match tokio::time::timeout(timeout, responses).await {
                Ok(responses) => responses?,
                Err(_) => return Err(Error::Timeout { after: timeout }),
            };
            Ok::<_, Error>(stream::unfold(Some((client, responses)), move |state| async move {
                let (client, mut responses) = state?;
                match tokio::time::timeout(timeout, responses.next()).await {
                    Ok(None) => None,
                    Ok(Some(Ok(response))) => Some((Ok(response), Some((client, responses)))),
                    Ok(Some(Err(status))) => Some((Err(client.error(status, timeout)), None)),
                    Err(_) => Some((Err(Error::Timeout { after: timeout }), None)),
                }
            }))
        });
        Box::pin(opened.try_flatten())
    }

    /// Returns the newest event's hash, signed if the server has a key.
    ///
    /// # Errors
    /// Reason [`PermissionMissing`](crate::Reason::PermissionMissing).
    pub async fn audit_head(&self) -> Result<AuditHead, Error> {
        self.read(Self::audit, GetAuditHeadRequest {}, |mut service, request| async move {
            service.get_audit_head(request).await
        })
        .await?
        .head
        .ok_or(Error::Protocol { missing: "head" })
    }
}
