use approve_client::prost_types::{Duration, Timestamp};
use jiff::tz::TimeZone;

use super::*;

fn set(names: &[&str]) -> ApproverSet {
    ApproverSet { any_of: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn now() -> Now {
    Now { at: "2026-03-01T12:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

fn words(rule: &Rule, has_requester: bool) -> String {
    parts(rule, has_requester, &now()).join("; ")
}

#[test]
fn rules_read_as_sentences() {
    assert_eq!(words(&Rule::default(), false), "1 approval from anyone");
    let rule = Rule {
        stages: vec![Stage { approver_sets: vec![set(&["group:finance"])], required_approvals: 2, ..Stage::default() }],
        comment_policy: CommentPolicy::OnReject.into(),
        ..Rule::default()
    };
    assert_eq!(
        words(&rule, true),
        "2 approvals from group:finance; the requester may not approve; a rejection needs a comment"
    );
    let rule = Rule {
        stages: vec![Stage {
            approver_sets: vec![set(&["group:a", "user:b\x1b"]), set(&["group:c"])],
            ..Stage::default()
        }],
        required_rejections: 3,
        allow_self_approval: true,
        expiry_action: ExpiryAction::Approve.into(),
        ..Rule::default()
    };
    assert_eq!(
        words(&rule, true),
        "1 approval from people who are all of (group:a or user:b\\u{1b}) and (group:c); 3 rejections to reject; \
         APPROVED at the deadline"
    );
}

#[test]
fn all_that_a_rule_may_say_is_told() {
    let hours = |hours: i64| Duration { seconds: hours * 3600, nanos: 0 };
    let day = |day: i64| Some(Timestamp { seconds: now().at.as_second() + day * 86_400, nanos: 0 });
    let freeze = |from: i64, until: i64| Freeze {
        start_time: day(from),
        end_time: day(until),
        except: Some(set(&["group:oncall"])),
        reason: "year's end".into(),
    };
    let named = |name: &str, group: &str| Stage {
        name: name.into(),
        approver_sets: vec![set(&[group])],
        required_approvals: 1,
    };
    let mut rule = Rule {
        stages: vec![named("finance", "group:finance"), named("legal", "group:legal")],
        allow_repeat_approvers: true,
        outcomes: vec![Outcome { name: "later".into(), label: "Not\x07now".into(), decision: Decision::Reject.into() }],
        response_schema_json: "{}".into(),
        expiry_action: ExpiryAction::Outcome.into(),
        expiry_outcome: "later".into(),
        remind_after: vec![hours(1), hours(4)],
        escalations: vec![Escalation {
            after: Some(hours(2)),
            approvers: Some(set(&["user:boss"])),
            stage: "legal".into(),
        }],
        freezes: vec![freeze(-3, -1), freeze(1, 2), freeze(3, 4), freeze(5, 6), freeze(7, 8)],
        trust_task_input: true,
        ..Rule::default()
    };
    assert_eq!(
        words(&rule, false),
        "1 approval from group:finance (finance), then 1 approval from group:legal (legal); \
         one person may approve in several stages; it may also be decided as later (rejects); \
         the response has to fit a schema; reminders after 1h, 4h; after 2h also user:boss in legal; \
         nobody decides from 2026-03-02 12:00 to 2026-03-03 12:00, but for group:oncall (year's end); \
         nobody decides from 2026-03-04 12:00 to 2026-03-05 12:00, but for group:oncall (year's end); \
         nobody decides from 2026-03-06 12:00 to 2026-03-07 12:00, but for group:oncall (year's end); 1 more such time; \
         later at the deadline; a task's own rule takes the place of this one"
    );
    // On one line as long as it is short.
    assert_eq!(in_words(&rule, false, &now()).len(), 12);
    assert_eq!(in_words(&Rule::default(), true, &now()), ["1 approval from anyone; the requester may not approve"]);
    rule.stage_order = StageOrder::Parallel.into();
    assert!(words(&rule, false).contains("(finance) and 1 approval from group:legal"));
    assert_eq!(outcome_label(Some(&rule), "later"), "Not\\u{7}now (later)");
    assert_eq!(outcome_label(Some(&rule), "other"), "other");
}
