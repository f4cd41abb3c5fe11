//! The server under test with a Step Functions in a process of its own.

use std::{collections::HashMap, fs};

use approve_client::{
    Approval, ApprovalStatus, Client, Config, Credentials, StartExecution, View, Watch, proto::Workflow,
};
use approve_tests::{
    LocalAws, Server, aws,
    workflows::{self, ASK, ask_input},
};
use futures::{StreamExt, TryStreamExt, stream};

/// How many StartExecution are in flight.
const STARTS: usize = 32;

pub(crate) const WORKFLOW: &str = "bench";

pub(crate) struct Setup {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) step_functions: aws_sdk_sfn::Client,
    _workflow: Workflow,
    _aws: LocalAws,
}

impl Setup {
    pub(crate) async fn start() -> Self {
        let aws = LocalAws::start().await;
        let server = Server::serve(aws.url()).await;
        let client = server.client("ana").await;
        let workflow = workflows::apply(&client, workflows::spec(WORKFLOW, ASK)).await;
        let step_functions = aws::step_functions(aws.url());
        Self { server, client, step_functions, _workflow: workflow, _aws: aws }
    }

    /// Starts so many executions; returns when all of them are pending.
    pub(crate) async fn make_pending(&self, count: usize) -> Vec<Approval> {
        let mut events = self.client.watch(Watch::new());
        let mut view = View::new();
        while !view.is_synced() {
            view.apply(events.try_next().await.unwrap().unwrap());
        }
        let before = view.len();
        let known: HashMap<_, _> = view.iter().map(|approval| (approval.id.clone(), ())).collect();
        let input = ask_input("Pay invoice 4711", "user:req");
        let start = || StartExecution::new().workflow(WORKFLOW).input_json(&input);
        let starts = stream::iter(0..count)
            .map(|_| self.client.start_execution(start()))
            .buffer_unordered(STARTS)
            .try_collect::<Vec<_>>();
        let seen = async {
            while view.len() < before + count {
                view.apply(events.try_next().await.unwrap().unwrap());
            }
        };
        let (started, ()) = tokio::join!(starts, seen);
        started.unwrap();
        view.iter().filter(|approval| !known.contains_key(&approval.id)).cloned().collect()
    }

    /// Waits until nothing is on its way to Step Functions, so that the next measurement has the machine to itself.
    pub(crate) async fn settled(&self, approvals: &[Approval]) {
        for approval in approvals {
            approve_tests::approvals::delivered(&self.client, &approval.id).await;
        }
    }

    /// Resident memory of the server's process, in MiB.
    pub(crate) fn rss(&mut self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.process().id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1_024.0
    }

    /// So many clients, each with a connection of its own.
    pub(crate) async fn clients(url: &str, count: usize) -> Vec<Client> {
        let config = Config::new(url).credentials(Credentials::asserted("user:ana", Vec::<String>::new()));
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(Client::connect(config.clone()).await.unwrap());
        }
        clients
    }
}

/// Whether a decision was the last one that was needed.
pub(crate) fn is_approved(approval: &Approval) -> bool {
    approval.status() == ApprovalStatus::Approved
}
