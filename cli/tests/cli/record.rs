//! The record of events.

use approve_proto::v1::AuditEvent;
use serde_json::Value;

use crate::common::Running;

fn server() -> Running {
    let server = Running::start();
    let event = |revision, record: &str| AuditEvent {
        revision,
        record_json: record.into(),
        hash: "ab".repeat(32),
        payloads: [("d1".to_owned(), "{\"amount\": 1200.50}".to_owned())].into(),
    };
    *server.fake.events.lock().unwrap() = vec![
        event(
            1,
            r#"{"revision":1,"at":"2026-03-01T12:00:00.000Z","approval":"apr_1","workflow":"pay","by":"service:bot","on_behalf_of":"user:ana","type":"voted","detail":{"comment":"\u001b[2J\nfake line","amount":1200.50}}"#,
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
         {\"comment\":\"\\u001b[2J\\nfake line\",\"amount\":1200.50}"
    );
    assert!(!ran.stdout.contains('\x1b'));
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
}

#[test]
fn the_head_is_a_line_that_can_be_kept_as_an_anchor() {
    let ran = server().run(&["audit", "head"]);
    let hash = "ab".repeat(32);
    let line = format!(
        "{{\"revision\":7,\"hash\":\"{hash}\",\"create_time\":\"2026-03-01T12:00:00Z\",\"signature\":\"c2ln\",\
         \"key_id\":\"0123456789abcdef\"}}\n"
    );
    assert_eq!((ran.code, ran.stdout, ran.stderr.as_str()), (Some(0), line, ""));
}
