use approve_client::{
    prost_types::Timestamp,
    proto::{
        ApproverSet, Assignment, CommentPolicy, Delivery, DeliveryState, Freeze, Hold, Outcome, Rule, Source, Stage,
        StageProgress, TaskState,
    },
};
use jiff::tz::TimeZone;

use super::*;

const NOW: i64 = 1_772_366_400;

fn at(offset: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: NOW + offset, nanos: 0 })
}

fn now() -> Now {
    Now { at: jiff::Timestamp::from_second(NOW).unwrap(), zone: TimeZone::UTC }
}

fn approval() -> Approval {
    Approval {
        id: "apr_01jn8zq4m8k7v2c5x3n6b1w0ty".into(),
        status: ApprovalStatus::Pending.into(),
        etag: "e1".into(),
        workflow: "invoices".into(),
        title: "Pay invoice\x1b[2J 4711".into(),
        description: "Second reminder.\nPay \u{202e}now".into(),
        requester: "user:bo".into(),
        rule: Some(Rule {
            stages: vec![Stage {
                approver_sets: vec![ApproverSet { any_of: vec!["group:finance".into()] }],
                required_approvals: 2,
                ..Stage::default()
            }],
            comment_policy: CommentPolicy::OnReject.into(),
            ..Rule::default()
        }),
        input_json: r#"{"invoice":4711,"amount":1200.50}"#.into(),
        source: Some(Source {
            activity_arn: "arn:aws:states:eu-west-1:1:activity:A".into(),
            execution_arn: "arn:aws:states:eu-west-1:1:execution:M:e".into(),
            state_name: "ApprovalStep".into(),
            attempt: 1,
            ..Source::default()
        }),
        labels: [("team".to_owned(), "a b".to_owned()), ("cost".to_owned(), "7".to_owned())].into(),
        priority: Priority::High.into(),
        create_time: at(-180),
        expire_time: at(252),
        votes: vec![Vote {
            voter: "user:ana".into(),
            decision: Decision::Approve.into(),
            comment: "fine\nby me".into(),
            response_json: r#"{"limit": 10.0}"#.into(),
            vote_time: at(-60),
            ..Vote::default()
        }],
        task_state: TaskState::Open.into(),
        task_count: 2,
        ..Approval::default()
    }
}

#[test]
fn the_facts_are_all_there_and_safe() {
    let page = facts(&approval(), &now(), Style::plain());
    assert_eq!(
        page,
        r#"Pay invoice\u{1b}[2J 4711
  status     PENDING
  id         apr_01jn8zq4m8k7v2c5x3n6b1w0ty
  workflow   invoices
  asked by   user:bo
  created    2026-03-01 11:57:00 UTC (3m ago)
  deadline   2026-03-01 12:04:12 UTC (in 4m 12s), then EXPIRED
  priority   HIGH
  labels     cost=7 team=a b
  rule       2 approvals from group:finance; the requester may not approve; a rejection needs a comment
  progress   1 of 2 approvals, 0 of 1 rejection
  delivery   nothing to deliver yet
  task       OPEN; asked for by 2 tasks in turn
  state      ApprovalStep (retry 1)
  execution  arn:aws:states:eu-west-1:1:execution:M:e
  activity   arn:aws:states:eu-west-1:1:activity:A
  etag       e1

Description
    Second reminder.
    Pay \u{202e}now

Votes
    approve user:ana, 2026-03-01 11:59:00 UTC (1m ago)
            fine
            by me
            response: {"limit":10.0}

Input
    {
      "invoice": 4711,
      "amount": 1200.50
    }
"#
    );
}

#[test]
fn a_decided_one_tells_who_and_whether_the_workflow_heard() {
    let mut approval = approval();
    approval.status = ApprovalStatus::Approved.into();
    approval.decided_by = vec!["user:ana".into(), "user:cy".into()];
    approval.decide_time = at(-30);
    approval.delivery = Some(Delivery {
        state: DeliveryState::Delivered.into(),
        attempts: 1,
        settle_time: at(-29),
        ..Delivery::default()
    });
    let page = facts(&approval, &now(), Style::plain());
    assert!(page.contains("status     APPROVED by user:ana, user:cy, 2026-03-01 11:59:30 UTC (30s ago)\n"), "{page}");
    assert!(page.contains("delivery   DELIVERED (29s ago; 1 attempt)\n"), "{page}");
    assert!(!page.contains("deadline"), "{page}");
}

#[test]
fn an_undeliverable_one_says_why() {
    let mut approval = approval();
    approval.status = ApprovalStatus::Rejected.into();
    approval.delivery = Some(Delivery {
        state: DeliveryState::Undeliverable.into(),
        attempts: 3,
        last_error: "the execution\nwas stopped".into(),
        ..Delivery::default()
    });
    let line = delivery::line(&approval, &now(), Style::plain());
    assert_eq!(line, "UNDELIVERABLE (3 attempts: the execution\\nwas stopped)");
}

#[test]
fn a_table_has_a_line_for_each() {
    let table = table(&[approval(), approval()], false, &now(), Style::plain());
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["ID", "TITLE", "REQUESTER", "VOTES", "AGE", "EXPIRES"]
    );
    assert!(lines[1].starts_with("apr_01jn8zq4m8k7v2c5x3n6b1w0ty  Pay invoice\\u{1b}[2J 4711"), "{table}");
    assert!(lines[1].ends_with("1/2    3m   in 4m 12s"), "{table}");
}

/// The same in two stages, the first of them met.
fn staged() -> Approval {
    let mut approval = approval();
    let stage = |name: &str, required_approvals| Stage {
        name: name.into(),
        approver_sets: vec![ApproverSet { any_of: vec![format!("group:{name}")] }],
        required_approvals,
    };
    let progress = |name: &str, required_approvals, approvals, open| StageProgress {
        name: name.into(),
        required_approvals,
        approvals,
        open,
    };
    approval.rule = Some(Rule {
        stages: vec![stage("finance", 1), stage("legal", 2), stage("board", 1)],
        outcomes: vec![Outcome {
            name: "in_part".into(),
            label: "Only a part".into(),
            decision: Decision::Approve.into(),
        }],
        response_schema_json: r#"{"type":"object"}"#.into(),
        ..Rule::default()
    });
    approval.stages =
        vec![progress("finance", 1, 1, false), progress("legal", 2, 1, true), progress("board", 1, 0, false)];
    approval.votes[0].stages = vec!["finance".into(), "legal".into()];
    approval.votes[0].cast_by = "service:bot".into();
    approval.votes[0].outcome = "in_part".into();
    approval
}

#[test]
fn stages_tell_how_far_they_are_and_who_brought_them_there() {
    let mut approval = staged();
    let page = facts(&approval, &now(), Style::plain());
    assert!(
        page.contains(
            "
  progress   finance: 1 of 1 from group:finance; user:ana, through service:bot approved 11:59
             legal: 1 of 2 from group:legal; user:ana, through service:bot approved 11:59
             board: 0 of 1 from group:board; not open yet
             0 of 1 rejection
"
        ),
        "{page}"
    );
    assert!(page.contains("approve user:ana, through service:bot as Only a part (in_part), 2026"), "{page}");
    assert!(page.contains("\nResponse has to fit\n    {\n      \"type\": \"object\"\n    }\n"), "{page}");
    assert_eq!(progress::short(&approval), "legal 1/2");
    assert_eq!(progress::line(&approval), "finance 1 of 1, legal 1 of 2, board 0 of 1, 0 of 1 rejection");
    approval.status = ApprovalStatus::Approved.into();
    approval.outcome = "in_part".into();
    assert_eq!(progress::short(&approval), "2/4");
    let page = facts(&approval, &now(), Style::plain());
    assert!(page.contains("  outcome    Only a part (in_part)\n"), "{page}");
    let table = table(&[approval], true, &now(), Style::plain());
    assert!(table.contains("APPROVED (in_part)"), "{table}");
}

#[test]
fn a_claim_a_hold_and_a_freeze_are_told_while_they_last() {
    let mut approval = approval();
    approval.assignment = Some(Assignment {
        assignee: "user:cy\x1b".into(),
        assigned_by: vec!["user:bo".into(), "user:di".into()],
        expire_time: at(3600),
    });
    approval.hold = Some(Hold { held_by: "user:op".into(), end_time: None, reason: "an\naudit".into() });
    let page = facts(&approval, &now(), Style::plain());
    assert!(page.contains("  on hold    until it is resumed, by user:op (an\\naudit)\n"), "{page}");
    let claimed =
        "  claimed    by user:cy\\u{1b}, until 2026-03-01 13:00:00 UTC (in 1h), given by user:bo, then user:di\n";
    assert!(page.contains(claimed), "{page}");
    let listed = table(&[approval.clone()], false, &now(), Style::plain());
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].ends_with("EXPIRES    NOTE"), "{listed}");
    assert!(lines[1].ends_with("on hold, claimed by user:cy\\u{1b}"), "{listed}");

    // What is over is not told.
    approval.assignment.as_mut().unwrap().expire_time = at(0);
    approval.hold.as_mut().unwrap().end_time = at(-1);
    assert_eq!((progress::claim(&approval, &now()), progress::hold(&approval, &now())), (None, None));
    assert_eq!(progress::note(&approval, &now()), "");
    approval.hold = None;
    let freeze = Freeze { start_time: at(-60), end_time: at(60), reason: "year's end".into(), ..Freeze::default() };
    approval.rule.as_mut().unwrap().freezes = vec![freeze];
    assert_eq!(
        progress::hold(&approval, &now()).unwrap(),
        "until 2026-03-01 12:01:00 UTC (in 1m), by its rule (year's end)"
    );
    assert_eq!(progress::note(&approval, &now()), "frozen");
    approval.status = ApprovalStatus::Expired.into();
    assert_eq!(progress::hold(&approval, &now()), None);
}
