use approve_client::{
    prost_types::Timestamp,
    proto::{ApproverSet, CommentPolicy, Delivery, DeliveryState, Rule, Source, Stage, TaskState},
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
