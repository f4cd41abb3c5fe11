//! An event's record: its exact text, and what is read from it.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{
    Value,
    ser::{CharEscape, Formatter},
};

use super::Hash;
use crate::{
    approval::{Approval, ApprovalId, Decision, Event, Labels, Origin, Principal, Priority, Source, Via, Vote},
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
    /// The text of the record's `detail`, where there is one: JSON that is harmless already.
    pub detail: Option<String>,
}

impl Described {
    /// What is of this type and says this.
    ///
    /// # Errors
    /// None that are known.
    pub fn new(kind: &str, detail: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self { kind: kind.to_owned(), detail: Some(harmless(detail)?) })
    }

    /// What is written as an enum's variant: its name is the type, what it holds the detail.
    pub(super) fn variant(written: &impl Serialize) -> serde_json::Result<Self> {
        let text = harmless(written)?;
        let whole = || Self { kind: text.trim_matches('"').to_owned(), detail: None };
        let inner = text.strip_prefix("{\"").and_then(|text| text.strip_suffix('}'));
        let parts = inner.and_then(|inner| inner.split_once("\":"));
        Ok(parts.map_or_else(whole, |(kind, detail)| Self { kind: kind.to_owned(), detail: Some(detail.to_owned()) }))
    }
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
        };
        let mut text = harmless(&line)?;
        // The last field, which is text already.
        if let Some(detail) = &what.detail {
            text.pop();
            text.reserve(detail.len() + 12);
            text.push_str(",\"detail\":");
            text.push_str(detail);
            text.push('}');
        }
        Ok(text)
    }
}

/// JSON on one line, in which nothing does anything to a terminal.
///
/// # Errors
/// Where the value can't be written as JSON.
pub fn harmless(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = Vec::with_capacity(512);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Harmless))?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// The order of the fields is that of the text. `detail` comes after them.
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
}

fn millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// Compact JSON in which no string holds a control character, an end of line or a change of direction as it is.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Almost all text, and looked through many bytes at a time.
        if fragment.is_ascii() && !fragment.as_bytes().contains(&0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
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
    match event {
        Event::Requested { refused_identity } => {
            Described::new("requested", &asked(after, refused_identity.as_deref(), None)?)
        }
        // "refused" is what became of an attempt.
        Event::Refused { reason } => Described::new("invalid", &asked(after, None, Some(reason))?),
        Event::Voted { vote, replaced } => {
            Described::variant(&Told::Voted { vote: vote.into(), replaced: replaced.as_ref().map(Into::into) })
        }
        Event::Withdrawn { vote, comment } => Described::variant(&Told::Withdrawn { vote: vote.into(), comment }),
        Event::Held { by, until, reason } => Described::variant(&Told::Held { by, until: *until, reason }),
        other => Described::variant(other),
    }
}

/// Events that are not told as they are kept: what is absent is left out, and responses are told by their digest.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Told<'a> {
    Voted {
        vote: ToldVote<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        replaced: Option<ToldVote<'a>>,
    },
    Withdrawn {
        vote: ToldVote<'a>,
        comment: &'a str,
    },
    Held {
        by: &'a Principal,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        reason: &'a str,
    },
}

#[derive(Serialize)]
struct ToldVote<'a> {
    voter: &'a Principal,
    decision: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    stages: &'a [usize],
    comment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_sha256: Option<Hash>,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cast_by: Option<&'a Principal>,
}

impl<'a> From<&'a Vote> for ToldVote<'a> {
    fn from(vote: &'a Vote) -> Self {
        // Without `..`: a new field has to find its place here.
        let Vote { voter, decision, outcome, stages, comment, response, at, cast_by } = vote;
        Self {
            voter,
            decision: *decision,
            outcome: outcome.as_deref(),
            stages,
            comment,
            response_sha256: response.as_deref().map(Hash::of),
            at: *at,
            cast_by: cast_by.as_ref(),
        }
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    title: &'a str,
    description_sha256: Hash,
    input_sha256: Hash,
    #[serde(skip_serializing_if = "Option::is_none")]
    requester: Option<&'a Principal>,
    priority: Priority,
    labels: &'a Labels,
    source: ToldSource<'a>,
    rule: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_identity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ToldSource<'a> {
    workflow: &'a str,
    activity_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_machine_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_entered: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

fn asked<'a>(
    approval: &'a Approval,
    refused_identity: Option<&'a str>,
    reason: Option<&'a str>,
) -> serde_json::Result<Asked<'a>> {
    let request = &approval.request;
    let Source { workflow, activity_arn, execution_arn, state_machine_arn, state_name, state_entered, key } =
        &request.source;
    let source = ToldSource {
        workflow,
        activity_arn,
        execution_arn: execution_arn.as_deref(),
        state_machine_arn: state_machine_arn.as_deref(),
        state_name: state_name.as_deref(),
        state_entered: *state_entered,
        key: key.as_deref(),
    };
    Ok(Asked {
        title: &request.title,
        description_sha256: Hash::of(&request.description),
        input_sha256: Hash::of(&approval.input),
        requester: request.requester.as_ref(),
        priority: request.priority,
        labels: &request.labels,
        source,
        // As it is kept, which its version is of; but for what is absent.
        rule: without_nulls(serde_json::to_value(&request.rule)?),
        expires: approval.expires,
        refused_identity,
        reason,
    })
}

fn without_nulls(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let kept = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
}

#[cfg(test)]
mod tests;
