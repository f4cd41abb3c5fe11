//! `approve-server check`, against an AWS that works, and against one that does not.

use std::fs;

use approve_tests::{
    LocalAws, Server,
    cli::Output,
    http,
    server::write_config,
    wait_for,
    workflows::{ASK, apply, spec},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Of an activity, by default.
const POLLS: u64 = 100;

/// What a check of a server's settings says, beside it.
async fn check(server: &Server) -> Output {
    let config = server.folder().join("approve.toml");
    server.run(&["check", "--config", config.to_str().unwrap()]).await
}

async fn served() -> (LocalAws, Server) {
    let aws = LocalAws::start().await;
    let folder = TempDir::new().unwrap();
    let config = format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{}\"\n", aws.url());
    write_config(folder.path(), &config);
    let profile = folder.path().join(".aws");
    fs::create_dir(&profile).unwrap();
    fs::write(profile.join("credentials"), "[default]\naws_access_key_id = test\naws_secret_access_key = test\n")
        .unwrap();
    (aws, Server::serve_folder(folder, &[]).await)
}

async fn faults(aws: &LocalAws, rules: Value) {
    http::json("POST", aws.url(), "/_sfn-local/faults", &json!({"rules": rules})).await.unwrap();
}

async fn open_polls(aws: &LocalAws) -> u64 {
    let health = http::json("GET", aws.url(), "/_sfn-local/health", &Value::Null).await.unwrap();
    health["open_polls"].as_u64().unwrap()
}

fn line<'a>(output: &'a Output, what: &str) -> &'a str {
    let begins = |line: &&str| line.get(6..).is_some_and(|rest| rest.starts_with(what));
    output
        .stdout
        .lines()
        .find(begins)
        .unwrap_or_else(|| panic!("no line of {what}\n{}{}", output.stdout, output.stderr))
}

#[tokio::test]
async fn everything_works_and_nothing_is_changed() {
    let (aws, server) = served().await;
    let client = server.client("ana").await;
    apply(&client, spec("payments", ASK)).await;
    wait_for("its polls", async || (open_polls(&aws).await == POLLS).then_some(())).await;
    let output = check(&server).await;
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    for what in ["config", "data_dir", "store, schema", "store, in use", "aws credentials", "states:GetActivityTask"] {
        assert!(line(&output, what).starts_with("ok "), "{}", output.stdout);
    }
    for what in ["states:SendTaskSuccess", "iam:GetRole", "clock, AWS's", "quota, SendTaskHeartbeat"] {
        assert!(line(&output, what).starts_with("ok "), "{}", output.stdout);
    }
    assert!(line(&output, "quota, GetActivityTask").contains("1 × 100 open polls"), "{}", output.stdout);
    assert_eq!(open_polls(&aws).await, POLLS, "a poll was left");
    assert!(
        !fs::read_dir(server.data_dir())
            .unwrap()
            .any(|file| { file.unwrap().file_name().to_string_lossy().contains("check") })
    );
}

#[tokio::test]
async fn a_missing_permission_is_named_and_throttling_is_only_a_warning() {
    let (aws, server) = served().await;
    faults(
        &aws,
        json!([
            {"operation": "SendTaskSuccess", "kind": "deny"},
            {"operation": "GetRole", "kind": "deny"},
            {"operation": "ListActivities", "kind": "throttle"},
            {"operation": "DescribeExecution", "kind": "error", "status": 500},
        ]),
    )
    .await;
    let output = check(&server).await;
    assert_eq!(output.code, 8, "{}{}", output.stdout, output.stderr);
    for what in ["states:SendTaskSuccess", "iam:GetRole", "states:DescribeExecution"] {
        assert!(line(&output, what).starts_with("FAIL"), "{}", output.stdout);
    }
    assert!(output.stdout.contains("approve-server iam-policy"), "{}", output.stdout);
    assert!(line(&output, "states:ListActivities").starts_with("warn"), "{}", output.stdout);
    assert!(line(&output, "states:SendTaskFailure").starts_with("ok"), "{}", output.stdout);
    assert!(output.stderr.contains("3 of what was checked"), "{}", output.stderr);

    faults(&aws, json!([{"operation": "GetCallerIdentity", "kind": "deny"}])).await;
    let output = check(&server).await;
    assert!(line(&output, "aws credentials").starts_with("FAIL"), "{}", output.stdout);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let (aws, server) = served().await;
    for (millis, expected) in [(30_000, "warn"), (3_600_000, "FAIL")] {
        http::json("POST", aws.url(), "/_sfn-local/clock", &json!({"advance_millis": millis})).await.unwrap();
        let output = check(&server).await;
        let line = line(&output, "clock, AWS's");
        assert!(line.starts_with(expected) && line.contains("behind"), "{}", output.stdout);
    }
}

#[tokio::test]
async fn a_store_that_can_not_be_used_is_told() {
    let (_aws, mut server) = served().await;
    server.kill();
    fs::write(server.data_dir().join("approve.moved"), "postgres://db/approve").unwrap();
    let output = check(&server).await;
    assert_eq!(output.code, 8);
    let line = line(&output, "store");
    assert!(line.starts_with("FAIL") && line.contains("it was moved to"), "{}", output.stdout);
}

mod postgres {
    use approve_tests::postgres::Database;

    use super::*;

    #[tokio::test]
    #[ignore = "needs PostgreSQL"]
    async fn a_database_is_looked_at_and_left_as_it_is() {
        let (aws, database) = (LocalAws::start().await, Database::create().await);
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("approve.toml");
        let server = Server::empty().await;
        let settings =
            |url: &str| format!("store = {url:?}\n[aws]\nregion = \"us-east-1\"\nendpoint = \"{}\"\n", aws.url());
        fs::write(&config, settings(database.url())).unwrap();
        let args = ["check", "--config", config.to_str().unwrap()];
        let check = || server.run(&args);

        let before = check().await;
        assert!(line(&before, "store ").starts_with("ok") && line(&before, "store ").contains("PostgreSQL"));
        assert!(line(&before, "store, schema").contains("version 0"), "{}", before.stdout);
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        let count: i64 = database.client().await.query_one(tables, &[]).await.unwrap().get(0);
        assert_eq!(count, 0, "the check made tables");

        let serving = database.server(aws.url()).await;
        apply(&serving.client("ana").await, spec("payments", ASK)).await;
        let after = check().await;
        assert!(line(&after, "store, schema").starts_with("ok"), "{}", after.stdout);
        assert!(line(&after, "clock, the database's").starts_with("ok"), "{}", after.stdout);
        assert!(line(&after, "quota, GetActivityTask").contains("1 × 100"), "{}", after.stdout);

        fs::write(&config, settings("postgres://approve@127.0.0.1:1/approve")).unwrap();
        let away = check().await;
        assert!(away.code == 8 && line(&away, "store ").starts_with("FAIL"), "{}", away.stdout);
    }
}
