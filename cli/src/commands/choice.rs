//! What a person chooses: a plain decision, or one of the rule's outcomes.

use approve_client::{Approval, Decide, Decision, proto::Outcome};

use super::prompt;
use crate::{
    failure::Failure,
    output::{names::Name, rule},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Decision(Decision),
    Outcome(String),
}

impl Choice {
    pub(super) fn on(&self, approval_id: impl Into<String>) -> Decide {
        match self {
            Self::Decision(decision) => Decide::new(approval_id, *decision),
            Self::Outcome(name) => Decide::outcome(approval_id, name),
        }
    }

    /// What it counts as.
    pub(super) fn decision(&self, approval: &Approval) -> Decision {
        match self {
            Self::Decision(decision) => *decision,
            Self::Outcome(name) => outcomes(approval)
                .iter()
                .find(|outcome| outcome.name == *name)
                .map_or(Decision::Unspecified, Outcome::decision),
        }
    }
}

fn outcomes(approval: &Approval) -> &[Outcome] {
    approval.rule.as_ref().map_or(&[], |rule| &rule.outcomes)
}

/// Asks until it is answered; `None` where the person leaves.
pub(super) async fn ask(approval: &Approval) -> Result<Option<Choice>, Failure> {
    let outcomes = outcomes(approval);
    let question = question(approval, outcomes);
    loop {
        let Some(answer) = prompt::ask(&question).await? else { return Ok(None) };
        match answer.to_lowercase().as_str() {
            "a" | "approve" => return Ok(Some(Choice::Decision(Decision::Approve))),
            "r" | "reject" => return Ok(Some(Choice::Decision(Decision::Reject))),
            "q" | "quit" => return Ok(None),
            _ => {
                if let Some(outcome) = chosen(outcomes, &answer) {
                    return Ok(Some(Choice::Outcome(outcome.name.clone())));
                }
            }
        }
    }
}

fn question(approval: &Approval, outcomes: &[Outcome]) -> String {
    if outcomes.is_empty() {
        return "Approve, reject or quit? [a/r/q] ".to_owned();
    }
    let mut question = String::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        let label = rule::outcome_label(approval.rule.as_ref(), &outcome.name);
        let decision = Decision::lower(outcome.decision);
        question += &format!("  {}  {label}: counts as {decision}\n", at + 1);
    }
    let numbers: Vec<_> = (1..=outcomes.len()).map(|number| number.to_string()).collect();
    question + &format!("Approve, reject, {} or quit? [a/r/{}/q] ", numbers.join(", "), numbers.join("/"))
}

/// By its number, or its name.
fn chosen<'a>(outcomes: &'a [Outcome], answer: &str) -> Option<&'a Outcome> {
    let by_name = outcomes.iter().find(|outcome| outcome.name == answer);
    by_name.or_else(|| outcomes.get(answer.parse::<usize>().ok()?.checked_sub(1)?))
}
