//! The server under test with a Step Functions in a process of its own.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use approve_client::{
    Approval, Client, Config, Credentials, StartExecution, View, Watch, proto::StreamPendingApprovalsRequest,
};
use approve_tests::{
    LocalAws, Server, aws,
    server::write_config,
    workflows::{self, ask_for_a_day, ask_input},
};
use futures::{StreamExt, TryStreamExt, stream};
use prost::bytes::Bytes;
use tempfile::TempDir;
use tonic::Streaming;

use crate::{
    fill::{self, Fill},
    raw::{self, STREAM},
};

/// How many StartExecution are in flight.
const STARTS: usize = 32;

pub(crate) const WORKFLOW: &str = "bench";

/// No limit but that of the machine.
pub(crate) const UNTHROTTLED: &str = "deliveries_per_second = 1000000\n";

pub(crate) struct Setup {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) step_functions: aws_sdk_sfn::Client,
    pub(crate) aws: LocalAws,
    pub(crate) machine: String,
}

impl Setup {
    /// A server with a workflow. `worker` is more of the settings' section of that name.
    pub(crate) async fn start(worker: &str) -> Self {
        Self::in_folder(TempDir::new().unwrap(), worker).await
    }

    /// A server that finds approvals in its store. They are of no execution.
    pub(crate) async fn filled(fill: &Fill, stores: Option<&Path>) -> Self {
        let folder = TempDir::new().unwrap();
        fill::fill_or_copy(&folder.path().join("data"), fill, stores).await;
        Self::in_folder(folder, "").await
    }

    async fn in_folder(folder: TempDir, worker: &str) -> Self {
        let aws = LocalAws::start().await;
        let (region, url) = ("us-east-1", aws.url());
        let settings = format!("[aws]\nregion = \"{region}\"\nendpoint = \"{url}\"\n[worker]\n{worker}");
        write_config(folder.path(), &settings);
        Self::of(Server::serve_folder(folder, &[]).await, aws).await
    }

    /// A server that runs, which gets a workflow.
    pub(crate) async fn of(server: Server, aws: LocalAws) -> Self {
        let client = server.client("ana").await;
        let workflow = workflows::apply(&client, workflows::spec(WORKFLOW, &ask_for_a_day())).await;
        let step_functions = aws::step_functions(aws.url());
        Self { server, client, step_functions, aws, machine: workflow.state_machine_arn }
    }

    /// Starts so many executions; returns when all of them are pending.
    pub(crate) async fn make_pending(&self, count: usize) -> Vec<Approval> {
        let mut events = self.client.watch(Watch::new());
        let mut view = View::new();
        while !view.is_synced() {
            view.apply(events.try_next().await.unwrap().unwrap());
        }
        let before = view.len();
        let known: HashSet<_> = view.iter().map(|approval| approval.id.clone()).collect();
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
        view.iter().filter(|approval| !known.contains(&approval.id)).cloned().collect()
    }

    /// Starts so many executions at Step Functions itself, past the server.
    pub(crate) async fn queue(&self, machine: &str, count: usize, input: &str) {
        let start = || self.step_functions.start_execution().state_machine_arn(machine).input(input).send();
        let starts = stream::iter(0..count).map(|_| start()).buffer_unordered(STARTS);
        starts.try_for_each(|_| async { Ok(()) }).await.unwrap();
    }

    /// Waits until nothing is on its way to Step Functions, so that the next measurement has the machine to itself.
    pub(crate) async fn settled(&self, approvals: &[Approval]) {
        for approval in approvals {
            approve_tests::approvals::delivered(&self.client, &approval.id).await;
        }
    }

    /// Resident memory of the server's process, in MiB: now, and the most there ever was.
    pub(crate) fn rss(&mut self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.process().id())).unwrap();
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1_024.0
        };
        (mib("VmRSS:"), mib("VmHWM:"))
    }

    /// A stream of all that is pending, past its snapshot, and how much there was.
    pub(crate) async fn watch(&self) -> (Streaming<Bytes>, usize) {
        let mut stream = raw::open(&raw::connect(self.server.url()).await, STREAM, &request("")).await;
        let mut seen = 0;
        while !is_synced(&stream.try_next().await.unwrap().unwrap()) {
            seen += 1;
        }
        (stream, seen)
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

/// Asks for all, from a resume token on; from an empty one with a snapshot.
pub(crate) fn request(resume_token: &str) -> StreamPendingApprovalsRequest {
    // Bookmarks would be counted as changes.
    let heartbeat_interval = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    StreamPendingApprovalsRequest { resume_token: resume_token.to_owned(), heartbeat_interval, ..Default::default() }
}

/// Whether a response is the bookmark after a snapshot. Its first field is the change: 1 an approval, 3 a bookmark.
pub(crate) fn is_synced(response: &Bytes) -> bool {
    response.first() == Some(&(3 << 3 | 2))
}

/// What a process has had of the processors, user and system.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_thread = |path: PathBuf| -> u64 {
        let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(threads.map(|thread| of_thread(thread.unwrap().path())).sum())
}
