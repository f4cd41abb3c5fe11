//! The parts: opened, started, and put behind a listener.

use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Server;
use tracing::warn;

use super::{
    AppError, Live, VERSION,
    follow::Follower,
    load_tokens, open_store,
    ready::pid,
    reload::{Reloader, roles_digest},
    running::Running,
};
use crate::{
    approval::Origin,
    audit::{AdminEvent, Anchors, SigningKey},
    auth::{ApiTokens, Authenticator, CallLimits, Tls},
    clock::{SharedClock, SystemClock},
    config::Config,
    entropy::SystemEntropy,
    grpc::{self, Access, Approvals, AuditCalls, Gate, GateParts, Web, WorkflowCalls},
    notify::{self, Links, Notifier, Outside},
    operations::Operations,
    provision::{Heartbeats, SdkControlPlane},
    retention::Retention,
    stepfunctions::{self, Sdk},
    store::{SharedStore, Standing},
    telemetry::{
        self, Tracer,
        metrics::{Metrics, SharedMetrics},
    },
    watch::{Hub, Kept},
    web::Front,
    worker::{Worker, WorkerOptions},
    workflows::{Provisioner, Workflows},
};

/// The longest metadata of a call: a token, and what is around it.
const MAX_HEADER_BYTES: u32 = 32 * 1024;

/// What everything else stands on.
pub(super) struct Base {
    pub(super) store: SharedStore,
    /// How the store stood when the rest was read of it.
    pub(super) standing: Standing,
    pub(super) stepfunctions: stepfunctions::SharedStepFunctions,
    pub(super) clock: SharedClock,
    pub(super) provisioner: Arc<Provisioner>,
    pub(super) tokens: Arc<ApiTokens>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) key: Option<Arc<SigningKey>>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) metrics: SharedMetrics,
    pub(super) tracer: Tracer,
}

impl Base {
    pub(super) async fn open(config: &Config, aws: &SdkConfig) -> Result<Self, AppError> {
        let key = config.audit.signing_key()?.map(Arc::new);
        let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
        let metrics = Arc::new(Metrics::default());
        let tracer = Tracer::start(&config.telemetry, &name(config), Arc::clone(&metrics))?;
        let clock: SharedClock = Arc::new(SystemClock);
        let store = open_store(config).await?;
        // Before all that is read of it.
        let standing = *store.standing().borrow();
        let tokens = load_tokens(config, &store, &clock).await?;
        let authenticator = Arc::new(Authenticator::new(config, Arc::clone(&tokens), Arc::clone(&clock))?);
        let workflows = Arc::new(Workflows::load(&store).await.map_err(AppError::store(config))?);
        let stepfunctions: stepfunctions::SharedStepFunctions = Arc::new(Sdk::new(aws));
        let provisioner = Arc::new(Provisioner {
            store: Arc::clone(&store),
            stepfunctions: Arc::clone(&stepfunctions),
            control: Arc::new(SdkControlPlane::new(aws)),
            clock: Arc::clone(&clock),
            workflows,
            heartbeats: Heartbeats { per_second: config.worker.heartbeats_per_second },
            working: tokio::sync::Mutex::default(),
        });
        Ok(Self {
            store,
            standing,
            stepfunctions,
            clock,
            provisioner,
            tokens,
            authenticator,
            key,
            tls,
            metrics,
            tracer,
        })
    }

    /// Begins to work: from here on tasks are taken.
    pub(super) fn start(self, config: &Config) -> Parts {
        let hub = Hub::new(Arc::clone(&self.store), Kept::default());
        let worker = Worker::start(
            Arc::clone(&self.store),
            self.stepfunctions,
            Arc::clone(&self.clock),
            Arc::new(SystemEntropy),
            Arc::clone(&self.provisioner.workflows),
            Arc::clone(&self.metrics),
            WorkerOptions {
                name: name(config),
                min_polls: config.worker.min_polls,
                max_polls: config.worker.max_polls,
                heartbeats_per_second: config.worker.heartbeats_per_second,
                deliveries_per_second: config.worker.deliveries_per_second,
                deliveries: config.worker.deliveries,
                detached_for: jiff::SignedDuration::from_secs(config.worker.detached_seconds.into()),
                tracer: self.tracer.clone(),
            },
        );
        let Self { store, standing, clock, provisioner, tokens, authenticator, key, tls, metrics, tracer, .. } = self;
        Parts { store, standing, clock, provisioner, tokens, authenticator, hub, worker, metrics, tracer, key, tls }
    }
}

/// The server's name, for Step Functions and traces.
fn name(config: &Config) -> String {
    config.worker.name.clone().unwrap_or_else(|| format!("approve-server-{}", pid()))
}

/// Everything but the listener.
pub(super) struct Parts {
    pub(super) store: SharedStore,
    pub(super) standing: Standing,
    pub(super) clock: SharedClock,
    pub(super) provisioner: Arc<Provisioner>,
    pub(super) tokens: Arc<ApiTokens>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) hub: Arc<Hub>,
    pub(super) worker: Worker,
    pub(super) metrics: SharedMetrics,
    pub(super) tracer: Tracer,
    pub(super) key: Option<Arc<SigningKey>>,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Parts {
    pub(super) async fn serve(
        self,
        config: &Config,
        listener: TcpListener,
        metrics: Option<TcpListener>,
        live: Option<Live>,
    ) -> Result<Running, AppError> {
        let address =
            listener.local_addr().map_err(|error| AppError::system("cannot tell the address")(error.into()))?;
        let closing = CancellationToken::new();
        let operations =
            Operations { store: Arc::clone(&self.store), worker: self.worker.handle(), clock: Arc::clone(&self.clock) };
        let approvals =
            Approvals { operations: operations.clone(), hub: Arc::clone(&self.hub), closing: closing.clone() };
        let calls = TaskTracker::new();
        let workflows = WorkflowCalls {
            provisioner: Arc::clone(&self.provisioner),
            worker: self.worker.handle(),
            applies: calls.clone(),
        };
        let audit =
            AuditCalls { store: Arc::clone(&self.store), clock: Arc::clone(&self.clock), key: self.key.clone() };
        let access = Access { tokens: Arc::clone(&self.tokens), clock: Arc::clone(&self.clock) };
        let (routes, health) = grpc::routes(access, approvals, workflows, audit)
            .await
            .map_err(|error| AppError::system("cannot serve reflection")(error.into()))?;
        let links = super::inbox::links(config, address)?;
        let hub_stop = CancellationToken::new();
        let hub = TaskTracker::new();
        let mut notifier = self.notifier(links.clone(), &hub, &hub_stop);
        let lanes = notifier.read(config.notify.settings()?)?;
        hub.spawn({
            let (hub, stop) = (Arc::clone(&self.hub), hub_stop.clone());
            async move { hub.run(stop).await }
        });
        let draining = CancellationToken::new();
        let follower = Follower {
            store: Arc::clone(&self.store),
            workflows: Arc::clone(&self.provisioner.workflows),
            tokens: Arc::clone(&self.tokens),
            health: health.clone(),
            draining: draining.clone(),
        };
        hub.spawn(follower.run(self.standing, hub_stop.clone()));
        self.record_start(config).await?;
        notifier.replace(lanes).await;
        if let Some(anchors) = self.anchors(config) {
            hub.spawn(anchors.run(hub_stop.clone()));
        }
        if let Some(settings) = config.retention.settings()? {
            let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
            let metrics = Arc::clone(&self.metrics);
            hub.spawn(Retention { store, clock, settings, metrics }.run(hub_stop.clone()));
        }
        let limits = Arc::new(CallLimits::new(&config.limits));
        let pages =
            self.inbox(config, address, (operations, links.clone()), Arc::clone(&limits), &closing, (&hub, &hub_stop))?;
        let gate = Gate::new(
            GateParts {
                authenticator: Arc::clone(&self.authenticator),
                store: Arc::clone(&self.store),
                clock: Arc::clone(&self.clock),
                entropy: Arc::new(SystemEntropy),
                metrics: Arc::clone(&self.metrics),
                tracer: self.tracer.clone(),
            },
            Arc::clone(&limits),
            Duration::from_secs(config.limits.request_seconds.into()),
        );
        if let Some(live) = live {
            let reloader = Reloader {
                config: config.clone(),
                live,
                authenticator: Arc::clone(&self.authenticator),
                limits,
                tls: self.tls.clone(),
                notifier,
                links,
                tracer: self.tracer.clone(),
                metrics: Arc::clone(&self.metrics),
                store: Arc::clone(&self.store),
                clock: Arc::clone(&self.clock),
            };
            hub.spawn(reloader.run(hub_stop.clone()));
        }
        hub.spawn({
            let (authenticator, stop) = (Arc::clone(&self.authenticator), hub_stop.clone());
            async move { authenticator.keep_fresh(stop).await }
        });
        let incoming = grpc::secured(grpc::incoming(listener, &config.limits), self.tls.clone(), &config.limits);
        let server = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .http2_max_header_list_size(Some(MAX_HEADER_BYTES))
            .max_concurrent_streams(Some(config.limits.streams_per_connection))
            // What browsers speak without TLS.
            .accept_http1(pages.is_some() || config.grpc_web.is_some())
            .layer(Web::new(config.grpc_web.clone()))
            .layer(Front::new(pages))
            .layer(gate)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, closing.clone().cancelled_owned());
        if let Some(metrics) = metrics {
            hub.spawn(telemetry::http::serve(
                metrics,
                Arc::clone(&self.metrics),
                Arc::clone(&self.store),
                draining.clone(),
                hub_stop.clone(),
            ));
        }
        hub.close();
        calls.spawn(async move {
            if let Err(error) = server.await {
                warn!(error = &error as &dyn std::error::Error, "serving ended");
            }
        });
        calls.close();
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        Ok(Running { parts: self, scheme, address, draining, closing, calls, hub_stop, hub, health })
    }
}

impl Parts {
    async fn record_start(&self, config: &Config) -> Result<(), AppError> {
        let roles_sha256 =
            roles_digest(config).map_err(|error| AppError::system("cannot write the config down")(error.into()))?;
        let started = AdminEvent::ServerStarted { version: VERSION.to_owned(), roles_sha256 };
        let recorded = self.store.record(Origin::system("server"), None, None, started, self.clock.now()).await;
        recorded.map_err(AppError::store(config))
    }

    fn notifier(&self, links: Option<Arc<Links>>, tasks: &TaskTracker, stop: &CancellationToken) -> Notifier {
        let source = links.as_ref().map_or_else(|| "/approve-server".to_owned(), |links| links.base().to_owned());
        let shared = notify::Shared {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            entropy: Arc::new(SystemEntropy),
            metrics: Arc::clone(&self.metrics),
            outside: Outside { links, source, ..Outside::default() },
        };
        Notifier::new(shared, tasks.clone(), stop.clone())
    }

    fn anchors(&self, config: &Config) -> Option<Anchors> {
        Some(Anchors {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            key: self.key.clone(),
            file: config.audit.anchor_file.clone()?,
            interval: Duration::from_secs(config.audit.anchor_interval_seconds.into()),
        })
    }
}
