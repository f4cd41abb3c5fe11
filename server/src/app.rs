//! The parts, wired in one place: settings in, exit out.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_config::SdkConfig;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Server;
use tracing::{info, warn};

use crate::{
    approval::Origin,
    audit::{self, AdminEvent, Anchors, SigningKey},
    auth::{self, ApiTokens, Authenticator, KeysError, NewToken, Secret, TlsError, TokenError},
    clock::{SharedClock, SystemClock},
    config::{self, Config, ConfigError},
    entropy::SystemEntropy,
    grpc::{self, Access, Approvals, AuditCalls, Gate, WorkflowCalls},
    provision::{Heartbeats, Options, SdkControlPlane, Spec},
    shutdown::{Drain, Ended, Signals},
    stepfunctions::{self, Sdk},
    store::{
        SharedStore, StoreError,
        sqlite::{self, SqliteStore},
    },
    telemetry::{
        self, BadLevel,
        metrics::{Metrics, SharedMetrics},
    },
    watch::Hub,
    worker::{Worker, WorkerOptions},
    workflows::{Provisioner, ProvisionerError, Workflow, Workflows},
};

/// Of this server, for the record.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The region of the embedded Step Functions.
const LOCAL_REGION: &str = "us-east-1";

/// The longest metadata of a call: a token, and what is around it.
const MAX_HEADER_BYTES: u32 = 32 * 1024;

/// Why the server did not start, or did not stop well. Each has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The settings can't be used.
    #[error("bad config")]
    Config(#[from] ConfigError),
    /// The log filter can't be used.
    #[error("bad config")]
    Level(#[from] BadLevel),
    /// The keys of an issuer can't be used.
    #[error("bad config")]
    Keys(#[from] KeysError),
    /// Certificates or keys of TLS can't be used.
    #[error("bad config")]
    Tls(#[from] TlsError),
    /// No API token was made.
    #[error("no token was made")]
    Token(#[source] TokenError),
    /// An address can't be bound.
    #[error("cannot listen on {address}: choose another address ({flag}), or end the process that uses it")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The data folder can't be used.
    #[error("cannot use the data folder {folder}")]
    Store {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The embedded Step Functions failed.
    #[error("the embedded Step Functions failed")]
    Local(#[source] std::io::Error),
    /// The reference workflow can't be provisioned.
    #[error("cannot provision the workflow")]
    Provision(#[from] ProvisionerError),
    /// Something else of the system failed.
    #[error("{what}")]
    System {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Stopping took too long, or a second signal came.
    #[error("stopped before everything in hand was finished; nothing acknowledged is lost")]
    StoppedEarly,
}

impl AppError {
    /// The process's exit code: 3 config, 4 address, 5 data folder, 6 AWS, 7 stopped early, 1 anything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Level(_) | Self::Keys(_) | Self::Tls(_) => 3,
            Self::Bind { .. } => 4,
            Self::Store { .. } => 5,
            Self::Local(_) | Self::Provision(_) => 6,
            Self::StoppedEarly => 7,
            Self::Token(_) | Self::System { .. } => 1,
        }
    }

    pub(crate) fn system(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::System { what, source }
    }
}

/// How `dev` runs.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Where the embedded Step Functions is served.
    pub aws_listen: SocketAddr,
    /// Where the store is kept.
    pub data_dir: PathBuf,
    /// Where the embedded Step Functions keeps its state, if it does.
    pub aws_data_file: Option<PathBuf>,
    /// Written once serving.
    pub ready_file: Option<PathBuf>,
}

/// What is written to the ready file, as JSON.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_machine_arn: Option<&'a str>,
    pid: u32,
}

/// Serves against AWS until a signal.
pub async fn serve(config: Config, ready_file: Option<&Path>) -> Result<(), AppError> {
    let mut signals = signals()?;
    let listener = bind(config.listen, "--listen").await?;
    let aws = stepfunctions::load_config(config.aws.region.clone(), config.aws.endpoint.clone()).await;
    if aws.region().is_none() {
        return Err(ConfigError::Value {
            key: "aws.region".to_owned(),
            problem: "there is no region: set it, or AWS_REGION, or the region of the profile".to_owned(),
            origin: String::new(),
        }
        .into());
    }
    let metrics = match config.metrics_listen {
        Some(address) => Some(bind(address, "metrics_listen").await?),
        None => None,
    };
    let parts = Base::open(&config, &aws).await?.start(&config);
    let running = parts.serve(&config, listener, metrics).await?;
    write_ready(ready_file, &Ready { grpc: Some(running.url()), aws: None, state_machine_arn: None, pid: pid() })?;
    info!(grpc = running.url(), data = %config.data_dir.display(), "serving");
    running.until_stopped(&mut signals, &config.shutdown).await
}

/// Serves with everything embedded, the reference workflow provisioned, until a signal.
pub async fn dev(options: DevOptions) -> Result<(), AppError> {
    let mut signals = signals()?;
    let listener = bind(options.listen, "--listen").await?;
    let (addr, data_file) = (options.aws_listen, options.aws_data_file);
    let local = bind_local(sfn_local::Options { addr, data_file, ..sfn_local::Options::default() }).await?;
    let endpoint = local.endpoint();
    let stop_local = CancellationToken::new();
    let local = tokio::spawn(local.serve(stop_local.clone()));
    let aws = stepfunctions::local_config(&endpoint, LOCAL_REGION);
    let config = Config {
        listen: options.listen,
        data_dir: options.data_dir,
        worker: config::Worker { min_polls: 4, max_polls: 32, ..config::Worker::default() },
        // Whatever is lost with an open poll is lost with the embedded Step Functions.
        shutdown: config::Shutdown { poll_seconds: 0, deadline_seconds: 10 },
        ..Config::default()
    };
    let base = Base::open(&config, &aws).await?;
    let workflow = provision_again(&base.provisioner).await?;
    let running = base.start(&config).serve(&config, listener, None).await?;
    let state_machine = workflow.record.state_machine_arn.as_str();
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    print_ready(&running.url(), &endpoint, state_machine, &data_dir);
    let ready =
        Ready { grpc: Some(running.url()), aws: Some(&endpoint), state_machine_arn: Some(state_machine), pid: pid() };
    write_ready(options.ready_file.as_deref(), &ready)?;
    let stopped = running.until_stopped(&mut signals, &config.shutdown).await;
    stop_local.cancel();
    match local.await {
        Ok(Ok(())) => stopped,
        Ok(Err(error)) => Err(AppError::Local(error)),
        Err(error) => Err(AppError::system("the embedded Step Functions ended")(error.into())),
    }
}

/// Makes an API token in the data folder of a server that does not run, and tells its secret.
pub async fn create_token(config: &Config, new: NewToken) -> Result<Secret, AppError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let store = open_store(config).await?;
    let tokens = load_tokens(config, &store, &clock).await?;
    let made = tokens.create(new).await;
    let closed = store.close().await;
    let (_, secret) = made.map_err(AppError::Token)?;
    closed.map_err(|source| AppError::Store { folder: config.data_dir.clone(), source })?;
    Ok(secret)
}

async fn open_store(config: &Config) -> Result<SharedStore, AppError> {
    let folder = config.data_dir.clone();
    let store = tokio::task::spawn_blocking(move || SqliteStore::open(&folder, sqlite::Options::default()))
        .await
        .map_err(|error| AppError::system("cannot open the store")(error.into()))?
        .map_err(|source| AppError::Store { folder: config.data_dir.clone(), source })?;
    Ok(Arc::new(store))
}

async fn load_tokens(config: &Config, store: &SharedStore, clock: &SharedClock) -> Result<Arc<ApiTokens>, AppError> {
    let tokens = ApiTokens::load(Arc::clone(store), Arc::clone(clock), Arc::new(SystemEntropy)).await;
    Ok(Arc::new(tokens.map_err(|source| AppError::Store { folder: config.data_dir.clone(), source })?))
}

/// The embedded Step Functions may begin empty: it gets the workflows that are stored, and the reference one, which is
/// returned. Where it has them already, nothing is written.
async fn provision_again(provisioner: &Provisioner) -> Result<Arc<Workflow>, ProvisionerError> {
    let reference = Spec::reference();
    let all = provisioner.workflows.all();
    for workflow in all.values().filter(|workflow| !workflow.record.spec.attached) {
        provisioner.apply(workflow.record.spec.clone(), Options::default(), |_| {}).await?;
    }
    match provisioner.workflows.get(&reference.name) {
        Some(known) => Ok(known),
        None => provisioner.apply(reference, Options::default(), |_| {}).await,
    }
}

/// Serves the embedded Step Functions alone, until a signal.
pub async fn local_aws(options: sfn_local::Options, ready_file: Option<&Path>) -> Result<(), AppError> {
    let mut signals = signals()?;
    let local = bind_local(options).await?;
    let endpoint = local.endpoint();
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    write_ready(ready_file, &Ready { grpc: None, aws: Some(&endpoint), state_machine_arn: None, pid: pid() })?;
    println!("Step Functions and IAM at {endpoint}");
    tokio::select! {
        served = local.serve(stop) => served.map_err(AppError::Local),
        _ = async { signals.next().await; stopping.cancel(); signals.next().await } => Err(AppError::StoppedEarly),
    }
}

async fn bind_local(options: sfn_local::Options) -> Result<sfn_local::Server, AppError> {
    let address = options.addr;
    sfn_local::Server::bind(options).await.map_err(|error| match error {
        sfn_local::BindError::DataFile { .. } | sfn_local::BindError::DataFileWrite { .. } => {
            AppError::system("cannot keep the embedded Step Functions")(error.into())
        }
        error => AppError::Bind { address, flag: "--aws-listen", source: std::io::Error::other(error) },
    })
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Bind { address, flag, source })
}

fn signals() -> Result<Signals, AppError> {
    Signals::new().map_err(|error| AppError::system("cannot wait for signals")(error.into()))
}

fn pid() -> u32 {
    std::process::id()
}

/// In one piece, so that whoever waits for the file never reads half of it.
fn write_ready(file: Option<&Path>, ready: &Ready<'_>) -> Result<(), AppError> {
    let Some(file) = file else { return Ok(()) };
    let write = || -> std::io::Result<()> {
        let mut partial = file.as_os_str().to_owned();
        partial.push(".partial");
        std::fs::write(&partial, serde_json::to_vec(ready)?)?;
        std::fs::rename(&partial, file)
    };
    write().map_err(|error| AppError::system("cannot write the ready file")(error.into()))
}

fn print_ready(grpc: &str, aws: &str, state_machine: &str, data_dir: &Path) {
    let server = if grpc.ends_with(":50051") { String::new() } else { format!(" --server {grpc}") };
    println!(
        r#"
approve-server dev is ready.

  state machine  {state_machine}
  gRPC           {grpc}
  AWS endpoint   {aws}  (Step Functions and IAM, embedded)
  data folder    {data_dir}

Try next, in another terminal:

  approve-cli{server} start --input '{{"invoice": 4711, "amount": 1200.50}}'
  approve-cli{server} list
  approve-cli{server} decide <id> --approve --comment "ok"
"#,
        data_dir = data_dir.display()
    );
}

/// What everything else stands on.
struct Base {
    store: SharedStore,
    stepfunctions: stepfunctions::SharedStepFunctions,
    clock: SharedClock,
    provisioner: Arc<Provisioner>,
    tokens: Arc<ApiTokens>,
    authenticator: Arc<Authenticator>,
    key: Option<Arc<SigningKey>>,
}

impl Base {
    async fn open(config: &Config, aws: &SdkConfig) -> Result<Self, AppError> {
        let in_folder = |source| AppError::Store { folder: config.data_dir.clone(), source };
        let key = config.audit.signing_key()?.map(Arc::new);
        let clock: SharedClock = Arc::new(SystemClock);
        let store = open_store(config).await?;
        let tokens = load_tokens(config, &store, &clock).await?;
        let authenticator = Arc::new(Authenticator::new(config, Arc::clone(&tokens), Arc::clone(&clock))?);
        let workflows = Arc::new(Workflows::load(&store).await.map_err(in_folder)?);
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
        Ok(Self { store, stepfunctions, clock, provisioner, tokens, authenticator, key })
    }

    /// Begins to work: from here on tasks are taken.
    fn start(self, config: &Config) -> Parts {
        let metrics = Arc::new(Metrics::default());
        let hub = Hub::new(Arc::clone(&self.store));
        let worker = Worker::start(
            Arc::clone(&self.store),
            self.stepfunctions,
            Arc::clone(&self.clock),
            Arc::new(SystemEntropy),
            Arc::clone(&self.provisioner.workflows),
            Arc::clone(&metrics),
            WorkerOptions {
                name: config.worker.name.clone().unwrap_or_else(|| format!("approve-server-{}", pid())),
                min_polls: config.worker.min_polls,
                max_polls: config.worker.max_polls,
                heartbeats_per_second: config.worker.heartbeats_per_second,
                deliveries_per_second: config.worker.deliveries_per_second,
                deliveries: config.worker.deliveries,
                detached_for: jiff::SignedDuration::from_secs(config.worker.detached_seconds.into()),
            },
        );
        let Self { store, clock, provisioner, tokens, authenticator, key, .. } = self;
        Parts { store, clock, provisioner, tokens, authenticator, hub, worker, metrics, key }
    }
}

/// Everything but the listener.
struct Parts {
    store: SharedStore,
    clock: SharedClock,
    provisioner: Arc<Provisioner>,
    tokens: Arc<ApiTokens>,
    authenticator: Arc<Authenticator>,
    hub: Arc<Hub>,
    worker: Worker,
    metrics: SharedMetrics,
    key: Option<Arc<SigningKey>>,
}

impl Parts {
    async fn serve(
        self,
        config: &Config,
        listener: TcpListener,
        metrics: Option<TcpListener>,
    ) -> Result<Running, AppError> {
        let address =
            listener.local_addr().map_err(|error| AppError::system("cannot tell the address")(error.into()))?;
        let closing = CancellationToken::new();
        let approvals = Approvals {
            store: Arc::clone(&self.store),
            hub: Arc::clone(&self.hub),
            worker: self.worker.handle(),
            clock: Arc::clone(&self.clock),
            closing: closing.clone(),
        };
        let calls = TaskTracker::new();
        let workflows = WorkflowCalls {
            provisioner: Arc::clone(&self.provisioner),
            worker: self.worker.handle(),
            applies: calls.clone(),
        };
        let audit =
            AuditCalls { store: Arc::clone(&self.store), clock: Arc::clone(&self.clock), key: self.key.clone() };
        let access = Access { tokens: Arc::clone(&self.tokens) };
        let (routes, health) = grpc::routes(access, approvals, workflows, audit)
            .await
            .map_err(|error| AppError::system("cannot serve reflection")(error.into()))?;
        let hub_stop = CancellationToken::new();
        let hub = TaskTracker::new();
        hub.spawn({
            let (hub, stop) = (Arc::clone(&self.hub), hub_stop.clone());
            async move { hub.run(stop).await }
        });
        self.record_start(config).await?;
        if let Some(anchors) = self.anchors(config) {
            hub.spawn(anchors.run(hub_stop.clone()));
        }
        let gate = Gate::new(
            Arc::clone(&self.authenticator),
            &config.limits,
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
        );
        hub.spawn({
            let (authenticator, stop) = (Arc::clone(&self.authenticator), hub_stop.clone());
            async move { authenticator.keep_fresh(stop).await }
        });
        let mut server = Server::builder();
        if let Some(tls) = &config.tls {
            server = auth::secure(server, tls, &config.limits)?;
        }
        let server = server
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .http2_max_header_list_size(Some(MAX_HEADER_BYTES))
            .max_concurrent_streams(Some(config.limits.streams_per_connection))
            .layer(gate)
            .add_routes(routes)
            .serve_with_incoming_shutdown(grpc::incoming(listener, &config.limits), closing.clone().cancelled_owned());
        if let Some(metrics) = metrics {
            hub.spawn(telemetry::http::serve(metrics, Arc::clone(&self.metrics), hub_stop.clone()));
        }
        hub.close();
        calls.spawn(async move {
            if let Err(error) = server.await {
                warn!(error = &error as &dyn std::error::Error, "serving ended");
            }
        });
        calls.close();
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        Ok(Running { parts: self, scheme, address, closing, calls, hub_stop, hub, health })
    }
}

impl Parts {
    async fn record_start(&self, config: &Config) -> Result<(), AppError> {
        let roles = serde_json::to_string(&(&config.auth, &config.role))
            .map_err(|error| AppError::system("cannot write the config down")(error.into()))?;
        let started = AdminEvent::ServerStarted { version: VERSION.to_owned(), roles_sha256: audit::Hash::of(&roles) };
        let recorded = self.store.record(Origin::system("server"), None, None, started, self.clock.now()).await;
        recorded.map_err(|source| AppError::Store { folder: config.data_dir.clone(), source })
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

/// The server, serving.
struct Running {
    parts: Parts,
    scheme: &'static str,
    address: SocketAddr,
    closing: CancellationToken,
    calls: TaskTracker,
    hub_stop: CancellationToken,
    hub: TaskTracker,
    health: tonic_health::server::HealthReporter,
}

impl Running {
    fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Waits for a signal, then stops: first what brings work in, then what carries it out, last what keeps it.
    async fn until_stopped(self, signals: &mut Signals, settings: &config::Shutdown) -> Result<(), AppError> {
        let signal = signals.next().await;
        info!(signal, "stopping");
        grpc::not_serving(&self.health).await;
        let mut drain = Drain::begin(signals, Duration::from_secs(settings.deadline_seconds.into()));
        let polls = Duration::from_secs(settings.poll_seconds.into());
        drain.phase("open polls", Some(polls), self.parts.worker.stop_polling()).await;
        // Streams end with a status to resume on; calls in hand are answered, and those that wait for a delivery get it.
        self.closing.cancel();
        drain.phase("calls and streams", None, self.calls.wait()).await;
        drain.phase("deliveries", None, self.parts.worker.stop()).await;
        let store = Arc::clone(&self.parts.store);
        drain
            .phase("record", None, async {
                let stopped = AdminEvent::ServerStopped { version: VERSION.to_owned() };
                let at = self.parts.clock.now();
                if let Err(error) = store.record(Origin::system("server"), None, None, stopped, at).await {
                    warn!(error = &error as &dyn std::error::Error, "the stop was not recorded");
                }
            })
            .await;
        // The last anchor is of all that.
        self.hub_stop.cancel();
        drain.phase("watch, metrics and anchors", None, self.hub.wait()).await;
        drain
            .phase("store", None, async move {
                if let Err(error) = store.close().await {
                    warn!(error = &error as &dyn std::error::Error, "the store did not close well");
                }
            })
            .await;
        match drain.ended() {
            Ended::Cleanly => Ok(()),
            Ended::Early => Err(AppError::StoppedEarly),
        }
    }
}
