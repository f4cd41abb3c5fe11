//! The server: a listener on loopback, its connections and its timer.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    engine::{ApiError, Engine, EngineOptions, Limits},
    faults::{FaultPlan, Faults},
    http,
    journal::{Journal, JournalError},
    shared::Shared,
};

/// How long connections get to finish after the server was told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub addr: SocketAddr,
    /// Twelve digits; in every ARN.
    pub account_id: String,
    /// The region of calls whose credentials name none.
    pub region: String,
    /// How long GetActivityTask waits for a task.
    pub long_poll: Duration,
    /// Whether CreateStateMachine wants a role that exists here and trusts Step Functions.
    pub check_roles: bool,
    /// How long after CreateRole Step Functions cannot assume a role yet.
    pub role_propagation: Duration,
    /// Closed executions beyond this many are forgotten, oldest first.
    pub max_closed_executions: usize,
    /// How much there may be.
    pub limits: Limits,
    /// Whether calls beyond the service's documented quotas get ThrottlingException.
    pub quotas: bool,
    /// Whether a poll whose client has gone keeps its place until its time is over, and takes a task that nobody gets,
    /// as with AWS. Otherwise it is taken back as soon as its connection is seen to be closed.
    pub dead_polls_take_tasks: bool,
    /// Fixes ids and tokens; made up when absent.
    pub seed: Option<u64>,
    /// Keeps the state: every call is written there before it is applied, and a start goes on from there. In memory
    /// only, when absent. It is rewritten whenever the calls outgrow the state, so its size stays within a few times that
    /// of the state. It is for one process at a time (a file beside it, `….lock`, keeps others out), and for the options
    /// that it was made with. Changes of the clock are not kept.
    pub data_file: Option<PathBuf>,
    /// Faults from the start; more by `POST /_sfn-local/faults`.
    pub faults: FaultPlan,
}

impl Default for Options {
    fn default() -> Self {
        let engine = EngineOptions::default();
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            account_id: engine.account_id,
            region: engine.region,
            long_poll: engine.long_poll,
            check_roles: engine.check_roles,
            role_propagation: engine.role_propagation,
            max_closed_executions: engine.max_closed_executions,
            limits: engine.limits,
            quotas: false,
            dead_polls_take_tasks: false,
            seed: None,
            data_file: None,
            faults: FaultPlan::default(),
        }
    }
}

/// Options of the server that are none of the engine's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) quotas: bool,
    pub(crate) dead_polls_take_tasks: bool,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on, e.g. because it is in use.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// An account id is twelve digits.
    #[error("account_id must be twelve digits, not {0:?}")]
    AccountId(String),
    /// The data file cannot be used.
    #[error("cannot go on from {path}")]
    DataFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: JournalError,
    },
    /// The data file can be read but not written.
    #[error("cannot write {path}: {message}")]
    DataFileWrite {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
}

/// A bound server that does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Takes the port, so that the endpoint is known; connections wait until [`Server::serve`].
    pub async fn bind(options: Options) -> Result<Self, BindError> {
        if options.account_id.len() != 12 || !options.account_id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BindError::AccountId(options.account_id));
        }
        let listen = |source| BindError::Listen { addr: options.addr, source };
        let listener = TcpListener::bind(options.addr).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let mut engine = EngineOptions {
            seed: options.seed.unwrap_or(high ^ low),
            account_id: options.account_id,
            region: options.region,
            long_poll: options.long_poll,
            check_roles: options.check_roles,
            role_propagation: options.role_propagation,
            max_closed_executions: options.max_closed_executions,
            limits: options.limits,
        };
        let behaviour = Behaviour { quotas: options.quotas, dead_polls_take_tasks: options.dead_polls_take_tasks };
        let faults = Faults::new(options.faults);
        let Some(path) = options.data_file else {
            let engine = Engine::new(engine, Timestamp::now());
            return Ok(Self { listener, addr, shared: Arc::new(Shared::new(engine, faults, behaviour)) });
        };
        let unusable = |source| BindError::DataFile { path: path.clone(), source };
        let (journal, recorded) = Journal::open(&path, &engine).map_err(unusable)?;
        engine.seed = recorded.seed;
        let time = |millis| Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MIN);
        let engine = match &recorded.snapshot {
            Some(text) => Engine::restore(engine, text).map_err(|error| unusable(JournalError::State(error)))?,
            None => {
                let began = recorded.calls.first().map_or_else(Timestamp::now, |(at, _)| time(*at));
                Engine::new(engine, began)
            }
        };
        let mut shared = Shared::new(engine, faults, behaviour);
        for (at, call) in &recorded.calls {
            http::replay(&shared, time(*at), call);
        }
        let write = |error: ApiError| BindError::DataFileWrite { path: path.clone(), message: error.message };
        shared.keep(journal).map_err(write)?;
        Ok(Self { listener, addr, shared: Arc::new(shared) })
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint URL for AWS clients, e.g. `http://127.0.0.1:4566`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Serves until cancelled. Then open polls are answered empty, calls in hand are finished, and it returns, after
    /// five seconds at the latest.
    pub async fn serve(self, cancel: CancellationToken) -> io::Result<()> {
        let Self { listener, shared, .. } = self;
        // Ours to cancel when the listener fails; the caller's token is the caller's.
        let cancel = cancel.child_token();
        let tasks = TaskTracker::new();
        let stop_timer = cancel.child_token();
        tasks.spawn({
            let shared = shared.clone();
            async move { shared.run_timer(stop_timer).await }
        });
        let abort = CancellationToken::new();
        let outcome = loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = cancel.cancelled() => break Ok(()),
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, shared.clone(), cancel.clone());
                    tasks.spawn(abort.clone().run_until_cancelled_owned(connection));
                }
                Err(error) if is_transient(&error) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => break Err(error),
            }
        };
        cancel.cancel();
        shared.drain();
        tasks.close();
        if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
            tracing::debug!("connections were still open when the time to drain was over");
            abort.cancel();
            tasks.wait().await;
        }
        outcome
    }
}

/// A connection that failed before it was accepted, or a lack of descriptors that may pass.
fn is_transient(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) || matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, cancel: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn Nagle's algorithm off");
    }
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { http::handle(&shared, request).await }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}
