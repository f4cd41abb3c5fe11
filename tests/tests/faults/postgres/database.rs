//! The database is away, frozen, slow, short of connections, or another one: calls are refused or wait, nothing that was
//! acknowledged is lost, and all goes on by itself.

use std::{net::TcpListener, time::Duration};

use approve_client::{Client, Config, Credentials, Decide, Error, proto::ExecutionStatus};
use approve_proto::v1::{DecideRequest, Decision, StreamPendingApprovalsRequest};
use approve_tests::{
    LocalAws, Server,
    approvals::{ask, ended},
    fleet::{Fleet, is},
    http,
    postgres::{Postgres, SHORT_LEASE, Stop, connect, serve, serve_with},
    server::request_as,
    wait_for,
    way::{Passing, Way},
    within,
    workflows::{ASK, apply, ask_input, spec},
};
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

const WORKFLOW: &str = "shared";
/// How long a caller waits who waits long.
const PATIENCE: Duration = Duration::from_secs(60);

async fn answers(metrics: &str, path: &str) -> bool {
    http::text("GET", metrics, path, &Value::Null).await.is_ok()
}

fn decide(id: &str, request_id: &str) -> DecideRequest {
    DecideRequest {
        approval_id: id.to_owned(),
        decision: Decision::Approve.into(),
        request_id: request_id.to_owned(),
        ..DecideRequest::default()
    }
}

/// What a caller is told who has so much time.
async fn told(server: &Server, request: DecideRequest, patience: Duration) -> Code {
    let mut request = request_as("ana", request);
    request.set_timeout(patience);
    let mut service = server.raw_approvals().await;
    match timeout(patience * 2, service.decide(request)).await.expect("a call outlasts its deadline") {
        Ok(_) => Code::Ok,
        Err(status) => {
            let retries = status.get_details_retry_info().is_some();
            assert!(retries || status.code() != Code::Unavailable, "{status:?}");
            status.code()
        }
    }
}

/// How the database is made to go away.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Cut,
    Silent,
    Frozen,
    Stopped(Stop),
}

async fn begin(postgres: &mut Postgres, way: &Way, trouble: Trouble) {
    match trouble {
        Trouble::Cut => way.set(Passing::Cut),
        Trouble::Silent => way.set(Passing::Silent),
        Trouble::Frozen => postgres.freeze().await,
        Trouble::Stopped(how) => postgres.stop(how).await,
    }
}

async fn end(postgres: &mut Postgres, way: &Way, trouble: Trouble) {
    match trouble {
        Trouble::Cut | Trouble::Silent => way.set(Passing::Open),
        Trouble::Frozen => postgres.thaw(),
        Trouble::Stopped(_) => postgres.start_again().await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_database_that_goes_away_stops_polls_and_streams_and_is_told() {
    let (aws, mut postgres) = tokio::join!(LocalAws::start(), Postgres::start());
    let (database, way) = tokio::join!(postgres.database(), postgres.way());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let listen = [("APPROVE_SERVER__METRICS_LISTEN", address.as_str())];
    let server = &serve_with(&database.url_by(&way), aws.url(), SHORT_LEASE, &listen).await;
    let metrics = format!("http://{address}");
    let client = server.client("ana").await;
    apply(&client, spec(WORKFLOW, ASK)).await;
    assert!(answers(&metrics, "/healthz").await && answers(&metrics, "/readyz").await);
    let troubles = [
        Trouble::Cut,
        Trouble::Silent,
        Trouble::Frozen,
        Trouble::Stopped(Stop::Fast),
        Trouble::Stopped(Stop::Immediate),
    ];
    for (number, trouble) in troubles.into_iter().enumerate() {
        println!("{trouble:?}");
        let (arn, approval) = ask(&client, WORKFLOW, &ask_input("Pay", "user:req")).await;
        let stream = StreamPendingApprovalsRequest {
            heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..StreamPendingApprovalsRequest::default()
        };
        let mut service = server.raw_approvals().await;
        let mut watching =
            service.stream_pending_approvals(request_as("ana", stream.clone())).await.unwrap().into_inner();

        begin(&mut postgres, &way, trouble).await;

        is(server, ServingStatus::NotServing).await;
        assert!(!answers(&metrics, "/readyz").await, "{trouble:?}: it says that it is ready");
        assert!(answers(&metrics, "/healthz").await, "{trouble:?}: it would be started anew, which mends nothing");
        // Whoever watches is not told that nothing happens.
        let ended_with = within("the end of the stream", async {
            loop {
                if let Err(status) = watching.message().await {
                    return status;
                }
            }
        })
        .await;
        assert_eq!(ended_with.code(), Code::Unavailable, "{trouble:?}: {ended_with:?}");
        assert!(ended_with.get_details_retry_info().is_some(), "{ended_with:?}");
        let refused = service.stream_pending_approvals(request_as("ana", stream)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{trouble:?}");
        let request = decide(&approval.id, &format!("request-{number}"));
        let code = told(server, request.clone(), Duration::from_secs(2)).await;
        assert!([Code::Unavailable, Code::DeadlineExceeded].contains(&code), "{trouble:?}: {code:?}");
        if matches!(trouble, Trouble::Cut | Trouble::Stopped(Stop::Fast)) {
            // Whoever has the time is told before it is over.
            assert_eq!(told(server, request.clone(), PATIENCE).await, Code::Unavailable, "{trouble:?}");
        }

        end(&mut postgres, &way, trouble).await;

        is(server, ServingStatus::Serving).await;
        assert!(answers(&metrics, "/readyz").await);
        assert_eq!(told(server, request, PATIENCE).await, Code::Ok);
        assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
        let approval = client.get(&approval.id).await.unwrap();
        assert_eq!(approval.votes.len(), 1, "{trouble:?}");
        // It takes tasks again.
        let (arn, approval) = ask(&client, WORKFLOW, &ask_input("Pay again", "user:req")).await;
        client.decide(Decide::approve(&approval.id)).await.unwrap();
        assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_slow_database_makes_calls_slow_and_nothing_else() {
    let fleet = Fleet::start(1, SHORT_LEASE).await;
    let server = &fleet.places[0].server;
    let client = server.client("ana").await;
    apply(&client, spec(WORKFLOW, ASK)).await;
    fleet.places[0].database.set(Passing::Slow(Duration::from_millis(150)));
    for _ in 0..3 {
        let (arn, approval) = ask(&client, WORKFLOW, &ask_input("Pay", "user:req")).await;
        let begun = Instant::now();
        client.decide(Decide::approve(&approval.id)).await.unwrap();
        assert!(begun.elapsed() > Duration::from_millis(600), "two round trips took {:?}", begun.elapsed());
        assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
        is(server, ServingStatus::Serving).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_database_without_free_connections_is_waited_for() {
    let (aws, postgres) = tokio::join!(LocalAws::start(), Postgres::start());
    let database = postgres.database().await;
    // Those of a superuser are not counted.
    let admin = connect(&postgres.url()).await;
    admin.batch_execute("CREATE ROLE app LOGIN").await.unwrap();
    database.client().await.batch_execute("GRANT ALL ON SCHEMA public TO app").await.unwrap();
    let url = database.url().replace("user=approve", "user=app");
    let server = serve(&url, aws.url(), SHORT_LEASE).await;
    let client = server.client("ana").await;
    apply(&client, spec(WORKFLOW, ASK)).await;
    let (arn, approval) = ask(&client, WORKFLOW, &ask_input("Pay", "user:req")).await;

    let shorten = "ALTER ROLE app CONNECTION LIMIT 0";
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    admin.batch_execute(shorten).await.unwrap();
    admin.batch_execute(end).await.unwrap();
    is(&server, ServingStatus::NotServing).await;
    assert_eq!(told(&server, decide(&approval.id, "one"), PATIENCE).await, Code::Unavailable);
    let refused = client.get(&approval.id).await.unwrap_err();
    assert!(refused.is_retryable() && matches!(refused, Error::Refused(_)), "{refused:?}");

    // Two are enough to write, and to hear of others; reads share what is left.
    admin.batch_execute("ALTER ROLE app CONNECTION LIMIT 3").await.unwrap();
    is(&server, ServingStatus::Serving).await;
    assert_eq!(told(&server, decide(&approval.id, "one"), PATIENCE).await, Code::Ok);
    assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
    let reads = stream::iter(0..32).map(|_| client.get(&approval.id)).buffer_unordered(32);
    reads.for_each(|read| async move { assert!(read.is_ok(), "{read:?}") }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_failover_to_a_standby_loses_nothing_that_was_acknowledged() {
    let (aws, mut primary) = tokio::join!(LocalAws::start(), Postgres::start());
    let standby = Postgres::standby_of(&primary).await;
    let admin = connect(&primary.url()).await;
    // A commit is answered once the standby has it.
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    drop(admin);
    let database = primary.database().await;
    let (one, other) = tokio::join!(primary.way(), standby.way());
    // The one that follows comes first: it is passed over as long as it can't be written to.
    let name = database.url_by(&one).rsplit('/').next().unwrap().to_owned();
    let url = format!("postgres://approve@{},{}/{name}", other.address(), one.address());
    let servers = tokio::join!(serve(&url, aws.url(), SHORT_LEASE), serve(&url, aws.url(), SHORT_LEASE));
    let servers = [servers.0, servers.1];
    let client = servers[0].client("ana").await;
    apply(&client, spec(WORKFLOW, ASK)).await;
    let mut asked = Vec::new();
    for _ in 0..24 {
        asked.push(ask(&client, WORKFLOW, &ask_input("Pay", "user:req")).await);
    }

    let clients: Vec<_> = servers.iter().map(patient).collect();
    let deciding = stream::iter(asked.iter().zip(clients.iter().cycle())).for_each_concurrent(2, |(asked, client)| {
        let decide = Decide::approve(&asked.1.id);
        async move {
            sleep(Duration::from_millis(100)).await;
            while let Err(error) = client.decide(decide.clone()).await {
                assert!(error.is_retryable(), "{error:?}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    });
    let failover = async {
        sleep(Duration::from_millis(500)).await;
        primary.stop(Stop::Immediate).await;
        sleep(Duration::from_secs(1)).await;
        standby.promote().await;
        // Nobody follows it.
        let admin = connect(&standby.url()).await;
        admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''").await.unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    };
    within("the failover", async { tokio::join!(deciding, failover) }).await;

    for (arn, approval) in &asked {
        assert_eq!(ended(&client, arn).await.status(), ExecutionStatus::Succeeded);
        assert_eq!(client.get(&approval.id).await.unwrap().votes.len(), 1);
    }
    for server in &servers {
        is(server, ServingStatus::Serving).await;
    }
    wait_for("the servers to be alone", async || {
        let servers = "SELECT count(*) FROM servers WHERE until > clock_timestamp()";
        let url = standby.url().replace("/postgres?", &format!("/{name}?"));
        let alive: i64 = connect(&url).await.query_one(servers, &[]).await.unwrap().get(0);
        (alive == 2).then_some(())
    })
    .await;
}

fn patient(server: &Server) -> Client {
    let credentials = Credentials::asserted("user:ana", Vec::<String>::new());
    Client::connect_lazy(Config::new(server.url()).credentials(credentials).request_timeout(PATIENCE)).unwrap()
}
