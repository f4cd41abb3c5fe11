//! Benchmarks, run by hand: `cargo run --release -p approve-tests --bin bench`.
//!
//! Each figure stands next to its own floor of the same run, so that it means something on another machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod auth;
mod floor;
mod latency;
mod pending;
mod report;
mod scale;
mod setup;
mod throughput;

use std::time::Duration;

use clap::{Parser, Subcommand};

use report::Report;
use setup::Setup;

/// Measures the server: decisions per second, how long until a workflow hears of one, and many pending at once.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Calls in flight.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Connections that they share.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Rounds of decisions, each followed by one of empty calls.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Decisions in a round.
    #[arg(long, default_value_t = 2_000)]
    decisions: usize,
    /// Decisions whose way to the end of the execution is timed, one after the other.
    #[arg(long, default_value_t = 200)]
    deliveries: usize,
    /// Approvals that are pending at once in the last part.
    #[arg(long, default_value_t = 10_000)]
    pending: usize,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a unary call that does nothing.
    #[command(hide = true)]
    Floor,
    /// Knows who calls: processor time per call, by what they show
    Auth {
        #[arg(long, default_value_t = 20_000)]
        calls: usize,
    },
    /// Keeps many tasks alive: heartbeats per second, and deadlines that were missed
    Heartbeats {
        #[arg(long, default_value_t = 30_000)]
        pending: usize,
        #[arg(long, default_value_t = 120)]
        heartbeat_seconds: u32,
        /// How long it is watched once a first round of heartbeats is over
        #[arg(long, default_value_t = 80)]
        seconds: u64,
    },
    /// Kills and starts it with many pending: until it serves, and until its first heartbeat
    Restart {
        #[arg(long, default_value_t = 100_000)]
        pending: usize,
        #[arg(long, default_value_t = 400)]
        heartbeat_seconds: u32,
    },
    /// Leaves it alone with many pending: the processor time that it takes
    Idle {
        #[arg(long, default_value_t = 10_000)]
        pending: usize,
        #[arg(long, default_value_t = 3_600)]
        heartbeat_seconds: u32,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let mut report = Report::new();
    match args.command {
        None => everyday(&args, &mut report).await,
        Some(Command::Floor) => return floor::serve().await,
        Some(Command::Auth { calls }) => auth::measure(calls, &mut report).await,
        Some(Command::Heartbeats { pending, heartbeat_seconds, seconds }) => {
            scale::heartbeats(pending, heartbeat_seconds, Duration::from_secs(seconds), &mut report).await;
        }
        Some(Command::Restart { pending, heartbeat_seconds }) => {
            scale::restart(pending, heartbeat_seconds, &mut report).await;
        }
        Some(Command::Idle { pending, heartbeat_seconds, seconds }) => {
            scale::idle(pending, heartbeat_seconds, Duration::from_secs(seconds), &mut report).await;
        }
    }
    report.print(args.json);
}

async fn everyday(args: &Args, report: &mut Report) {
    {
        let mut setup = Setup::start().await;
        latency::measure(&mut setup, args.deliveries, report).await;
        throughput::measure(&mut setup, args, report).await;
    }
    let mut setup = Setup::start().await;
    pending::measure(&mut setup, args.pending, report).await;
}
