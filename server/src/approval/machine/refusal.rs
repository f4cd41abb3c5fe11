//! Why a command is not carried out.

use jiff::Timestamp;

use crate::approval::{Ineligible, Misfit, Person, Principal, Rule, Status};

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is final.
    #[error("the approval is final: {}", status.name())]
    AlreadyDecided {
        /// As what.
        status: Status,
        /// Who made it so.
        by: Vec<Principal>,
        /// When.
        at: Option<Timestamp>,
    },
    /// Nobody may decide now, or not this person.
    #[error("the approval is on hold{}{}", until_text(*until), reason_text(reason))]
    OnHold {
        /// Until when, if that is known.
        until: Option<Timestamp>,
        /// Why; may be empty.
        reason: String,
    },
    /// Somebody else has it in hand.
    #[error("{assignee} has the approval in hand until {until}")]
    Claimed {
        /// Who.
        assignee: Principal,
        /// When that lapses.
        until: Timestamp,
    },
    /// The rule does not let the caller decide.
    #[error("the approval's rule does not let {0} decide")]
    NotAnApprover(Principal),
    /// The caller is an approver only of stages that take no votes now.
    #[error("{} does not take votes now, and {who} is an approver of no other stage", stages_text(stages))]
    StageNotOpen {
        /// Who.
        who: Principal,
        /// The stages' names.
        stages: Vec<String>,
    },
    /// The caller asked for it.
    #[error("{0} asked for this approval and may not approve it")]
    SelfApproval(Principal),
    /// The caller did not ask for it.
    #[error("{0} did not ask for this approval, so only an operator could cancel it")]
    NotTheRequester(Principal),
    /// It changed since it was read.
    #[error("the approval has changed since it was read")]
    EtagMismatch {
        /// What it is now.
        etag: String,
    },
    /// The rule asks for a comment.
    #[error("the approval's rule asks for a comment")]
    CommentRequired,
    /// The rule has no such outcome.
    #[error("the approval's rule has no outcome {name:?}")]
    OutcomeUnknown {
        /// What was named.
        name: String,
        /// What could be.
        outcomes: Vec<String>,
    },
    /// The named outcome counts as another decision than the one that is named beside it.
    #[error("the outcome {0:?} counts as another decision")]
    OutcomeDisagrees(String),
    /// The response does not fit the rule's schema.
    #[error("the response does not fit the schema that the approval's rule asks for")]
    ResponseInvalid(Vec<Misfit>),
    /// It was given on too often, or to somebody who gave it away.
    #[error("the approval was given on too often, or {0} gave it away before")]
    ReassignmentLoop(Principal),
    /// It can't be given to them.
    #[error("the approval can't be given to {to}: {problem}")]
    NotAssignable {
        /// To whom.
        to: Principal,
        /// Why.
        problem: &'static str,
    },
    /// Nothing is due yet that comes with time.
    #[error("nothing of the approval is due yet")]
    NothingDue,
    /// The command speaks of another task than the approval's, or there is nothing to deliver.
    #[error("the approval is not bound to that task, or has nothing to deliver to it")]
    NotBound,
}

impl Refusal {
    /// Its name in the API and in the record of what happened.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AlreadyDecided { .. } => "ALREADY_DECIDED",
            Self::OnHold { .. } => "ON_HOLD",
            Self::Claimed { .. } => "CLAIMED",
            Self::NotAnApprover(_) => "NOT_AN_APPROVER",
            Self::StageNotOpen { .. } => "STAGE_NOT_OPEN",
            Self::SelfApproval(_) => "SELF_APPROVAL",
            Self::NotTheRequester(_) => "NOT_THE_REQUESTER",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::CommentRequired => "COMMENT_REQUIRED",
            Self::OutcomeUnknown { .. } => "OUTCOME_UNKNOWN",
            Self::OutcomeDisagrees(_) | Self::NotAssignable { .. } => "INVALID_FIELD",
            Self::ResponseInvalid(_) => "RESPONSE_INVALID",
            Self::ReassignmentLoop(_) => "REASSIGNMENT_LOOP",
            Self::NothingDue => "NOTHING_DUE",
            Self::NotBound => "NOT_BOUND",
        }
    }

    pub(super) fn ineligible(why: Ineligible, who: &Person, rule: &Rule) -> Self {
        let who = who.principal.clone();
        match why {
            Ineligible::NotAnApprover => Self::NotAnApprover(who),
            Ineligible::SelfApproval => Self::SelfApproval(who),
            Ineligible::StageNotOpen(stages) => {
                let name = |at: usize| rule.stages.get(at).map(|stage| stage.name.clone());
                Self::StageNotOpen { who, stages: stages.into_iter().filter_map(name).collect() }
            }
        }
    }
}

fn until_text(until: Option<Timestamp>) -> String {
    until.map(|until| format!(" until {until}")).unwrap_or_default()
}

fn reason_text(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn stages_text(stages: &[String]) -> String {
    let names: Vec<_> = stages.iter().map(|name| format!("{name:?}")).collect();
    format!("stage {}", names.join(", "))
}
