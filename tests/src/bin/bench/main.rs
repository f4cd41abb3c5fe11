//! Benchmarks, run by hand: `cargo run --release -p approve-tests --bin bench -- all`.
//!
//! Each figure stands next to its own floor of the same run, with processes, connections and calls in flight alike, so
//! that it means something on another machine. Rounds of the one and the other alternate, and medians are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod auth;
mod bare;
mod client;
mod crowd;
mod decide;
mod fanout;
mod fill;
mod floor;
mod intake;
mod lists;
mod memory;
mod plot;
mod raw;
mod report;
mod resume;
mod scale;
mod servers;
mod setup;
mod snapshot;
mod telemetry;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use report::Report;

/// Measures the server, each figure next to its floor
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// Where curves are plotted to, as SVG. Default: approve-bench.svg in the temporary folder
    #[arg(long, global = true)]
    plot: Option<PathBuf>,
    /// Rounds, each followed by one of the floor
    #[arg(long, global = true, default_value_t = 5)]
    rounds: usize,
    /// Keep the stores that are filled in this folder, and take those that are there
    #[arg(long, global = true)]
    stores: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a unary call that does nothing, and streams of given bytes
    #[command(hide = true)]
    Floor,
    /// Everything up to `curves`, with the sizes that are the defaults
    All,
    /// Decides, durable before the answer
    Decide {
        /// Calls in flight
        #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
        concurrency: Vec<usize>,
    },
    /// Decides, until the execution has succeeded
    Resume,
    /// Counts the calls of AWS for each approval
    Calls,
    /// Starts executions, until a watcher sees their approvals
    Seen,
    /// Takes tasks from a full queue
    Intake {
        /// In a round
        #[arg(long, default_value_t = 2_000)]
        tasks: usize,
    },
    /// Tells one change to many streams
    Fanout {
        /// Open streams
        #[arg(long, value_delimiter = ',', default_value = "1,100,1000,5000")]
        streams: Vec<usize>,
    },
    /// Tells many streams with many filters, some stalled, some resuming, and checks each of them
    Crowd {
        #[arg(long, default_value_t = 1_000)]
        streams: usize,
        #[arg(long, default_value_t = 1_000_000)]
        changes: usize,
    },
    /// Tells all that is pending to a new stream
    Snapshot {
        #[arg(long, default_value_t = 100_000)]
        pending: usize,
    },
    /// Lists first pages
    Lists {
        /// Approvals stored
        #[arg(long, value_delimiter = ',', default_value = "1000,100000,1000000")]
        sizes: Vec<usize>,
    },
    /// Takes many tasks in: memory
    Memory {
        /// Pending approvals
        #[arg(long, value_delimiter = ',', default_value = "10000,100000")]
        sizes: Vec<usize>,
    },
    /// Starts with many approvals stored
    Start {
        #[arg(long, default_value_t = 1_000_000)]
        stored: usize,
        #[arg(long, default_value_t = 100_000)]
        pending: usize,
    },
    /// Compares the client crate with the generated client
    Client,
    /// Measures how things grow
    Curves {
        /// Pending approvals
        #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
        sizes: Vec<usize>,
    },
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
    /// Several servers on one PostgreSQL, next to one with SQLite and to the bare database
    Servers {
        /// Calls in flight
        #[arg(long, default_value_t = 64)]
        concurrency: usize,
        /// Servers killed, until another one has delivered what they had to
        #[arg(long, default_value_t = 30)]
        kills: usize,
        #[arg(long, default_value_t = 10)]
        lease_seconds: u32,
    },
    /// Decides with traces, next to without
    Telemetry {
        /// In a round
        #[arg(long, default_value_t = 1_000)]
        decisions: usize,
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
    if matches!(args.command, Command::Floor) {
        return floor::serve().await;
    }
    let mut report = Report::new();
    run(&args.command, &args, &mut report).await;
    report.print(args.json);
    report.plot(&args.plot.unwrap_or_else(|| std::env::temp_dir().join("approve-bench.svg")));
}

async fn run(command: &Command, args: &Args, report: &mut Report) {
    let (rounds, stores) = (args.rounds, args.stores.as_deref());
    match command {
        Command::Floor => {}
        Command::All => {
            // The words that name a command bring its defaults.
            for name in
                ["decide", "resume", "calls", "seen", "intake", "fanout", "snapshot", "lists", "memory", "start"]
                    .into_iter()
                    .chain(["client", "curves"])
            {
                let one = Args::parse_from(["bench", name]);
                Box::pin(run(&one.command, args, report)).await;
            }
        }
        Command::Decide { concurrency } => decide::measure(concurrency, rounds, report).await,
        Command::Resume => resume::measure(rounds, report).await,
        Command::Calls => resume::calls(report).await,
        Command::Seen => intake::seen(rounds, report).await,
        Command::Intake { tasks } => intake::intake(*tasks, rounds, report).await,
        Command::Fanout { streams } => fanout::measure(streams, rounds, report).await,
        Command::Crowd { streams, changes } => crowd::measure(*streams, *changes, report).await,
        Command::Snapshot { pending } => snapshot::measure(*pending, rounds, stores, report).await,
        Command::Lists { sizes } => lists::measure(sizes, stores, report).await,
        Command::Memory { sizes } => memory::pending(sizes, report).await,
        Command::Start { stored, pending } => memory::start(*stored, *pending, stores, report).await,
        Command::Client => client::measure(rounds, report).await,
        Command::Curves { sizes } => memory::curves(sizes, stores, report).await,
        Command::Auth { calls } => auth::measure(*calls, report).await,
        Command::Heartbeats { pending, heartbeat_seconds, seconds } => {
            scale::heartbeats(*pending, *heartbeat_seconds, Duration::from_secs(*seconds), report).await;
        }
        Command::Restart { pending, heartbeat_seconds } => {
            scale::restart(*pending, *heartbeat_seconds, report).await;
        }
        Command::Servers { concurrency, kills, lease_seconds } => {
            servers::measure(*concurrency, rounds, report).await;
            servers::take_over(*kills, *lease_seconds, report).await;
        }
        Command::Telemetry { decisions } => telemetry::measure(*decisions, rounds, report).await,
        Command::Idle { pending, heartbeat_seconds, seconds } => {
            scale::idle(*pending, *heartbeat_seconds, Duration::from_secs(*seconds), report).await;
        }
    }
}
