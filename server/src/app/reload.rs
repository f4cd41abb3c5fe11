//! Settings and certificates, read again while the server runs: all of them on SIGHUP, certificates also when their files
//! change. What can't be used changes nothing, and is told.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    AppError,
    inbox::{link_keys, link_life},
};
use crate::{
    approval::Origin,
    audit::{AdminEvent, Hash},
    auth::{Authenticator, CallLimits, Loaded, Tls},
    clock::SharedClock,
    config::{Changes, Config, Overrides},
    notify::{Links, Notifier},
    shutdown::Hangups,
    store::SharedStore,
    telemetry::{LogControl, Tracer, metrics::SharedMetrics},
};

/// How often it is looked whether files of certificates are others.
const LOOK: Duration = Duration::from_secs(10);

/// Where settings came from, and what of them can be changed outside of the server.
#[derive(Debug)]
pub struct Live {
    file: Option<PathBuf>,
    flags: Overrides,
    log: LogControl,
    hangups: Hangups,
}

impl Live {
    /// Of these settings. SIGHUP is no longer deadly from here on.
    ///
    /// # Errors
    /// [`AppError::System`]
    pub fn new(file: Option<PathBuf>, flags: Overrides, log: LogControl) -> Result<Self, AppError> {
        let hangups = Hangups::new().map_err(|error| AppError::system("cannot wait for signals")(error.into()))?;
        Ok(Self { file, flags, log, hangups })
    }
}

/// What tells whether callers' identities and roles are others.
pub(super) fn roles_digest(config: &Config) -> serde_json::Result<Hash> {
    Ok(Hash::of(&serde_json::to_string(&(&config.auth, &config.role))?))
}

/// Reads again, and hands on.
pub(super) struct Reloader {
    /// The settings that hold.
    pub(super) config: Config,
    pub(super) live: Live,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) limits: Arc<CallLimits>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) notifier: Notifier,
    pub(super) links: Option<Arc<Links>>,
    pub(super) tracer: Tracer,
    pub(super) metrics: SharedMetrics,
    pub(super) store: SharedStore,
    pub(super) clock: SharedClock,
}

impl Reloader {
    /// Until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A failure is told when it begins, and not at every look.
        let mut failed = None;
        self.tell_expiry();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.live.hangups.next() => {
                    failed = None;
                    if let Err(problem) = self.reload().await {
                        self.metrics.reloaded("config", false);
                        error!(error = &problem as &dyn std::error::Error, "settings are left as they were");
                    } else {
                        self.metrics.reloaded("config", true);
                    }
                }
                _ = look.tick() => self.certificates(&mut failed),
            }
        }
    }

    /// Reads the settings and goes by those that can hold at once.
    async fn reload(&mut self) -> Result<(), AppError> {
        let newer = Config::load(self.live.file.as_deref(), &self.live.flags)?;
        let Changes { live, at_start } = self.config.changes(&newer);
        let config = self.config.with_live(&newer)?;
        let is_other = |name: &str| live.iter().any(|changed| changed.starts_with(name));
        // What can fail comes first: all of it holds, or nothing.
        LogControl::check(&config.log.level)?;
        let certificates = match (&self.tls, &config.tls) {
            (Some(tls), Some(settings)) => tls.read(settings)?,
            _ => None,
        };
        let rules = match is_other("auth.") || is_other("role") {
            true => Some(self.authenticator.read(&config)?),
            false => None,
        };
        // Always: secrets, keys and roots are in files of their own, whose names stay.
        let lanes = self.notifier.read(config.notify.settings()?)?;
        let keys = link_keys(&config)?;
        if let Some(certificates) = certificates {
            self.replace(certificates);
        }
        if let Some(links) = &self.links {
            links.replace(&keys, link_life(&config));
        }
        self.notifier.replace(lanes).await;
        if let Some(rules) = rules {
            self.authenticator.replace(rules);
            self.record(&config).await;
        }
        self.live.log.set_level(&config.log.level)?;
        self.limits.replace(&config.limits);
        self.tracer.set_ratio(config.telemetry.sample_ratio);
        self.config = config;
        info!(changed = live.join(", "), "settings were read again");
        if !at_start.is_empty() {
            warn!(settings = at_start.join(", "), "these settings hold from the next start on");
        }
        Ok(())
    }

    /// Keeps in the record that other roles hold.
    async fn record(&self, config: &Config) {
        let Ok(roles_sha256) = roles_digest(config) else { return };
        let event = AdminEvent::RolesChanged { roles_sha256 };
        let recorded = self.store.record(Origin::system("server"), None, None, event, self.clock.now()).await;
        if let Err(error) = recorded {
            warn!(error = &error as &dyn std::error::Error, "that roles were changed was not recorded");
        }
    }

    /// Reads the certificates again, if they are others.
    fn certificates(&self, failed: &mut Option<String>) {
        let (Some(tls), Some(settings)) = (&self.tls, &self.config.tls) else { return };
        match tls.read(settings) {
            Ok(other) => {
                *failed = None;
                if let Some(certificates) = other {
                    self.replace(certificates);
                }
            }
            Err(problem) => {
                let text = problem.to_string();
                if failed.as_ref() != Some(&text) {
                    self.metrics.reloaded("certificates", false);
                    let problem = &problem as &dyn std::error::Error;
                    error!(error = problem, "certificates are left as they were; they are looked at again");
                }
                *failed = Some(text);
            }
        }
    }

    fn replace(&self, certificates: Loaded) {
        let Some(tls) = &self.tls else { return };
        tls.replace(certificates);
        self.metrics.reloaded("certificates", true);
        self.tell_expiry();
        info!(expires = %tls.expires(), "new connections get other certificates");
    }

    fn tell_expiry(&self) {
        if let Some(tls) = &self.tls {
            self.metrics.certificate_expiry.set(tls.expires().as_second());
        }
    }
}
