//! JSON values as YAML in block style, which is easier to read and to review. Long texts become blocks of lines.

use std::fmt::Write as _;

use serde_json::Value;

const INDENT: usize = 2;

pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, 0);
    text.trim_start_matches('\n').to_owned()
}

/// What comes after a key's colon or an item's dash.
fn write(text: &mut String, value: &Value, depth: usize) {
    let pad = " ".repeat(depth * INDENT);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let _ = write!(text, "\n{pad}{}:", scalar(key));
                write(text, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                write(&mut inner, item, depth + 1);
                // The first line of a nested block goes beside the dash.
                let beside = inner.trim_start_matches('\n').trim_start();
                let _ = write!(text, "\n{pad}- {beside}");
            }
        }
        Value::String(long) if is_block(long) => {
            text.push_str(if long.ends_with('\n') { " |" } else { " |-" });
            for line in long.lines() {
                let pad = if line.is_empty() { "" } else { pad.as_str() };
                let _ = write!(text, "\n{pad}{line}");
            }
        }
        Value::String(short) => {
            let _ = write!(text, " {}", scalar(short));
        }
        other => {
            let _ = write!(text, " {other}");
        }
    }
    if depth == 0 {
        text.push('\n');
    }
}

/// Lines that a block can hold as they are.
fn is_block(text: &str) -> bool {
    let plain = |c: char| c == '\n' || !c.is_control();
    text.contains('\n') && !text.ends_with("\n\n") && text.chars().all(plain) && !text.starts_with([' ', '\t', '\n'])
}

/// Plain where no reader could take it for anything but this text; otherwise in JSON's quotes, which YAML knows.
fn scalar(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(safe);
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let colons =
        text.split("::").count() > 1 && text.split("::").all(|part| part.chars().all(safe) && !part.is_empty());
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if (is_word || (starts && colons)) && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    Value::String(text.to_owned()).to_string()
}
