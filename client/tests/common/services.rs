use approve_client::proto::{
    ApiToken, CreateApiTokenRequest, CreateApiTokenResponse, ExportEventsRequest, ExportEventsResponse,
    GetCallerRequest, GetCallerResponse, ListEventsRequest, ListEventsResponse, access_service_server::AccessService,
    audit_service_server::AuditService,
};
use futures::{StreamExt, stream};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::Fake;

#[tonic::async_trait]
impl AccessService for Fake {
    async fn get_caller(&self, request: Request<GetCallerRequest>) -> Result<Response<GetCallerResponse>, Status> {
        self.admit(&request)?;
        Ok(Response::new(GetCallerResponse { principal: "user:ana".into(), ..GetCallerResponse::default() }))
    }

    async fn create_api_token(
        &self,
        request: Request<CreateApiTokenRequest>,
    ) -> Result<Response<CreateApiTokenResponse>, Status> {
        let name = request.into_inner().name;
        self.act("create_token", name.as_str())?;
        let token = Some(ApiToken { name, ..ApiToken::default() });
        Ok(Response::new(CreateApiTokenResponse { token, secret: "apt_planted".into() }))
    }
}

#[tonic::async_trait]
impl AuditService for Fake {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let request = request.into_inner();
        self.act("events", format!("{} {}", request.actor, request.page_token))?;
        let newest = request.page_token.parse().unwrap_or(i64::MAX);
        let state = self.state();
        let mut rest = state.events.iter().rev().filter(|event| event.revision <= newest).cloned();
        let events = rest.by_ref().take(request.page_size as usize).collect();
        let next_page_token = rest.next().map(|event| event.revision.to_string()).unwrap_or_default();
        Ok(Response::new(ListEventsResponse { events, next_page_token }))
    }

    async fn export_events(
        &self,
        request: Request<ExportEventsRequest>,
    ) -> Result<Response<BoxStream<ExportEventsResponse>>, Status> {
        let request = request.into_inner();
        let payloads = if request.omit_payloads { "without payloads" } else { "with payloads" };
        self.act("export", format!("{}..{} {payloads}", request.start_revision, request.end_revision))?;
        let mut state = self.state();
        let parts = stream::iter(std::mem::take(&mut state.export));
        if state.export_stalls {
            return Ok(Response::new(Box::pin(parts.chain(stream::pending()))));
        }
        Ok(Response::new(Box::pin(parts)))
    }
}
