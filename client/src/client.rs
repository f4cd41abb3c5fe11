use std::{future::Future, sync::Arc, time::Duration};

use approve_proto::v1::{
    approval_service_client::ApprovalServiceClient, workflow_service_client::WorkflowServiceClient,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status, service::interceptor::InterceptedService, transport::Channel};

use crate::{Config, Error, config::Identify};

/// The largest message that is accepted: a page of 1,000 approvals with the largest inputs.
const MAX_MESSAGE_BYTES: usize = 300 * 1024 * 1024;

type Transport = InterceptedService<Channel, Identify>;

/// A connection to an approve-server. Cheap to clone; clones share the connection, which is made again by itself when
/// it was lost.
///
/// ```no_run
/// # async fn example() -> Result<(), approve_client::Error> {
/// use approve_client::{Client, Config, Credentials, Decide, List};
/// use futures::TryStreamExt;
///
/// let me = Credentials::asserted("user:ana", ["finance"]);
/// let client = Client::connect(Config::new("http://127.0.0.1:50051").credentials(me)).await?;
/// let mut pending = client.list_all(List::pending());
/// while let Some(approval) = pending.try_next().await? {
///     let decided = client.decide(Decide::approve(approval.id).comment("looks right")).await?;
///     println!("{} at revision {}", decided.approval.title, decided.revision);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    config: Arc<Config>,
}

impl Client {
    /// Connects to the server.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that can't work, [`Error::Connect`] where no connection could be made.
    pub async fn connect(config: Config) -> Result<Self, Error> {
        let channel = config
            .endpoint()?
            .connect()
            .await
            .map_err(|source| Error::Connect { server: config.url.clone(), source: source.into() })?;
        Self::with_channel(channel, config)
    }

    /// Like [`connect`](Self::connect), but connects with the first call: for services that may start before the
    /// server.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that can't work.
    pub fn connect_lazy(config: Config) -> Result<Self, Error> {
        let channel = config.endpoint()?.connect_lazy();
        Self::with_channel(channel, config)
    }

    /// Uses a channel that was made elsewhere: a Unix socket, a proxy, a test. Of the configuration only what concerns
    /// single calls is used.
    ///
    /// # Errors
    /// [`Error::Config`] for credentials that can't be sent.
    pub fn with_channel(channel: Channel, config: Config) -> Result<Self, Error> {
        Ok(Self { transport: InterceptedService::new(channel, config.identify()?), config: Arc::new(config) })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn approvals(&self) -> ApprovalServiceClient<Transport> {
        ApprovalServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn workflows(&self) -> WorkflowServiceClient<Transport> {
        WorkflowServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn error(&self, status: Status, deadline: Duration) -> Error {
        Error::from_status(status, deadline).at(&self.config.url)
    }

    /// Makes one call that is over by `deadline`, which the server is told.
    pub(crate) async fn call<M, R, F>(
        &self,
        message: M,
        timeout: Duration,
        deadline: Instant,
        send: impl FnOnce(Request<M>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        match tokio::time::timeout_at(deadline, send(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(status, timeout)),
            Err(_) => Err(Error::Timeout { after: timeout }),
        }
    }
}
