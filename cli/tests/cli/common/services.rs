use approve_proto::v1::{access_service_server::AccessService, audit_service_server::AuditService, *};
use futures::stream;
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Fake, refusal};

/// What is said about every approval, with something hostile in it.
pub(super) fn explanation() -> Explanation {
    let progress = |name: &str, required, approvals, open| {
        Some(StageProgress { name: name.into(), required_approvals: required, approvals, open })
    };
    let set = |name: &str| ApproverSet { any_of: vec![name.into()] };
    Explanation {
        summary: "waits for 1 approval\x1b[2J".into(),
        stages: vec![
            StageNeed {
                progress: progress("finance", 2, 1, true),
                approver_sets: vec![set("group:finance")],
                approved_by: vec!["user:cy".into()],
            },
            StageNeed { progress: progress("legal", 1, 0, false), approver_sets: vec![], approved_by: vec![] },
        ],
        rejections_needed: 1,
        blocked: String::new(),
        effects: vec![
            DecisionEffect {
                decision: Decision::Approve.into(),
                allowed: true,
                effect: "it would count in finance".into(),
                status_after: ApprovalStatus::Pending.into(),
                ..DecisionEffect::default()
            },
            DecisionEffect {
                decision: Decision::Reject.into(),
                outcome: "later".into(),
                refusal_reason: "COMMENT_REQUIRED".into(),
                effect: "a rejection needs a comment".into(),
                ..DecisionEffect::default()
            },
        ],
    }
}

fn token(name: &str) -> ApiToken {
    let view = Grant {
        permissions: vec![Permission::View.into(), Permission::ActOnBehalf.into()],
        workflows: vec!["pay-*".into()],
        labels: [("env".to_owned(), "prod".to_owned())].into(),
    };
    ApiToken {
        name: name.into(),
        grants: vec![view],
        created_by: "user:op".into(),
        expire_time: Some((std::time::SystemTime::now() + std::time::Duration::from_secs(86_400)).into()),
        ..ApiToken::default()
    }
}

#[tonic::async_trait]
impl AccessService for Fake {
    async fn get_caller(&self, request: Request<GetCallerRequest>) -> Result<Response<GetCallerResponse>, Status> {
        let certificates = request.peer_certs().map_or(0, |certificates| certificates.len());
        self.act(&request, format!("caller with {certificates} certificates"));
        Ok(Response::new(GetCallerResponse {
            principal: "user:ana".into(),
            groups: vec!["group:finance".into()],
            authenticated_as: "service:bot".into(),
            via: "api_token".into(),
            grants: token("bot").grants,
        }))
    }

    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let time = std::time::SystemTime::now().into();
        Ok(Response::new(GetServerInfoResponse { version: env!("CARGO_PKG_VERSION").into(), time: Some(time) }))
    }

    async fn create_api_token(
        &self,
        request: Request<CreateApiTokenRequest>,
    ) -> Result<Response<CreateApiTokenResponse>, Status> {
        let CreateApiTokenRequest { name, grants, lifetime } = request.get_ref();
        if name == "taken" {
            return Err(refusal(tonic::Code::AlreadyExists, "API_TOKEN_EXISTS", &[]));
        }
        self.act(&request, format!("create {name} {grants:?} {:?}", lifetime.map(|lifetime| lifetime.seconds)));
        Ok(Response::new(CreateApiTokenResponse { token: Some(token(name)), secret: "apt_planted".into() }))
    }

    async fn list_api_tokens(
        &self,
        _: Request<ListApiTokensRequest>,
    ) -> Result<Response<ListApiTokensResponse>, Status> {
        let revoked = ApiToken { revoke_time: Some(std::time::SystemTime::now().into()), ..token("old") };
        let expired = ApiToken { expire_time: Some(std::time::SystemTime::UNIX_EPOCH.into()), ..token("older") };
        Ok(Response::new(ListApiTokensResponse { tokens: vec![token("bot"), revoked, expired] }))
    }

    async fn revoke_api_token(
        &self,
        request: Request<RevokeApiTokenRequest>,
    ) -> Result<Response<RevokeApiTokenResponse>, Status> {
        let name = &request.get_ref().name;
        self.act(&request, format!("revoke {name}"));
        let token = ApiToken { revoke_time: Some(std::time::SystemTime::now().into()), ..token(name) };
        Ok(Response::new(RevokeApiTokenResponse { token: Some(token) }))
    }
}

#[tonic::async_trait]
impl AuditService for Fake {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let ListEventsRequest { approval_id, actor, workflow, types, start_time, page_size, .. } = request.get_ref();
        let since = start_time.map(|start| start.seconds);
        self.act(
            &request,
            format!("events {approval_id} {actor} {workflow} {types:?} {page_size} {}", since.is_some()),
        );
        let events = self.events.lock().unwrap().iter().rev().take(*page_size as usize).cloned().collect();
        Ok(Response::new(ListEventsResponse { events, next_page_token: String::new() }))
    }

    async fn export_events(
        &self,
        request: Request<ExportEventsRequest>,
    ) -> Result<Response<BoxStream<ExportEventsResponse>>, Status> {
        let ExportEventsRequest { start_revision, end_revision, omit_payloads } = *request.get_ref();
        self.act(&request, format!("export {start_revision}..{end_revision} {omit_payloads}"));
        let events = self.events.lock().unwrap().clone();
        let first = start_revision.max(1);
        let last = if end_revision == 0 { i64::MAX } else { end_revision };
        let before = events.iter().find(|event| event.revision == first - 1);
        let previous_hash = before.map_or("0".repeat(64), |event| event.hash.clone());
        let chosen = events.into_iter().filter(|event| (first..=last).contains(&event.revision)).collect();
        let response = ExportEventsResponse { events: chosen, previous_hash };
        Ok(Response::new(Box::pin(stream::iter([Ok(response)]))))
    }

    async fn get_audit_head(&self, _: Request<GetAuditHeadRequest>) -> Result<Response<GetAuditHeadResponse>, Status> {
        let head = AuditHead {
            revision: 7,
            hash: "ab".repeat(32),
            create_time: Some(timestamp(1_772_366_400)),
            signature: "c2ln".into(),
            key_id: "0123456789abcdef".into(),
        };
        Ok(Response::new(GetAuditHeadResponse { head: Some(head) }))
    }
}

fn timestamp(seconds: u64) -> approve_client::prost_types::Timestamp {
    (std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).into()
}
