//! How the caller shows who they are, and the tokens of others.

use crate::common::{Pki, Running};

#[test]
fn a_token_comes_from_the_environment_or_a_file_and_never_shows() {
    let server = Running::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "planted-in-file\n").unwrap();
    let ran = server.command(&["whoami"]).env("APPROVE_TOKEN", "planted").output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(server.fake.sent("authorization").as_deref(), Some("Bearer planted"));
    assert_eq!(server.fake.sent("approve-actor"), None);
    let args = ["whoami", "--token-file", file.to_str().unwrap(), "--on-behalf-of", "ana", "--group", "finance"];
    let ran = server.run(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let sent = |key| server.fake.sent(key).unwrap_or_default();
    assert_eq!(sent("authorization"), "Bearer planted-in-file");
    assert_eq!((sent("approve-on-behalf-of"), sent("approve-groups")), ("user:ana".into(), "finance".into()));
    assert_eq!(
        ran.stdout,
        "user:ana\n  groups    group:finance\n  through   service:bot\n  known by  api_token\n  \
         may       view, act-on-behalf in pay-* with env=prod\n"
    );

    // Not in the clear beyond this computer, nor where it is not a word; and an error does not show it.
    let far = server.command(&["whoami", "--server", "http://10.0.0.1:1"]).env("APPROVE_TOKEN", "planted").output();
    let odd = server.command(&["whoami"]).env("APPROVE_TOKEN", "planted twice").output();
    for (ran, said) in [(far.unwrap(), "use https://"), (odd.unwrap(), "not one word")] {
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(6), "{stderr}");
        assert!(stderr.contains(said) && !stderr.contains("planted"), "{stderr}");
    }
    let ran = server.run(&["whoami", "--token-file", "/nonexistent"]);
    assert!(ran.code == Some(4) && ran.stderr.contains("can't read the token file /nonexistent: No such"), "{ran:?}");
}

#[test]
fn whoever_is_known_does_not_claim_to_be_another() {
    let server = Running::start();
    let ran = server.command(&["whoami", "--as", "bob"]).env("APPROVE_TOKEN", "t").output().unwrap();
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.code() == Some(2) && stderr.contains("--on-behalf-of"), "{stderr}");
    // The environment says who one is elsewhere; explain asks about whom the flag names.
    let ran = server.command(&["explain", "one", "--as", "bob"]).env("APPROVE_TOKEN", "t").output().unwrap();
    assert!(ran.status.success());
    assert_eq!(server.fake.acts(), ["explain apr_one for user:bob in []"]);
    assert_eq!(server.fake.sent("approve-actor"), None);
    assert!(server.command(&["whoami"]).env("APPROVE_TOKEN", "t").output().unwrap().status.success());
}

#[test]
fn a_certificate_shows_who_one_is_over_tls() {
    let pki = Pki::new();
    let server = Running::start_secure(&pki);
    let path = |name| pki.file(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("bot.pem"), path("bot.key"));
    let host = server.url.trim_start_matches("https://").to_owned();
    let ran = server.run(&["whoami", "--server", &host, "--ca", &ca, "--cert", &cert, "--key", &key]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(server.fake.acts(), ["caller with 1 certificates"]);
    assert_eq!(server.fake.sent("approve-actor"), None);
    let ran = server
        .command(&["whoami"])
        .envs([("APPROVE_CA", &ca), ("APPROVE_CERT", &cert), ("APPROVE_KEY", &key)])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");

    for (args, code, said) in [
        (vec!["--ca", &ca], 7, "error: "),
        (vec!["--cert", &cert, "--key", &key], 7, "invalid peer certificate"),
        (vec!["--ca", &ca, "--cert", &cert], 2, "go together"),
        (vec!["--ca", &key], 6, "no certificate in PEM"),
        (vec!["--ca", &ca, "--cert", &cert, "--key", &cert], 6, "private key"),
        (vec!["--ca", "/nonexistent"], 6, "can't read /nonexistent"),
        (vec!["--ca", &ca, "--cert", &cert, "--key", &key, "--server-name", "other.test"], 7, "not valid for name"),
    ] {
        let ran = server.run(&[&["whoami"], args.as_slice()].concat());
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_new_tokens_secret_is_alone_on_stdout() {
    let server = Running::start();
    let args = ["token", "create", "bot", "-p", "view,act-on-behalf", "--permission", "decide", "--workflow", "pay-*"];
    let ran = server.run(&[&args[..], &["--label", "env=prod", "--lifetime", "30d"]].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "apt_planted\n"), "{ran:?}");
    assert!(ran.stderr.starts_with("service:bot may view, act-on-behalf in pay-* with env=prod, until "), "{ran:?}");
    assert_eq!(
        server.fake.acts(),
        ["create bot [Grant { permissions: [View, ActOnBehalf, Decide], workflows: [\"pay-*\"], \
          labels: {\"env\": \"prod\"} }] Some(2592000)"]
    );
    let ran = server.run(&["token", "create", "bot", "-p", "view", "-o", "json"]);
    let created: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((created["secret"].as_str(), created["token"]["name"].as_str()), (Some("apt_planted"), Some("bot")));
    let ran = server.run(&["token", "create", "taken", "-p", "view"]);
    assert!(ran.code == Some(5) && ran.stderr.contains("choose another name"), "{ran:?}");
    let ran = server.run(&["token", "create", "bot"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("--permission"), "{ran:?}");
}

#[test]
fn tokens_are_listed_with_their_state_and_revoked() {
    let server = Running::start();
    let ran = server.run(&["token", "list"]);
    let states: Vec<Vec<_>> =
        ran.stdout.lines().skip(1).map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(states, [["bot", "valid"], ["old", "revoked"], ["older", "expired"]], "{}", ran.stdout);
    let ran = server.run(&["token", "revoke", "bot"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("revoked"), "{ran:?}");
    assert_eq!(server.fake.acts(), ["revoke bot"]);
}
