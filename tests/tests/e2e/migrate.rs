//! From a data folder into a database: everything is there, and whoever was in the midst of something goes on.

use std::{fs, sync::Arc, time::Duration};

use approve_client::{Decide, List, Watch, proto::ExecutionStatus};
use approve_server::store::{
    Store,
    sqlite::{Options, SqliteStore},
};
use approve_tests::{
    LocalAws, Server,
    approvals::{Watching, ask, delivered, ended, start},
    binaries, history,
    postgres::Database,
    process::{Process, command},
    record::{checked, exported},
    workflows::{ASK, apply, ask_input, spec},
};
use futures::TryStreamExt as _;
use tempfile::TempDir;
use tokio::time::sleep;

const STOP: Duration = Duration::from_secs(30);

async fn listed(client: &approve_client::Client) -> Vec<approve_client::Approval> {
    client.list_all(List::new()).try_collect().await.unwrap()
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn whoever_was_in_the_midst_of_something_goes_on() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let mut folder = Server::serve(aws.url()).await;
    let ana = folder.client("ana").await;
    apply(&ana, spec("moved", ASK)).await;
    let watching = Watching::synced(&ana, Watch::new()).await;
    let resume = watching.resume_token().to_owned();
    drop(watching);
    let (_, decided) = ask(&ana, "moved", &ask_input("Pay", "user:req")).await;
    let decide = Decide::approve(&decided.id).with_request_id("once").wait_for_delivery(true);
    let answer = ana.decide(decide.clone()).await.unwrap();
    delivered(&ana, &decided.id).await;
    let (waiting, pending) = ask(&ana, "moved", &ask_input("Pay \u{1} later", "user:req")).await;

    let from = folder.data_dir().to_str().unwrap().to_owned();
    let migrate = ["migrate", "--from", &from, "--to", database.url()];
    let in_use = folder.run(&migrate).await;
    assert_eq!(in_use.code, 5, "{in_use:?}");
    assert!(in_use.stderr.contains("another process is using"), "{in_use:?}");

    let before = listed(&ana).await;
    let record = fs::read_to_string(exported(&ana, folder.folder()).await).unwrap();
    assert_eq!(folder.stop(STOP).await, Some(0));
    let migrated = folder.run(&migrate).await;
    assert_eq!(migrated.code, 0, "{migrated:?}");
    assert!(migrated.stdout.contains("the same: each row"), "{migrated:?}");
    let served = folder.run(&["serve", "--config", folder.folder().join("approve.toml").to_str().unwrap()]).await;
    assert_eq!(served.code, 5, "{served:?}");
    assert!(served.stderr.contains("was moved to postgres://"), "{served:?}");

    let server = database.server(aws.url()).await;
    let ana = server.client("ana").await;
    assert_eq!(listed(&ana).await, before);
    assert_eq!(ana.get(&pending.id).await.unwrap(), pending);
    assert_eq!(ana.get_workflow("moved").await.unwrap().name, "moved");
    // The record goes on where it was.
    let file = exported(&ana, server.folder()).await;
    let after = fs::read_to_string(&file).unwrap();
    let events = |text: &str| text.lines().filter(|line| line.contains("\"record\"")).map(str::to_owned).collect();
    let (old, new): (Vec<String>, Vec<String>) = (events(&record), events(&after));
    assert_eq!(new.get(..old.len()), Some(old.as_slice()));
    assert!(checked(&file, &[]).unwrap().events > old.len() as u64);
    // The same request gets the same answer.
    let again = ana.decide(decide).await.unwrap();
    assert_eq!((again.approval.id, again.revision), (answer.approval.id, answer.revision));
    // A watch goes on, too: it is told what it would have been told.
    let mut watching = Watching::synced(&ana, Watch::new().resume_token(resume)).await;
    assert!(watching.events.iter().any(|event| format!("{event:?}").contains(&decided.id)));
    assert_eq!(watching.view.iter().map(|approval| approval.id.as_str()).collect::<Vec<_>>(), [&pending.id]);
    // What was pending is decided here, and what is asked from now on, too.
    ana.decide(Decide::approve(&pending.id)).await.unwrap();
    watching.removed(&pending.id).await;
    assert_eq!(ended(&ana, &waiting).await.status(), ExecutionStatus::Succeeded);
    let arn = start(&ana, "moved", &ask_input("Pay at last", "user:req")).await;
    let asked = watching.upserted("what is asked here", |approval| approval.title == "Pay at last").await;
    ana.decide(Decide::approve(&asked.id)).await.unwrap();
    assert_eq!(ended(&ana, &arn).await.status(), ExecutionStatus::Succeeded);

    // It is no empty database any more.
    let again = folder.run(&migrate).await;
    assert_eq!(again.code, 5, "{again:?}");
    assert!(again.stderr.contains("a server uses it"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_killed_migration_goes_on() {
    const COUNT: usize = 6_000;
    let database = Database::create().await;
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&data, Options::default()).unwrap());
    let head = history::write(&store, COUNT, 10, jiff::Timestamp::now()).await;
    store.close().await.unwrap();
    drop(store);
    assert_eq!(head.len(), COUNT);

    let migrate = || {
        let mut command = command(binaries::server(), folder.path());
        command.arg("migrate").arg("--from").arg(&data).args(["--to", database.url()]);
        Process::spawn("migrate", command, folder.path())
    };
    let serve = || {
        let mut command = command(binaries::server(), folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).env("APPROVE_SERVER__STORE", database.url());
        command.env("AWS_REGION", "us-east-1").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        Process::spawn("serve", command, folder.path())
    };
    let mut resumed = 0;
    for copied in ["copied approvals", "copied requests", "copied events"] {
        let mut process = migrate();
        let seen = process.stderr().matches(copied).count();
        while process.stderr().matches(copied).count() == seen {
            assert!(process.ended().is_none(), "it was to be killed: {}", process.stderr());
            sleep(Duration::from_millis(2)).await;
        }
        process.kill();
        resumed += 1;
        let mut refused = serve();
        assert_eq!(refused.exit(STOP).await.code(), Some(5));
        assert!(refused.stderr().contains("is not finished"), "{}", refused.stderr());
    }
    let mut process = migrate();
    assert_eq!(process.exit(STOP * 4).await.code(), Some(0), "{}{}", process.stdout(), process.stderr());
    assert_eq!(process.stderr().matches("goes on where it was interrupted").count(), resumed);
    assert!(process.stdout().contains(&format!("approvals{:>21}{COUNT:>14}  same", COUNT)), "{}", process.stdout());
    // Again: everything is compared, and nothing written.
    let mut process = migrate();
    assert_eq!(process.exit(STOP * 4).await.code(), Some(0), "{}", process.stderr());

    // What is changed behind its back is found.
    for (change, back, told) in [
        (
            "UPDATE approvals SET delivery_due = 1 WHERE number = 7",
            "UPDATE approvals SET delivery_due = NULL WHERE number = 7",
            "DIFFERENT",
        ),
        (
            "UPDATE events SET record = record || ' ' WHERE revision = 5",
            "UPDATE events SET record = rtrim(record) WHERE revision = 5",
            "events 1 to 4: BROKEN",
        ),
    ] {
        let (client, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(change).await.unwrap();
        let mut command = command(binaries::server(), folder.path());
        command.args(["migrate", "--verify", "--from"]).arg(&data).args(["--to", database.url()]);
        let mut process = Process::spawn("verify", command, folder.path());
        assert_eq!(process.exit(STOP * 4).await.code(), Some(5), "{}", process.stderr());
        assert!(process.stdout().contains(told), "{}", process.stdout());
        client.batch_execute(back).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_is_not_there_or_not_empty_is_refused() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let mut used = database.server(aws.url()).await;
    assert_eq!(used.stop(STOP).await, Some(0));
    let mut folder = Server::serve(aws.url()).await;
    assert_eq!(folder.stop(STOP).await, Some(0));
    let from = folder.data_dir().to_str().unwrap().to_owned();
    for (args, code, told) in [
        (vec!["migrate", "--from", &from, "--to", database.url()], 5, "it is not empty"),
        (vec!["migrate", "--from", "/nowhere", "--to", database.url()], 5, "there is no approve.db"),
        (vec!["migrate", "--from", &from], 2, "--to"),
        (vec!["migrate", "--from", &from, "--to", "mysql://db/approve"], 3, "expected postgres://"),
    ] {
        let refused = folder.run(&args).await;
        assert_eq!(refused.code, code, "{refused:?}");
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
    // The folder was not touched.
    folder.start().await;
}
