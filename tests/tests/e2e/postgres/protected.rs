//! A database that is reached by TLS, with a password.

use std::{fs, path::Path};

use approve_client::{Decide, proto::ExecutionStatus};
use approve_tests::{
    LocalAws,
    approvals::{ask, ended},
    binaries,
    certificates::Authority,
    postgres::{Postgres, SHORT_LEASE, serve},
    process::{Process, command},
    server::write_config,
    workflows::{ASK, apply, ask_input, spec},
};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse";

/// What a server is told of the database.
fn settings(folder: &Path, root: &Authority, password: &str) -> String {
    let (root_file, password_file) = (folder.join("root.pem"), folder.join("password"));
    fs::write(&root_file, root.pem()).unwrap();
    fs::write(&password_file, format!("{password}\n")).unwrap();
    format!("{SHORT_LEASE}password_file = {password_file:?}\nroot_certificate = {root_file:?}\n")
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn it_is_served_and_moved_to_by_tls_with_a_password_from_a_file() {
    let authority = Authority::new();
    let mut postgres = Postgres::start().await;
    let address = postgres.protect(&authority.server_named(&["db.test"]), PASSWORD).await;
    let (database, second) = (postgres.database().await, postgres.database().await);
    let url = |host: &str, name: &str| format!("postgres://approve@{host}/{name}?hostaddr={address}");
    let (aws, folder) = (LocalAws::start().await, TempDir::new().unwrap());
    let settings_of = |root: &Authority, password: &str| settings(folder.path(), root, password);

    let server = serve(&url("db.test", database.name()), aws.url(), &settings_of(&authority, PASSWORD)).await;
    let client = server.client("ana").await;
    apply(&client, spec("pay", ASK)).await;
    let (arn, approval) = ask(&client, "pay", &ask_input("Pay", "user:req")).await;
    client.decide(Decide::approve(&approval.id)).await.unwrap();
    assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
    let connected =
        "SELECT count(*), count(*) FILTER (WHERE s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
        WHERE a.application_name = 'approve-server' AND a.datname = current_database()";
    let row = database.client().await.query_one(connected, &[]).await.unwrap();
    let (all, encrypted): (i64, i64) = (row.get(0), row.get(1));
    assert!(all > 1 && all == encrypted, "{encrypted} of {all} are encrypted");

    // A folder is moved to it by the same settings.
    let config = write_config(folder.path(), &settings_of(&authority, PASSWORD));
    let mut dev = command(binaries::server(), folder.path());
    dev.args(["token", "create", "--name", "one", "--permission", "view", "--config"]).arg(&config);
    dev.env("AWS_REGION", "us-east-1");
    let mut made = Process::spawn("token", dev, folder.path());
    assert_eq!(made.exit(approve_tests::DEADLINE).await.code(), Some(0), "{}", made.stderr());
    let mut migrate = command(binaries::server(), folder.path());
    migrate.arg("migrate").arg("--from").arg(folder.path().join("data"));
    migrate.args(["--to", &url("db.test", second.name()), "--config"]).arg(&config);
    let mut moved = Process::spawn("migrate", migrate, folder.path());
    assert_eq!(moved.exit(approve_tests::DEADLINE).await.code(), Some(0), "{}{}", moved.stdout(), moved.stderr());
    assert!(moved.stdout().contains("the same: each row"), "{}", moved.stdout());

    // Nobody waits for what does not mend by itself.
    for (host, root, password, told) in [
        ("db.test", &authority, "wrong", "password authentication failed"),
        ("db.test", &Authority::new(), PASSWORD, "certificate"),
        ("other.test", &authority, PASSWORD, "certificate"),
    ] {
        let place = TempDir::new().unwrap();
        let aws = format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{}\"\n\n", aws.url());
        let config = write_config(place.path(), &(aws + &settings(place.path(), root, password)));
        let mut serve = command(binaries::server(), place.path());
        serve.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config);
        serve.env("APPROVE_SERVER__STORE", url(host, database.name()));
        let mut refused = Process::spawn("refused", serve, place.path());
        assert_eq!(refused.exit(approve_tests::DEADLINE).await.code(), Some(5), "{host}: {}", refused.stderr());
        assert!(refused.stderr().contains(told), "{host}: {}", refused.stderr());
        assert!(!refused.stderr().contains(PASSWORD), "{}", refused.stderr());
    }
}
