//! The lines of the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// The version of the format.
pub(super) const VERSION: u32 = 1;
/// Before the first event.
pub(super) const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What the last line begins with.
pub(super) const FOOTER: &str = "{\"approve_audit_end\"";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) approve_audit: u32,
    /// The first event's revision.
    pub(super) from: i64,
    /// The hash before it.
    pub(super) previous_hash: String,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    pub(super) approve_audit_end: u32,
    /// The last event's revision; one less than `from` where there is none.
    pub(super) to: i64,
    /// Its hash.
    pub(super) hash: String,
}

/// A line between.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    pub(super) hash: String,
    #[serde(borrow)]
    pub(super) record: &'a RawValue,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) payloads: BTreeMap<String, String>,
}

/// What is read of a record to know its place.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub(super) revision: i64,
}

/// A SHA-256 as 64 hexadecimal digits.
pub(super) fn hex_digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let sum = parts.into_iter().fold(Sha256::new(), |sum, part| sum.chain_update(part)).finalize();
    hex(&sum)
}

/// The hash of an event.
pub(super) fn chained(previous: &str, record: &str) -> String {
    hex_digest([previous, "\n", record])
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let half = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [half(byte >> 4), half(byte & 15)]).collect()
}

/// JSON text in which nothing could be taken for an end of line, a terminal's control or a change of direction: outside
/// of strings JSON has none of these.
pub(super) fn harmless(json: String) -> String {
    let is_harmful = |c: char| {
        matches!(c,
            '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    if !json.contains(is_harmful) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_harmful(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}
