//! What is logged: what happened, never what about.

use std::fs;

use approve_client::Decide;
use approve_tests::{
    DEADLINE, LocalAws, Server,
    approvals::{ask, ended},
    workflows::{ASK, apply, ask_input, spec},
};
use serde_json::Value;

const CONFIG: &str = r#"
[log]
format = "json"
level = "approve_server=trace,info"

[shutdown]
poll_seconds = 1
"#;

#[tokio::test]
async fn no_payload_comment_or_token_is_logged_and_each_line_is_json() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve_config(CONFIG, aws.url()).await;
    let client = server.client("ana").await;
    apply(&client, spec("payments", ASK)).await;
    let (arn, approval) = ask(&client, "payments", &ask_input("the-secret-title", "user:req")).await;
    assert!(approval.input_json.contains("the-secret-title"));
    let decide = Decide::approve(&approval.id).comment("the-secret-comment").response_json(r#""the-secret-response""#);
    client.decide(decide).await.unwrap();
    let execution = ended(&client, &arn).await;
    assert!(execution.output_json.contains("the-secret-comment"));
    drop(client);

    let log = {
        server.process().terminate();
        assert_eq!(server.process().exit(DEADLINE).await.code(), Some(0));
        server.process().stdout() + &server.process().stderr()
    };

    assert!(!log.contains("the-secret"), "{log}");
    for token in stored_tokens(&server) {
        assert!(!log.contains(&token), "a task token is in the log");
    }
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line.get("level").is_some() && line.get("timestamp").is_some(), "{line}");
    }
    assert!(log.contains(&approval.id), "an approval's way can't be followed\n{log}");
}

/// Whatever in the data folder could be a task token: long runs of the characters that tokens are made of. One of them
/// is, and the others are harmless to look for.
fn stored_tokens(server: &Server) -> Vec<String> {
    const TOKEN: usize = 64;
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    let mut found = Vec::new();
    for entry in fs::read_dir(server.data_dir()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let runs = bytes.split(|byte| !is_token(byte)).filter(|run| run.len() >= TOKEN);
        found.extend(runs.map(|run| String::from_utf8_lossy(run).into_owned()));
    }
    assert!(!found.is_empty(), "no token was found in the store: the test does not know what to look for");
    found
}
