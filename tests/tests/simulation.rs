//! The simulation, some hundreds of seeds of it. More, and one again: `cargo run --release -p approve-tests --bin sim`.

use approve_tests::sim::{self, Options};

/// Runs seeds, and says how to run again those that fail.
fn hold(seeds: std::ops::Range<u64>, options: Options) {
    let mut failed = Vec::new();
    for seed in seeds {
        let report = sim::run(seed, options);
        assert!(report.counts.get("decisions acknowledged").is_some_and(|count| *count > 0), "nothing happened");
        if !report.violations.is_empty() {
            failed.push(format!("sim --from {seed} --seeds 1 --log\n  {}", report.violations.join("\n  ")));
        }
    }
    assert!(failed.is_empty(), "run again with:\n{}", failed.join("\n"));
}

#[test]
fn what_was_acknowledged_holds_and_nobody_is_asked_twice_first_half() {
    hold(0..150, Options::default());
}

#[test]
fn what_was_acknowledged_holds_and_nobody_is_asked_twice_second_half() {
    hold(150..300, Options::default());
}

#[test]
fn what_several_servers_acknowledge_holds_and_each_answers_only_under_its_lease() {
    hold(0..60, Options::several());
}

#[test]
fn on_a_calm_day_several_servers_keep_every_heartbeat() {
    hold(0..15, Options { servers: 3, ..Options::calm() });
}

#[test]
fn on_a_calm_day_no_heartbeat_is_late() {
    hold(0..30, Options::calm());
}

#[test]
fn a_server_that_is_back_at_once_needs_no_retry_to_deliver() {
    hold(0..60, Options::restarts());
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 1_000..1_010 {
        let (first, second) = (sim::run(seed, Options::default()), sim::run(seed, Options::default()));
        assert!(first.log.len() > 50);
        assert_eq!(first.log, second.log, "seed {seed}");
        let (first, second) = (sim::run(seed, Options::several()), sim::run(seed, Options::several()));
        assert_eq!(first.log, second.log, "seed {seed} of several servers");
    }
}
