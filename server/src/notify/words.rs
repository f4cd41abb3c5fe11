//! What messages to people say. Texts from outside are made one line: what they hold must not look like what we say.

use super::notice::{Kind, Notice, StageFacts};
use crate::approval::{Principal, Priority, Status};

/// The longest that is shown of a text from outside, in characters.
const LONGEST: usize = 200;

/// A text on one line: without control characters, and without those that change the direction of what follows.
#[must_use]
pub(super) fn one_line(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}');
    let spaced: String = text.chars().map(|c| if c.is_control() || hidden(c) { ' ' } else { c }).collect();
    let words = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        None => words,
    }
}

/// What happened, in a few words.
#[must_use]
pub(super) fn heading(notice: &Notice) -> String {
    let status = match notice.status {
        Status::Pending => "Pending",
        Status::Approved => "Approved",
        Status::Rejected => "Rejected",
        Status::Expired => "Expired",
        Status::Canceled => "Canceled",
        Status::Invalid => "Invalid",
    };
    match notice.kind {
        Kind::Requested => "Approval needed".to_owned(),
        Kind::Reminder => "Approval still needed".to_owned(),
        Kind::Escalation => "Approval needed (escalated)".to_owned(),
        Kind::Decided => match &notice.outcome {
            Some(outcome) => format!("{status} ({})", one_line(outcome)),
            None => status.to_owned(),
        },
        Kind::Expired if notice.status == Status::Expired => "Expired without a decision".to_owned(),
        Kind::Expired => format!("{status} because its deadline passed"),
        Kind::Canceled => "Canceled".to_owned(),
    }
}

/// The title, on one line.
#[must_use]
pub(super) fn title(notice: &Notice) -> String {
    one_line(&notice.title)
}

/// What is known of it, each with a name.
#[must_use]
pub(super) fn facts(notice: &Notice) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(requester) = &notice.requester {
        facts.push(("Requested by", name(requester)));
    }
    facts.push(("Workflow", one_line(&notice.workflow)));
    if matches!(notice.priority, Priority::High | Priority::Urgent) {
        facts.push(("Priority", if notice.priority == Priority::Urgent { "urgent" } else { "high" }.to_owned()));
    }
    if notice.kind.asks()
        && let Some(deadline) = notice.expires
    {
        facts.push(("Deadline", deadline.strftime("%Y-%m-%d %H:%M UTC").to_string()));
    }
    if notice.kind == Kind::Decided {
        facts.push(("Decided by", notice.decided_by.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    if notice.kind != Kind::Canceled {
        facts.push(("Approvals", progress(&notice.stages)));
    }
    facts
}

/// Somebody, as people say it.
fn name(principal: &Principal) -> String {
    one_line(principal.as_str().strip_prefix("user:").unwrap_or(principal.as_str()))
}

fn progress(stages: &[StageFacts]) -> String {
    let one = |stage: &StageFacts| {
        let count = format!("{} of {}", stage.approvals, stage.required);
        match stage.name.as_str() {
            "" => count,
            name => format!("{}: {count}", one_line(name)),
        }
    };
    stages.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_from_outside_is_one_line() {
        assert_eq!(one_line(" a\r\nBcc: x@example.com\t\u{202e}b "), "a Bcc: x@example.com b");
        assert_eq!(one_line(&"é".repeat(300)), format!("{}…", "é".repeat(200)));
        assert_eq!(one_line("Größe 3 < 4"), "Größe 3 < 4");
    }

    #[test]
    fn progress_is_told_by_stage() {
        let stage = |name: &str, approvals| StageFacts { name: name.to_owned(), required: 2, approvals, open: true };
        assert_eq!(progress(&[stage("", 1)]), "1 of 2");
        assert_eq!(progress(&[stage("legal", 2), stage("money", 0)]), "legal: 2 of 2, money: 0 of 2");
    }

    proptest! {
        #[test]
        fn no_text_makes_two_lines(text in any::<String>()) {
            let line = one_line(&text);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert!(line.chars().count() <= LONGEST + 1);
        }
    }
}
