//! Benchmarks, run by hand: `cargo run --release -p approve-tests --bin bench`.
//!
//! Each figure stands next to its own floor of the same run, so that it means something on another machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod floor;
mod latency;
mod pending;
mod report;
mod setup;
mod throughput;

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
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    if matches!(args.command, Some(Command::Floor)) {
        return floor::serve().await;
    }
    let mut report = Report::new();
    {
        let mut setup = Setup::start().await;
        latency::measure(&mut setup, args.deliveries, &mut report).await;
        throughput::measure(&mut setup, &args, &mut report).await;
    }
    let mut setup = Setup::start().await;
    pending::measure(&mut setup, args.pending, &mut report).await;
    report.print(args.json);
}
