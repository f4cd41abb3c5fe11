//! Runs simulations: `sim --seeds 1000`, and again the one that failed: `sim --from 4711 --seeds 1 --log`.

use std::{collections::BTreeMap, process::ExitCode, time::Instant};

use approve_tests::sim::{self, Options, Report};
use clap::Parser;

/// Simulate the worker under crashes, outages and lost answers, in virtual time
#[derive(Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Nothing goes wrong: then no heartbeat may be late
    #[arg(long)]
    calm: bool,
    /// Only kills, with the server back at once: then no decision may wait for a retry
    #[arg(long, conflicts_with = "calm")]
    restarts: bool,
    /// Several servers on one store
    #[arg(long, conflicts_with_all = ["calm", "restarts"])]
    several: bool,
    /// Print what happened
    #[arg(long)]
    log: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = match (arguments.calm, arguments.restarts) {
        (true, _) => Options::calm(),
        (false, true) => Options::restarts(),
        (false, false) if arguments.several => Options::several(),
        (false, false) => Options::default(),
    };
    let begun = Instant::now();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failed = 0;
    for seed in arguments.from..arguments.from.saturating_add(arguments.seeds) {
        let report = sim::run(seed, options);
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
        if arguments.log {
            report.log.iter().for_each(|line| println!("{line}"));
        }
        if !report.violations.is_empty() {
            failed += 1;
            tell(seed, &report);
        }
    }
    for (what, count) in &counts {
        println!("{count:>9}  {what}");
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} seeds, {failed} failed, {seconds:.1} s", arguments.seeds);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seed: u64, report: &Report) {
    println!("seed {seed} failed; again with: sim --from {seed} --seeds 1 --log");
    for violation in &report.violations {
        println!("  {violation}");
    }
}
