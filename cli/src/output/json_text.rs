//! JSON text laid out anew without being understood: numbers, key order and repeated keys stay as they were written.
//! Only white space between tokens changes, and characters in strings that a terminal would act on become `\u` escapes.

use std::fmt::Write as _;

use super::text::is_dangerous;

/// How deep lines are indented at most: text of a quarter of a megabyte may be nested as deep.
const MAX_INDENT: usize = 40;

/// Over several lines. The text must be valid JSON.
pub(crate) fn pretty(json: &str) -> String {
    reformat(json, Some("  "))
}

/// On one line. The text must be valid JSON.
pub(crate) fn compact(json: &str) -> String {
    reformat(json, None)
}

fn reformat(json: &str, indent: Option<&str>) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 4);
    let mut depth = 0usize;
    let mut chars = json.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            for _ in 0..depth.min(MAX_INDENT) {
                out.push_str(indent);
            }
        }
    };
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                let close = if c == '{' { '}' } else { ']' };
                if chars.next_if_eq(&close).is_some() {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(if indent.is_some() { ": " } else { ":" }),
            '"' => {
                out.push('"');
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => {
                            out.push('\\');
                            out.extend(chars.next());
                        }
                        c if is_dangerous(c) => {
                            let mut units = [0; 2];
                            for unit in c.encode_utf16(&mut units) {
                                let _ = write!(out, "\\u{unit:04x}");
                            }
                        }
                        c => out.push(c),
                    }
                }
                out.push('"');
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    const INPUT: &str = "{ \"b\":1200.50,\r\n\t\"a\" : [ ],\"a\":{},\"n\":123456789012345678901234567890.10e-3,\
        \"s\":\"x \\\" , { \\u0041\u{202e}\u{9b}\u{e0041}\",\"l\":[1,2]}";

    #[test]
    fn nothing_but_white_space_and_dangerous_characters_changes() {
        let safe = "\\u202e\\u009b\\udb40\\udc41";
        assert_eq!(
            compact(INPUT),
            format!(
                "{{\"b\":1200.50,\"a\":[],\"a\":{{}},\"n\":123456789012345678901234567890.10e-3,\
                \"s\":\"x \\\" , {{ \\u0041{safe}\",\"l\":[1,2]}}"
            )
        );
        assert_eq!(
            pretty(INPUT),
            format!(
                "{{\n  \"b\": 1200.50,\n  \"a\": [],\n  \"a\": {{}},\n  \"n\": 123456789012345678901234567890.10e-3,\n  \
                \"s\": \"x \\\" , {{ \\u0041{safe}\",\n  \"l\": [\n    1,\n    2\n  ]\n}}"
            )
        );
    }

    #[test]
    fn deep_nesting_does_not_multiply() {
        let deep = "[".repeat(100_000) + "1" + &"]".repeat(100_000);
        assert!(pretty(&deep).len() < 200_000 * (2 * MAX_INDENT + 3));
    }

    #[test]
    fn what_comes_out_is_the_same_json() {
        let texts = [INPUT, "1.0", "\"a\\\\\"", "[[],[{}],\"\"]", " null "];
        for text in texts {
            for again in [pretty(text), compact(text)] {
                let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
                assert_eq!(parse(&again), parse(text));
                assert!(serde_json::from_str::<&RawValue>(&again).is_ok());
            }
        }
    }
}
