use approve_client::{
    Decision,
    proto::{
        ApproverSet, CommentPolicy, Escalation, ExpiryAction, Freeze, Outcome, RejectAction, Rule, Stage, StageOrder,
    },
};

use super::{
    text,
    time::{self, Now},
};

/// How many freezes are told.
const FREEZES: usize = 3;

/// How long a rule on one line may be.
const LINE: usize = 100;

/// A rule in words: "2 approvals from group:finance; the requester may not approve". One line if it is short, else a
/// line for each part.
pub(crate) fn in_words(rule: &Rule, has_requester: bool, now: &Now) -> Vec<String> {
    let parts = parts(rule, has_requester, now);
    let line = parts.join("; ");
    if line.chars().count() <= LINE { vec![line] } else { parts }
}

fn parts(rule: &Rule, has_requester: bool, now: &Now) -> Vec<String> {
    let mut parts = vec![stages(rule)];
    if rule.allow_repeat_approvers && rule.stages.len() > 1 {
        parts.push("one person may approve in several stages".into());
    }
    if rule.required_rejections > 1 {
        parts.push(format!("{} rejections to reject", rule.required_rejections));
    }
    if has_requester && !rule.allow_self_approval {
        parts.push("the requester may not approve".into());
    }
    match rule.comment_policy() {
        CommentPolicy::OnReject => parts.push("a rejection needs a comment".into()),
        CommentPolicy::Always => parts.push("every decision needs a comment".into()),
        CommentPolicy::Unspecified | CommentPolicy::Never => {}
    }
    if !rule.outcomes.is_empty() {
        let outcomes: Vec<_> = rule.outcomes.iter().map(outcome).collect();
        parts.push(format!("it may also be decided as {}", outcomes.join(" or ")));
    }
    if !rule.response_schema_json.is_empty() {
        parts.push("the response has to fit a schema".into());
    }
    if !rule.remind_after.is_empty() {
        let after: Vec<_> = rule.remind_after.iter().map(time::proto_span).collect();
        parts.push(format!("reminders after {}", after.join(", ")));
    }
    parts.extend(rule.escalations.iter().map(escalation));
    parts.extend(freezes(&rule.freezes, now));
    match rule.expiry_action() {
        ExpiryAction::Reject => parts.push("rejected at the deadline".into()),
        ExpiryAction::Approve => parts.push("APPROVED at the deadline".into()),
        ExpiryAction::Outcome => parts.push(format!("{} at the deadline", text::line(&rule.expiry_outcome))),
        ExpiryAction::Unspecified | ExpiryAction::Expire => {}
    }
    if rule.reject_action() == RejectAction::Output {
        parts.push("a rejection is an output, not a failure".into());
    }
    if rule.trust_task_input {
        parts.push("a task's own rule takes the place of this one".into());
    }
    parts
}

/// The time limit that the rule itself sets.
pub(crate) fn limit(rule: &Rule) -> Option<String> {
    rule.expire_after.as_ref().map(time::proto_span)
}

fn stages(rule: &Rule) -> String {
    match rule.stages.as_slice() {
        [] => stage(&Stage::default()),
        [only] => stage(only),
        several => {
            let several: Vec<_> =
                several.iter().map(|each| format!("{} ({})", stage(each), text::line(&each.name))).collect();
            let then = if rule.stage_order() == StageOrder::Parallel { " and " } else { ", then " };
            several.join(then)
        }
    }
}

fn stage(stage: &Stage) -> String {
    format!("{} {}", count(stage.required_approvals.max(1), "approval"), from(&stage.approver_sets))
}

/// "from group:finance".
pub(crate) fn from(sets: &[ApproverSet]) -> String {
    match sets {
        [] => "from anyone".into(),
        [one] => format!("from {}", any_of(one)),
        several => {
            let several: Vec<_> = several.iter().map(|set| format!("({})", any_of(set))).collect();
            format!("from people who are all of {}", several.join(" and "))
        }
    }
}

fn any_of(set: &ApproverSet) -> String {
    let names: Vec<_> = set.any_of.iter().map(|name| text::line(name)).collect();
    names.join(" or ")
}

fn outcome(outcome: &Outcome) -> String {
    let how = match outcome.decision() {
        Decision::Approve => "approves",
        Decision::Reject => "rejects",
        Decision::Unspecified => "?",
    };
    format!("{} ({how})", text::line(&outcome.name))
}

/// An outcome for people: "Ask again next month (postpone)", or its name where it has no label.
pub(crate) fn outcome_label(rule: Option<&Rule>, name: &str) -> String {
    let label = rule
        .and_then(|rule| rule.outcomes.iter().find(|outcome| outcome.name == name))
        .map(|outcome| outcome.label.as_str())
        .filter(|label| !label.is_empty());
    match label {
        Some(label) => format!("{} ({})", text::line(label), text::line(name)),
        None => text::line(name),
    }
}

fn escalation(escalation: &Escalation) -> String {
    let after = escalation.after.as_ref().map(time::proto_span).unwrap_or_default();
    let who = escalation.approvers.as_ref().map(any_of).unwrap_or_default();
    let stage = match escalation.stage.as_str() {
        "" => String::new(),
        stage => format!(" in {}", text::line(stage)),
    };
    format!("after {after} also {who}{stage}")
}

/// Freezes that are not over.
fn freezes(freezes: &[Freeze], now: &Now) -> Vec<String> {
    let ahead = freezes.iter().filter(|freeze| now.is_ahead(freeze.end_time.as_ref()));
    let mut told: Vec<String> = ahead
        .map(|freeze| {
            let (from, until) = (now.short(freeze.start_time.as_ref()), now.short(freeze.end_time.as_ref()));
            let except = freeze.except.as_ref().map(|set| format!(", but for {}", any_of(set))).unwrap_or_default();
            format!("nobody decides from {from} to {until}{except}{}", why(&freeze.reason))
        })
        .collect();
    let more = u32::try_from(told.len().saturating_sub(FREEZES)).unwrap_or(u32::MAX);
    told.truncate(FREEZES);
    if more > 0 {
        told.push(count(more, "more such time"));
    }
    told
}

/// " (reason)", if there is one.
pub(crate) fn why(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({})", text::line(reason)) }
}

pub(crate) fn count(n: impl Into<u64>, what: &str) -> String {
    let n = n.into();
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
