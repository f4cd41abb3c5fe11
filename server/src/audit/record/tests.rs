//! What is told of an event is what is kept of it: without what is absent, with payloads by their digest.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, to_value};

use super::*;
use crate::approval::{
    apply,
    arbitrary::{commands, new_approval, requests, seconds},
};

/// What is told, by way of a tree of values.
fn model(event: &Event, after: &Approval) -> (String, Option<String>) {
    let (kind, detail) = match to_value(event).unwrap() {
        Value::Object(variant) => variant.into_iter().next().unwrap(),
        Value::String(kind) => return (kind, None),
        other => panic!("{other}"),
    };
    let own = told(detail);
    let (kind, detail) = match event {
        Event::Requested { .. } => (kind, asked_model(after, own)),
        Event::Refused { .. } => ("invalid".to_owned(), asked_model(after, own)),
        _ => (kind, own),
    };
    (kind, Some(harmless(&detail).unwrap()))
}

fn asked_model(approval: &Approval, own: Value) -> Value {
    let request = &approval.request;
    let mut asked = Map::new();
    asked.insert("title".to_owned(), request.title.clone().into());
    asked.insert("description_sha256".to_owned(), Hash::of(&request.description).to_string().into());
    asked.insert("input_sha256".to_owned(), Hash::of(&approval.input).to_string().into());
    asked.insert("requester".to_owned(), to_value(&request.requester).unwrap());
    asked.insert("priority".to_owned(), to_value(request.priority).unwrap());
    asked.insert("labels".to_owned(), to_value(&request.labels).unwrap());
    asked.insert("source".to_owned(), to_value(&request.source).unwrap());
    asked.insert("rule".to_owned(), to_value(&request.rule).unwrap());
    asked.insert("expires".to_owned(), to_value(approval.expires).unwrap());
    if let Value::Object(own) = own {
        asked.extend(own);
    }
    without_nulls(Value::Object(asked))
}

fn told(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let told = members.into_iter().filter_map(|(key, value)| match (key.as_str(), value) {
        (_, Value::Null) => None,
        ("response", Value::String(text)) => Some(("response_sha256".to_owned(), Hash::of(&text).to_string().into())),
        (_, value) => Some((key, told(value))),
    });
    Value::Object(told.collect())
}

proptest! {
    #[test]
    fn what_is_told_is_what_is_kept(
        request in requests(),
        first in option::of("\\PC{0,20}"),
        invalid: bool,
        commands in vec(commands(), 0..12),
    ) {
        let mut approval = new_approval(request, "{\"amount\": 1200.50}");
        let reason = first.clone().unwrap_or_default();
        let event = if invalid { Event::Refused { reason } } else { Event::Requested { refused_identity: first } };
        let mut told = vec![(event, approval.clone())];
        for (at, command) in (1..).zip(commands) {
            if let Ok(next) = apply(&approval, &command, seconds(at)) {
                approval = next.approval;
                told.extend(next.events.into_iter().map(|event| (event, approval.clone())));
            }
        }
        for (event, after) in told {
            let Described { kind, detail } = describe(&event, &after).unwrap();
            prop_assert_eq!((kind, detail), model(&event, &after));
        }
    }

    #[test]
    fn nothing_harmful_is_written_as_it_is(said in "\\PC*[\\x00-\\x7f\u{80}-\u{9f}\u{200b}-\u{202e}\u{2060}\u{feff}]*\\PC*") {
        let written = harmless(&said).unwrap();
        prop_assert!(!written.chars().any(|c| is_harmful(c) || c.is_control()), "{:?}", written);
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), said);
    }
}
