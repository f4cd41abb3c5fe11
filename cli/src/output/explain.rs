use std::fmt::Write as _;

use approve_client::{
    Decision,
    proto::{CheckRuleResponse, DecisionEffect, Explanation, StageNeed},
};

use super::{
    approval,
    names::Name,
    rule::{self, count},
    style::Style,
    text,
};

/// What an approval needs; `who` is whom it was asked about, "you" for the caller.
pub(crate) fn page(explanation: &Explanation, who: &str, style: Style) -> String {
    let mut page = style.bold(&text::line(&explanation.summary)) + "\n";
    if !explanation.blocked.is_empty() {
        let _ = writeln!(page, "  {}", style.yellow(&text::line(&explanation.blocked)));
    }
    for need in &explanation.stages {
        page += &stage(need, style);
    }
    if explanation.rejections_needed > 0 {
        let _ = writeln!(page, "  {} would reject it", count(explanation.rejections_needed, "more rejection"));
    }
    if !explanation.effects.is_empty() {
        page += &approval::section(&format!("If {} decided", text::line(who)), style);
        for effect in &explanation.effects {
            page += &effect_line(effect, style);
        }
    }
    page
}

fn stage(need: &StageNeed, style: Style) -> String {
    let progress = need.progress.clone().unwrap_or_default();
    let name = if progress.name.is_empty() { "approvals".to_owned() } else { text::line(&progress.name) };
    let mut line = format!("  {} {} of {}", style.dim(&name), progress.approvals, progress.required_approvals);
    match progress.required_approvals.saturating_sub(progress.approvals) {
        0 => line += ": met",
        missing => {
            let _ = write!(line, ": {missing} more {}", rule::from(&need.approver_sets));
            if !progress.open {
                line += ", once it is open";
            }
        }
    }
    if !need.approved_by.is_empty() {
        let by: Vec<_> = need.approved_by.iter().map(|by| text::line(by)).collect();
        let _ = write!(line, "; approved by {}", by.join(", "));
    }
    line + "\n"
}

fn effect_line(effect: &DecisionEffect, style: Style) -> String {
    let name = if effect.outcome.is_empty() { Decision::lower(effect.decision) } else { text::line(&effect.outcome) };
    let what = text::line(&effect.effect);
    if effect.allowed {
        let after = approval::status_name(effect.status_after(), style);
        format!("    {name:<10} {}: {what}; then {after}\n", style.green("yes"))
    } else {
        let reason = text::line(&effect.refusal_reason);
        format!("    {name:<10} {}: {what} ({reason})\n", style.red("no"))
    }
}

/// Whether a rule is acceptable, and what it would need.
pub(crate) fn check(check: &CheckRuleResponse, who: &str, style: Style) -> String {
    if check.problems.is_empty() {
        let mut answer = style.green("acceptable") + "\n";
        if let Some(explanation) = &check.explanation {
            answer.push('\n');
            answer += &page(explanation, who, style);
        }
        return answer;
    }
    let mut answer = style.red("not acceptable") + "\n";
    for problem in &check.problems {
        let _ = writeln!(answer, "  {}: {}", text::line(&problem.field), text::line(&problem.problem));
    }
    answer
}
