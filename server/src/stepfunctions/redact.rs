//! Messages without secrets: AWS's own may quote the token or the payload that it was sent.

use std::collections::HashSet;

/// The shortest run of a secret that counts as a leak, in characters. Shorter ones are everyday words.
const RUN: usize = 6;
/// The longest message kept, in characters.
const MAX_CHARS: usize = 1_000;
const MARK: char = '…';

/// `message` with every run that it shares with a secret replaced by "…", and cut to a bounded length.
pub(super) fn redact(message: &str, secrets: &[&str]) -> String {
    let text: Vec<char> = message.chars().take(MAX_CHARS).collect();
    let mut hidden = vec![false; text.len()];
    for secret in secrets {
        hide(&text, &mut hidden, secret);
        // The same secret quoted inside a JSON string reads differently.
        if let Ok(quoted) = serde_json::to_string(secret) {
            hide(&text, &mut hidden, quoted.trim_matches('"'));
        }
    }
    let mut shown = String::with_capacity(message.len().min(MAX_CHARS * 4));
    for (at, &character) in text.iter().enumerate() {
        if !is_hidden(&hidden, at) {
            shown.push(character);
        } else if at == 0 || !is_hidden(&hidden, at - 1) {
            shown.push(MARK);
        }
    }
    shown
}

fn is_hidden(hidden: &[bool], at: usize) -> bool {
    hidden.get(at).copied().unwrap_or(false)
}

fn hide(text: &[char], hidden: &mut [bool], secret: &str) {
    let secret: Vec<char> = secret.chars().collect();
    let run = secret.len().min(RUN);
    if run == 0 || text.len() < run {
        return;
    }
    let whole_words = secret.len() < RUN;
    // The message is short and a payload may not be: keep the message's runs, walk the secret's once.
    let in_text: HashSet<&[char]> = text.windows(run).collect();
    let leaked: HashSet<&[char]> = secret.windows(run).filter(|run| in_text.contains(run)).collect();
    for (at, window) in text.windows(run).enumerate() {
        if leaked.contains(window) && !(whole_words && inside_a_word(text, at, run)) {
            hidden.iter_mut().skip(at).take(run).for_each(|hidden| *hidden = true);
        }
    }
}

fn inside_a_word(text: &[char], at: usize, run: usize) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|character| character.is_alphanumeric());
    word(at.checked_sub(1)) || word(at.checked_add(run))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::redact;

    #[test]
    fn a_token_is_gone_from_the_message_that_quotes_it() {
        let token = "AQCEAAAAKgAAAAMAAAAAAAAAAbHOyW+dPXk4Yx/8Qw==";
        assert_eq!(redact(&format!("Invalid Token: '{token}'"), &[token]), "Invalid Token: '…'");
    }

    #[test]
    fn a_part_of_a_payload_is_gone_too() {
        let output = r#"{"iban":"DE02120300000000202051","amount":1200.50}"#;
        let message = r#"Invalid Output: unexpected end at [Source: (String)"{"iban":"DE0212030000000"[truncated]]"#;
        let shown = redact(message, &[output]);
        assert!(!shown.contains("DE02"), "{shown}");
        assert!(shown.starts_with("Invalid Output"), "{shown}");
    }

    #[test]
    fn a_payload_quoted_as_a_json_string_is_gone() {
        let shown = redact(r#"Value "{\"pin\":\"99\"}" failed"#, &[r#"{"pin":"99"}"#]);
        assert!(!shown.contains("99"), "{shown}");
    }

    #[test]
    fn a_short_secret_goes_where_it_stands_alone() {
        assert_eq!(redact("Value '42' of 1420 failed", &["42"]), "Value '…' of 1420 failed");
    }

    #[test]
    fn no_secret_no_change() {
        assert_eq!(redact("Activity does not exist", &[]), "Activity does not exist");
        assert_eq!(redact("Activity does not exist", &[""]), "Activity does not exist");
    }

    proptest! {
        #[test]
        fn no_secret_survives_whole(before in ".{0,40}", secret in "[A-Za-z0-9+/=]{6,200}", after in ".{0,40}") {
            let shown = redact(&format!("{before}{secret}{after}"), &[&secret]);
            prop_assert!(!shown.contains(&secret));
        }
    }
}
