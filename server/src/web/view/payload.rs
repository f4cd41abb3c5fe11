//! A payload as fields that people can read. Values keep their exact text: no number passes through a double, no date is
//! written anew, a name that stands twice is shown twice.

use askama::Template;
use serde_json::value::RawValue;

use super::{brief, visible};
use crate::approval::Members;

/// The most values that are shown as fields. What is beyond is in the exact text.
const MAX_VALUES: usize = 1_000;
/// How deep they are looked into; below that they are text.
const MAX_DEPTH: usize = 8;
/// Texts that are longer are folded.
const LONG: usize = 400;

/// Fields, one below the other.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "fields.html")]
pub(crate) struct Fields {
    pub(crate) entries: Vec<Entry>,
    /// How many there are beyond those.
    pub(crate) more: usize,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) label: String,
    pub(crate) value: Shown,
}

/// A value, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Text(String),
    /// Begins so, and goes on for long.
    Long {
        start: String,
        text: String,
    },
    Number(String),
    /// "yes", "no", or that there is nothing.
    Word(&'static str),
    /// A piece of JSON that is not looked into.
    Json(String),
    /// Fields of its own, folded.
    Nested {
        summary: String,
        fields: Fields,
    },
}

/// The fields of a JSON text. Text that is none is shown as it is.
pub(crate) fn payload(json: &str) -> Fields {
    let mut left = MAX_VALUES;
    match shown(json, MAX_DEPTH, &mut left) {
        Shown::Nested { fields, .. } => fields,
        value => Fields { entries: vec![Entry { label: "Value".to_owned(), value }], more: 0 },
    }
}

/// Some of the fields on one line, for a list.
pub(crate) fn glance(json: &str, chars: usize) -> String {
    brief(&preview(&payload(json)), chars)
}

fn preview(fields: &Fields) -> String {
    let one = |entry: &Entry| {
        let value = match &entry.value {
            Shown::Text(text) | Shown::Number(text) => brief(text, 40),
            Shown::Word(word) => (*word).to_owned(),
            Shown::Long { .. } | Shown::Json(_) | Shown::Nested { .. } => return None,
        };
        Some(format!("{}: {value}", entry.label))
    };
    fields.entries.iter().filter_map(one).take(4).collect::<Vec<_>>().join(" \u{b7} ")
}

fn shown(json: &str, depth: usize, left: &mut usize) -> Shown {
    let json = json.trim();
    *left = left.saturating_sub(1);
    let Some(deeper) = depth.checked_sub(1) else { return Shown::Json(visible(json)) };
    match json.as_bytes().first() {
        Some(b'{') => match serde_json::from_str::<Members<'_>>(json) {
            Ok(Members(members)) => {
                let all: Vec<_> = members.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                let labels = labels(&all);
                nested(labels.into_iter().zip(all.into_iter().map(|(_, value)| value)), "field", "fields", deeper, left)
            }
            Err(_) => Shown::Json(visible(json)),
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(items) => {
                let numbered = items.into_iter().enumerate().map(|(at, item)| ((at + 1).to_string(), item));
                nested(numbered, "entry", "entries", deeper, left)
            }
            Err(_) => Shown::Json(visible(json)),
        },
        Some(b'"') => match serde_json::from_str::<String>(json) {
            Ok(text) if text.is_empty() => Shown::Word("(empty)"),
            Ok(text) if text.chars().count() > LONG => Shown::Long { start: brief(&text, 120), text: visible(&text) },
            Ok(text) => Shown::Text(visible(&text)),
            Err(_) => Shown::Json(visible(json)),
        },
        _ => match json {
            "true" => Shown::Word("yes"),
            "false" => Shown::Word("no"),
            "null" => Shown::Word("(nothing)"),
            number => Shown::Number(visible(number)),
        },
    }
}

fn nested<'a>(
    all: impl ExactSizeIterator<Item = (String, &'a RawValue)>,
    one: &str,
    many: &str,
    depth: usize,
    left: &mut usize,
) -> Shown {
    let count = all.len();
    let mut entries = Vec::new();
    for (label, value) in all {
        if *left == 0 {
            break;
        }
        entries.push(Entry { label, value: shown(value.get(), depth, left) });
    }
    let more = count - entries.len();
    let fields = Fields { entries, more };
    let counted = format!("{count} {}", if count == 1 { one } else { many });
    let preview = brief(&preview(&fields), 90);
    let summary = if preview.is_empty() { counted } else { format!("{counted} \u{2014} {preview}") };
    Shown::Nested { summary, fields }
}

/// Names for people: "invoice_number" is "Invoice number". Where two would be alike, all are as they stand.
fn labels(all: &[(&str, &RawValue)]) -> Vec<String> {
    let words: Vec<_> = all.iter().map(|(name, _)| words(name)).collect();
    let mut sorted: Vec<_> = words.iter().map(|words| words.to_lowercase()).collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        return all.iter().map(|(name, _)| visible(name)).collect();
    }
    words
}

/// A name in words: "invoice_number" is "Invoice number".
pub(crate) fn words(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !is_plain || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return visible(name);
    }
    let mut text = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for c in name.chars() {
        match c {
            '_' | '-' => text.push(' '),
            c if c.is_ascii_uppercase() && before.is_ascii_lowercase() => {
                text.push(' ');
                text.push(c.to_ascii_lowercase());
            }
            c if text.is_empty() => text.push(c.to_ascii_uppercase()),
            c => text.push(c),
        }
        before = c;
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { visible(name) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(json: &str) -> Vec<(String, String)> {
        let text = |value: &Shown| match value {
            Shown::Text(text) | Shown::Number(text) | Shown::Json(text) | Shown::Long { text, .. } => text.clone(),
            Shown::Word(word) => (*word).to_owned(),
            Shown::Nested { summary, .. } => summary.clone(),
        };
        payload(json).entries.iter().map(|entry| (entry.label.clone(), text(&entry.value))).collect()
    }

    #[test]
    fn values_are_shown_as_they_are_written() {
        let json = r#"{"invoice_number": 4711, "amount": 1200.50, "huge": 1e400, "dueDate": "2026-02-30", "paid": false,
            "note": null, "long": 100000000000000000000000000000001}"#;
        let expected = [
            ("Invoice number", "4711"),
            ("Amount", "1200.50"),
            ("Huge", "1e400"),
            ("Due date", "2026-02-30"),
            ("Paid", "no"),
            ("Note", "(nothing)"),
            ("Long", "100000000000000000000000000000001"),
        ];
        assert_eq!(flat(json), expected.map(|(label, value)| (label.to_owned(), value.to_owned())));
        assert_eq!(flat("7"), [("Value".to_owned(), "7".to_owned())]);
        assert_eq!(flat("{}"), []);
    }

    #[test]
    fn what_stands_twice_is_shown_twice() {
        let twice = flat(r#"{"amount": 1, "amount": 1000000}"#);
        assert_eq!(twice, [("amount".to_owned(), "1".to_owned()), ("amount".to_owned(), "1000000".to_owned())]);
        let alike = flat(r#"{"due_date": 1, "dueDate": 2}"#);
        assert_eq!(alike[0].0, "due_date");
    }

    #[test]
    fn what_is_nested_is_folded_with_a_glance_at_it() {
        let shown = flat(r#"{"vendor": {"name": "ACME", "city": "Graz"}, "lines": [1, 2]}"#);
        assert_eq!(shown[0].1, "2 fields \u{2014} Name: ACME \u{b7} City: Graz");
        assert_eq!(shown[1].1, "2 entries \u{2014} 1: 1 \u{b7} 2: 2");
        assert_eq!(glance(r#"{"amount": 1200.50, "vendor": {"name": "ACME"}}"#, 80), "Amount: 1200.50");
    }

    #[test]
    fn a_hostile_payload_costs_no_more_than_its_text() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(payload(&deep).render().unwrap().len() < 400_000);
        let many = format!("[{}0]", "0,".repeat(100_000));
        let fields = payload(&many);
        assert!(fields.entries.len() <= MAX_VALUES);
        assert_eq!(fields.entries.len() + fields.more, 100_001);
        assert!(payload("{\"a\": <script>").render().unwrap().contains("&#60;script"));
    }
}
