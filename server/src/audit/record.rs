//! An event's record: its exact text, and what is read from it.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{
    Map, Value,
    ser::{CharEscape, Formatter},
};

use super::Hash;
use crate::{
    approval::{Approval, ApprovalId, Event, Origin, Principal, Via},
    store::Revision,
};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject<'a> {
    /// The approval.
    pub approval: Option<&'a ApprovalId>,
    /// The workflow.
    pub workflow: Option<&'a str>,
    /// The version of the rule that the approval is under.
    pub rule: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// An approval and what it is of.
    #[must_use]
    pub fn approval(approval: &'a Approval) -> Self {
        let request = &approval.request;
        Self {
            approval: Some(&approval.id),
            workflow: Some(&request.source.workflow),
            rule: Some(request.rule_version.as_str()).filter(|version| !version.is_empty()),
        }
    }
}

/// An event, to be written.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its place.
    pub revision: Revision,
    /// When.
    pub at: Timestamp,
    /// About what.
    pub subject: Subject<'a>,
    /// Who is behind it.
    pub origin: &'a Origin,
    /// What happened.
    pub what: &'a Described,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The record's `type`.
    pub kind: String,
    /// The record's `detail`; null where there is none.
    pub detail: Value,
}

impl Record<'_> {
    /// Its text. What a terminal, an editor or a line reader could take for more than text is escaped.
    ///
    /// # Errors
    /// None that are known.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let Self { revision, at, subject, origin, what } = *self;
        let Origin { by, on_behalf_of, via, address } = origin;
        let line = Line {
            revision,
            at,
            approval: subject.approval,
            workflow: subject.workflow,
            rule: subject.rule,
            by,
            on_behalf_of: on_behalf_of.as_ref(),
            via: *via,
            address: address.as_deref(),
            kind: &what.kind,
            detail: &what.detail,
        };
        let mut text = Vec::with_capacity(512);
        line.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Harmless))?;
        String::from_utf8(text).map_err(serde::ser::Error::custom)
    }
}

/// The order of the fields is that of the text.
#[derive(Serialize)]
struct Line<'a> {
    revision: Revision,
    #[serde(serialize_with = "millis")]
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<&'a ApprovalId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    by: &'a Principal,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a Principal>,
    via: Via,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    detail: &'a Value,
}

fn millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// Compact JSON in which no string holds a control character, an end of line or a change of direction as it is.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, harmful)) = rest.char_indices().find(|(_, c)| is_harmful(*c)) {
            let (before, from) = rest.split_at(at);
            write!(writer, "{before}\\u{:04x}", u32::from(harmful))?;
            rest = from.strip_prefix(harmful).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

/// DEL and C1 controls, ends of lines beside the usual ones, marks that reorder or hide text. All are in the basic plane.
fn is_harmful(c: char) -> bool {
    matches!(c,
        '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// What is read from a record to find it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordFacts<'a> {
    /// When.
    pub at: Timestamp,
    /// The workflow, where it is of one.
    #[serde(borrow)]
    pub workflow: Option<Cow<'a, str>>,
    /// Who.
    #[serde(borrow)]
    pub by: Cow<'a, str>,
    /// For whom.
    #[serde(borrow)]
    pub on_behalf_of: Option<Cow<'a, str>>,
    /// What.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
}

impl<'a> RecordFacts<'a> {
    /// Those of a record.
    ///
    /// # Errors
    /// Where the text is no record.
    pub fn of(record: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(record)
    }
}

/// What an event of an approval says: its own words, with payloads by their digest. The first one says all that people
/// are asked with as well. `after`: the approval after it.
///
/// # Errors
/// None that are known.
pub fn describe(event: &Event, after: &Approval) -> serde_json::Result<Described> {
    let (kind, mut detail) = match serde_json::to_value(event)? {
        Value::Object(variant) => match variant.into_iter().next() {
            Some((kind, detail)) => (kind, by_digest(detail)),
            None => (String::new(), Value::Null),
        },
        Value::String(kind) => (kind, Value::Null),
        other => (String::new(), other),
    };
    match event {
        Event::Requested { .. } => {
            detail = asked(after, detail)?;
            Ok(Described { kind, detail })
        }
        // "refused" is what became of an attempt.
        Event::Refused { .. } => Ok(Described { kind: "invalid".to_owned(), detail: asked(after, detail)? }),
        _ => Ok(Described { kind, detail }),
    }
}

fn asked(approval: &Approval, detail: Value) -> serde_json::Result<Value> {
    let request = &approval.request;
    let mut asked = Map::new();
    asked.insert("title".to_owned(), request.title.clone().into());
    asked.insert("description_sha256".to_owned(), Hash::of(&request.description).to_string().into());
    asked.insert("input_sha256".to_owned(), Hash::of(&approval.input).to_string().into());
    asked.insert("requester".to_owned(), serde_json::to_value(&request.requester)?);
    asked.insert("priority".to_owned(), serde_json::to_value(request.priority)?);
    asked.insert("labels".to_owned(), serde_json::to_value(&request.labels)?);
    asked.insert("source".to_owned(), serde_json::to_value(&request.source)?);
    asked.insert("rule".to_owned(), serde_json::to_value(&request.rule)?);
    asked.insert("expires".to_owned(), serde_json::to_value(approval.expires)?);
    if let Value::Object(own) = detail {
        asked.extend(own);
    }
    Ok(without_nulls(Value::Object(asked)))
}

/// A vote's response is in it by its digest.
fn by_digest(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let digested = members.into_iter().filter_map(|(key, value)| match (key.as_str(), value) {
        (_, Value::Null) => None,
        ("response", Value::String(text)) => {
            Some(("response_sha256".to_owned(), Value::String(Hash::of(&text).to_string())))
        }
        (_, value) => Some((key, by_digest(value))),
    });
    Value::Object(digested.collect())
}

fn without_nulls(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let kept = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
}
