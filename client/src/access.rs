use std::time::Duration;

use approve_proto::v1::{
    ApiToken, CreateApiTokenRequest, GetCallerRequest, GetCallerResponse, GetServerInfoRequest, GetServerInfoResponse,
    Grant, ListApiTokensRequest, RevokeApiTokenRequest,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::{Client, Error, Secret};

/// Asks for an API token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateToken(CreateApiTokenRequest);

impl CreateToken {
    /// Of this name: the caller will be `service:<name>`. 1 to 64 characters of `[A-Za-z0-9_.-]`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(CreateApiTokenRequest { name: name.into(), ..CreateApiTokenRequest::default() })
    }

    /// That may do this. At least one; may be repeated.
    pub fn grant(mut self, grant: Grant) -> Self {
        self.0.grants.push(grant);
        self
    }

    /// That lives so long. Default 90 days; 1 minute to 366 days.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.0.lifetime = prost_types::Duration::try_from(lifetime).ok();
        self
    }
}

/// A new API token.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CreatedToken {
    /// The token.
    pub token: ApiToken,
    /// What its service sends as its bearer token. The server does not keep it: it is never told again.
    pub secret: Secret,
}

impl Client {
    /// Says who the server takes the caller for, and what they may do.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn caller(&self) -> Result<GetCallerResponse, Error> {
        self.read(
            Self::access,
            GetCallerRequest {},
            |mut service, request| async move { service.get_caller(request).await },
        )
        .await
    }

    /// Says which version the server is of, and what its clock says.
    ///
    /// # Errors
    /// Only those that every call may have; [`Code::Unimplemented`](crate::Code::Unimplemented) from an older server.
    pub async fn server_info(&self) -> Result<GetServerInfoResponse, Error> {
        self.unary(Self::access, GetServerInfoRequest {}, |mut service, request| async move {
            service.get_server_info(request).await
        })
        .await
    }

    /// Whether the server says that it serves: by the standard gRPC health service.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn is_serving(&self) -> Result<bool, Error> {
        let health = self
            .unary(Self::health, HealthCheckRequest::default(), |mut service, request| async move {
                service.check(request).await
            })
            .await?;
        Ok(health.status() == ServingStatus::Serving)
    }

    /// Makes an API token for a service. Not sent again after a failure: a second one would have another secret.
    ///
    /// # Errors
    /// Reasons [`ApiTokenExists`](crate::Reason::ApiTokenExists),
    /// [`PermissionMissing`](crate::Reason::PermissionMissing) also where the token would get more than its maker has,
    /// [`InvalidField`](crate::Reason::InvalidField).
    pub async fn create_token(&self, create: CreateToken) -> Result<CreatedToken, Error> {
        let created =
            self.unary(Self::access, create.0, |mut service, request| async move {
                service.create_api_token(request).await
            })
            .await?;
        let token = created.token.ok_or(Error::Protocol { missing: "token" })?;
        Ok(CreatedToken { token, secret: Secret::new(created.secret) })
    }

    /// Returns all API tokens, revoked and expired ones included, by name, newest first.
    ///
    /// # Errors
    /// Reason [`PermissionMissing`](crate::Reason::PermissionMissing).
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, Error> {
        let listed = self
            .read(Self::access, ListApiTokensRequest {}, |mut service, request| async move {
                service.list_api_tokens(request).await
            })
            .await?;
        Ok(listed.tokens)
    }

    /// Ends an API token's life at once.
    ///
    /// # Errors
    /// Reasons [`ApiTokenNotFound`](crate::Reason::ApiTokenNotFound),
    /// [`PermissionMissing`](crate::Reason::PermissionMissing).
    pub async fn revoke_token(&self, name: impl Into<String>) -> Result<ApiToken, Error> {
        let message = RevokeApiTokenRequest { name: name.into() };
        self.unary(Self::access, message, |mut service, request| async move { service.revoke_api_token(request).await })
            .await?
            .token
            .ok_or(Error::Protocol { missing: "token" })
    }
}
