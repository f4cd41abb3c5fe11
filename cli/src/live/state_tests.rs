use approve_client::{
    prost_types,
    proto::{CommentPolicy, Rule},
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    super::{keys::Wish, terminal::Press},
    *,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(in crate::live) fn approval(id: &str, deadline: Option<i64>) -> Approval {
    Approval {
        id: id.into(),
        title: format!("Pay {id}"),
        etag: "1".into(),
        workflow: "invoices".into(),
        requester: "user:bo".into(),
        status: ApprovalStatus::Pending.into(),
        expire_time: deadline.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
        ..Approval::default()
    }
}

fn upserted(approval: Approval) -> WatchEvent {
    WatchEvent::Upserted(Box::new(approval))
}

fn removed(id: &str, status: ApprovalStatus) -> WatchEvent {
    WatchEvent::Removed { id: id.into(), status, revision: 2 }
}

/// A snapshot of these, by deadline.
pub(in crate::live) fn live(approvals: &[Approval]) -> Live {
    let mut live = Live::new("http://127.0.0.1:50051".into());
    for approval in approvals {
        live.event(upserted(approval.clone()), at(0));
    }
    live.event(WatchEvent::Synced { revision: 1 }, at(0));
    live
}

pub(in crate::live) fn press(live: &mut Live, keys: &str) -> Option<Wish> {
    let mut wish = None;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            '⌫' => KeyCode::Backspace,
            c => KeyCode::Char(c),
        };
        wish = live.key(Press::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    wish
}

fn three() -> Live {
    live(&[approval("c", None), approval("b", Some(900)), approval("a", Some(100))])
}

#[test]
fn what_ends_first_is_first_and_what_never_ends_is_last() {
    assert_eq!(three().order(), ["a", "b", "c"]);
}

#[test]
fn the_selection_stays_with_its_approval_whatever_comes_above_it() {
    let mut live = three();
    press(&mut live, "↓↓");
    assert_eq!(live.selected.as_deref(), Some("b"));
    live.event(upserted(approval("urgent", Some(50))), at(10));
    assert_eq!(live.order()[0], "urgent");
    assert_eq!(live.selected.as_deref(), Some("b"));
    press(&mut live, "a");
    assert!(matches!(&live.mode, Mode::Confirm(confirm) if confirm.id == "b"));
}

#[test]
fn what_has_gone_selects_nothing_in_its_place() {
    let mut live = three();
    press(&mut live, "↓↓");
    live.event(removed("b", ApprovalStatus::Approved), at(10));
    assert_eq!(live.selected, None);
    assert_eq!(live.message.as_ref().unwrap().text, "\"Pay b\" is APPROVED");
    assert_eq!(press(&mut live, "a"), None);
    assert_eq!(live.mode, Mode::Table);
    press(&mut live, "↓");
    assert_eq!(live.selected.as_deref(), Some("c"), "it goes on from where it was");
}

#[test]
fn a_decision_takes_a_confirmation_and_is_about_what_was_seen() {
    let mut live = three();
    assert_eq!(press(&mut live, "↓r"), None);
    let wish = press(&mut live, "too q much⌫\n");
    let Some(Wish::Decide { decide, title }) = wish else { panic!("{wish:?}") };
    let request = approve_client::proto::DecideRequest::from(*decide);
    assert_eq!((title.as_str(), request.approval_id.as_str(), request.etag.as_str()), ("Pay a", "a", "1"));
    assert_eq!((request.decision(), request.comment.as_str()), (Decision::Reject, "too q muc"));
    assert_eq!(live.mode, Mode::Table);
    press(&mut live, "a");
    assert_eq!(press(&mut live, "\x1b"), None);
    assert_eq!(live.message.as_ref().unwrap().text, "nothing was decided");
}

#[test]
fn what_changes_while_it_is_asked_about_is_not_decided() {
    let mut live = three();
    press(&mut live, "↓a");
    live.event(upserted(Approval { etag: "2".into(), ..approval("a", Some(100)) }), at(1));
    assert_eq!(press(&mut live, "\n"), None);
    assert!(matches!(&live.mode, Mode::Confirm(confirm) if confirm.changed));
    press(&mut live, "\x1ba");
    assert!(matches!(press(&mut live, "\n"), Some(Wish::Decide { .. })), "it was looked at again");
    press(&mut live, "a");
    live.event(removed("a", ApprovalStatus::Expired), at(2));
    assert_eq!((press(&mut live, "\n"), &live.mode), (None, &Mode::Table));
}

#[test]
fn a_comment_that_is_needed_is_waited_for() {
    let comment_policy = CommentPolicy::OnReject.into();
    let rule = Some(Rule { comment_policy, ..Rule::default() });
    let mut live = live(&[Approval { rule, ..approval("a", None) }]);
    press(&mut live, "↓r");
    assert_eq!(press(&mut live, " \n"), None);
    assert!(matches!(press(&mut live, "no\n"), Some(Wish::Decide { .. })));
    press(&mut live, "a");
    assert!(matches!(press(&mut live, "\n"), Some(Wish::Decide { .. })));
}

#[test]
fn what_asks_for_a_response_is_not_approved_here() {
    let rule = Some(Rule { response_schema_json: "{}".into(), ..Rule::default() });
    let mut live = live(&[Approval { rule, ..approval("a", None) }]);
    press(&mut live, "↓a");
    assert_eq!(live.mode, Mode::Table);
    assert!(live.message.as_ref().unwrap().text.contains("approve-cli decide a"));
}

#[test]
fn a_filter_hides_what_does_not_match_and_selects_nothing_hidden() {
    let mut live = three();
    press(&mut live, "↓/PAY B");
    assert_eq!(live.order(), ["b"]);
    assert_eq!(live.selected, None);
    press(&mut live, "⌫\n");
    assert_eq!(live.order().len(), 3);
    assert_eq!(live.mode, Mode::Table);
    press(&mut live, "/nothing\x1b");
    assert_eq!((live.order().len(), live.filter.as_str()), (3, ""));
    assert_eq!(press(&mut live, "q"), Some(Wish::Quit));
}

#[test]
fn only_what_comes_after_the_snapshot_is_marked_and_not_for_ever() {
    let mut live = three();
    live.event(upserted(approval("d", None)), at(100));
    live.event(upserted(Approval { etag: "2".into(), ..approval("a", None) }), at(100));
    assert_eq!(live.mark("b", at(100)), Mark::None);
    assert!(matches!(live.mark("d", at(129)), Mark::New(_)) && matches!(live.mark("a", at(129)), Mark::Changed(_)));
    assert_eq!((live.mark("d", at(130)), live.mark("a", at(130))), (Mark::None, Mark::None));
}

#[test]
fn after_a_reset_what_is_not_told_again_goes_and_nothing_else_is_new() {
    let mut live = three();
    live.event(WatchEvent::Reset, at(5));
    live.event(upserted(approval("a", Some(100))), at(5));
    live.event(upserted(approval("c", None)), at(5));
    assert_eq!(live.len(), 3, "until it is all told the old is better than nothing");
    live.event(WatchEvent::Synced { revision: 3 }, at(5));
    assert_eq!(live.order(), ["a", "c"]);
    assert_eq!(live.mark("a", at(5)), Mark::None);
}

#[test]
fn the_selected_row_is_always_among_those_that_are_shown() {
    let all: Vec<_> = (0..50).map(|n| approval(&format!("{n:02}"), Some(1000 + n))).collect();
    let mut live = live(&all);
    for (keys, first) in [("↓↓↓", "00"), ("↓↓↓↓↓↓↓↓↓↓↓", "04"), ("↑↑↑↑↑↑↑↑↑↑↑↑", "01")]
    {
        press(&mut live, keys);
        let (shown, matching) = live.window(10);
        assert_eq!((shown.len(), matching, shown[0].as_str()), (10, 50, first));
        assert!(shown.contains(live.selected.as_ref().unwrap()));
    }
    live.move_by(isize::MAX);
    assert_eq!(live.window(10).0.last().map(String::as_str), Some("49"));
}
