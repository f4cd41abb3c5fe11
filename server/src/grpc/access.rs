//! `approve.v1.AccessService`.

use std::{sync::Arc, time::Duration};

use approve_proto::v1::{
    self as proto, CreateApiTokenRequest, CreateApiTokenResponse, GetCallerRequest, GetCallerResponse,
    GetServerInfoRequest, GetServerInfoResponse, ListApiTokensRequest, ListApiTokensResponse, RevokeApiTokenRequest,
    RevokeApiTokenResponse, access_service_server::AccessService,
};
use tonic::{Request, Response, Status};

use super::{convert, status::ApiError};
use crate::{
    approval::{Scope, Via},
    auth::{self, ApiToken, ApiTokens, Caller, DEFAULT_LIFETIME, Grant, Grants as _, NewToken, Permission, TokenError},
    clock::SharedClock,
};

/// What the service needs.
pub(crate) struct Access {
    pub(crate) tokens: Arc<ApiTokens>,
    pub(crate) clock: SharedClock,
}

#[tonic::async_trait]
impl AccessService for Access {
    async fn get_caller(&self, request: Request<GetCallerRequest>) -> Result<Response<GetCallerResponse>, Status> {
        let caller = auth::caller(&request).map_err(ApiError::from)?;
        let behalf = caller.origin.on_behalf_of.is_some();
        Ok(Response::new(GetCallerResponse {
            principal: caller.person.principal.to_string(),
            groups: caller.person.groups.iter().map(ToString::to_string).collect(),
            authenticated_as: if behalf { caller.origin.by.to_string() } else { String::new() },
            via: via(caller.origin.via).to_owned(),
            grants: caller.grants.iter().map(grant).collect(),
        }))
    }

    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        Ok(Response::new(GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: Some(convert::timestamp(self.clock.now())),
        }))
    }

    async fn create_api_token(
        &self,
        request: Request<CreateApiTokenRequest>,
    ) -> Result<Response<CreateApiTokenResponse>, Status> {
        let caller = operator(&request)?;
        let request = request.into_inner();
        let grants = read_grants(request.grants)?;
        for (at, grant) in grants.iter().enumerate() {
            if let Some(missing) = missing(&caller, grant) {
                let problem = format!("you can't give \"{}\" there: you do not have it", missing.name());
                return Err(ApiError::field(format!("grants[{at}]"), problem).into());
            }
        }
        let lifetime = match request.lifetime {
            Some(lifetime) => convert::read_duration("lifetime", lifetime)?.unsigned_abs(),
            None => DEFAULT_LIFETIME,
        };
        let new = NewToken { name: request.name, grants, lifetime: whole_millis(lifetime), origin: caller.origin };
        let (token, secret) = self.tokens.create(new).await.map_err(ApiError::from)?;
        Ok(Response::new(CreateApiTokenResponse { token: Some(describe(&token)), secret: secret.reveal().to_owned() }))
    }

    async fn list_api_tokens(
        &self,
        request: Request<ListApiTokensRequest>,
    ) -> Result<Response<ListApiTokensResponse>, Status> {
        operator(&request)?;
        Ok(Response::new(ListApiTokensResponse { tokens: self.tokens.all().iter().map(describe).collect() }))
    }

    async fn revoke_api_token(
        &self,
        request: Request<RevokeApiTokenRequest>,
    ) -> Result<Response<RevokeApiTokenResponse>, Status> {
        let caller = operator(&request)?;
        let name = request.into_inner().name;
        let revoked = self.tokens.revoke(&name, caller.origin).await.map_err(ApiError::from)?;
        let token = revoked.ok_or(ApiError::ApiTokenNotFound(name))?;
        Ok(Response::new(RevokeApiTokenResponse { token: Some(describe(&token)) }))
    }
}

/// Tokens are for those who operate everywhere: a token's name is a caller's, whatever it may do.
fn operator<T>(request: &Request<T>) -> Result<Caller, ApiError> {
    let caller = auth::caller(request)?;
    caller.require(Permission::Operate, None, None)?;
    Ok(caller)
}

/// A permission of the grant that the caller can't give.
fn missing(caller: &Caller, grant: &Grant) -> Option<Permission> {
    let alone = |permission: &&Permission| {
        !caller.grants.cover(&Grant { permissions: vec![**permission], scope: grant.scope.clone() })
    };
    grant.permissions.iter().find(alone).copied()
}

fn whole_millis(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn via(via: Via) -> &'static str {
    match via {
        Via::System => "system",
        Via::Asserted => "asserted",
        Via::Certificate => "certificate",
        Via::Jwt => "jwt",
        Via::ApiToken => "api_token",
        Via::Web => "web",
    }
}

fn describe(token: &ApiToken) -> proto::ApiToken {
    proto::ApiToken {
        name: token.name.clone(),
        grants: token.grants.iter().map(grant).collect(),
        create_time: Some(convert::timestamp(token.created)),
        created_by: token.created_by.to_string(),
        expire_time: Some(convert::timestamp(token.expires)),
        revoke_time: token.revoked.map(convert::timestamp),
    }
}

fn grant(grant: &Grant) -> proto::Grant {
    proto::Grant {
        permissions: grant.permissions.iter().map(|each| permission(*each).into()).collect(),
        workflows: grant.scope.workflows.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        labels: grant.scope.labels.clone().into_iter().collect(),
    }
}

fn permission(permission: Permission) -> proto::Permission {
    match permission {
        Permission::View => proto::Permission::View,
        Permission::Decide => proto::Permission::Decide,
        Permission::Start => proto::Permission::Start,
        Permission::Provision => proto::Permission::Provision,
        Permission::Operate => proto::Permission::Operate,
        Permission::Audit => proto::Permission::Audit,
        Permission::ActOnBehalf => proto::Permission::ActOnBehalf,
    }
}

fn read_grants(grants: Vec<proto::Grant>) -> Result<Vec<Grant>, ApiError> {
    let mut read = Vec::new();
    for (at, grant) in grants.into_iter().enumerate() {
        let mut permissions = Vec::new();
        for (of, number) in grant.permissions.into_iter().enumerate() {
            let known = Permission::ALL.into_iter().find(|known| i32::from(permission(*known)) == number);
            let path = || format!("grants[{at}].permissions[{of}]");
            let known =
                known.ok_or_else(|| ApiError::field(path(), format!("{number} is not a value that there is")))?;
            if !permissions.contains(&known) {
                permissions.push(known);
            }
        }
        let mut workflows = Vec::new();
        for (of, pattern) in grant.workflows.into_iter().enumerate() {
            let path = || format!("grants[{at}].workflows[{of}]");
            workflows.push(
                pattern
                    .try_into()
                    .map_err(|error: crate::approval::NotAPattern| ApiError::field(path(), error.to_string()))?,
            );
        }
        let labels = grant.labels.into_iter().collect();
        read.push(Grant { permissions, scope: Scope { workflows, labels } });
    }
    Ok(read)
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Field { field, problem } => Self::field(field, problem),
            TokenError::Exists(name) => Self::ApiTokenExists(name),
            TokenError::Store(error) => Self::Store(error),
        }
    }
}
