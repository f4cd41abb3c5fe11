use std::{collections::VecDeque, sync::Arc, time::Duration};

use approve_proto::v1::{
    access_service_client::AccessServiceClient, approval_service_client::ApprovalServiceClient,
    audit_service_client::AuditServiceClient, workflow_service_client::WorkflowServiceClient,
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::health_client::HealthClient;

use crate::{
    Config, Error,
    credentials::Identity,
    servers::{Server, Servers},
};

/// The largest message that is accepted: a page of 1,000 approvals with the largest inputs.
const MAX_MESSAGE_BYTES: usize = 300 * 1024 * 1024;

/// A connection to an approve-server, or to one of several that share a database. Cheap to clone; clones share the
/// connection, which is made again by itself when it was lost, to another server where there are several.
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
    servers: Arc<Servers>,
    config: Arc<Config>,
    identity: Arc<Identity>,
}

impl Client {
    /// Connects to the server.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that can't work, [`Error::Credentials`] where the bearer token can't be had,
    /// [`Error::Connect`] where no connection could be made.
    pub async fn connect(config: Config) -> Result<Self, Error> {
        let mut left: VecDeque<_> = config.endpoints()?.into();
        config.identify()?.token().await?;
        let mut silent = Vec::new();
        let mut problem = Error::config("no server");
        while let Some((url, endpoint)) = left.pop_front() {
            match endpoint.connect().await {
                Ok(channel) => {
                    // Those that did not answer may do so later.
                    let others = left.into_iter().chain(silent).map(lazy);
                    return Self::with_servers(Servers::new(Server { url, channel }, others), config);
                }
                Err(source) => problem = Error::Connect { server: url.clone(), source: source.into() },
            }
            silent.push((url, endpoint));
        }
        Err(problem)
    }

    /// Like [`connect`](Self::connect), but connects with the first call: for services that may start before the
    /// server.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that can't work.
    pub fn connect_lazy(config: Config) -> Result<Self, Error> {
        let mut servers = config.endpoints()?.into_iter().map(lazy);
        let first = servers.next().ok_or_else(|| Error::config("no server"))?;
        Self::with_servers(Servers::new(first, servers), config)
    }

    /// Uses a channel that was made elsewhere: a Unix socket, a proxy, a test. Of the configuration only what concerns
    /// single calls is used. Whoever makes the channel sees to it that a bearer token is safe on it.
    ///
    /// # Errors
    /// [`Error::Config`] for credentials that can't be sent.
    pub fn with_channel(channel: Channel, config: Config) -> Result<Self, Error> {
        let server = Server { url: config.url.clone(), channel };
        Self::with_servers(Servers::new(server, []), config)
    }

    fn with_servers(servers: Servers, config: Config) -> Result<Self, Error> {
        let identity = Arc::new(config.identify()?);
        Ok(Self { servers: Arc::new(servers), config: Arc::new(config), identity })
    }

    /// The same, at the server that is used now; and its place among them.
    pub(crate) fn pinned(&self) -> (usize, Self) {
        let (place, server) = self.servers.used();
        if !self.servers.are_several() {
            return (place, self.clone());
        }
        let servers = Arc::new(Servers::new(server.clone(), []));
        (place, Self { servers, config: Arc::clone(&self.config), identity: Arc::clone(&self.identity) })
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    fn channel(&self) -> Channel {
        self.servers.used().1.channel.clone()
    }

    /// The same connection, on behalf of a person: a principal `user:<name>`, and names of their groups. Needs the
    /// permission to act on behalf; both names are recorded.
    ///
    /// # Errors
    /// [`Error::Config`] for names that can't be sent.
    pub fn on_behalf_of<G: Into<String>>(
        &self,
        person: impl Into<String>,
        groups: impl IntoIterator<Item = G>,
    ) -> Result<Self, Error> {
        let config = Config::clone(&self.config).on_behalf_of(person, groups);
        let identity = Arc::new(config.identify()?);
        Ok(Self { servers: Arc::clone(&self.servers), config: Arc::new(config), identity })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn access(&self) -> AccessServiceClient<Channel> {
        AccessServiceClient::new(self.channel())
    }

    pub(crate) fn approvals(&self) -> ApprovalServiceClient<Channel> {
        ApprovalServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }

    pub(crate) fn workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn error(&self, status: Status, deadline: Duration) -> Error {
        Error::from_status(status, deadline).at(&self.servers.used().1.url)
    }
}

fn lazy((url, endpoint): (String, Endpoint)) -> Server {
    Server { url, channel: endpoint.connect_lazy() }
}
