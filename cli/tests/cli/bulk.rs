//! `bulk`: several approvals at once.

use std::{io::Write as _, process::Stdio};

use approve_proto::v1::{ApprovalStatus, CommentPolicy, Decision, Rule, Vote};
use serde_json::Value;

use crate::common::{Ran, Running, Session, approval};

fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_is_decided_as_it_was_seen_and_a_second_run_counts_once() {
    let server = Running::start();
    let run = || server.run(&["bulk", "approve", "one", "apr_two", "one", "--comment", "ok", "--yes"]);
    let ran = run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("ok   apr_one00000000000000000000000  Pay invoice 4711  APPROVED"), "{}", ran.stdout);
    assert!(!(ran.stdout.clone() + &ran.stderr).contains(['\x1b', '\u{202e}']), "{ran:?}");
    assert!(ran.stderr.contains("it would count in finance"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("2 decided of 2\n"), "{}", ran.stderr);
    run();
    let mut decisions = server.fake.decisions.lock().unwrap().clone();
    decisions.sort_by(|a, b| a.approval_id.cmp(&b.approval_id));
    assert_eq!(decisions.len(), 4);
    for pair in decisions.chunks(2) {
        assert_eq!(pair[0], pair[1], "the same request, so that it counts once");
        assert_eq!((pair[0].decision(), pair[0].comment.as_str()), (Decision::Approve, "ok"));
        assert!(!pair[0].etag.is_empty() && pair[0].wait_for_delivery);
    }
    assert_ne!(decisions[0].request_id, decisions[2].request_id);
}

#[test]
fn ids_come_from_stdin_and_what_fails_is_told_for_each() {
    let server = Running::start();
    let mut command = server.command(&["bulk", "reject", "-", "--yes", "--comment", "no", "-o", "json", "--no-wait"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"apr_one\nmissing\n").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(12), "{ran:?}");
    let lines = lines(&ran);
    assert_eq!(lines.len(), 3);
    let of = |id: &str| lines.iter().find(|line| line["id"].as_str().is_some_and(|it| it.contains(id))).unwrap();
    assert_eq!((&of("one")["event"], &of("one")["result"]), (&"result".into(), &"decided".into()));
    assert_eq!(of("one")["approval"]["status"], "approved");
    assert_eq!((&of("missing")["result"], &of("missing")["reason"]), (&"failed".into(), &"APPROVAL_NOT_FOUND".into()));
    assert_eq!(of("missing")["approval"], Value::Null);
    let summary = lines.last().unwrap();
    assert_eq!((&summary["event"], &summary["decided"], &summary["failed"]), (&"summary".into(), &1.into(), &1.into()));
}

#[test]
fn what_is_done_or_can_not_be_done_is_not_sent() {
    let server = Running::start();
    {
        let mut approvals = server.fake.approvals.lock().unwrap();
        let vote = Vote { voter: "user:ana".into(), decision: Decision::Reject.into(), ..Vote::default() };
        approvals[0].votes = vec![vote];
        let comment_policy = CommentPolicy::OnReject.into();
        approvals[1].rule = Some(Rule { comment_policy, ..Rule::default() });
        let mut expired = approval("three", "Late");
        expired.status = ApprovalStatus::Expired.into();
        approvals.push(expired);
    }
    let ran = server.run(&["bulk", "reject", "one", "two", "three", "--yes"]);
    assert_eq!(ran.code, Some(12), "{ran:?}");
    assert!(ran.stdout.contains("same apr_one"), "{}", ran.stdout);
    assert!(ran.stdout.contains("its rule asks for a comment"), "{}", ran.stdout);
    assert!(ran.stdout.contains("Late  it is EXPIRED already"), "{}", ran.stdout);
    assert!(ran.stderr.ends_with("0 decided, 1 so before, 2 failed of 3\n"), "{}", ran.stderr);
    assert!(server.fake.decisions.lock().unwrap().is_empty());
    // Nothing is left to do: that is no failure.
    assert_eq!(server.run(&["bulk", "reject", "one", "--yes"]).code, Some(0));
}

#[test]
fn a_filter_takes_all_that_match_and_not_more_than_the_limit() {
    let server = Running::start();
    let ran = server.run(&["bulk", "approve", "--workflow", "invoices", "--dry-run"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.stderr.contains("Pay invoice 4711") && ran.stderr.ends_with("nothing was decided\n"), "{}", ran.stderr);
    let ran = server.run(&["bulk", "approve", "--mine", "--limit", "1", "--yes"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.stderr.contains("more than 1") && server.fake.decisions.lock().unwrap().is_empty(), "{}", ran.stderr);
    assert_eq!(server.run(&["bulk", "approve", "--mine", "--yes"]).code, Some(0));
    assert_eq!(server.fake.decisions.lock().unwrap().len(), 2);
}

#[test]
fn it_has_to_be_said_which_and_that_it_is_meant() {
    let server = Running::start();
    for args in [
        &["bulk", "approve", "--yes"][..],
        &["bulk", "approve", "one", "--mine", "--yes"],
        &["bulk", "approve", "one"],
        &["bulk", "approve", "-"],
        &["bulk", "postpone", "one", "--yes"],
        &["bulk", "approve", "one", "--yes", "--at-once", "0"],
    ] {
        assert_eq!(server.run(args).code, Some(2), "{args:?}");
    }
    assert_eq!(server.run(&["bulk", "approve", "-", "--yes"]).code, Some(6), "stdin is empty");
    assert!(server.fake.decisions.lock().unwrap().is_empty());
}

#[test]
fn on_a_terminal_it_asks() {
    let server = Running::start();
    for (answer, code, decided) in [("n\n", 0, 0), ("\n", 0, 0), ("y\n", 0, 2)] {
        let mut session = Session::start(&server, &["bulk", "approve", "--mine"]);
        let plan = session.until("Approve 2? [y/N] ");
        assert!(plan.contains("WHAT WOULD HAPPEN") && plan.contains("Pay invoice 4711"), "{plan}");
        session.answer(answer);
        let (ended, rest) = session.end();
        assert_eq!(ended, Some(code), "{rest}");
        assert_eq!(server.fake.decisions.lock().unwrap().len(), decided, "{rest}");
    }
}
