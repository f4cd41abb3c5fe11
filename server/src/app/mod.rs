//! The parts, wired in one place: settings in, exit out.

mod await_store;
mod error;
mod follow;
mod inbox;
mod migrate;
mod parts;
mod ready;
mod reload;
mod running;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use self::{error::AppError, migrate::migrate, reload::Live};
use self::{
    parts::Base,
    ready::{Ready, pid, print_ready, write_ready},
};
use crate::{
    auth::{ApiTokens, NewToken, Secret},
    clock::{SharedClock, SystemClock},
    config::{self, Config, ConfigError, StoreUrl},
    entropy::SystemEntropy,
    provision::{Options, Spec},
    shutdown::Signals,
    stepfunctions,
    store::{
        SharedStore,
        postgres::PostgresStore,
        sqlite::{self, SqliteStore},
    },
    workflows::{Provisioner, ProvisionerError, Workflow},
};

/// Of this server, for the record.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The region of the embedded Step Functions.
const LOCAL_REGION: &str = "us-east-1";

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
    /// Who is told what happens.
    pub webhooks: Vec<config::HookUrl>,
    /// Written once serving.
    pub ready_file: Option<PathBuf>,
}

/// Serves against AWS until a signal.
pub async fn serve(config: Config, live: Live, ready_file: Option<&Path>) -> Result<(), AppError> {
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
    if !await_store::answers(&config, metrics.as_ref(), &mut signals).await? {
        return Ok(());
    }
    let parts = Base::open(&config, &aws).await?.start(&config);
    let running = parts.serve(&config, listener, metrics, Some(live)).await?;
    write_ready(ready_file, &Ready { grpc: Some(running.url()), aws: None, state_machine_arn: None, pid: pid() })?;
    let store = config.store.as_ref().map_or_else(|| config.data_dir.display().to_string(), StoreUrl::redacted);
    info!(grpc = running.url(), store, "serving");
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
        grpc_web: Some(config::GrpcWeb::local()),
        worker: config::Worker { min_polls: 4, max_polls: 32, ..config::Worker::default() },
        // Whatever is lost with an open poll is lost with the embedded Step Functions.
        shutdown: config::Shutdown { poll_seconds: 0, deadline_seconds: 10 },
        // Only there are people believed who they say they are.
        web: options.listen.ip().is_loopback().then(config::Web::default),
        notify: config::Notify::of_developer(options.webhooks.clone()),
        ..Config::default()
    };
    let base = Base::open(&config, &aws).await?;
    let workflow = provision_again(&base.provisioner).await?;
    let running = base.start(&config).serve(&config, listener, None, None).await?;
    let state_machine = workflow.record.state_machine_arn.as_str();
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    print_ready(&running.url(), &endpoint, state_machine, &data_dir, &options.webhooks);
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
    closed.map_err(AppError::store(config))?;
    Ok(secret)
}

async fn open_store(config: &Config) -> Result<SharedStore, AppError> {
    if let Some((address, options)) = config.shared_store()? {
        let store = PostgresStore::open(address, options).await.map_err(AppError::store(config))?;
        return Ok(Arc::new(store));
    }
    let folder = config.data_dir.clone();
    let store = tokio::task::spawn_blocking(move || SqliteStore::open(&folder, sqlite::Options::default()))
        .await
        .map_err(|error| AppError::system("cannot open the store")(error.into()))?
        .map_err(AppError::store(config))?;
    Ok(Arc::new(store))
}

async fn load_tokens(config: &Config, store: &SharedStore, clock: &SharedClock) -> Result<Arc<ApiTokens>, AppError> {
    let tokens = ApiTokens::load(Arc::clone(store), Arc::clone(clock), Arc::new(SystemEntropy)).await;
    Ok(Arc::new(tokens.map_err(AppError::store(config))?))
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
