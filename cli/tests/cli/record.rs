//! The record of events.

use std::fs;

use approve_proto::v1::AuditEvent;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::Running;

fn server() -> Running {
    let server = Running::start();
    let event = |revision, record: &str| AuditEvent {
        revision,
        record_json: record.replace("<reversed>", "\u{202e}"),
        hash: "ab".repeat(32),
        payloads: [("d1".to_owned(), "{\"amount\": 1200.50}".to_owned())].into(),
    };
    *server.fake.events.lock().unwrap() = vec![
        event(
            1,
            r#"{"revision":1,"at":"2026-03-01T12:00:00.000Z","approval":"apr_1","workflow":"pay","by":"service:bot","on_behalf_of":"user:ana","type":"voted","detail":{"comment":"\u001b[2J\nfake line <reversed>","amount":1200.50}}"#,
        ),
        event(2, r#"{"revision":2,"at":"2026-03-01T12:00:01.000Z","by":"user:x","type":"refused","later":[1]}"#),
        event(3, "not what was promised"),
    ];
    server
}

#[test]
fn the_log_is_a_line_for_each_event_with_nothing_hostile() {
    let server = server();
    let args = ["audit", "log", "--approval", "one", "--actor", "ana", "-w", "pay", "--type", "voted", "--since", "7d"];
    let ran = server.run(&args);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.stdout);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(words(lines[1]), "3");
    assert_eq!(words(lines[2]), "2 2026-03-01 12:00:01 UTC user:x refused");
    assert_eq!(
        words(lines[3]),
        "1 2026-03-01 12:00:00 UTC user:ana, through service:bot voted apr_1 pay \
         {\"comment\":\"\\u001b[2J\\nfake line \\u202e\",\"amount\":1200.50}"
    );
    assert!(!ran.stdout.contains(['\x1b', '\u{202e}']));
    assert_eq!(server.fake.acts(), ["events apr_one00000000000000000000000 user:ana pay [\"voted\"] 100 true"]);
}

#[test]
fn the_log_as_json_keeps_each_record_as_it_is() {
    let server = server();
    let ran = server.run(&["audit", "log", "-n", "2", "-o", "json"]);
    assert!(ran.code == Some(0) && ran.stderr.contains("more than 2"), "{ran:?}");
    let events: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((events.len(), events[0]["record"].as_str()), (2, Some("not what was promised")));
    assert_eq!(events[0]["payloads"]["d1"]["amount"].to_string(), "1200.50");
    assert_eq!(events[1]["record"]["type"], "refused");
    // Who asks is not whom it is about.
    assert_eq!(server.fake.acts(), ["events    [] 3 false"]);
}

#[test]
fn the_head_is_a_line_that_can_be_kept_as_an_anchor() {
    let ran = server().run(&["audit", "head"]);
    let hash = "ab".repeat(32);
    let line = format!(
        "{{\"revision\":7,\"hash\":\"{hash}\",\"create_time\":\"2026-03-01T12:00:00.000Z\",\"signature\":\"c2ln\",\
         \"key_id\":\"0123456789abcdef\"}}\n"
    );
    assert_eq!((ran.code, ran.stdout, ran.stderr.as_str()), (Some(0), line, ""));
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record as a server keeps it, with a payload beside each event.
fn chained() -> Running {
    let server = Running::start();
    let mut previous = "0".repeat(64);
    for revision in 1..=5 {
        let payload = format!("{{\"amount\": {revision}.50}}");
        let digest = sha256(&payload);
        let record_json =
            format!(r#"{{"revision":{revision},"type":"voted","detail":{{"response_sha256":"{digest}"}}}}"#);
        previous = sha256(&format!("{previous}\n{record_json}"));
        let payloads = [(digest, payload)].into();
        let event = AuditEvent { revision, record_json, hash: previous.clone(), payloads };
        server.fake.events.lock().unwrap().push(event);
    }
    server
}

#[test]
fn an_export_is_verified_without_a_server_and_what_was_touched_is_named() {
    let server = chained();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.jsonl");
    let path = file.to_str().unwrap().to_owned();
    let ran = server.run(&["audit", "export", "--out", &path]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(ran.stdout, format!("5 events, 1 to 5: {path}\n"));
    let ran = server.run(&["audit", "export", "--out", &path, "--from", "2", "--to", "4", "--omit-payloads"]);
    assert_eq!(ran.stdout, format!("3 events, 2 to 4: {path}\n"));
    assert_eq!(server.fake.acts(), ["export 0..0 false", "export 2..4 true"]);
    let ran = server.run(&["audit", "export", "--out", &path, "-o", "json"]);
    let exported: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((exported["events"].as_u64(), exported["last"].as_i64()), (Some(5), Some(5)));
    let hashes: Vec<String> = server.fake.events.lock().unwrap().iter().map(|event| event.hash.clone()).collect();
    server.stop();

    let offline = Running::start();
    let verify =
        |more: &[&str]| offline.run(&[&["audit", "verify", &path, "--server", "http://127.0.0.1:1"], more].concat());
    let ran = verify(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, format!("verified: 5 events, 1 to 5; 5 payloads as recorded\nhash {}\n", hashes[4]));
    assert!(ran.stderr.contains("without an --anchor"), "{ran:?}");

    let anchor = |name: &str, revision: usize, hash: &str| {
        let anchor = folder.path().join(name);
        let text = format!(r#"{{"revision":{revision},"hash":"{hash}","create_time":"2026-03-01T12:00:00.000Z"}}"#);
        fs::write(&anchor, text).unwrap();
        anchor.to_str().unwrap().to_owned()
    };
    let good = anchor("good", 3, &hashes[2]);
    let ran = verify(&["--anchor", &good, "-o", "json"]);
    assert!(ran.code == Some(0) && ran.stderr.contains("without a --public-key"), "{ran:?}");
    let verdict: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&verdict["verified"], verdict["report"]["anchors"].as_u64()), (&Value::Bool(true), Some(1)));
    for (name, revision, hash, said) in [
        ("forked", 4, &hashes[2], "event 4 is not the one that was anchored: the record was rewritten after event 3"),
        ("cut", 9, &hashes[2], "the record ends with event 5, but event 9 was anchored: it was cut short"),
    ] {
        let bad = anchor(name, revision, hash);
        let ran = verify(&["--anchor", &good, "--anchor", &bad]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(10), ""), "{ran:?}");
        assert_eq!(ran.stdout, format!("not verified: {said}\n"));
    }

    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replace("{\"revision\":3,", "{\"revision\":3, ")).unwrap();
    let ran = verify(&["-o", "json"]);
    let verdict: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, verdict["revision"].as_i64()), (Some(10), Some(3)), "{ran:?}");
    fs::write(&file, "{}").unwrap();
    assert_eq!(verify(&[]).code, Some(6));
}

#[test]
fn what_can_not_be_read_or_written_is_named() {
    let server = chained();
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd");
    fs::write(&odd, "{}").unwrap();
    let odd = odd.to_str().unwrap();
    for (args, code, said) in [
        (vec!["audit", "export", "--out", "/nonexistent/record"], 1, "can't write /nonexistent/record"),
        (vec!["audit", "export"], 2, "--out"),
        (vec!["audit", "verify", "/nonexistent"], 6, "can't read /nonexistent: No such file"),
        (vec!["audit", "verify", odd, "--anchor", odd], 6, "odd: anchor 1 can't be read: missing field"),
        (vec!["audit", "verify", odd, "--public-key", odd], 6, "odd: expected one PEM block"),
    ] {
        let ran = server.run(&args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}
