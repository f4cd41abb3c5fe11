//! How far an approval is: its stages, and who has it in hand.

use approve_client::{
    Approval, ApprovalStatus, Decision,
    proto::{Assignment, Freeze, StageProgress, Vote},
};

use super::{
    rule::{self, count, why},
    text,
    time::Now,
};

fn votes_for(approval: &Approval, decision: Decision) -> u32 {
    let votes = approval.votes.iter();
    let count = votes.filter(|vote| vote.decision() == decision).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The stages as the server tells them; of one that does not, the rule's sum.
fn stages(approval: &Approval) -> Vec<StageProgress> {
    if !approval.stages.is_empty() {
        return approval.stages.clone();
    }
    let required = approval
        .rule
        .as_ref()
        .map_or(1, |rule| rule.stages.iter().map(|stage| stage.required_approvals.max(1)).sum::<u32>().max(1));
    let approvals = votes_for(approval, Decision::Approve);
    vec![StageProgress { name: String::new(), required_approvals: required, approvals, open: true }]
}

fn rejections(approval: &Approval) -> String {
    let required = approval.rule.as_ref().map_or(1, |rule| rule.required_rejections.max(1));
    format!("{} of {}", votes_for(approval, Decision::Reject), count(required, "rejection"))
}

fn is_met(stage: &StageProgress) -> bool {
    stage.approvals >= stage.required_approvals
}

/// "1/2": approvals of those that it takes; of several stages those that are open: "finance 1/2".
pub(crate) fn short(approval: &Approval) -> String {
    let stages = stages(approval);
    let ratio = |stage: &StageProgress| format!("{}/{}", stage.approvals, stage.required_approvals);
    if let [only] = stages.as_slice() {
        return ratio(only);
    }
    let open = stages.iter().filter(|stage| stage.open && !is_met(stage));
    let open: Vec<_> = open.map(|stage| format!("{} {}", text::line(&stage.name), ratio(stage))).collect();
    if !open.is_empty() && approval.status() == ApprovalStatus::Pending {
        return open.join(", ");
    }
    let sum = |part: fn(&StageProgress) -> u32| stages.iter().map(part).sum::<u32>();
    format!("{}/{}", sum(|stage| stage.approvals), sum(|stage| stage.required_approvals))
}

/// "1 of 2 approvals, 0 of 1 rejection"; "finance 1 of 2, legal 0 of 1, 0 of 1 rejection".
pub(crate) fn line(approval: &Approval) -> String {
    let stages = stages(approval);
    let approvals = match stages.as_slice() {
        [only] => format!("{} of {}", only.approvals, count(only.required_approvals, "approval")),
        several => {
            let several: Vec<_> = several
                .iter()
                .map(|stage| format!("{} {} of {}", text::line(&stage.name), stage.approvals, stage.required_approvals))
                .collect();
            several.join(", ")
        }
    };
    format!("{approvals}, {}", rejections(approval))
}

/// A line for each stage: "finance: 1 of 2 from group:finance; user:ana approved 10:32", then the rejections. One line
/// where there is one stage.
pub(crate) fn lines(approval: &Approval, now: &Now) -> Vec<String> {
    let stages = stages(approval);
    if stages.len() == 1 {
        return vec![line(approval)];
    }
    let mut lines: Vec<_> = stages.iter().enumerate().map(|(at, stage)| stage_line(approval, at, stage, now)).collect();
    lines.push(rejections(approval));
    lines
}

fn stage_line(approval: &Approval, at: usize, stage: &StageProgress, now: &Now) -> String {
    let sets = approval.rule.as_ref().and_then(|rule| rule.stages.get(at)).map(|stage| stage.approver_sets.as_slice());
    let from = sets.map(|sets| format!(" {}", rule::from(sets))).unwrap_or_default();
    let name = text::line(&stage.name);
    let mut line = format!("{name}: {} of {}{from}", stage.approvals, stage.required_approvals);
    let counts = |vote: &&Vote| vote.decision() == Decision::Approve && vote.stages.contains(&stage.name);
    let approved: Vec<_> = approval
        .votes
        .iter()
        .filter(counts)
        .map(|vote| format!("{} approved {}", voter(vote), now.short(vote.vote_time.as_ref())))
        .collect();
    if !approved.is_empty() {
        line += "; ";
        line += &approved.join(", ");
    }
    if !stage.open && !is_met(stage) && approval.status() == ApprovalStatus::Pending {
        line += "; not open yet";
    }
    line
}

/// "user:ana", "user:ana, through service:bot".
pub(crate) fn voter(vote: &Vote) -> String {
    let through =
        if vote.cast_by.is_empty() { String::new() } else { format!(", through {}", text::line(&vote.cast_by)) };
    text::line(&vote.voter) + &through
}

/// "on hold", "claimed by user:ana", for a column.
pub(crate) fn note(approval: &Approval, now: &Now) -> String {
    if approval.status() != ApprovalStatus::Pending {
        return String::new();
    }
    let mut notes = Vec::new();
    if approval.hold.as_ref().is_some_and(|hold| hold.end_time.is_none() || now.is_ahead(hold.end_time.as_ref())) {
        notes.push("on hold".to_owned());
    } else if freeze(approval, now).is_some() {
        notes.push("frozen".to_owned());
    }
    if let Some(assignment) = assignment(approval, now) {
        notes.push(format!("claimed by {}", text::line(&assignment.assignee)));
    }
    notes.join(", ")
}

/// Why nobody may decide now: an operator's hold, or a freeze of the rule.
pub(crate) fn hold(approval: &Approval, now: &Now) -> Option<String> {
    if approval.status() != ApprovalStatus::Pending {
        return None;
    }
    if let Some(hold) = &approval.hold {
        let until = match &hold.end_time {
            Some(end) if !now.is_ahead(Some(end)) => return None,
            Some(end) => format!("until {}", now.full(Some(end))),
            None => "until it is resumed".to_owned(),
        };
        return Some(format!("{until}, by {}{}", text::line(&hold.held_by), why(&hold.reason)));
    }
    let freeze = freeze(approval, now)?;
    Some(format!("until {}, by its rule{}", now.full(freeze.end_time.as_ref()), why(&freeze.reason)))
}

fn freeze<'a>(approval: &'a Approval, now: &Now) -> Option<&'a Freeze> {
    let freezes = &approval.rule.as_ref()?.freezes;
    freezes.iter().find(|freeze| !now.is_ahead(freeze.start_time.as_ref()) && now.is_ahead(freeze.end_time.as_ref()))
}

/// Who has it in hand, until when, and who gave it to them.
pub(crate) fn claim(approval: &Approval, now: &Now) -> Option<String> {
    let assignment = assignment(approval, now)?;
    let given: Vec<_> = assignment.assigned_by.iter().map(|by| text::line(by)).collect();
    let given = if given.is_empty() { String::new() } else { format!(", given by {}", given.join(", then ")) };
    let until = now.full(assignment.expire_time.as_ref());
    Some(format!("by {}, until {until}{given}", text::line(&assignment.assignee)))
}

/// The assignment, unless it has lapsed.
fn assignment<'a>(approval: &'a Approval, now: &Now) -> Option<&'a Assignment> {
    let pending = approval.status() == ApprovalStatus::Pending;
    approval.assignment.as_ref().filter(|assignment| pending && now.is_ahead(assignment.expire_time.as_ref()))
}
