//! The simulation: the real worker, domain and store against the embedded engine, in virtual time. People, workflows,
//! crashes, outages and lost answers come from a seed; the same seed gives the same log.

mod aws;
mod check;
mod clock;
mod definitions;
mod leases;
mod life;
mod people;
mod port;
mod server;
mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use approve_server::{approval::Approval, provision::Spec, store::WorkflowRecord};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sfn_local::engine::{CreateStateMachine, ExecutionStatus, StartExecution};

pub use self::port::Faults;
use self::{
    aws::Aws,
    clock::Time,
    definitions::Kind,
    people::{Ledger, People},
    port::Network,
    server::{Machine, Power},
};

/// How rough a simulation is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Servers that share a store.
    pub servers: usize,
    /// Executions that are started.
    pub executions: usize,
    /// Virtual seconds of disorder; after them everything heals, and what is pending is decided.
    pub seconds: u64,
    /// What goes wrong with calls.
    pub faults: Faults,
    /// Servers that are killed.
    pub kills: bool,
    /// Killed servers that stay down for a while, stores and networks that go away, executions that are stopped.
    pub outages: bool,
}

impl Default for Options {
    fn default() -> Self {
        let faults = Faults { throttled: 0.03, lost_before: 0.03, lost_after: 0.05, slow: 0.1 };
        Self { servers: 1, executions: 20, seconds: 1_800, faults, kills: true, outages: true }
    }
}

impl Options {
    /// Several servers, each of which may also be paused and cut off.
    #[must_use]
    pub fn several() -> Self {
        Self { servers: 3, ..Self::default() }
    }

    /// Nothing goes wrong.
    #[must_use]
    pub fn calm() -> Self {
        Self { faults: Faults::NONE, kills: false, outages: false, ..Self::default() }
    }

    /// Servers are killed, and are back at once: every decision reaches the task that it was made for.
    #[must_use]
    pub fn restarts() -> Self {
        Self { kills: true, ..Self::calm() }
    }
}

/// What came of a simulation.
#[derive(Debug)]
pub struct Report {
    /// What happened, a line each.
    pub log: Vec<String>,
    /// What is wrong; empty if all is well.
    pub violations: Vec<String>,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
}

/// An execution that was started.
#[derive(Debug, Clone)]
struct Started {
    arn: String,
    kind: Kind,
    stopped: bool,
}

/// Runs one simulation, on a runtime of its own.
///
/// # Panics
/// If the simulation itself can't be set up.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(simulate(seed, options))
}

async fn simulate(seed: u64, options: Options) -> Report {
    let time = Time::begin();
    let mut random = StdRng::seed_from_u64(seed);
    let aws = Arc::new(Aws::new(random.random(), time));
    let network = Arc::new(Network::new(Arc::clone(&aws), time, random.random(), options.faults));
    let machine = Machine::new(Arc::clone(&network), time, random.random());
    let workflows = provision(&aws, &machine, time).await;
    let power = Arc::new(Power::new(options.servers));
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let aws_runs = tokio::spawn({
        let aws = Arc::clone(&aws);
        async move { aws.run().await }
    });
    for at in 0..options.servers {
        machine.boot(&power, at).await;
    }
    let mut people: Vec<_> = (0..4)
        .map(|number| {
            let people =
                People::new(number, random.random(), Arc::clone(&power), Arc::clone(&network), Arc::clone(&ledger));
            tokio::spawn(people.work())
        })
        .collect();
    let late = People::new(4, random.random(), Arc::clone(&power), Arc::clone(&network), Arc::clone(&ledger));
    people.push(tokio::spawn(late.work_late()));
    let mut started = Vec::new();
    let mut counts = disorder(&mut random, options, &machine, &power, &aws, &workflows, &mut started).await;
    heal(&machine, &power).await;
    for person in people {
        person.abort();
    }
    let settled = settle(&machine, &power, &aws, &started).await;
    aws_runs.abort();
    counts.extend(network.injected());
    let mut violations = check::check(&aws, &network, &machine, &power, &started, &ledger, options).await;
    if !settled {
        violations.insert(0, "not settled within a day".to_owned());
    }
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    counts.insert("decisions acknowledged", u64::try_from(ledger.acknowledged.len()).unwrap_or(0));
    counts.insert("executions", u64::try_from(started.len()).unwrap_or(0));
    power.all_off();
    Report { log: network.log(), violations, counts }
}

/// Makes the workflows, behind the server's back: provisioning is tested elsewhere.
async fn provision(aws: &Aws, machine: &Machine, time: Time) -> BTreeMap<Kind, String> {
    let mut machines = BTreeMap::new();
    for kind in Kind::ALL {
        let made = aws.call(|engine, now| {
            let activity = engine.create_activity("us-east-1", kind.name(), BTreeMap::new(), now)?;
            let definition = kind.definition(&activity.arn).to_string();
            let made = engine.create_state_machine(
                "us-east-1",
                CreateStateMachine {
                    name: kind.name().to_owned(),
                    definition: definition.clone(),
                    role_arn: "arn:aws:iam::000000000000:role/simulated".to_owned(),
                    ..CreateStateMachine::default()
                },
                now,
            )?;
            Ok::<_, sfn_local::engine::ApiError>((activity.arn, made.current.arn.to_string(), definition))
        });
        let (activity_arn, state_machine_arn, definition) = made.expect("the workflow is made");
        let mut spec = Spec::named(kind.name());
        spec.rule = kind.own_rule();
        let record = WorkflowRecord {
            name: kind.name().to_owned(),
            spec,
            activity_arn,
            role_arn: "arn:aws:iam::000000000000:role/simulated".to_owned(),
            state_machine_arn: state_machine_arn.clone(),
            definition,
            created: time.now(),
            updated: time.now(),
        };
        machine.keep(record).await;
        machines.insert(kind, state_machine_arn);
    }
    machines
}

/// Starts executions, and lets things go wrong.
async fn disorder(
    random: &mut StdRng,
    options: Options,
    machine: &Machine,
    power: &Power,
    aws: &Aws,
    workflows: &BTreeMap<Kind, String>,
    started: &mut Vec<Started>,
) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    let mut count = |name| *counts.entry(name).or_default() += 1;
    let end = tokio::time::Instant::now() + Duration::from_secs(options.seconds);
    while tokio::time::Instant::now() < end || started.len() < options.executions {
        tokio::time::sleep(Duration::from_millis(random.random_range(1..30_000))).await;
        let at = if power.places() > 1 { random.random_range(0..power.places()) } else { 0 };
        let server = power.at(at);
        match random.random_range(0..10) {
            0 if options.kills => {
                count("killed");
                machine.kill(power, at, random).await;
                let down = if options.outages { random.random_range(0..150) } else { random.random_range(0..3) };
                tokio::time::sleep(Duration::from_secs(down)).await;
                machine.boot(power, at).await;
            }
            1 if options.outages => {
                count("store away");
                machine.network().note("store away");
                server.iter().for_each(|server| server.store.set_away(true));
                tokio::time::sleep(Duration::from_secs(random.random_range(1..100))).await;
                server.iter().for_each(|server| server.store.set_away(false));
                machine.network().note("store back");
            }
            4 if options.outages => {
                count("store stalled");
                server.iter().for_each(|server| server.store.set_stalled(true));
                tokio::time::sleep(Duration::from_secs(random.random_range(1..40))).await;
                server.iter().for_each(|server| server.store.set_stalled(false));
            }
            5 if options.outages && options.servers > 1 => {
                count("paused");
                machine.network().note(format!("paused {at}"));
                server.iter().for_each(|server| server.life.set_paused(true));
                tokio::time::sleep(Duration::from_secs(random.random_range(1..60))).await;
                server.iter().for_each(|server| server.life.set_paused(false));
                machine.network().note(format!("goes on {at}"));
            }
            6 if options.outages && options.servers > 1 => {
                count("cut off");
                server.iter().for_each(|server| server.life.set_cut(true));
                tokio::time::sleep(Duration::from_secs(random.random_range(1..60))).await;
                server.iter().for_each(|server| server.life.set_cut(false));
            }
            2 if options.outages => {
                count("network down");
                machine.network().note("network down");
                machine.network().set_down(true);
                tokio::time::sleep(Duration::from_secs(random.random_range(1..100))).await;
                machine.network().set_down(false);
                machine.network().note("network up");
            }
            3 if options.outages && !started.is_empty() => {
                let which = random.random_range(0..started.len());
                if random.random_bool(0.3) && stop(aws, &mut started[which]) {
                    count("stopped");
                    machine.network().note(format!("stopped {}", started[which].arn));
                }
            }
            _ if started.len() < options.executions => {
                let kind = Kind::ALL[random.random_range(0..Kind::ALL.len())];
                started.push(start(aws, &workflows[&kind], kind, started.len()));
            }
            _ => {}
        }
    }
    counts
}

fn start(aws: &Aws, state_machine_arn: &str, kind: Kind, number: usize) -> Started {
    let request = StartExecution {
        state_machine_arn: state_machine_arn.to_owned(),
        name: Some(format!("run-{number}")),
        input: Some(format!("{{\"number\": {number}, \"amount\": 1200.50, \"items\": [1, 2, 3]}}")),
    };
    let made = aws.call(|engine, now| engine.start_execution(request, now)).expect("it starts");
    Started { arn: made.arn.to_string(), kind, stopped: false }
}

fn stop(aws: &Aws, started: &mut Started) -> bool {
    let running = status(aws, started) == ExecutionStatus::Running;
    if running {
        aws.call(|engine, now| engine.stop_execution(&started.arn, None, None, now)).expect("it stops");
        started.stopped = true;
    }
    running
}

fn status(aws: &Aws, started: &Started) -> ExecutionStatus {
    aws.call(|engine, now| engine.describe_execution(&started.arn, now)).expect("it is known").status
}

async fn heal(machine: &Machine, power: &Power) {
    machine.network().set_down(false);
    machine.network().set_faults(Faults::NONE);
    machine.network().note("healed");
    for at in 0..power.places() {
        match power.at(at) {
            Some(server) => server.store.set_away(false),
            None => machine.boot(power, at).await,
        }
    }
}

/// Lets everything come to its end: nobody decides any more, so what is pending expires.
async fn settle(machine: &Machine, power: &Power, aws: &Aws, started: &[Started]) -> bool {
    for _ in 0..24 * 60 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        let ended = started.iter().all(|each| status(aws, each) != ExecutionStatus::Running);
        if ended && machine.all_approvals(power).await.iter().all(|approval| is_settled(approval)) {
            return true;
        }
    }
    false
}

fn is_settled(approval: &Approval) -> bool {
    use approve_server::approval::DeliveryState;
    approval.status.is_final() && approval.delivery.state != DeliveryState::Recorded
}
