//! What messages to people say. Texts from outside are made one line: what they hold must not look like what we say.

use super::notice::{Kind, Notice, StageFacts};
use crate::approval::{Principal, Priority, Status};

/// The longest that is shown of a text from outside, in characters.
const LONGEST: usize = 200;
/// The most people that are named.
const MOST: usize = 10;

/// A text on one line: without control characters, and without those that change the direction of what follows.
#[must_use]
pub(super) fn one_line(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}');
    let spaced: String = text.chars().map(|c| if c.is_control() || hidden(c) { ' ' } else { c }).collect();
    shortened(&spaced.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST)
}

/// A text of so many characters at most, and "…" where there were more.
#[must_use]
pub(super) fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
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

/// The title, on one line; never empty.
#[must_use]
pub(super) fn title(notice: &Notice) -> String {
    let title = one_line(&notice.title);
    if title.is_empty() { "(without a title)".to_owned() } else { title }
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
    if notice.kind.asks() && !notice.asked.is_empty() {
        facts.push(("Asked", names(&notice.asked)));
    }
    if (notice.kind.asks() || notice.kind == Kind::Expired)
        && let Some(deadline) = notice.expires
    {
        facts.push(("Deadline", deadline.strftime("%Y-%m-%d %H:%M UTC").to_string()));
    }
    if notice.kind == Kind::Decided {
        facts.push(("Decided by", names(&notice.decided_by)));
    }
    facts.push(match notice.kind {
        Kind::Canceled if notice.decided_by.iter().any(Principal::is_actor) => {
            ("Canceled by", names(&notice.decided_by))
        }
        Kind::Canceled => ("Reason", "its workflow no longer waits for it".to_owned()),
        _ => ("Approvals", progress(&notice.stages)),
    });
    facts
}

fn names(principals: &[Principal]) -> String {
    let mut names: Vec<_> = principals.iter().take(MOST).map(name).collect();
    let more = principals.len().saturating_sub(MOST);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Somebody, as people say it.
pub(super) fn name(principal: &Principal) -> String {
    match principal.as_str().split_once(':') {
        Some(("user", name)) => one_line(name),
        Some(("group", name)) => one_line(&format!("the group {name}")),
        Some(("system", part)) => one_line(&format!("the server ({part})")),
        Some((kind, name)) => one_line(&format!("{name} ({kind})")),
        None => one_line(principal.as_str()),
    }
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
    fn it_is_told_who_canceled() {
        let mut notice = crate::notify::test_notice("Pay");
        notice.kind = Kind::Canceled;
        for (by, fact) in [
            ("user:ops", ("Canceled by", "ops")),
            ("service:billing", ("Canceled by", "billing (service)")),
            ("system:worker", ("Reason", "its workflow no longer waits for it")),
        ] {
            notice.decided_by = vec![by.to_owned().try_into().unwrap_or_else(|_| Principal::system("worker"))];
            assert_eq!(facts(&notice).last().map(|(name, value)| (*name, &**value)), Some(fact));
        }
    }

    #[test]
    fn who_is_asked_is_named_and_of_many_the_first() {
        let mut notice = crate::notify::test_notice("Pay");
        let asked = |notice: &Notice| facts(notice).into_iter().find(|(name, _)| *name == "Asked").map(|(_, who)| who);
        notice.asked = vec!["user:ana".parse().unwrap(), "group:finance".parse().unwrap()];
        assert_eq!(asked(&notice).as_deref(), Some("ana, the group finance"));
        notice.asked = (0..13).map(|number| format!("user:u{number}").parse().unwrap()).collect();
        assert_eq!(asked(&notice).as_deref(), Some("u0, u1, u2, u3, u4, u5, u6, u7, u8, u9, 3 more"));
        // Anyone.
        notice.asked = Vec::new();
        assert_eq!(asked(&notice), None);
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
