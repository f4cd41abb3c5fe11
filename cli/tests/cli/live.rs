//! `watch` on a terminal.

use approve_proto::v1::Decision;
use rustix::process::Signal;

use crate::common::{Running, Session};

/// What takes over a terminal, and what gives it back.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

#[test]
fn it_shows_a_table_and_decides_after_a_question() {
    let server = Running::start();
    let mut session = Session::start(&server, &["watch"]);
    session.until(ENTER);
    // The first of them ends at once in the fake: the second is left.
    let page = session.shows("1 pending");
    assert!(page.contains("Pay\\u{1b}[2J") && !page.contains("4711"), "{page}");
    assert!(!session.is_cooked());
    session.answer("j");
    session.shows(">  never");
    session.answer("\r");
    session.shows("\"amount\": 1200.50");
    session.answer("a");
    session.shows("Approve?");
    session.answer("fine");
    session.shows("comment: fine_");
    assert!(server.fake.decisions.lock().unwrap().is_empty(), "it waits for a yes");
    session.answer("\r");
    session.shows("DELIVERED");
    session.answer("q");
    session.until(LEAVE);
    let cooked = session.is_cooked();
    let (code, rest) = session.end();
    assert!(code == Some(0) && cooked, "{rest}");
    let decisions = server.fake.decisions.lock().unwrap();
    assert_eq!(decisions.len(), 1);
    assert_eq!((decisions[0].decision(), decisions[0].comment.as_str()), (Decision::Approve, "fine"));
    assert_eq!(decisions[0].etag, "etag-two");
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let server = Running::start();
    for (signal, keys) in [(Some(Signal::TERM), ""), (Some(Signal::HUP), ""), (Some(Signal::INT), ""), (None, "\u{3}")]
    {
        let mut session = Session::start(&server, &["watch", "--mine"]);
        session.until(ENTER);
        session.shows("pending  http://127.0.0.1");
        session.shows("  live");
        if let Some(signal) = signal {
            session.signal(signal);
        }
        session.answer(keys);
        session.until(LEAVE);
        let cooked = session.is_cooked();
        let (code, rest) = session.end();
        assert!(code == Some(130) && cooked, "{signal:?}: {code:?} {rest}");
    }
}

#[test]
fn what_fails_at_once_is_told_on_a_terminal_as_it_was() {
    let server = Running::start();
    let mut command = server.command(&["watch", "--timeout", "1s"]);
    command.env("APPROVE_SERVER", "http://127.0.0.1:1");
    let (code, said) = Session::spawn(command).end();
    assert!(code == Some(7) && said.starts_with("error: ") && !said.contains(ENTER), "{said}");
}

#[test]
fn it_ends_with_its_terminal() {
    let server = Running::start();
    let mut session = Session::start(&server, &["watch"]);
    session.until(ENTER);
    session.shows("  live");
    let status = session.close();
    assert!(status.code().is_some(), "{status}");
}

#[test]
fn lines_are_to_be_had_on_a_terminal_too() {
    let server = Running::start();
    for (args, term, said) in [
        (&["watch", "--lines"][..], "xterm", "APPROVED"),
        (&["watch", "-o", "json"], "xterm", "\"status\":\"approved\""),
        (&["watch"], "dumb", "APPROVED"),
    ] {
        let mut session = Session::spawn_on(server.command(args), term);
        let before = session.until(said);
        assert!(!before.contains(ENTER), "{before}");
        session.signal(Signal::INT);
        assert_eq!(session.end().0, Some(130));
    }
}
