//! A load of starts and decisions that goes on while the server dies and comes back.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use approve_client::{Approval, Client, Config, Credentials, Decide, Decision};
use rand::seq::IndexedRandom as _;
use tokio::task::JoinSet;

use crate::{
    Server, aws,
    ledger::{Acknowledged, Ledger, Sent},
    watcher::Watcher,
    workflows::{apply, ask_input, ask_retrying, expiring, of_group, spec, with_rule},
};

/// How long its people have before an approval of [`BRIEF`] expires.
const BRIEF_EXPIRY: Duration = Duration::from_secs(2);

/// One vote decides.
pub const SINGLE: &str = "single";
/// Two votes approve, one rejects.
pub const DOUBLE: &str = "double";
/// Expires soon; may be decided before.
pub const BRIEF: &str = "brief";
/// Its executions are stopped once people see them.
pub const STOPPED: &str = "stopped";
/// Left pending by the load.
pub const KEPT: &str = "kept";

/// Longer than any load.
const TIMEOUT_SECONDS: u32 = 7_200;
const GROUP: &str = "deciders";
const DECIDERS: usize = 4;
const STARTERS: usize = 2;
/// No more is started while so many are pending: a server that is mostly down must be able to catch up.
const PENDING: usize = 100;
/// How often each workflow is started among [`Load::start`]'s executions, in twentieths.
const MIX: [(&str, usize); 5] = [(SINGLE, 9), (DOUBLE, 5), (BRIEF, 3), (STOPPED, 2), (KEPT, 1)];

/// Provisions the five workflows. Their HeartbeatSeconds is so many.
pub async fn provision(client: &Client, heartbeat_seconds: u32) -> Vec<(&'static str, String)> {
    let mut definition: serde_json::Value = serde_json::from_str(&ask_retrying(heartbeat_seconds)).unwrap();
    // What is left pending does not end by itself.
    definition["States"]["Ask"]["TimeoutSeconds"] = TIMEOUT_SECONDS.into();
    let definition = definition.to_string();
    let mut machines = Vec::new();
    for (name, _) in MIX {
        let spec = spec(name, &definition);
        let spec = match name {
            DOUBLE => with_rule(spec, of_group(GROUP, 2)),
            BRIEF => with_rule(spec, expiring(BRIEF_EXPIRY)),
            _ => spec,
        };
        machines.push((name, apply(client, spec).await.state_machine_arn));
    }
    machines
}

/// How long somebody who knows several servers waits for one of them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients of one of the people who decide, one for each server.
async fn decider(servers: &[&Server], at: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for server in servers {
        let credentials = Credentials::asserted(format!("user:decider{at}"), [GROUP]);
        let mut config = Config::new(server.url()).credentials(credentials);
        if servers.len() > 1 {
            config = config.request_timeout(PATIENCE);
        }
        clients.push(Client::connect(config).await.unwrap());
    }
    clients
}

/// Starters and deciders at work.
#[derive(Debug)]
pub struct Load {
    ledger: Arc<Ledger>,
    no_more_starts: Arc<AtomicBool>,
    no_more_votes: Arc<AtomicBool>,
    starters: JoinSet<()>,
    deciders: JoinSet<()>,
}

impl Load {
    /// Sets them to work, at servers that share a store. Together they start `limit` executions at most, each starter pausing up to `pause` between.
    pub async fn start(
        servers: &[&Server],
        endpoint: &str,
        machines: &[(&'static str, String)],
        watcher: &Arc<Watcher>,
        limit: usize,
        pause: Duration,
    ) -> Self {
        let ledger: Arc<Ledger> = Arc::default();
        let (no_more_starts, no_more_votes): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let mut starters = JoinSet::new();
        let numbers = Arc::new(AtomicUsize::new(0));
        for _ in 0..STARTERS {
            let starter = Starter {
                step_functions: aws::step_functions(endpoint),
                machines: machines.to_vec(),
                ledger: ledger.clone(),
                numbers: numbers.clone(),
                watcher: watcher.clone(),
                limit,
                pause,
            };
            starters.spawn(starter.run(no_more_starts.clone()));
        }
        let mut deciders = JoinSet::new();
        for at in 0..DECIDERS {
            let decider = Decider {
                clients: decider(servers, at).await,
                at,
                voter: format!("user:decider{at}"),
                watcher: watcher.clone(),
                ledger: ledger.clone(),
                voted: HashSet::new(),
            };
            deciders.spawn(decider.run(no_more_votes.clone()));
        }
        deciders.spawn(stop_executions(
            aws::step_functions(endpoint),
            watcher.clone(),
            ledger.clone(),
            no_more_votes.clone(),
        ));
        Self { ledger, no_more_starts, no_more_votes, starters, deciders }
    }

    /// What was asked and answered.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Ends the starts.
    pub async fn stop_starts(&mut self) {
        self.no_more_starts.store(true, Ordering::Release);
        while let Some(ended) = self.starters.join_next().await {
            ended.unwrap();
        }
    }

    /// Ends the votes, after those under way have their answer.
    pub async fn stop_votes(&mut self) {
        self.no_more_votes.store(true, Ordering::Release);
        while let Some(ended) = self.deciders.join_next().await {
            ended.unwrap();
        }
    }
}

struct Starter {
    step_functions: aws_sdk_sfn::Client,
    machines: Vec<(&'static str, String)>,
    ledger: Arc<Ledger>,
    numbers: Arc<AtomicUsize>,
    watcher: Arc<Watcher>,
    limit: usize,
    pause: Duration,
}

impl Starter {
    async fn run(self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Acquire) {
            let waiting = self.watcher.seen().view.iter().filter(|approval| approval.workflow != KEPT).count();
            if waiting >= PENDING {
                tokio::time::sleep(self.pause).await;
                continue;
            }
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            if number >= self.limit {
                return;
            }
            let (_, machine) = self.machines.choose_weighted(&mut rand::rng(), |(name, _)| weight(name)).unwrap();
            let started = self
                .step_functions
                .start_execution()
                .state_machine_arn(machine)
                .name(format!("load-{number}"))
                .input(ask_input(&format!("Pay invoice {number}"), "user:req"))
                .send()
                .await
                .unwrap();
            self.ledger.entries().started.push(started.execution_arn);
            tokio::time::sleep(self.pause.mul_f64(rand::random())).await;
        }
    }
}

fn weight(name: &str) -> usize {
    MIX.iter().find(|(known, _)| *known == name).map_or(0, |(_, weight)| *weight)
}

struct Decider {
    clients: Vec<Client>,
    /// Which of them is asked.
    at: usize,
    voter: String,
    watcher: Arc<Watcher>,
    ledger: Arc<Ledger>,
    voted: HashSet<String>,
}

impl Decider {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Acquire) {
            let Some(approval) = self.next() else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            self.voted.insert(approval.id.clone());
            // Some of them late enough to meet the expiry.
            if approval.workflow == BRIEF {
                tokio::time::sleep(BRIEF_EXPIRY.mul_f64(1.5 * rand::random::<f64>())).await;
            }
            self.vote(&approval).await;
        }
    }

    fn next(&self) -> Option<Approval> {
        let seen = self.watcher.seen();
        let mine = |approval: &&Approval| {
            [SINGLE, DOUBLE, BRIEF].contains(&approval.workflow.as_str()) && !self.voted.contains(&approval.id)
        };
        let open: Vec<_> = seen.view.iter().filter(mine).collect();
        open.choose(&mut rand::rng()).map(|approval| (*approval).clone())
    }

    /// Sends one vote until it is known whether it counts.
    async fn vote(&mut self, approval: &Approval) {
        let decision = if rand::random::<f64>() < 0.8 { Decision::Approve } else { Decision::Reject };
        let decide = Decide::new(&approval.id, decision).wait_for_delivery(rand::random::<f64>() < 0.2);
        let comment = decide.request_id().to_owned();
        let decide = decide.comment(&comment);
        let sent = Sent { id: approval.id.clone(), voter: self.voter.clone(), decision, comment };
        loop {
            match self.clients[self.at % self.clients.len()].decide(decide.clone()).await {
                Ok(decided) => {
                    let (revision, status) = (decided.revision, decided.approval.status());
                    return self.ledger.entries().acknowledged.push(Acknowledged { sent, revision, status });
                }
                Err(error) if error.is_retryable() => {
                    self.ledger.entries().resent += 1;
                    // Another server may know better.
                    self.at += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return self.ledger.entries().refused.push((sent, error.to_string())),
            }
        }
    }
}

async fn stop_executions(
    step_functions: aws_sdk_sfn::Client,
    watcher: Arc<Watcher>,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
) {
    let mut told = HashSet::new();
    while !stop.load(Ordering::Acquire) {
        let arns: Vec<_> = {
            let seen = watcher.seen();
            let mine = seen.view.iter().filter(|approval| approval.workflow == STOPPED);
            mine.map(|approval| approval.source.as_ref().unwrap().execution_arn.clone()).collect()
        };
        for arn in arns {
            if told.insert(arn.clone()) {
                step_functions.stop_execution().execution_arn(&arn).send().await.unwrap();
                ledger.entries().stopped.insert(arn);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
