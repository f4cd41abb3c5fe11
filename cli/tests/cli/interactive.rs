//! `decide` without flags, on a terminal.

use approve_proto::v1::{ApprovalStatus, CommentPolicy, Decision, Outcome, Rule, Stage, StageProgress, Vote};

use crate::common::{Running, Session};

const ASK: &str = "[a/r/q] ";

#[test]
fn it_shows_the_facts_and_asks_until_it_is_answered() {
    let server = Running::start();
    let comment_policy = CommentPolicy::OnReject.into();
    server.fake.approvals.lock().unwrap()[0].rule = Some(Rule { comment_policy, ..Rule::default() });
    let mut session = Session::start(&server, &["decide", "one"]);
    let page = session.until(ASK);
    assert!(page.contains("Pay invoice 4711") && page.contains("\"amount\": 1200.50"), "{page}");
    session.answer("what?\n");
    session.until(ASK);
    session.answer("r\n");
    session.until("Comment (needed): ");
    session.answer("\n");
    session.until("Comment (needed): ");
    session.answer("too much\n");
    let (code, rest) = session.end();
    assert_eq!(code, Some(0), "{rest}");
    let decisions = server.fake.decisions.lock().unwrap();
    assert_eq!(decisions.len(), 1);
    assert_eq!((decisions[0].decision(), decisions[0].comment.as_str()), (Decision::Reject, "too much"));
    assert_eq!(decisions[0].etag, "etag-one");
}

#[test]
fn what_changed_since_it_was_shown_is_shown_again_and_not_decided() {
    let server = Running::start();
    let mut session = Session::start(&server, &["decide", "one", "--comment", "ok"]);
    session.until(ASK);
    {
        let mut approvals = server.fake.approvals.lock().unwrap();
        approvals[0].etag = "etag-changed".into();
        approvals[0].description = "Now it costs more.".into();
    }
    session.answer("approve\n");
    let page = session.until(ASK);
    assert!(page.contains("it changed while you looked") && page.contains("Now it costs more."), "{page}");
    session.answer("A\n");
    let (code, rest) = session.end();
    assert!(code == Some(0) && rest.contains("DELIVERED"), "{rest}");
    let etags: Vec<_> = server.fake.decisions.lock().unwrap().iter().map(|decision| decision.etag.clone()).collect();
    assert_eq!(etags, ["etag-one", "etag-changed"]);
}

#[test]
fn whoever_leaves_decides_nothing() {
    let server = Running::start();
    for (asked, answer) in [(ASK, "q\n"), (ASK, "\u{4}")] {
        let mut session = Session::start(&server, &["decide", "one"]);
        session.until(asked);
        session.answer(answer);
        let (code, rest) = session.end();
        assert!(code == Some(0) && rest.contains("nothing was decided"), "{rest}");
    }
    assert!(server.fake.decisions.lock().unwrap().is_empty());
}

#[test]
fn what_is_final_is_not_asked_about() {
    let server = Running::start();
    server.fake.approvals.lock().unwrap()[0].status = ApprovalStatus::Expired.into();
    let (code, rest) = Session::start(&server, &["decide", "one"]).end();
    assert!(code == Some(5) && rest.contains("error: it is expired already"), "{rest}");
}

#[test]
fn the_rules_outcomes_are_offered_and_a_response_is_asked_for_where_one_is_due() {
    let server = Running::start();
    let outcome = |name: &str, label: &str, decision: Decision| Outcome {
        name: name.into(),
        label: label.into(),
        decision: decision.into(),
    };
    {
        let mut approvals = server.fake.approvals.lock().unwrap();
        let stage = |name: &str| Stage { name: name.into(), ..Stage::default() };
        approvals[0].rule = Some(Rule {
            stages: vec![stage("finance"), stage("legal")],
            outcomes: vec![
                outcome("later", "Ask\x1b again", Decision::Reject),
                outcome("in_part", "", Decision::Approve),
            ],
            comment_policy: CommentPolicy::OnReject.into(),
            response_schema_json: "{\"type\": \"object\"}".into(),
            ..Rule::default()
        });
        let progress = |name: &str, required, approvals, open| StageProgress {
            name: name.into(),
            required_approvals: required,
            approvals,
            open,
        };
        approvals[0].stages = vec![progress("finance", 2, 1, true), progress("legal", 1, 0, false)];
        approvals[0].votes = vec![Vote {
            voter: "user:cy".into(),
            decision: Decision::Approve.into(),
            cast_by: "service:bot".into(),
            stages: vec!["finance".into()],
            ..Vote::default()
        }];
    }
    let asked = "[a/r/1/2/q] ";
    let mut session = Session::start(&server, &["decide", "one"]);
    let page = session.until(asked);
    assert!(page.contains("finance: 1 of 2 from anyone; user:cy, through service:bot approved"), "{page}");
    assert!(page.contains("legal: 0 of 1 from anyone; not open yet"), "{page}");
    assert!(
        page.contains("  1  Ask\\u{1b} again (later): counts as reject\n  2  in_part: counts as approve\n"),
        "{page}"
    );
    session.answer("3\n");
    session.until(asked);
    session.answer("in_part\n");
    session.until("Comment (Enter for none): ");
    session.answer("\n");
    session.until("Response (JSON, Enter for none): ");
    session.answer("{no\n");
    session.until("Response (JSON, Enter for none): ");
    session.answer("{\"limit\": 1200.50}\n");
    assert_eq!(session.end().0, Some(0));
    let decisions = std::mem::take(&mut *server.fake.decisions.lock().unwrap());
    assert_eq!((decisions[0].outcome.as_str(), decisions[0].decision), ("in_part", 0));
    assert_eq!(decisions[0].response_json, "{\"limit\": 1200.50}");

    let mut session = Session::start(&server, &["decide", "one"]);
    session.until(asked);
    session.answer("1\n");
    session.until("Comment (needed): ");
    session.answer("next month\n");
    assert_eq!(session.end().0, Some(0));
    let decisions = server.fake.decisions.lock().unwrap();
    assert_eq!((decisions[0].outcome.as_str(), decisions[0].comment.as_str()), ("later", "next month"));
    assert_eq!(decisions[0].response_json, "");
}

#[test]
fn a_response_is_asked_for_field_by_field_and_again_where_it_does_not_fit() {
    let server = Running::start();
    server.fake.approvals.lock().unwrap()[0].rule = Some(Rule {
        response_schema_json: r#"{
            "type": "object", "required": ["limit"],
            "properties": {
                "limit": {"type": "number", "title": "Credit limit"},
                "currency": {"enum": ["EUR", "USD"]},
                "note": {"type": "string"}
            }}"#
        .into(),
        ..Rule::default()
    });
    let mut session = Session::start(&server, &["decide", "one", "--comment", "ok"]);
    session.until(ASK);
    session.answer("a\n");
    session.until("Credit limit (limit; a number, needed): ");
    session.answer("much\n");
    session.until("not a number, such as -12.50");
    session.until("needed): ");
    session.answer("-1\n");
    session.until("  1  EUR\n  2  USD\ncurrency (one of these, Enter for none): ");
    session.answer("2\n");
    session.until("note (text, Enter for none): ");
    session.answer("\n");
    // The server does not take it, and says why: it is asked for again.
    session.until("error: refused as RESPONSE_INVALID");
    session.until(ASK);
    session.answer("a\n");
    session.until("needed): ");
    session.answer("1200.50\n");
    session.until("none): ");
    session.answer("\n");
    session.until("none): ");
    session.answer("say \"hi\"\n");
    assert_eq!(session.end().0, Some(0));
    let decisions = server.fake.decisions.lock().unwrap();
    let responses: Vec<_> = decisions.iter().map(|decision| decision.response_json.as_str()).collect();
    assert_eq!(responses, [r#"{"limit":-1,"currency":"USD"}"#, r#"{"limit":1200.50,"note":"say \"hi\""}"#]);
}
