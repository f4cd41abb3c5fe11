use approve_client::proto::{CommentPolicy, ExpiryAction, RejectAction, Rule, Stage};

use super::{text, time};

/// A rule in words: "2 approvals from group:finance; the requester may not approve".
pub(crate) fn in_words(rule: &Rule, has_requester: bool) -> String {
    let mut parts = rule.stages.iter().map(stage).collect::<Vec<_>>();
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
    match rule.expiry_action() {
        ExpiryAction::Reject => parts.push("rejected at the deadline".into()),
        ExpiryAction::Approve => parts.push("APPROVED at the deadline".into()),
        ExpiryAction::Outcome => parts.push(format!("{} at the deadline", text::line(&rule.expiry_outcome))),
        ExpiryAction::Unspecified | ExpiryAction::Expire => {}
    }
    if rule.reject_action() == RejectAction::Output {
        parts.push("a rejection is an output, not a failure".into());
    }
    parts.join("; ")
}

/// The time limit that the rule itself sets.
pub(crate) fn limit(rule: &Rule) -> Option<String> {
    rule.expire_after.as_ref().map(time::proto_span)
}

fn stage(stage: &Stage) -> String {
    format!("{} {}", count(stage.required_approvals.max(1), "approval"), approvers(stage))
}

fn approvers(stage: &Stage) -> String {
    let sets: Vec<String> = stage
        .approver_sets
        .iter()
        .map(|set| {
            let names: Vec<_> = set.any_of.iter().map(|name| text::line(name)).collect();
            names.join(" or ")
        })
        .collect();
    match sets.as_slice() {
        [] => "from anyone".into(),
        [one] => format!("from {one}"),
        several => {
            let several: Vec<_> = several.iter().map(|set| format!("({set})")).collect();
            format!("from people who are all of {}", several.join(" and "))
        }
    }
}

pub(crate) fn count(n: u32, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use approve_client::proto::ApproverSet;

    use super::*;

    fn set(names: &[&str]) -> ApproverSet {
        ApproverSet { any_of: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn rules_read_as_sentences() {
        assert_eq!(
            in_words(&Rule { stages: vec![Stage::default()], ..Rule::default() }, false),
            "1 approval from anyone"
        );
        let rule = Rule {
            stages: vec![Stage {
                approver_sets: vec![set(&["group:finance"])],
                required_approvals: 2,
                ..Stage::default()
            }],
            comment_policy: CommentPolicy::OnReject.into(),
            ..Rule::default()
        };
        assert_eq!(
            in_words(&rule, true),
            "2 approvals from group:finance; the requester may not approve; a rejection needs a comment"
        );
        let rule = Rule {
            stages: vec![Stage {
                approver_sets: vec![set(&["group:a", "user:b\x1b"]), set(&["group:c"])],
                ..Stage::default()
            }],
            required_rejections: 3,
            allow_self_approval: true,
            expiry_action: ExpiryAction::Approve.into(),
            ..Rule::default()
        };
        assert_eq!(
            in_words(&rule, true),
            "1 approval from people who are all of (group:a or user:b\\u{1b}) and (group:c); 3 rejections to reject; \
             APPROVED at the deadline"
        );
    }
}
