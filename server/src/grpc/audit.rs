//! `approve.v1.AuditService`.

use std::sync::Arc;

use approve_proto::v1::{
    AuditEvent, AuditHead, ExportEventsRequest, ExportEventsResponse, GetAuditHeadRequest, GetAuditHeadResponse,
    ListEventsRequest, ListEventsResponse, audit_service_server::AuditService,
};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{convert, status::ApiError, token};
use crate::{
    approval::{ApprovalId, NotAPrincipal, NotAnId, Principal},
    audit::{SignedHead, SigningKey},
    auth::{self, Permission},
    clock::SharedClock,
    store::{EventQuery, ExportRange, Exported, Recorded, SharedStore},
    watch::WatchError,
};

/// How many events are sent at once, at most; fewer where they are long.
const PIECE: usize = 500;
/// How many types a query may name.
const MAX_TYPES: usize = 50;

/// What the service needs.
pub(crate) struct AuditCalls {
    pub(crate) store: SharedStore,
    pub(crate) clock: SharedClock,
    pub(crate) key: Option<Arc<SigningKey>>,
}

#[tonic::async_trait]
impl AuditService for AuditCalls {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let request = request.into_inner();
        let mut query = read_query(&request)?;
        // Whoever audits some workflows asks for one of them.
        caller.require(Permission::Audit, query.workflow.as_deref(), None).map_err(ApiError::from)?;
        let digest = token::digest_of(&query);
        query.before = match request.page_token.as_str() {
            "" => None,
            token => Some(token::read_events_page(token, digest).ok_or(ApiError::PageToken)?),
        };
        query.limit = match request.page_size {
            0 => 100,
            size => usize::try_from(size).unwrap_or(usize::MAX).min(1_000),
        };
        let page = self.store.events(query).await.map_err(ApiError::from)?;
        Ok(Response::new(ListEventsResponse {
            events: page.events.into_iter().map(event).collect(),
            next_page_token: page.next.map(|before| token::events_page(digest, before)).unwrap_or_default(),
        }))
    }

    async fn export_events(
        &self,
        request: Request<ExportEventsRequest>,
    ) -> Result<Response<BoxStream<ExportEventsResponse>>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        caller.require(Permission::Audit, None, None).map_err(ApiError::from)?;
        let request = request.into_inner();
        for (field, revision) in [("start_revision", request.start_revision), ("end_revision", request.end_revision)] {
            if revision < 0 {
                return Err(ApiError::field(field, "expected 0 or more").into());
            }
        }
        let head = self.store.chain_head().await.map_err(ApiError::from)?.revision;
        let last = if request.end_revision == 0 { head } else { request.end_revision.min(head) };
        let start = (request.start_revision > 0).then_some(request.start_revision);
        let range = ExportRange { first: start, last, payloads: !request.omit_payloads, limit: PIECE };
        let mut export = Export { store: Arc::clone(&self.store), range, begun: false };
        // What is wrong with the range is the call's own answer.
        let piece = export.next().await.map_err(Status::from)?;
        let rest = stream::unfold(export, |mut export| async move {
            let piece = export.next().await.map_err(Status::from).transpose()?;
            Some((piece, export))
        });
        Ok(Response::new(stream::iter(piece.map(Ok)).chain(rest).boxed()))
    }

    async fn get_audit_head(
        &self,
        request: Request<GetAuditHeadRequest>,
    ) -> Result<Response<GetAuditHeadResponse>, Status> {
        auth::caller(&request).map_err(ApiError::from)?;
        let head = self.store.chain_head().await.map_err(ApiError::from)?;
        let SignedHead { revision, hash, create_time, signature, key_id } =
            SignedHead::new(head, self.clock.now(), self.key.as_deref());
        let head = AuditHead {
            revision,
            hash: hash.to_string(),
            create_time: Some(convert::timestamp(create_time)),
            signature,
            key_id,
        };
        Ok(Response::new(GetAuditHeadResponse { head: Some(head) }))
    }
}

/// An export on its way: read piece by piece, as the caller takes them.
struct Export {
    store: SharedStore,
    /// What is left.
    range: ExportRange,
    begun: bool,
}

impl Export {
    /// The next piece; `None` at the end. The first one is there also if it has no events, for its hash.
    async fn next(&mut self) -> Result<Option<ExportEventsResponse>, ApiError> {
        let (previous, events) = match self.store.export(self.range).await? {
            Exported::Some { previous, events } => (previous, events),
            Exported::Compacted(oldest) => return Err(WatchError::Compacted { oldest }.into()),
        };
        let is_first = !std::mem::replace(&mut self.begun, true);
        match events.last() {
            Some(last) => self.range.first = Some(last.revision + 1),
            None if !is_first => return Ok(None),
            None => {}
        }
        let previous_hash = if is_first { previous.to_string() } else { String::new() };
        Ok(Some(ExportEventsResponse { events: events.into_iter().map(event).collect(), previous_hash }))
    }
}

fn event(event: Recorded) -> AuditEvent {
    let Recorded { revision, record, hash, payloads } = event;
    AuditEvent { revision, record_json: record, hash: hash.to_string(), payloads: payloads.into_iter().collect() }
}

fn read_query(request: &ListEventsRequest) -> Result<EventQuery, ApiError> {
    let approval = match request.approval_id.as_str() {
        "" => None,
        id => {
            let bad = |error: NotAnId| ApiError::field("approval_id", error.to_string());
            Some(id.parse::<ApprovalId>().map_err(bad)?)
        }
    };
    let actor = read_actor(&request.actor)?;
    if request.types.len() > MAX_TYPES {
        return Err(ApiError::field("types", format!("expected at most {MAX_TYPES}")));
    }
    Ok(EventQuery {
        approval,
        actor,
        workflow: Some(request.workflow.clone()).filter(|name| !name.is_empty()),
        types: request.types.clone(),
        start: request.start_time.map(|time| read_time("start_time", time)).transpose()?,
        end: request.end_time.map(|time| read_time("end_time", time)).transpose()?,
        before: None,
        limit: 0,
    })
}

/// Anybody, or a part of the server itself.
fn read_actor(name: &str) -> Result<Option<Principal>, ApiError> {
    if name.is_empty() {
        return Ok(None);
    }
    let is_part = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
    if let Some(part) = name.strip_prefix("system:").filter(is_part) {
        return Ok(Some(Principal::system(part)));
    }
    name.parse().map(Some).map_err(|error: NotAPrincipal| ApiError::field("actor", error.to_string()))
}

fn read_time(field: &str, time: prost_types::Timestamp) -> Result<Timestamp, ApiError> {
    Timestamp::new(time.seconds, time.nanos).map_err(|error| ApiError::field(field, error.to_string()))
}
