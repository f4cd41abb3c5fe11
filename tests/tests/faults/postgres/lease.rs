//! A server that stood still for longer than its lease is a server without one: it sends nothing before it has one again.

use std::time::{Duration, Instant};

use approve_client::Decide;
use approve_client::proto::ExecutionStatus;
use approve_tests::{
    approvals::{ask, ended},
    fleet::{Fleet, Probe, is},
    postgres::SHORT_LEASE,
    wait_for,
    way::Passing,
    workflows::{apply, ask_input, ask_retrying, spec},
};
use tokio::time::sleep;
use tonic_health::pb::health_check_response::ServingStatus;

/// What answers or keeps open a task, as it is on the wire.
const SENT: &str = "AWSStepFunctions.SendTask";
/// Longer than the lease, by much.
const STANDSTILL: Duration = Duration::from_secs(8);
/// Within that, a server with work that is overdue, and a lease, would send it many times over.
const WATCHED: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_server_that_stood_still_sends_nothing_before_it_has_a_lease_again() {
    let mut fleet = Fleet::start(2, SHORT_LEASE).await;
    let client = fleet.places[1].server.client("ana").await;
    let definition = ask_retrying(30);
    let machine = apply(&client, spec("shared", &definition)).await.state_machine_arn;
    // A decision that only the first one knows to be delivered, and a task that it keeps open.
    let probe = Probe::place(&fleet, 0, &machine).await;
    let (waiting, undecided) = ask(&client, "shared", &ask_input("Pay later", "user:req")).await;
    fleet.places[0].server.client("ana").await.claim(&undecided.id, None).await.unwrap();

    fleet.places[0].server.process().pause();
    let since = Instant::now();
    let execution = probe.execution_arn.clone();
    let took = probe.answered(since).await;
    println!("taken over after {took:.1?}");
    sleep(STANDSTILL.saturating_sub(since.elapsed())).await;

    // It wakes up to work that was due, may reach Step Functions, and can't know how the lease stands.
    let place = &mut fleet.places[0];
    place.database.set(Passing::Cut);
    place.aws.set(Passing::Open);
    place.aws.count(SENT);
    place.server.process().resume();
    sleep(WATCHED).await;
    assert_eq!(place.aws.counted(), 0, "it sent something without a lease");

    // With one it works as before.
    place.database.set(Passing::Open);
    is(&place.server, ServingStatus::Serving).await;
    fleet.places[1].aws.set(Passing::Cut);
    let ana = fleet.places[0].server.client("ana").await;
    ana.decide(Decide::approve(&undecided.id)).await.unwrap();
    wait_for("the server to send again", async || (fleet.places[0].aws.counted() > 0).then_some(())).await;
    for arn in [waiting, execution] {
        assert_eq!(ended(&ana, &arn).await.status(), ExecutionStatus::Succeeded);
    }
}
