use jiff::tz::TimeZone;
use ratatui::{Terminal, backend::TestBackend};

use super::{
    super::state::tests::{approval, live, press},
    *,
};

fn now() -> Now {
    Now { at: jiff::Timestamp::from_second(0).unwrap(), zone: TimeZone::UTC }
}

/// The lines of a screen, without what trails them.
fn screen(live: &mut Live) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(100, 14)).unwrap();
    terminal.draw(|frame| draw(frame, live, &now(), true)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |y| (0..100).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..14).map(line).collect()
}

#[test]
fn the_table_shows_what_ends_when_and_what_is_selected() {
    let mut live = live(&[approval("b", Some(3_900)), approval("a", Some(72)), approval("c", None)]);
    press(&mut live, "↓↓");
    let lines = screen(&mut live);
    assert_eq!(lines[0], "3 pending  http://127.0.0.1:50051  live");
    assert!(lines[1].starts_with("   EXPIRES   TITLE"), "{}", lines[1]);
    assert!(lines[2].starts_with("   1m 12s    Pay a"), "{}", lines[2]);
    assert!(lines[3].starts_with(">  1h 5m     Pay b"), "{}", lines[3]);
    assert!(lines[4].starts_with("   never     Pay c"), "{}", lines[4]);
    assert!(lines[13].contains("Enter facts  a approve  r reject  / filter  q quit"), "{}", lines[13]);
}

#[test]
fn a_question_names_what_it_is_about() {
    let mut live = live(&[approval("a", Some(72))]);
    press(&mut live, "↓rno");
    let page = screen(&mut live).join("\n");
    assert!(page.contains(" Reject? ") && page.contains("Pay a") && page.contains("comment: no_"), "{page}");
    assert!(!page.contains("It changed meanwhile"));
    let changed = Approval { etag: "2".into(), ..approval("a", Some(72)) };
    live.event(approve_client::WatchEvent::Upserted(Box::new(changed)), now().at);
    let page = screen(&mut live).join("\n");
    assert!(page.contains("It changed meanwhile"), "{page}");
}

#[test]
fn the_facts_can_be_read_to_their_end() {
    let input_json = format!("[{}\"last\"]", "\"line\",".repeat(40));
    let mut live = live(&[Approval { input_json, ..approval("a", Some(72)) }]);
    press(&mut live, "↓\n");
    let page = screen(&mut live).join("\n");
    assert!(page.contains("Pay a") && page.contains("asked by") && !page.contains("last"), "{page}");
    press(&mut live, &"↓".repeat(45));
    let page = screen(&mut live).join("\n");
    assert!(page.contains("last"), "{page}");
    press(&mut live, "\x1b");
    assert!(screen(&mut live)[1].contains("EXPIRES"));
}

#[test]
fn nothing_hostile_reaches_the_screen() {
    let hostile = Approval { title: "Pay\x1b[2J \u{202e}me".into(), ..approval("a", None) };
    let mut live = live(&[hostile]);
    live.event(
        approve_client::WatchEvent::Disconnected {
            cause: std::sync::Arc::new(approve_client::Error::Protocol { missing: "x" }),
            retry_in: std::time::Duration::ZERO,
        },
        now().at,
    );
    let page = screen(&mut live).join("\n");
    assert!(page.contains("Pay\\u{1b}[2J \\u{202e}me") && page.contains("reconnecting: "), "{page}");
    assert!(!page.contains(['\x1b', '\u{202e}']));
}

#[test]
fn a_very_small_terminal_is_none_to_fail_on() {
    let mut live = live(&[approval("a", Some(72)), approval("b", None)]);
    press(&mut live, "↓a");
    for (width, height) in [(1, 1), (3, 2), (20, 3), (10, 40)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &mut live, &now(), false)).unwrap();
    }
}
