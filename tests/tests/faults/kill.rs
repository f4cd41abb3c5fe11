//! kill -9 of the server, again and again, under a load of starts and decisions. Step Functions lives on in a process of
//! its own. In the end the ledger balances.

use std::{env, sync::Arc, time::Duration};

use approve_client::Decide;
use approve_tests::{
    LocalAws, Server, aws,
    ledger::{all_approvals, check, view_differs},
    load::{KEPT, Load, provision},
    record::explains_all,
    wait_for,
    watcher::Watcher,
};
use tokio::time::sleep;

use super::{CONFIG, settled};

/// How often the server is killed, where APPROVE_KILL_ROUNDS does not say.
const ROUNDS: usize = 5;
const EXECUTIONS_PER_ROUND: usize = 40;
const HEARTBEAT_SECONDS: u32 = 5;
/// Every so many rounds the server stays away for longer than the heartbeat.
const LONG_PAUSE_EVERY: usize = 5;
const SETTLE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nobody_asked_twice_however_often_the_server_is_killed() {
    let rounds = env::var("APPROVE_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let aws = LocalAws::start().await;
    let mut server = Server::serve_config(CONFIG, aws.url()).await;
    let ana = server.client("ana").await;
    let machines = provision(&ana, HEARTBEAT_SECONDS).await;
    let watcher = Arc::new(Watcher::start(&ana).await);
    let limit = rounds * EXECUTIONS_PER_ROUND;
    let mut load = Load::start(&[&server], aws.url(), &machines, &watcher, limit, Duration::from_millis(100)).await;
    let mut starts_cut_short = 0;

    for round in 0..rounds {
        sleep(Duration::from_millis(rand::random_range(100..1_500))).await;
        server.kill();
        if round % LONG_PAUSE_EVERY == 1 {
            sleep(Duration::from_secs(u64::from(HEARTBEAT_SECONDS) + 2)).await;
        }
        // Now and then it dies before it serves.
        if round % 3 == 2 {
            let soon = Duration::from_millis(rand::random_range(1..150));
            match tokio::time::timeout(soon, server.start()).await {
                Ok(()) => server.kill(),
                Err(_) => starts_cut_short += 1,
            }
        }
        server.start().await;
    }

    load.stop_starts().await;
    settled(&ana, |workflow| workflow == KEPT, SETTLE).await;
    load.stop_votes().await;
    let approvals = all_approvals(&ana).await;
    wait_for("the watch to show what the store holds", async || {
        view_differs(&approvals, &watcher.seen()).is_none().then_some(())
    })
    .await;
    let kept: Vec<_> = watcher.seen().view.iter().map(|approval| approval.id.clone()).collect();
    for id in &kept {
        ana.decide(Decide::approve(id)).await.unwrap();
    }
    settled(&ana, |_| false, SETTLE).await;
    wait_for("the watch to be empty", async || watcher.seen().view.is_empty().then_some(())).await;

    let record = explains_all(&ana, server.folder()).await;
    println!("{} events, whose chain holds and which explain every approval", record.events);
    let seen = watcher.seen().clone();
    let balance = check(load.ledger(), &seen, &ana, &aws::step_functions(aws.url())).await;
    let entries = load.ledger().entries();
    println!(
        "{rounds} kills, {starts_cut_short} more while starting: {balance}; {} votes acknowledged, {} refused, {} sent \
         again; {} kept over all of it; the watch was cut {} times and told {} revisions",
        entries.acknowledged.len(),
        entries.refused.len(),
        entries.resent,
        kept.len(),
        seen.disconnects,
        seen.revisions.len()
    );
    assert!(balance.decided > 0 && balance.expired > 0 && balance.canceled > 0, "{balance}");
    assert_eq!(balance.pending, 0);
}
