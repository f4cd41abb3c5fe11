//! What pages show, in words: no page looks at the domain itself.

mod facts;
mod form;
mod payload;
mod schema;
mod time;

use crate::approval::{ApproverSet, Decision, Principal, Priority, Refusal, Status};

pub(super) use self::{
    facts::{Badge, Facts, Row},
    form::{DecideForm, choice_of, consequence, response_of},
    payload::{Fields, payload, words as sentence},
    time::{Deadline, When},
};

/// Somebody, as people say it.
pub(super) fn name(who: &Principal) -> String {
    let (kind, name) = who.as_str().split_once(':').unwrap_or(("user", who.as_str()));
    let name = visible(name);
    match kind {
        "service" => format!("{name} (service)"),
        "group" => format!("the group {name}"),
        "system" => format!("the server ({name})"),
        _ => name,
    }
}

/// Those who may give an approval.
fn whom(sets: &[ApproverSet]) -> String {
    let one = |set: &ApproverSet| set.0.iter().map(name).collect::<Vec<_>>().join(" or ");
    match sets {
        [] => "anyone".to_owned(),
        [only] => one(only),
        several => several.iter().map(|set| format!("({})", one(set))).collect::<Vec<_>>().join(" and "),
    }
}

/// Text in which everything shows: marks that reorder or hide text are named in its place.
pub(super) fn visible(text: &str) -> String {
    let hides = |c: char| {
        matches!(c, '\u{0}'..='\u{8}' | '\u{b}'..='\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}'
            | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    if !text.contains(hides) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hides(c) { shown.push_str(&format!("[U+{:04X}]", u32::from(c))) } else { shown.push(c) }
    }
    shown
}

/// The beginning of a text, on one line.
pub(super) fn brief(text: &str, chars: usize) -> String {
    let line = visible(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars) {
        Some((end, _)) => format!("{}\u{2026}", line.get(..end).unwrap_or(&line)),
        None => line,
    }
}

fn count(number: u32, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A status, as a word and as a kind of badge.
pub(super) fn status(status: Status) -> Badge {
    let (text, kind) = match status {
        Status::Pending => ("Pending", "pending"),
        Status::Approved => ("Approved", "good"),
        Status::Rejected => ("Rejected", "bad"),
        Status::Expired => ("Expired", "quiet"),
        Status::Canceled => ("Canceled", "quiet"),
        Status::Invalid => ("Invalid", "bad"),
    };
    Badge { text, kind }
}

fn priority(priority: Priority) -> Option<Badge> {
    match priority {
        Priority::Low => Some(Badge { text: "Low", kind: "quiet" }),
        Priority::Normal => None,
        Priority::High => Some(Badge { text: "High", kind: "warn" }),
        Priority::Urgent => Some(Badge { text: "Urgent", kind: "bad" }),
    }
}

fn past(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approved",
        Decision::Reject => "rejected",
    }
}

/// Why a decision was not taken, and what can be done about it.
pub(super) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::AlreadyDecided { status, by, at } => {
            let by: Vec<_> = by.iter().map(name).collect();
            let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
            let at = at.map(|at| format!(", {}", When::at(at).text)).unwrap_or_default();
            format!("It was {} already{by}{at}.", self::status(*status).text.to_lowercase())
        }
        Refusal::OnHold { until, reason } => {
            let until = until.map_or_else(String::new, |until| format!(" until {}", When::at(until).text));
            let reason = if reason.is_empty() { String::new() } else { format!(": {}", visible(reason)) };
            format!("Nobody can decide this now, it is on hold{until}{reason}.")
        }
        Refusal::Claimed { assignee, until } => {
            format!("{} has this in hand until {}.", name(assignee), When::at(*until).text)
        }
        Refusal::NotAnApprover(_) => "Its rule does not let you decide.".to_owned(),
        Refusal::StageNotOpen { stages, .. } => {
            format!("It is not your turn: \u{201c}{}\u{201d} takes no votes now.", stages.join(", "))
        }
        Refusal::SelfApproval(_) => "You asked for this, so somebody else has to approve it.".to_owned(),
        Refusal::NotTheRequester(_) => "You did not ask for this.".to_owned(),
        Refusal::EtagMismatch { .. } => {
            "It has changed since you opened it. Nothing was decided: look at it as it is now, and decide again."
                .to_owned()
        }
        Refusal::CommentRequired => "This decision needs a comment: say why.".to_owned(),
        Refusal::OutcomeUnknown { .. } => "There is no such decision here.".to_owned(),
        Refusal::OutcomeDisagrees(_) => "This decision counts as another one.".to_owned(),
        Refusal::ResponseInvalid(_) => "Some of the answers do not fit; see below.".to_owned(),
        Refusal::ReassignmentLoop(_) | Refusal::NotAssignable { .. } | Refusal::NothingDue | Refusal::NotBound => {
            format!("{refusal}.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_in_a_text() {
        assert_eq!(visible("Pay 4711\nnow"), "Pay 4711\nnow");
        assert_eq!(visible("invoice\u{202e}fdp.exe"), "invoice[U+202E]fdp.exe");
        assert_eq!(visible("a\u{200b}b\u{0}"), "a[U+200B]b[U+0000]");
        assert_eq!(brief("  a \n b  ", 10), "a b");
        assert_eq!(brief("abcdef", 3), "abc\u{2026}");
    }

    #[test]
    fn people_are_named_as_people_do() {
        for (principal, expected) in
            [("user:ana", "ana"), ("group:finance", "the group finance"), ("service:bot", "bot (service)")]
        {
            assert_eq!(name(&principal.parse().unwrap()), expected);
        }
        assert_eq!(name(&Principal::system("expiry")), "the server (expiry)");
    }
}
