//! The web inbox, where there is one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{AppError, parts::Parts};
use crate::{
    auth::{CallLimits, Provider},
    config::{Config, PublicUrl},
    notify::{Links, MIN_KEY},
    operations::Operations,
    web::{self, Sessions, SignIn, Web},
};

/// The file in the data folder whose bytes sign links.
const LINK_KEY: &str = "link.key";

impl Parts {
    /// The pages, beside gRPC at an address. What keeps their sign-in going is one of `tasks`.
    pub(super) fn inbox(
        &self,
        config: &Config,
        address: SocketAddr,
        (operations, links): (Operations, Option<Arc<Links>>),
        limits: Arc<CallLimits>,
        closing: &CancellationToken,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) -> Result<Option<axum::Router>, AppError> {
        let (Some(settings), Some(url)) = (&config.web, public_url(config, address)?) else { return Ok(None) };
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
            links,
            url,
            request_time: Duration::from_secs(config.limits.request_seconds.into()),
            closing: closing.clone(),
        }))))
    }
}

/// Where people reach the inbox, if there is one.
fn public_url(config: &Config, address: SocketAddr) -> Result<Option<PublicUrl>, AppError> {
    let Some(settings) = &config.web else { return Ok(None) };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let served = || PublicUrl::read(&format!("{scheme}://{address}"));
    let url = settings.url()?.map_or_else(served, Ok);
    url.map(Some).map_err(|problem| AppError::Usage(format!("there is no URL for the inbox: {problem}")))
}

/// Links to the inbox, if there is one. They are signed by the keys of the settings, or by one in the data folder; not
/// where several servers share a database and no key.
pub(super) fn links(config: &Config, address: SocketAddr) -> Result<Option<Arc<Links>>, AppError> {
    let Some(url) = public_url(config, address)? else { return Ok(None) };
    let (keys, life) = (link_keys(config)?, link_life(config));
    Ok(Some(Arc::new(Links::new(&url.to_string(), &keys, life))))
}

/// How long a new link holds.
pub(super) fn link_life(config: &Config) -> SignedDuration {
    SignedDuration::from_hours(config.notify.link_hours.into())
}

/// The keys that sign links.
pub(super) fn link_keys(config: &Config) -> Result<Vec<Vec<u8>>, AppError> {
    let mut keys = config.notify.link_keys()?;
    if keys.is_empty() && config.store.is_none() && !config.notify.target.is_empty() {
        let key = link_key(&config.data_dir.join(LINK_KEY));
        keys.push(key.map_err(|error| AppError::system("cannot keep the key of links")(error.into()))?);
    }
    Ok(keys)
}

/// The key in a file, which is made if there is none.
fn link_key(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(key) if key.len() >= MIN_KEY => return Ok(key),
        Ok(_) => return Err(io::Error::other(format!("{} is too short for a key", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = vec![0; MIN_KEY];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("the system has no randomness"))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}
