//! Whatever is done to an exported record is found, and the event is named.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::value::RawValue;

use super::{
    Anchor, Options, Report, VerifyError,
    line::{Footer, Header, Line, VERSION, ZERO, chained, harmless, hex_digest},
    verify,
};

/// One event of a record.
#[derive(Clone, Debug)]
struct Event {
    record: String,
    hash: String,
    payloads: BTreeMap<String, String>,
}

impl Event {
    fn line(&self) -> String {
        let record: &RawValue = serde_json::from_str(&self.record).unwrap();
        let line = Line { hash: self.hash.clone(), record, payloads: self.payloads.clone() };
        harmless(serde_json::to_string(&line).unwrap())
    }
}

/// An event's record, with a payload beside it.
fn record(revision: i64, comment: &str, payload: &str) -> (String, BTreeMap<String, String>) {
    let digest = hex_digest([payload]);
    let comment = serde_json::to_string(comment).unwrap();
    let detail = format!(r#"{{"comment":{comment},"amount":1200.50,"response_sha256":"{digest}"}}"#);
    let record = format!(r#"{{"revision":{revision},"type":"voted", "detail":{}}}"#, harmless(detail));
    (record, BTreeMap::from([(digest, payload.to_owned())]))
}

fn chain(texts: &[(String, String)]) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for (revision, (comment, payload)) in (1..).zip(texts) {
        let (record, payloads) = record(revision, comment, payload);
        let previous = events.last().map_or(ZERO, |event| &event.hash);
        events.push(Event { hash: chained(previous, &record), record, payloads });
    }
    events
}

/// The lines of a whole record's export, from an event on.
fn export(events: &[Event], from: usize) -> Vec<String> {
    let hash = |count: usize| count.checked_sub(1).map_or(ZERO, |last| &events[last].hash).to_owned();
    let revision = |count: usize| i64::try_from(count).unwrap();
    let header = Header { approve_audit: VERSION, from: revision(from) + 1, previous_hash: hash(from) };
    let footer = Footer { approve_audit_end: VERSION, to: revision(events.len()), hash: hash(events.len()) };
    let header = serde_json::to_string(&header).unwrap();
    let footer = serde_json::to_string(&footer).unwrap();
    std::iter::once(header).chain(events[from..].iter().map(Event::line)).chain([footer]).collect()
}

fn check(lines: &[String], anchors: &[Anchor]) -> Result<Report, VerifyError> {
    let text = lines.join("\n") + "\n";
    verify(text.as_bytes(), &Options { anchors: anchors.to_vec(), public_keys: Vec::new() })
}

fn anchor(events: &[Event], revision: usize) -> Anchor {
    Anchor {
        revision: i64::try_from(revision).unwrap(),
        hash: revision.checked_sub(1).map_or(ZERO, |last| &events[last].hash).to_owned(),
        create_time: prost_types::Timestamp::default(),
        signature: String::new(),
        key_id: String::new(),
    }
}

/// At least this many events, with texts that try to be more than text.
fn texts(least: usize) -> impl Strategy<Value = Vec<(String, String)>> {
    let text = prop_oneof![
        ".{0,20}",
        Just("line\nbreak\r\n\u{2028}\u{85}".to_owned()),
        Just("\u{1b}[2J\u{9b}31m".to_owned()),
        Just("\"},\"hash\":\"0\"}\n{\"revision\":99}".to_owned()),
        Just("{\"approve_audit_end\":1}".to_owned()),
    ];
    vec((text.clone(), text), least..12)
}

/// What is wrong, as the revision that is named.
fn named(lines: &[String], anchors: &[Anchor]) -> i64 {
    let error = check(lines, anchors).expect_err("nothing was found");
    error.revision().unwrap_or_else(|| panic!("no event is named: {error}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_not_touched_is_whole(texts in texts(0), from: Index, at: Index) {
        let events = chain(&texts);
        let from = from.index(events.len() + 1);
        let at = at.index(events.len() + 1);
        let report = check(&export(&events, from), &[anchor(&events, at)]).unwrap();
        let payloads = events.len() - from;
        prop_assert_eq!((report.events, report.payloads), (payloads as u64, payloads as u64));
        prop_assert_eq!((report.anchors, report.anchors_before), (u64::from(at >= from), u64::from(at < from)));
        prop_assert_eq!(report.last, i64::try_from(events.len()).unwrap());
    }

    #[test]
    fn a_line_of_an_event_is_one_line(texts in texts(1)) {
        for event in chain(&texts) {
            let line = event.line();
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
            prop_assert!(!line.contains(['\u{2028}', '\u{2029}', '\u{202e}']), "{:?}", line);
        }
    }

    /// Any byte of a record or a hash.
    #[test]
    fn a_byte_that_was_changed_is_found(texts in texts(1), which: Index, byte: Index, to: u8) {
        let events = chain(&texts);
        let place = which.index(events.len());
        let mut lines = export(&events, 0);
        let mut bytes = lines[place + 1].clone().into_bytes();
        let record_ends = bytes.windows(12).rposition(|part| part == b",\"payloads\":").unwrap_or(bytes.len());
        let at = byte.index(record_ends);
        prop_assume!(bytes[at] != to && to != b'\n');
        bytes[at] = to;
        let changed = String::from_utf8_lossy(&bytes).into_owned();
        // What the verifier reads is the same: it is not a change of the record.
        let same = |line: &str| {
            serde_json::from_str::<Line<'_>>(line).is_ok_and(|line| {
                line.record.get() == events[place].record
                    && line.hash == events[place].hash
                    && line.payloads == events[place].payloads
            })
        };
        prop_assume!(!same(&changed));
        lines[place + 1] = changed;
        prop_assert_eq!(named(&lines, &[]), i64::try_from(place).unwrap() + 1);
    }

    #[test]
    fn a_payload_that_was_changed_is_found(texts in texts(1), which: Index, payload in ".{0,9}") {
        let mut events = chain(&texts);
        let place = which.index(events.len());
        let is_same = events[place].payloads.values().any(|text| *text == payload);
        prop_assume!(!is_same);
        let digest = events[place].payloads.keys().next().unwrap().clone();
        events[place].payloads.insert(digest, payload.clone());
        let error = check(&export(&events, 0), &[]).unwrap_err();
        prop_assert!(matches!(error, VerifyError::Payload { .. }), "{}", error);
        prop_assert_eq!(error.revision(), Some(i64::try_from(place).unwrap() + 1));
        // Nor can one be put beside an event that names no such one.
        events[place].payloads = BTreeMap::from([(hex_digest([payload.as_str()]), payload)]);
        prop_assert_eq!(named(&export(&events, 0), &[]), i64::try_from(place).unwrap() + 1);
        // But it may be left out.
        events[place].payloads.clear();
        check(&export(&events, 0), &[]).unwrap();
    }

    #[test]
    fn events_that_were_removed_are_found(texts in texts(2), which: Index, count: Index) {
        let events = chain(&texts);
        let place = which.index(events.len());
        let count = count.index(events.len() - place) + 1;
        let mut lines = export(&events, 0);
        lines.drain(place + 1..place + 1 + count);
        let error = check(&lines, &[]).unwrap_err();
        let (first, last) = (place + 1, place + count);
        let (first, last) = (i64::try_from(first).unwrap(), i64::try_from(last).unwrap());
        prop_assert!(
            matches!(error, VerifyError::Removed { first: f, last: l, .. } if (f, l) == (first, last)),
            "{} where {} to {} are missing", error, first, last
        );
    }

    #[test]
    fn events_that_were_moved_are_found(texts in texts(2), one: Index, other: Index) {
        let events = chain(&texts);
        let (one, other) = (one.index(events.len()), other.index(events.len()));
        prop_assume!(one != other);
        let mut lines = export(&events, 0);
        lines.swap(one + 1, other + 1);
        let error = check(&lines, &[]).unwrap_err();
        let first = i64::try_from(one.min(other)).unwrap() + 1;
        prop_assert!(matches!(error, VerifyError::Moved { revision, .. } if revision == first), "{} for {}", error, first);
    }

    #[test]
    fn an_event_that_is_there_twice_is_found(texts in texts(1), which: Index, to: Index) {
        let events = chain(&texts);
        let (place, to) = (which.index(events.len()), to.index(events.len() + 1));
        let mut lines = export(&events, 0);
        let copy = lines[place + 1].clone();
        lines.insert(to + 1, copy);
        let error = check(&lines, &[]).unwrap_err();
        let revision = i64::try_from(place).unwrap() + 1;
        if to > place {
            prop_assert!(matches!(error, VerifyError::Inserted { revision: r, .. } if r == revision), "{}", error);
        } else {
            // Too early: what is due in its place comes later.
            prop_assert_eq!(error.revision(), Some(if to == place { revision } else { i64::try_from(to).unwrap() + 1 }));
        }
    }

    /// The hash of the inserted event is right, those behind it are not.
    #[test]
    fn an_event_that_was_forged_is_found(texts in texts(1), at: Index) {
        let events = chain(&texts);
        let place = at.index(events.len());
        let revision = i64::try_from(place).unwrap() + 1;
        let previous = place.checked_sub(1).map_or(ZERO, |last| &events[last].hash);
        let (record, payloads) = record(revision, "forged", "{}");
        let forged = Event { hash: chained(previous, &record), record, payloads };
        let mut inserted = export(&events, 0);
        inserted.insert(place + 1, forged.line());
        prop_assert_eq!(named(&inserted, &[]), revision);
        // In the place of the true one: the next one does not follow from it.
        let mut replaced = export(&events, 0);
        replaced[place + 1] = forged.line();
        let found = check(&replaced, &[]).unwrap_err();
        if place + 1 == events.len() {
            prop_assert!(matches!(found, VerifyError::CutShort { .. }), "{}", found);
        } else {
            prop_assert!(matches!(found, VerifyError::Changed { revision: r, .. } if r == revision + 1), "{}", found);
            prop_assert!(found.to_string().contains("or the one before it was rewritten"));
        }
    }

    #[test]
    fn a_file_that_was_cut_is_found(texts in texts(0), at: Index) {
        let events = chain(&texts);
        let lines = export(&events, 0);
        let left = at.index(lines.len());
        let error = check(&lines[..left], &[]).unwrap_err();
        if left == 0 {
            prop_assert!(matches!(error, VerifyError::NotAnExport { .. }), "{}", error);
        } else {
            let last = i64::try_from(left).unwrap() - 1;
            prop_assert!(matches!(error, VerifyError::CutShort { last: l } if l == last), "{}", error);
        }
    }

    /// The record was cut before it was exported: the file is whole, the anchor is not in it.
    #[test]
    fn a_record_that_was_cut_is_found_by_an_anchor(texts in texts(1), at: Index, anchored: Index) {
        let events = chain(&texts);
        let left = at.index(events.len());
        let anchored = left + 1 + anchored.index(events.len() - left);
        let cut = export(&events[..left], 0);
        check(&cut, &[]).unwrap();
        let error = check(&cut, &[anchor(&events, left), anchor(&events, anchored)]).unwrap_err();
        prop_assert!(matches!(error, VerifyError::Truncated { .. }), "{}", error);
        prop_assert_eq!(error.revision(), Some(i64::try_from(left).unwrap() + 1));
    }

    /// The record was rewritten from an event on, with all hashes.
    #[test]
    fn a_record_that_was_rewritten_is_found_by_an_anchor(texts in texts(1), at: Index, anchored: Index) {
        let events = chain(&texts);
        let place = at.index(events.len());
        let mut other = texts.clone();
        other[place].0.push_str("forged");
        let rewritten = export(&chain(&other), 0);
        check(&rewritten, &[]).unwrap();
        let anchored = place + 1 + anchored.index(events.len() - place);
        let error = check(&rewritten, &[anchor(&events, anchored), anchor(&events, place)]).unwrap_err();
        let (anchored, place) = (i64::try_from(anchored).unwrap(), i64::try_from(place).unwrap());
        prop_assert!(
            matches!(error, VerifyError::Forked { anchor, agrees } if (anchor, agrees) == (anchored, Some(place))),
            "{}", error
        );
    }
}

#[test]
fn what_is_no_export_says_so() {
    let header = |text: &str| check(&[text.to_owned()], &[]).unwrap_err().to_string();
    assert!(header("").contains("line 1"));
    assert!(header("{}").contains("approve_audit"));
    let other = format!(r#"{{"approve_audit":2,"from":1,"previous_hash":"{ZERO}"}}"#);
    assert!(header(&other).contains("version 2"));
    let forged = format!(r#"{{"approve_audit":1,"from":1,"previous_hash":"{}"}}"#, hex_digest([""]));
    assert!(header(&forged).contains("does not begin"));
    let events = chain(&[("a".to_owned(), "b".to_owned())]);
    let mut lines = export(&events, 0);
    lines.push(lines[1].clone());
    assert!(matches!(check(&lines, &[]).unwrap_err(), VerifyError::CutShort { last: 1 }));
}

#[test]
fn an_anchor_has_to_be_signed_once_there_is_a_key() {
    let events = chain(&[("a".to_owned(), "b".to_owned())]);
    let text = export(&events, 0).join("\n");
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----";
    let options =
        Options { anchors: vec![anchor(&events, 1)], public_keys: vec![super::PublicKey::from_pem(pem).unwrap()] };
    let error = verify(text.as_bytes(), &options).unwrap_err();
    assert!(matches!(error, VerifyError::BadAnchor { revision: 1 }), "{error}");
}
