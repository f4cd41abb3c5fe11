//! Secrets never reach a log, whatever its level.

use std::fs;

use approve_client::{
    CreateToken, Decide,
    proto::{Grant, Permission},
};
use approve_tests::{
    DEADLINE, SecureServer,
    approvals::{ask, ended},
    workflows::{ASK, apply, ask_input, spec},
};

#[tokio::test]
async fn no_secret_and_no_payload_is_in_a_log_of_everything() {
    let log = "[log]\nformat = \"json\"\nlevel = \"trace\"\n";
    let mut server = SecureServer::start(log).await;
    let admin = server.admin().await;
    let jwt = server.issuer.token("ana", &["admins"]);
    let ana = server.client_with(&jwt).await;
    apply(&admin, spec("payments", ASK)).await;
    let (arn, approval) = ask(&admin, "payments", &ask_input("planted-title", "user:req")).await;
    assert!(approval.input_json.contains("planted-title"));
    let grant = Grant { permissions: vec![Permission::View.into()], ..Grant::default() };
    let token = admin.create_token(CreateToken::new("bot").grant(grant)).await.unwrap().secret.expose().to_owned();
    let bot = server.client_with(&token).await;
    bot.get(&approval.id).await.unwrap();
    let decide = Decide::approve(&approval.id).comment("planted-comment").response_json(r#""planted-response""#);
    ana.decide(decide).await.unwrap();
    assert!(ended(&admin, &arn).await.output_json.contains("planted-comment"));
    // Ones that are refused are secrets of somebody, too.
    server.bearer("apt_planted-and-refused").await.unwrap_err();
    server.bearer(&format!("{jwt}x")).await.unwrap_err();
    server.caller(None, &[("authorization", "Basic planted-password")]).await.unwrap_err();
    let key = fs::read_to_string(server.server.folder().join("server.key")).unwrap();
    let key = key.lines().nth(1).unwrap().to_owned();
    drop((admin, ana, bot));
    server.server.process().terminate();
    assert_eq!(server.server.process().exit(DEADLINE).await.code(), Some(0));
    let log = server.server.process().stdout() + &server.server.process().stderr();
    assert!(log.len() > 10_000 && log.contains("TRACE"), "the log does not hold everything: {} bytes", log.len());
    let signature = jwt.rsplit('.').next().unwrap();
    for (what, secret) in [
        ("a title", "planted-title"),
        ("a comment", "planted-comment"),
        ("a response", "planted-response"),
        ("an API token", token.as_str()),
        ("a refused token", "planted-and-refused"),
        ("a password", "planted-password"),
        ("a JWT", jwt.as_str()),
        ("a JWT's signature", signature),
        ("the private key", key.as_str()),
    ] {
        let found = log.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{what} is in the log: {found:?}");
    }
    for token in task_tokens(&server) {
        let found = log.lines().find(|line| line.contains(&token));
        assert!(found.is_none(), "a task token is in the log: {found:?}");
    }
}

/// Whatever in the data folder could be a task token: long runs of the characters that tokens are made of.
fn task_tokens(server: &SecureServer) -> Vec<String> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    let mut found = Vec::new();
    for entry in fs::read_dir(server.server.data_dir()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let runs = bytes.split(|byte| !is_token(byte)).filter(|run| run.len() >= 64);
        found.extend(runs.map(|run| String::from_utf8_lossy(run).into_owned()));
    }
    assert!(!found.is_empty(), "no token was found in the store");
    found
}
