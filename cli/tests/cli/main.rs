//! The program against a fake server: what it prints where, and how it ends.

#![allow(clippy::unwrap_used, reason = "tests")]

mod actions;
mod bulk;
mod common;
mod identity;
mod interactive;
mod live;
mod profiles;
mod record;
mod rules;

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use common::{HOSTILE, Running, approval};

#[test]
fn a_list_is_a_table_on_stdout_without_anything_hostile() {
    let server = Running::start();
    let ran = server.run(&["list"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stderr, "");
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("apr_one00000000000000000000000  Pay invoice 4711  "), "{}", lines[1]);
    assert!(lines[1].ends_with("  user:bo    0/2"), "{}", lines[1]);
    assert!(lines[2].contains("Pay\\u{1b}[2J\\u{1b}]0;x\\u{7} \\u{202e}me"), "{}", lines[2]);
    assert!(!ran.stdout.contains(['\x1b', '\x07', '\u{202e}']));
}

#[test]
fn an_empty_list_is_empty_on_stdout_and_says_so_beside_it() {
    let server = Running::start();
    let ran = server.run(&["list", "--status", "rejected"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", "no approval\n"));
    let ran = server.run(&["list", "--status", "rejected", "-o", "json"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "[]\n", ""));
}

#[test]
fn json_keeps_numbers_and_escapes_what_a_terminal_would_act_on() {
    let server = Running::start();
    let ran = server.run(&["list", "-o", "json", "--limit", "1"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains(r#""amount": 1200.50,"#), "{}", ran.stdout);
    assert!(ran.stdout.contains(r#""big": 123456789012345678901234567890"#), "{}", ran.stdout);
    assert!(ran.stderr.contains("more than 1"), "{}", ran.stderr);
    let ran = server.run(&["show", "apr_two", "-o", "json"]);
    assert!(!ran.stdout.contains(['\x1b', '\x07', '\u{202e}']));
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["title"], HOSTILE);
    assert_eq!(value["decide_time"], serde_json::Value::Null);
}

#[test]
fn a_decision_goes_to_the_approval_that_the_prefix_names() {
    let server = Running::start();
    for id in ["apr_one", "one", "apr_one00000000000000000000000"] {
        let ran = server.run(&["decide", id, "--approve", "--comment", "ok", "--group", "group:finance,legal"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        assert_eq!(ran.stdout, "APPROVED  apr_one00000000000000000000000  Pay invoice 4711\nDELIVERED (1 attempt)\n");
    }
    let decisions = server.fake.decisions.lock().unwrap();
    assert_eq!(decisions.len(), 3);
    for decision in decisions.iter() {
        assert_eq!(decision.approval_id, approval("one", "").id);
        assert_eq!((decision.comment.as_str(), decision.wait_for_delivery), ("ok", true));
    }
    assert_ne!(decisions[0].request_id, decisions[1].request_id);
    let caller = ("user:ana".to_owned(), "finance,legal".to_owned());
    assert!(server.fake.callers.lock().unwrap().iter().all(|each| *each == caller));
}

#[test]
fn every_way_to_fail_has_its_exit_code_and_says_what_to_do() {
    let server = Running::start();
    for (args, code, said) in [
        (vec!["decide", "apr_one"], 2, "--approve, --reject or --outcome"),
        (vec!["decide", "apr_one", "--approve", "--reject"], 2, "cannot be used with"),
        (vec!["list", "--status", "wrong"], 2, "possible values"),
        (vec!["list", "--label", "nope"], 2, "KEY=VALUE"),
        (vec!["show", "apr_none"], 3, "list --status all"),
        (vec!["decide", "one", "-a", "--etag", "old"], 5, "look at it again"),
        (vec!["decide", "one", "-a", "-m", "late"], 5, "it was approved by user:bo at 2026-03-01T12:00:00Z"),
        (vec!["show", "apr_"], 6, "it may be apr_two00000000000000000000000"),
        (vec!["decide", "one", "--reject"], 6, "  comment: is required to reject\n"),
        (vec!["decide", "one", "-a", "--response", "{no"], 6, "--response is not JSON"),
        (vec!["start", "--input", "{\"amount\": }"], 6, "line 1 column 12"),
        (vec!["start", "--input-file", "/nonexistent"], 6, "can't read /nonexistent: No such file"),
        (vec!["decide", "one", "-a", "-m", "gone"], 9, ""),
        (vec!["list", "--server", "ftp://x"], 6, "must start with http:// or https://"),
        (vec!["workflow", "list"], 1, "error: "),
    ] {
        let ran = server.run(&args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
        assert!(code == 9 || ran.stdout.is_empty(), "{args:?}: {}", ran.stdout);
    }
}

#[test]
fn a_server_that_is_not_there_is_named_with_a_way_to_start_one() {
    let server = Running::start();
    let url = server.command(&[]).get_envs().find(|(key, _)| *key == "APPROVE_SERVER").unwrap().1.unwrap().to_owned();
    server.stop();
    let url = url.to_str().unwrap().to_owned();
    for command in ["list", "watch"] {
        let ran = Running::start().run(&[command, "--server", url.trim_start_matches("http://")]);
        assert_eq!(ran.code, Some(7), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("error: can't connect to {url}: ")), "{}", ran.stderr);
        assert_eq!(ran.stderr.to_lowercase().matches("connection refused").count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("approve-server dev"), "{}", ran.stderr);
    }
}

#[test]
fn a_watch_prints_a_line_per_change_as_it_comes_and_ctrl_c_ends_it() {
    let server = Running::start();
    let mut child = server.command(&["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    for (sign, id, rest) in [
        ("+", "apr_one00000000000000000000000", "Pay invoice 4711  user:bo"),
        ("+", "apr_two00000000000000000000000", "Pay\\u{1b}[2J"),
        ("-", "apr_one00000000000000000000000", "Pay invoice 4711  APPROVED"),
    ] {
        let line = lines.next().unwrap();
        assert!(line[8..].starts_with(&format!(" {sign} {id}  {rest}")), "{line}");
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "2 pending; watching, Ctrl-C ends it\n");
}

#[test]
fn a_watch_in_json_is_a_value_per_line() {
    let server = Running::start();
    let mut child = server.command(&["watch", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).take(4);
    let events: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["upserted", "upserted", "synced", "removed"]);
    assert_eq!(events[0]["approval"]["input"]["amount"].to_string(), "1200.50");
    assert_eq!(events[3]["status"], "approved");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_program_quietly() {
    let server = Running::start();
    let mut child =
        server.command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn help_lists_every_command_and_exit_code() {
    let ran = Running::start().run(&["--help"]);
    for part in [
        "list",
        "watch",
        "show",
        "explain",
        "decide",
        "withdraw",
        "claim",
        "release",
        "reassign",
        "cancel",
        "hold",
        "resume",
        "start",
        "execution",
        "workflow",
        "rule",
        "audit",
        "token",
        "whoami",
        "completions",
        "man",
        "130",
        "NO_COLOR",
    ] {
        assert!(ran.stdout.contains(part), "{part} is missing:\n{}", ran.stdout);
    }
}

fn interrupt(child: &std::process::Child) {
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}
