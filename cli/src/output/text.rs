//! Text that others wrote, made safe for a terminal.

use std::fmt::Write as _;

/// Whether a character may do something to a terminal, or hide or reorder what is beside it.
pub(crate) fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// On one line: line breaks and tabs too are escaped.
pub(crate) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut safe, c);
    }
    safe
}

/// Over several lines, each indented. Ends with a newline.
pub(crate) fn block(text: &str, indent: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for each in text.trim_end().lines() {
        safe.push_str(indent);
        safe.push_str(&line(each));
        safe.push('\n');
    }
    safe
}

fn push(safe: &mut String, c: char) {
    match c {
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        '\t' => safe.push_str("\\t"),
        c if is_dangerous(c) => {
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
        }
        c => safe.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        for (hostile, safe) in [
            ("\x1b[2J\x1b]0;owned\x07", "\\u{1b}[2J\\u{1b}]0;owned\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("pay\u{202e}001", "pay\\u{202e}001"),
            ("a\rb\nc\td", "a\\rb\\nc\\td"),
            ("\u{7f}\u{0}", "\\u{7f}\\u{0}"),
            ("Zahlung für Žofie 💶 日本", "Zahlung für Žofie 💶 日本"),
        ] {
            assert_eq!(line(hostile), safe);
        }
    }

    #[test]
    fn a_block_keeps_its_lines_and_nothing_else() {
        assert_eq!(block("one\n\x1b[1mtwo\r\nthree\n\n", "  "), "  one\n  \\u{1b}[1mtwo\n  three\n");
    }
}
