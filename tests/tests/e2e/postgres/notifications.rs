//! Messages of several servers on one database: each is sent by one of them, and by another once that one is gone.

use std::collections::BTreeMap;

use approve_client::{Client, Decide};
use approve_tests::{
    DEADLINE, LocalAws,
    approvals::start,
    postgres::{Database, SHORT_LEASE, serve},
    receiver::{Hook, Hooked},
    wait_for,
    workflows::{ASK, apply, ask_input, spec},
};
use futures::future::join_all;

use crate::notifications::webhook;

/// So many approvals.
const LOAD: usize = 24;

/// What came: of each thing that happened the ids under which it was told, and how often.
fn told(hook: &Hook) -> BTreeMap<(String, String), BTreeMap<String, usize>> {
    let mut told: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for hooked in hook.got() {
        let what = (hooked.about().to_owned(), hooked.kind().to_owned());
        let id = hooked.event["id"].as_str().unwrap().to_owned();
        assert_eq!(hooked.id(), format!("ops.{id}"));
        *told.entry(what).or_default().entry(id).or_default() += 1;
    }
    told
}

/// Asks over all servers at once, and waits until all of it was told; the approvals.
async fn asked(clients: &[Client], hook: &Hook) -> Vec<String> {
    let asking = (0..LOAD).map(|number| async move {
        start(&clients[number % clients.len()], "pay", &ask_input(&format!("Pay invoice {number}"), "user:req")).await
    });
    join_all(asking).await;
    all(hook, "requested").await
}

/// Waits until this was told of all approvals; which those are.
async fn all(hook: &Hook, kind: &str) -> Vec<String> {
    wait_for(&format!("{kind} of each approval"), async || {
        let told = told(hook).into_keys().filter(|(_, happened)| happened == kind);
        Some(told.map(|(about, _)| about).collect::<Vec<_>>()).filter(|approvals| approvals.len() == LOAD)
    })
    .await
}

/// Decides them, over all servers at once.
async fn decided(clients: &[Client], approvals: &[String]) {
    let deciding = approvals.iter().enumerate().map(|(number, id)| async move {
        clients[number % clients.len()].decide(Decide::approve(id)).await.unwrap();
    });
    join_all(deciding).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn of_several_servers_one_sends_each_message_and_one_that_stops_hands_over() {
    let (aws, database, hook) = (LocalAws::start().await, Database::create().await, Hook::start().await);
    // Longer than the test: nobody loses what it has by being slow.
    let config = format!("[postgres]\nlease_seconds = 60\n{}", webhook(&hook));
    let mut one = serve(database.url(), aws.url(), &config).await;
    let client = one.client("ana").await;
    apply(&client, spec("pay", ASK)).await;
    let mut other = serve(database.url(), aws.url(), &config).await;
    let there = other.client("ana").await;
    wait_for("the other server to know the workflow", async || there.get_workflow("pay").await.ok()).await;
    let approvals = asked(&[client.clone(), there.clone()], &hook).await;
    let (early, late) = approvals.split_at(LOAD / 2);
    decided(&[client, there.clone()], early).await;
    // The first one has the target: it was there first.
    assert_eq!(one.stop(DEADLINE).await, Some(0));
    decided(&[there], late).await;
    all(&hook, "decided").await;
    assert_eq!(other.stop(DEADLINE).await, Some(0));

    let told = told(&hook);
    assert_eq!(told.len(), 2 * LOAD, "{told:?}");
    let often: Vec<_> = told.iter().filter(|(_, ids)| ids.values().sum::<usize>() != 1).collect();
    assert!(often.is_empty(), "told more than once: {often:?}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_a_killed_server_was_to_tell_another_tells_under_the_same_ids() {
    let (aws, database, hook) = (LocalAws::start().await, Database::create().await, Hook::start().await);
    let config = format!("{SHORT_LEASE}{}", webhook(&hook));
    let mut one = serve(database.url(), aws.url(), &config).await;
    let client = one.client("ana").await;
    apply(&client, spec("pay", ASK)).await;
    let other = serve(database.url(), aws.url(), &config).await;
    let there = other.client("ana").await;
    wait_for("the other server to know the workflow", async || there.get_workflow("pay").await.ok()).await;
    let approvals = asked(&[client.clone(), there.clone()], &hook).await;
    // Some are under way, and not answered; the rest waits.
    hook.stall(Some("decided"));
    decided(&[client, there], &approvals).await;
    let under_way = |hooked: &Hooked| (hooked.kind() == "decided").then(|| hooked.id().to_owned());
    let stuck = wait_for("a message under way", async || hook.got().iter().find_map(under_way)).await;
    one.kill();
    hook.stall(None);
    all(&hook, "decided").await;

    let told = told(&hook);
    assert_eq!(told.len(), 2 * LOAD, "{told:?}");
    let other_ids: Vec<_> = told.iter().filter(|(_, ids)| ids.len() != 1).collect();
    assert!(other_ids.is_empty(), "told again under another id: {other_ids:?}");
    // It was not answered: for the servers it was not sent.
    wait_for("the message that was under way", async || {
        (hook.got().iter().filter(|hooked| hooked.id() == stuck).count() > 1).then_some(())
    })
    .await;
}
