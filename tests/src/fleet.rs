//! Several servers on one database, each of which can be cut off from it and from Step Functions.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use approve_client::{Client, Config, Credentials, Decide, Decision, Filter, List};
use aws_sdk_sfn::types::ExecutionStatus;
use futures::future::join_all;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    LocalAws, Server, aws,
    ledger::{Acknowledged, Sent},
    postgres::{Database, Postgres, serve},
    wait_for,
    way::{Passing, Target, Way},
    workflows::ask_input,
};

/// A server, and its ways to what it needs.
#[derive(Debug)]
pub struct Place {
    /// The server.
    pub server: Server,
    /// Its way to the database.
    pub database: Way,
    /// Its way to Step Functions.
    pub aws: Way,
}

/// Servers that share a database.
#[derive(Debug)]
pub struct Fleet {
    /// Each of them.
    pub places: Vec<Place>,
    /// Their database.
    pub database: Database,
    /// What it is in.
    pub postgres: Postgres,
    /// Their Step Functions.
    pub aws: LocalAws,
}

impl Fleet {
    /// Starts so many servers with a PostgreSQL of their own. `config` is more of the configuration of each.
    pub async fn start(servers: usize, config: &str) -> Self {
        let (aws, postgres) = tokio::join!(LocalAws::start(), Postgres::start());
        let database = postgres.database().await;
        let mut fleet = Self { places: Vec::new(), database, postgres, aws };
        for _ in 0..servers {
            fleet.join(config).await;
        }
        fleet
    }

    /// Starts one more server.
    pub async fn join(&mut self, config: &str) {
        let address: SocketAddr = self.aws.url().trim_start_matches("http://").parse().unwrap();
        let (database, aws) = tokio::join!(self.postgres.way(), Way::to(Target::Tcp(address)));
        let endpoint = format!("http://{}", aws.address());
        let server = serve(&self.database.url_by(&database), &endpoint, config).await;
        self.places.push(Place { server, database, aws });
    }

    /// Its servers.
    pub fn servers(&self) -> Vec<&Server> {
        self.places.iter().map(|place| &place.server).collect()
    }

    /// Their URLs.
    pub fn urls(&self) -> Vec<&str> {
        self.places.iter().map(|place| place.server.url()).collect()
    }

    /// Clients of `user:<name>`, one for each server, who wait so long for one of them.
    pub async fn clients(&self, name: &str, patience: Duration) -> Vec<Client> {
        let client = |server: &Server| {
            let credentials = Credentials::asserted(format!("user:{name}"), Vec::<String>::new());
            Client::connect(Config::new(server.url()).credentials(credentials).request_timeout(patience))
        };
        join_all(self.servers().into_iter().map(client)).await.into_iter().map(Result::unwrap).collect()
    }

    /// Waits until each of them says that it serves.
    pub async fn all_serve(&self) {
        join_all(self.places.iter().map(|place| is(&place.server, ServingStatus::Serving))).await;
    }
}

/// A decision that only one server knows to be delivered.
#[derive(Debug)]
pub struct Probe {
    step_functions: aws_sdk_sfn::Client,
    /// What waits for it.
    pub execution_arn: String,
    /// The vote, which was acknowledged.
    pub vote: Acknowledged,
}

impl Probe {
    /// Cuts a server off from Step Functions and has it take a decision. `machine` asks for one approval.
    pub async fn place(fleet: &Fleet, at: usize, machine: &str) -> Self {
        fleet.places[at].aws.set(Passing::Cut);
        let step_functions = aws::step_functions(fleet.aws.url());
        let input = ask_input("Pay at last", "user:req");
        let started = step_functions.start_execution().state_machine_arn(machine).input(input).send().await.unwrap();
        let execution_arn = started.execution_arn;
        let client = fleet.places[at].server.client("ana").await;
        let id = wait_for("the probe to be asked", async || {
            let list = List::pending().filter(Filter::new().execution_arn(&execution_arn));
            client.list(list).await.ok()?.approvals.pop().map(|approval| approval.id)
        })
        .await;
        let decide = Decide::approve(&id);
        let comment = decide.request_id().to_owned();
        let decided = client.decide(decide.comment(&comment)).await.unwrap();
        let sent = Sent { id, voter: "user:ana".to_owned(), decision: Decision::Approve, comment };
        let (revision, status) = (decided.revision, decided.approval.status());
        Self { step_functions, execution_arn, vote: Acknowledged { sent, revision, status } }
    }

    /// How long after `since` its workflow has heard of it.
    pub async fn answered(self, since: Instant) -> Duration {
        wait_for("the take-over", async || {
            let execution = self.step_functions.describe_execution().execution_arn(&self.execution_arn);
            (execution.send().await.unwrap().status != ExecutionStatus::Running).then(|| since.elapsed())
        })
        .await
    }
}

/// Waits until a server's health is this one.
pub async fn is(server: &Server, status: ServingStatus) {
    let health = HealthClient::new(server.channel().await);
    wait_for("the server's health", async || {
        let response = health.clone().check(HealthCheckRequest::default()).await.ok()?;
        (response.get_ref().status() == status).then_some(())
    })
    .await;
}
