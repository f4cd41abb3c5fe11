//! Rounds of faults on three servers that share a database, under a load of starts, decisions and streams. In the end the
//! ledger balances, and each stream was told everything once, in order.
//!
//! A few rounds run with the other tests; `APPROVE_FAULT_ROUNDS=30` makes it as many, `APPROVE_FAULT_SEED` repeats the
//! faults of a run, and `APPROVE_FAULT_LEASE` sets the lease's seconds.

use std::{
    env,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use approve_client::{Decide, proto::ApprovalFilter};
use approve_tests::{
    aws,
    crowd::{Crowd, Size},
    fleet::{Fleet, Probe},
    ledger::{all_approvals, check, view_differs},
    load::{DOUBLE, KEPT, Load, SINGLE, provision},
    postgres::Stop,
    record::explains_all,
    wait_for,
    watcher::Watcher,
    way::Passing,
    workflows::{apply, ask_retrying, spec},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use tokio::time::sleep;

use super::super::settled;

const SERVERS: usize = 3;
/// How many rounds, where APPROVE_FAULT_ROUNDS does not say.
const ROUNDS: usize = 5;
/// The longest pause of somebody who starts executions.
const PAUSE: Duration = Duration::from_millis(500);
/// The lease, where APPROVE_FAULT_LEASE does not say.
const LEASE_SECONDS: u32 = 3;
/// How much longer than the lease a take-over may take: a look a second, a try at the delivery, a slow machine.
const TAKE_OVER_SLACK: Duration = Duration::from_secs(7);
/// How much longer than the lease HeartbeatSeconds is.
const HEARTBEAT_SLACK: u32 = 7;
const SETTLE: Duration = Duration::from_secs(180);
const PATIENCE: Duration = Duration::from_secs(10);
/// A workflow that only the take-overs use.
const PROBE: &str = "probe";

/// What goes wrong, with a server or with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// kill -9; it comes back.
    Kill,
    /// SIGSTOP for longer than the lease.
    Pause,
    /// Its connections to the database end, and no new one is made.
    DatabaseCut,
    /// The database does not hear it, nor it the database.
    DatabaseSilent,
    StepFunctionsCut,
    StepFunctionsSilent,
    Database(Stop),
}

const FAULTS: [Fault; 8] = [
    Fault::Kill,
    Fault::Pause,
    Fault::DatabaseCut,
    Fault::DatabaseSilent,
    Fault::StepFunctionsCut,
    Fault::StepFunctionsSilent,
    Fault::Database(Stop::Fast),
    Fault::Database(Stop::Immediate),
];

fn setting<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Faults by a seed: each comes up once before one comes up again.
struct Deck {
    random: StdRng,
    left: Vec<Fault>,
}

impl Deck {
    fn next(&mut self) -> Fault {
        if self.left.is_empty() {
            self.left = FAULTS.to_vec();
            self.left.shuffle(&mut self.random);
        }
        self.left.pop().unwrap()
    }

    /// One fault of a round, or two at once, each at a server of its own.
    fn round(&mut self) -> Vec<(Fault, usize)> {
        let at = self.random.random_range(0..SERVERS);
        let mut faults = vec![(self.next(), at)];
        if self.random.random_range(0..3) == 0 {
            let other = match (faults[0].0, self.next()) {
                // It can't be stopped twice.
                (Fault::Database(_), Fault::Database(_)) => Fault::Kill,
                (_, other) => other,
            };
            faults.push((other, (at + 1) % SERVERS));
        }
        faults
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn whatever_fails_of_several_servers_nothing_is_lost_told_twice_or_left_out() {
    let rounds = setting("APPROVE_FAULT_ROUNDS", ROUNDS);
    let seed = setting("APPROVE_FAULT_SEED", rand::random_range(0..1_000_000_u64));
    let lease = setting("APPROVE_FAULT_LEASE", LEASE_SECONDS);
    println!("{rounds} rounds, APPROVE_FAULT_SEED={seed}, a lease of {lease} s");
    let mut deck = Deck { random: StdRng::seed_from_u64(seed), left: Vec::new() };

    let config = format!("[postgres]\nlease_seconds = {lease}\n\n[worker]\nmin_polls = 4\nmax_polls = 16\n");
    let mut fleet = Fleet::start(SERVERS, &config).await;
    let clients = fleet.clients("ana", PATIENCE).await;
    let ana = clients[0].clone();
    let machines = provision(&ana, lease + HEARTBEAT_SLACK).await;
    let probes = apply(&ana, spec(PROBE, &ask_retrying(lease + HEARTBEAT_SLACK))).await.state_machine_arn;
    let watcher = Arc::new(Watcher::over(&clients).await);
    let size = Size { streams: 24, stalled_of: 8, stalled_for: Duration::from_secs(20), reconnecting_of: 6 };
    let crowd = Crowd::over(&fleet.urls(), size, filter).await;
    let endpoint = fleet.aws.url().to_owned();
    let mut load = Load::start(&fleet.servers(), &endpoint, &machines, &watcher, usize::MAX, PAUSE).await;
    let mut taken_over = Vec::new();

    for round in 0..rounds {
        let faults = deck.round();
        let hold = Duration::from_millis(deck.random.random_range(1_000..2_000 * u64::from(lease)));
        let began = Instant::now();
        sleep(Duration::from_millis(deck.random.random_range(200..1_200))).await;
        let probe = match faults[..] {
            [(Fault::Kill, at)] => {
                let probe = Probe::place(&fleet, at, &probes).await;
                let mut entries = load.ledger().entries();
                entries.started.push(probe.execution_arn.clone());
                entries.acknowledged.push(probe.vote.clone());
                Some(probe)
            }
            _ => None,
        };
        for (fault, at) in &faults {
            strike(&mut fleet, *fault, *at).await;
        }
        let took = match probe {
            // It is taken over while it is away.
            Some(probe) => Some(probe.answered(Instant::now()).await),
            None => {
                let paused = faults.iter().any(|(fault, _)| *fault == Fault::Pause);
                let least = if paused { lease + 2 } else { 0 };
                sleep(hold.max(Duration::from_secs(least.into()))).await;
                None
            }
        };
        // A server that does not find its database at start ends.
        let database = |(fault, _): &&(Fault, usize)| matches!(fault, Fault::Database(_));
        for (fault, at) in faults.iter().filter(database).chain(faults.iter().filter(|fault| !database(fault))) {
            heal(&mut fleet, *fault, *at).await;
        }
        fleet.all_serve().await;
        let time = began.elapsed().as_secs_f64();
        match took {
            Some(took) => {
                println!("round {round}: {faults:?}, {time:.1} s, taken over after {:.2} s", took.as_secs_f64());
                let most = Duration::from_secs(lease.into()) + TAKE_OVER_SLACK;
                assert!(took < most, "taken over after {took:?}");
                taken_over.push(took);
            }
            None => println!("round {round}: {faults:?}, {time:.1} s"),
        }
    }

    load.stop_starts().await;
    settled(&ana, |workflow| workflow == KEPT, SETTLE).await;
    load.stop_votes().await;
    let approvals = all_approvals(&ana).await;
    wait_for("the watch to show what the store holds", async || {
        view_differs(&approvals, &watcher.seen()).is_none().then_some(())
    })
    .await;
    let streams = crowd.finish().await;
    let kept: Vec<_> = watcher.seen().view.iter().map(|approval| approval.id.clone()).collect();
    for id in &kept {
        ana.decide(Decide::approve(id)).await.unwrap();
    }
    settled(&ana, |_| false, SETTLE).await;
    wait_for("the watch to be empty", async || watcher.seen().view.is_empty().then_some(())).await;

    let record = explains_all(&ana, fleet.places[0].server.folder()).await;
    let seen = watcher.seen().clone();
    let balance = check(load.ledger(), &seen, &ana, &aws::step_functions(&endpoint)).await;
    let entries = load.ledger().entries();
    println!(
        "{rounds} rounds: {balance}; {} votes acknowledged, {} refused, {} sent again; {} kept over all of it; {} \
         events, whose chain holds and which explain every approval",
        entries.acknowledged.len(),
        entries.refused.len(),
        entries.resent,
        kept.len(),
        record.events
    );
    println!(
        "the watch was cut {} times and told {} revisions; {} streams were told {} changes and opened again {} times",
        seen.disconnects,
        seen.revisions.len(),
        size.streams,
        streams.told,
        streams.reconnected
    );
    taken_over.sort_unstable();
    if let Some(last) = taken_over.last() {
        let median = taken_over[taken_over.len() / 2];
        println!("{} take-overs after kill -9: p50 {median:.2?}, max {last:.2?}", taken_over.len());
    }
    assert!(balance.decided > 0 && balance.expired > 0 && balance.canceled > 0, "{balance}");
    assert_eq!(balance.pending, 0);
}

/// Some streams tell everything, some one workflow, some what has a number in its title.
fn filter(number: usize) -> ApprovalFilter {
    let filter = ApprovalFilter::default();
    match number % 4 {
        0 => filter,
        1 => ApprovalFilter { workflow: SINGLE.to_owned(), ..filter },
        2 => ApprovalFilter { workflow: DOUBLE.to_owned(), ..filter },
        _ => ApprovalFilter { text: format!("INVOICE {}", number % 10), ..filter },
    }
}

async fn strike(fleet: &mut Fleet, fault: Fault, at: usize) {
    let place = &mut fleet.places[at];
    match fault {
        Fault::Kill => place.server.kill(),
        Fault::Pause => place.server.process().pause(),
        Fault::DatabaseCut => place.database.set(Passing::Cut),
        Fault::DatabaseSilent => place.database.set(Passing::Silent),
        Fault::StepFunctionsCut => place.aws.set(Passing::Cut),
        Fault::StepFunctionsSilent => place.aws.set(Passing::Silent),
        Fault::Database(how) => fleet.postgres.stop(how).await,
    }
}

async fn heal(fleet: &mut Fleet, fault: Fault, at: usize) {
    let place = &mut fleet.places[at];
    match fault {
        Fault::Kill => {
            place.aws.set(Passing::Open);
            place.server.start().await;
        }
        Fault::Pause => place.server.process().resume(),
        Fault::DatabaseCut | Fault::DatabaseSilent => place.database.set(Passing::Open),
        Fault::StepFunctionsCut | Fault::StepFunctionsSilent => place.aws.set(Passing::Open),
        Fault::Database(_) => fleet.postgres.start_again().await,
    }
}
