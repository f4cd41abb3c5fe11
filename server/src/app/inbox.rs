//! The web inbox, where there is one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{AppError, parts::Parts};
use crate::{
    auth::{CallLimits, Provider},
    config::{Config, PublicUrl},
    operations::Operations,
    web::{self, Sessions, SignIn, Web},
};

impl Parts {
    /// The pages, beside gRPC at an address. What keeps their sign-in going is one of `tasks`.
    pub(super) fn inbox(
        &self,
        config: &Config,
        address: SocketAddr,
        operations: Operations,
        limits: Arc<CallLimits>,
        closing: &CancellationToken,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) -> Result<Option<axum::Router>, AppError> {
        let Some(settings) = &config.web else { return Ok(None) };
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let served = || PublicUrl::read(&format!("{scheme}://{address}"));
        let url = settings.url()?.map_or_else(served, Ok);
        let url = url.map_err(|problem| AppError::Usage(format!("there is no URL for the inbox: {problem}")))?;
        let sign_in = match &settings.oidc {
            None => SignIn::Picked,
            Some(oidc) => {
                let secret = oidc.client_secret()?;
                let redirect = format!("{url}{}", web::CALLBACK);
                let provider = Provider::new(oidc, &config.auth.jwt, secret, redirect, Arc::clone(&self.clock))?;
                let provider = Arc::new(provider);
                let (fresh, stop) = (Arc::clone(&provider), stop.clone());
                tasks.spawn(async move { fresh.keep_fresh(stop).await });
                SignIn::Oidc(provider)
            }
        };
        let key = settings.session_key()?;
        let clock = Arc::clone(&self.clock);
        let sessions = Sessions::new(key.as_deref(), settings.session(), url.is_https(), clock)
            .map_err(|error| AppError::system("cannot seal sessions")(error.into()))?;
        Ok(Some(web::routes(Arc::new(Web {
            operations,
            hub: Arc::clone(&self.hub),
            workflows: Arc::clone(&self.provisioner.workflows),
            authenticator: Arc::clone(&self.authenticator),
            limits,
            sessions,
            sign_in,
            url,
            request_time: Duration::from_secs(config.limits.request_seconds.into()),
            closing: closing.clone(),
        }))))
    }
}
