//! The record of events, as an auditor uses it, and as somebody would who has something to hide.

use std::{fs, path::Path};

use approve_client::{
    ApprovalStatus, Client, Code, Decide, Events, ExportEvents, Reason,
    audit::{Anchor, Options, PublicKey, VerifyError, export, verify},
    proto::ListEventsRequest,
};
use approve_proto::v1::audit_service_client::AuditServiceClient;
use approve_tests::{
    DEADLINE, LocalAws, Server,
    approvals::{ask, delivered, ended, start},
    binaries,
    process::{Process, command},
    record::{anchor, checked, database, explains_all, exported, records},
    server::request_as,
    workflows::{ASK, PASS_INPUT, apply, ask_input, spec},
};
use futures::TryStreamExt as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A comment that tries to be more than a comment.
const NASTY: &str =
    "ok\n{\"revision\":1,\"type\":\"approved\"}\r\n\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{2028}\u{202e}\"}";

/// A decided approval: refused to its requester, then approved by ana. Returns its id.
async fn decided(client: &Client, requester: &Client) -> String {
    apply(client, spec("payments", ASK)).await;
    let (arn, approval) = ask(client, "payments", &ask_input("Pay invoice", "user:rita")).await;
    let refused = requester.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_eq!(refused.reason(), Some(&Reason::SelfApproval));
    let decide = Decide::approve(&approval.id).comment(NASTY).response_json(r#"{"budget": 1.10}"#);
    let decided = client.decide(decide).await.unwrap();
    assert_eq!(decided.approval.status(), ApprovalStatus::Approved);
    ended(client, &arn).await;
    delivered(client, &approval.id).await;
    approval.id
}

async fn audited() -> (Server, Client, String) {
    let server = Server::empty().await;
    let (ana, rita) = (server.client("ana").await, server.client("rita").await);
    let id = decided(&ana, &rita).await;
    (server, ana, id)
}

#[tokio::test]
async fn the_record_says_who_did_what_and_explains_each_approval() {
    let (server, ana, id) = audited().await;

    let report = explains_all(&ana, server.folder()).await;

    let file = server.folder().join("record.jsonl");
    let all = records(&file);
    assert_eq!(report.events, all.len() as u64);
    let mut told: Vec<_> =
        all.iter().map(|record| [&record["type"], &record["by"]].map(|text| text.as_str().unwrap())).collect();
    // The task may come before Step Functions has answered whoever started it.
    told[2..4].sort_unstable();
    let expected = [
        ["server_started", "system:server"],
        ["workflow_applied", "user:ana"],
        ["execution_started", "user:ana"],
        ["requested", "system:intake"],
        ["refused", "user:rita"],
        ["voted", "user:ana"],
        ["approved", "user:ana"],
        ["delivered", "system:delivery"],
    ];
    assert_eq!(told, expected);
    let refused = &all[4];
    assert_eq!((&refused["approval"], &refused["workflow"]), (&id.clone().into(), &"payments".into()));
    assert_eq!((&refused["detail"]["reason"], &refused["via"]), (&"SELF_APPROVAL".into(), &"asserted".into()));
    assert!(refused["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{refused}");
    let voted = &all[5]["detail"]["vote"];
    assert_eq!(voted["comment"], NASTY);
    // The comment breaks no line, and reaches no terminal.
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), all.len() + 2);
    let harmful = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{2028}' | '\u{202e}');
    assert!(!text.contains(harmful), "{text}");
    // Payloads are in it, and can be left out.
    assert!(text.contains("Pay invoice") && text.contains(r#"{\"budget\": 1.10}"#), "{text}");
    assert!(report.payloads >= 3, "{report:?}");
    let bare = server.folder().join("bare.jsonl");
    export(&ana, ExportEvents::new().omit_payloads(true), &bare).await.unwrap();
    let report = checked(&bare, &[]).unwrap();
    assert_eq!((report.events, report.payloads), (all.len() as u64, 0));
    let text = fs::read_to_string(&bare).unwrap();
    assert!(!text.contains("budget") && !text.contains("billing\\"), "{text}");
    assert_eq!(records(&bare), all);
}

#[tokio::test]
async fn what_is_done_to_an_exported_file_is_named() {
    let (server, ana, _) = audited().await;
    let file = exported(&ana, server.folder()).await;
    let whole = fs::read_to_string(&file).unwrap();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<_> = whole.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(&file, lines.join("\n")).unwrap();
        checked(&file, &[]).unwrap_err()
    };
    // Line n + 1 holds event n: the first line is the header.
    let changed = with(&|lines| lines[5] = lines[5].replace("user:rita", "user:mark"));
    assert!(matches!(changed, VerifyError::Changed { revision: 5, line: 6 }), "{changed}");
    let removed = with(&|lines| drop(lines.remove(5)));
    assert!(matches!(removed, VerifyError::Removed { first: 5, last: 5, line: 6 }), "{removed}");
    let moved = with(&|lines| lines.swap(5, 6));
    assert!(matches!(moved, VerifyError::Moved { revision: 5, .. }), "{moved}");
    let repeated = with(&|lines| lines.insert(7, lines[6].clone()));
    assert!(matches!(repeated, VerifyError::Inserted { revision: 6, line: 8 }), "{repeated}");
    let paid = with(&|lines| lines[6] = lines[6].replace("1.10", "9.10"));
    assert!(matches!(paid, VerifyError::Payload { revision: 6, .. }), "{paid}");
    let cut = with(&|lines| lines.truncate(lines.len() - 2));
    assert!(matches!(cut, VerifyError::CutShort { last: 7 }), "{cut}");
}

#[tokio::test]
async fn what_is_done_to_the_database_is_named() {
    let (server, ana, _) = audited().await;
    let head = anchor(&ana).await;
    explains_all(&ana, server.folder()).await;
    let db = database(&server);
    let check = async |anchors: &[Anchor]| checked(&exported(&ana, server.folder()).await, anchors);
    let kept: Vec<(i64, Vec<u8>, String)> = {
        let mut all = db.prepare("SELECT revision, hash, record FROM events ORDER BY revision").unwrap();
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap().map(Result::unwrap).collect()
    };
    let put_back = || {
        for (revision, hash, record) in &kept {
            let sql = "UPDATE events SET hash = ?2, record = ?3 WHERE revision = ?1";
            db.execute(sql, rusqlite::params![revision, hash, record]).unwrap();
        }
    };

    db.execute("UPDATE events SET record = replace(record, 'user:rita', 'user:mark') WHERE revision = 5", []).unwrap();
    let found = check(&[]).await.unwrap_err();
    assert!(matches!(found, VerifyError::Changed { revision: 5, .. }), "{found}");
    put_back();
    check(std::slice::from_ref(&head)).await.unwrap();

    // Behind the refusal nothing is left to show it: the record is chained anew, from there on.
    db.execute("UPDATE events SET record = replace(record, 'user:rita', 'user:mark') WHERE revision = 5", []).unwrap();
    chain_anew(&db);
    check(&[]).await.unwrap();
    let found = check(std::slice::from_ref(&head)).await.unwrap_err();
    assert!(matches!(found, VerifyError::Forked { .. }), "{found}");
    put_back();

    let input: String = db.query_row("SELECT input FROM requests", [], |row| row.get(0)).unwrap();
    db.execute("UPDATE requests SET input = replace(input, 'Pay', 'Buy')", []).unwrap();
    let found = check(&[]).await.unwrap_err();
    assert!(matches!(found, VerifyError::Payload { revision: 3 | 4, .. }), "{found}");
    db.execute("UPDATE requests SET input = ?1", [&input]).unwrap();

    // The end is cut off: only an anchor knows of it.
    db.execute("DELETE FROM events WHERE revision >= 7", []).unwrap();
    check(&[]).await.unwrap();
    let found = check(std::slice::from_ref(&head)).await.unwrap_err();
    assert!(matches!(found, VerifyError::Truncated { last: 6, anchor: 8 }), "{found}");
    db.execute("DELETE FROM events WHERE revision = 3", []).unwrap();
    let gap = server.folder().join("gap.jsonl");
    let error = export(&ana, ExportEvents::new(), &gap).await.unwrap_err();
    assert_eq!(error.to_string(), "the server sent no record of event 3");
    assert!(!gap.exists());
}

/// Computes all hashes again.
fn chain_anew(db: &rusqlite::Connection) {
    let mut all = db.prepare("SELECT revision, record FROM events ORDER BY revision").unwrap();
    let all: Vec<(i64, String)> =
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let mut hash = [0_u8; 32];
    for (revision, record) in all {
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        hash = Sha256::digest(format!("{digits}\n{record}")).into();
        db.execute("UPDATE events SET hash = ?2 WHERE revision = ?1", rusqlite::params![revision, hash]).unwrap();
    }
}

/// Runs `approve-server audit-key`; what it printed.
async fn audit_key(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = command(binaries::server(), folder);
    command.arg("audit-key").args(arguments);
    let mut process = Process::spawn("audit-key", command, folder);
    let status = process.exit(DEADLINE).await;
    (status.code().unwrap_or(-1), process.stdout())
}

#[tokio::test]
async fn anchors_that_left_the_machine_show_what_was_cut_off() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("audit.pem");
    let key = key.to_str().unwrap();
    let (code, public) = audit_key(folder.path(), &["generate", "--out", key]).await;
    assert_eq!(code, 0);
    assert_ne!(audit_key(folder.path(), &["generate", "--out", key]).await.0, 0, "no key is written over");
    let public = PublicKey::from_pem(&public).unwrap();
    let anchor_file = folder.path().join("anchors.jsonl");
    let config = format!(
        "[audit]\nsigning_key_file = {key:?}\nanchor_file = {anchor_file:?}\nanchor_interval_seconds = 1\n\n\
         [shutdown]\npoll_seconds = 1\n"
    );
    let aws = LocalAws::start().await;
    let mut server = Server::serve_config(&config, aws.url()).await;
    let (ana, rita) = (server.client("ana").await, server.client("rita").await);
    decided(&ana, &rita).await;
    let head = anchor(&ana).await;
    assert!(head.is_signed_by(std::slice::from_ref(&public)));
    assert_eq!(server.stop(DEADLINE).await, Some(0));

    let anchors = Anchor::read_all(fs::File::open(&anchor_file).unwrap()).unwrap();
    let last = anchors.last().unwrap();
    assert_eq!(last.revision, 9, "the stop is anchored as well: {anchors:?}");
    let options = Options { anchors: anchors.clone(), public_keys: vec![public] };
    server.start().await;
    let ana = server.client("ana").await;
    let file = exported(&ana, folder.path()).await;
    let report = verify(std::io::BufReader::new(fs::File::open(&file).unwrap()), &options).unwrap();
    assert_eq!((report.events, report.anchors), (10, anchors.len() as u64));
    assert_eq!(records(&file)[8]["type"], "server_stopped");
    server.kill();

    // Somebody forgets the stop and the delivery, and lets time pass.
    database(&server).execute("DELETE FROM events WHERE revision >= 8", []).unwrap();
    server.start().await;
    let ana = server.client("ana").await;
    let file = exported(&ana, folder.path()).await;
    checked(&file, &[]).unwrap();
    let found = verify(std::io::BufReader::new(fs::File::open(&file).unwrap()), &options).unwrap_err();
    assert!(matches!(found, VerifyError::Truncated { .. } | VerifyError::Forked { .. }), "{found}");
    let log = server.process().stdout() + &server.process().stderr();
    assert!(log.contains("the record is not the one that was anchored"), "{log}");
}

#[tokio::test]
async fn events_are_listed_by_what_they_are_about() {
    let (server, ana, id) = audited().await;
    let types = async |events: Events| -> Vec<String> {
        let events: Vec<_> = ana.events_all(events.page_size(1)).try_collect().await.unwrap();
        let kind = |event: &approve_client::proto::AuditEvent| {
            let record: Value = serde_json::from_str(&event.record_json).unwrap();
            record["type"].as_str().unwrap().to_owned()
        };
        events.iter().map(kind).collect()
    };
    assert_eq!(types(Events::new().approval(&id)).await, ["delivered", "approved", "voted", "refused", "requested"]);
    assert_eq!(types(Events::new().actor("user:rita")).await, ["refused"]);
    assert_eq!(types(Events::new().actor("system:intake")).await, ["requested"]);
    let some = Events::new().workflow("payments").event_type("voted").event_type("workflow_applied");
    assert_eq!(types(some).await, ["voted", "workflow_applied"]);
    let now = std::time::SystemTime::now();
    assert_eq!(types(Events::new().since(now)).await, Vec::<String>::new());
    assert_eq!(types(Events::new().until(now - DEADLINE * 60)).await, Vec::<String>::new());
    assert_eq!(types(Events::new().since(now - DEADLINE * 60).until(now)).await.len(), 8);

    let mut raw = AuditServiceClient::new(server.channel().await);
    let mut list = async |request| raw.list_events(request_as("ana", request)).await;
    let page = list(ListEventsRequest { page_size: 1, ..ListEventsRequest::default() }).await.unwrap().into_inner();
    let other = ListEventsRequest {
        page_token: page.next_page_token,
        actor: "user:rita".to_owned(),
        ..ListEventsRequest::default()
    };
    let of = |text: &str| text.to_owned();
    for bad in [
        other,
        ListEventsRequest { page_token: of("%%"), ..ListEventsRequest::default() },
        ListEventsRequest { approval_id: of("apr_x"), ..ListEventsRequest::default() },
        ListEventsRequest { actor: of("user:"), ..ListEventsRequest::default() },
        ListEventsRequest { types: vec![of("voted"); 99], ..ListEventsRequest::default() },
        ListEventsRequest {
            start_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
            ..ListEventsRequest::default()
        },
    ] {
        assert_eq!(list(bad.clone()).await.unwrap_err().code(), Code::InvalidArgument, "{bad:?}");
    }
}

/// With all that the text log can tell: whatever people and tasks say starts no line of it, and reaches no terminal.
#[tokio::test]
async fn nothing_that_is_said_breaks_a_line_of_the_text_log() {
    let config = "[log]\nformat = \"text\"\nlevel = \"approve_server=trace,info\"\n\n[shutdown]\npoll_seconds = 1\n";
    let aws = LocalAws::start().await;
    let mut server = Server::serve_config(config, aws.url()).await;
    let (ana, rita) = (server.client("ana").await, server.client("rita").await);
    decided(&ana, &rita).await;
    // A task that can't be understood is told of with the reason why, in which its own words are.
    apply(&ana, spec("bare", PASS_INPUT)).await;
    let input = serde_json::json!({"approve": {"rule": {"approvers": [NASTY]}, NASTY: 1}}).to_string();
    let arn = start(&ana, "bare", &input).await;
    ended(&ana, &arn).await;
    let refused = ana.decide(Decide::approve(NASTY)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = ana.start_execution(approve_client::StartExecution::new().workflow(NASTY)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    explains_all(&ana, server.folder()).await;
    drop((ana, rita));
    assert_eq!(server.stop(DEADLINE).await, Some(0));

    let log = fs::read_to_string(server.folder().join("approve-server.out")).unwrap()
        + &fs::read_to_string(server.folder().join("approve-server.err")).unwrap();
    assert!(log.lines().count() > 10, "{log}");
    for line in log.lines() {
        assert!(line.starts_with("20") && line.contains('Z'), "a line that the server did not begin: {line:?}");
        let harmful = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
        assert!(!line.contains(harmful), "{line:?}");
    }
}

#[tokio::test]
async fn the_record_goes_on_over_kills() {
    let (mut server, ana, _) = audited().await;
    let before = anchor(&ana).await;
    for _ in 0..3 {
        server.kill();
        server.start().await;
    }
    let file = exported(&server.client("ana").await, server.folder()).await;
    let report = checked(&file, &[before]).unwrap();
    assert_eq!((report.events, report.anchors), (11, 1));
}
