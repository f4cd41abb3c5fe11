//! Whether a rule is in bounds, and whether it could ever be met.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{ApproverSet, ExpiryAction, Outcome, Rule, Stage, StageOrder, schema, stages::seated};
use crate::approval::{Principal, Status};

/// Bounds of what a rule may say, in bytes unless they are counts.
pub struct Bounds;

impl Bounds {
    /// The most approvals of a stage, and the most rejections.
    pub const COUNT: u32 = 100;
    /// The most principals in one set, and the most sets of one stage.
    pub const APPROVERS: usize = 100;
    /// The most stages.
    pub const STAGES: usize = 20;
    /// A stage's name.
    pub const STAGE_NAME: usize = 64;
    /// The most outcomes.
    pub const OUTCOMES: usize = 20;
    /// An outcome's name.
    pub const OUTCOME_NAME: usize = 64;
    /// An outcome's label.
    pub const OUTCOME_LABEL: usize = 128;
    /// The most reminders, and the most escalations.
    pub const TIMES: usize = 20;
    /// The most freezes.
    pub const FREEZES: usize = 100;
    /// A freeze's reason.
    pub const FREEZE_REASON: usize = 256;
}

/// Something wrong with a rule: it loosens the workflow's, is out of bounds, or can never be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct RuleError {
    /// The field, by its path in the API's rule.
    pub field: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl RuleError {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl Rule {
    /// This rule, if it is in bounds and somebody could meet it.
    pub fn checked(self) -> Result<Self, RuleError> {
        match self.problems(None).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(self),
        }
    }

    /// Everything that keeps this rule from being accepted, for what `requester` asks, where it is known.
    #[must_use]
    pub fn problems(&self, requester: Option<&Principal>) -> Vec<RuleError> {
        let mut found = Vec::new();
        self.check_stages(&mut found);
        self.check_counts(&mut found);
        self.check_outcomes(&mut found);
        self.check_times(&mut found);
        if let Some(problem) = self.response_schema.as_deref().and_then(schema::problem) {
            found.push(RuleError::new("response_schema_json", problem));
        }
        // Only of what is well formed can be said who could meet it.
        if found.is_empty() {
            self.check_people(requester, &mut found);
        }
        found
    }

    fn check_stages(&self, found: &mut Vec<RuleError>) {
        if !(1..=Bounds::STAGES).contains(&self.stages.len()) {
            found.push(RuleError::new("stages", format!("expected 1 to {}", Bounds::STAGES)));
        }
        for (at, stage) in self.stages.iter().enumerate() {
            let mut error = |field: &str, problem: &str| {
                found.push(RuleError::new(format!("stages[{at}].{field}"), problem));
            };
            if stage.name.len() > Bounds::STAGE_NAME || stage.name.chars().any(char::is_control) {
                error("name", "expected at most 64 bytes, no control characters");
            }
            if self.stages.iter().take(at).any(|other| other.name == stage.name) {
                error("name", "another stage has this name");
            }
            if stage.approvers.len() > Bounds::APPROVERS {
                error("approver_sets", "expected at most 100 sets");
            }
            for (place, set) in stage.approvers.iter().enumerate() {
                if let Some(problem) = set_problem(set) {
                    error(&format!("approver_sets[{place}].any_of"), problem);
                }
            }
            if !(1..=Bounds::COUNT).contains(&stage.required) {
                error("required_approvals", "expected 1 to 100");
            }
        }
    }

    fn check_counts(&self, found: &mut Vec<RuleError>) {
        if !(1..=Bounds::COUNT).contains(&self.required_rejections) {
            found.push(RuleError::new("required_rejections", "expected 1 to 100"));
        }
    }

    fn check_outcomes(&self, found: &mut Vec<RuleError>) {
        if self.outcomes.len() > Bounds::OUTCOMES {
            found.push(RuleError::new("outcomes", format!("expected at most {}", Bounds::OUTCOMES)));
        }
        for (at, Outcome { name, label, .. }) in self.outcomes.iter().enumerate() {
            let mut error = |field: &str, problem: &str| {
                found.push(RuleError::new(format!("outcomes[{at}].{field}"), problem));
            };
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if !(1..=Bounds::OUTCOME_NAME).contains(&name.len()) || !name.bytes().all(allowed) {
                error("name", "expected 1 to 64 characters of [A-Za-z0-9_-]");
            }
            if is_reserved(name) {
                error("name", "is taken: every approval can end so; find another name");
            }
            if self.outcomes.iter().take(at).any(|other| other.name == *name) {
                error("name", "another outcome has this name");
            }
            if label.len() > Bounds::OUTCOME_LABEL {
                error("label", "expected at most 128 bytes");
            }
        }
        if let ExpiryAction::Outcome(name) = &self.on_expiry
            && self.outcome(name).is_none()
        {
            found.push(RuleError::new("expiry_outcome", "expected one of the rule's outcomes, by name"));
        }
    }

    fn check_times(&self, found: &mut Vec<RuleError>) {
        let mut error = |field: String, problem: &str| found.push(RuleError::new(field, problem));
        if let Some(problem) = self.expire_after.and_then(duration_problem) {
            error("expire_after".to_owned(), problem);
        }
        if self.remind_after.len() > Bounds::TIMES {
            error("remind_after".to_owned(), "expected at most 20");
        }
        for (at, after) in self.remind_after.iter().enumerate() {
            if let Some(problem) = duration_problem(*after) {
                error(format!("remind_after[{at}]"), problem);
            }
        }
        if self.escalations.len() > Bounds::TIMES {
            error("escalations".to_owned(), "expected at most 20");
        }
        for (at, escalation) in self.escalations.iter().enumerate() {
            if let Some(problem) = duration_problem(escalation.after) {
                error(format!("escalations[{at}].after"), problem);
            }
            if let Some(problem) = set_problem(&escalation.approvers) {
                error(format!("escalations[{at}].approvers.any_of"), problem);
            }
            let known = |stage: &Stage| stage.name == escalation.stage;
            if !escalation.stage.is_empty() && !self.stages.iter().any(known) {
                error(format!("escalations[{at}].stage"), "expected one of the rule's stages, by name");
            }
        }
        if self.freezes.len() > Bounds::FREEZES {
            error("freezes".to_owned(), "expected at most 100");
        }
        for (at, freeze) in self.freezes.iter().enumerate() {
            if freeze.end <= freeze.start {
                error(format!("freezes[{at}].end_time"), "expected a time after the start");
            }
            if let Some(problem) = freeze.except.as_ref().and_then(set_problem) {
                error(format!("freezes[{at}].except.any_of"), problem);
            }
            if freeze.reason.len() > Bounds::FREEZE_REASON {
                error(format!("freezes[{at}].reason"), "expected at most 256 bytes");
            }
        }
    }

    /// Whether there are people enough, as far as they are named. Members of groups are not known here.
    fn check_people(&self, requester: Option<&Principal>, found: &mut Vec<RuleError>) {
        let barred = requester.filter(|_| !self.allow_self_approval);
        let named: Vec<_> = (0..self.stages.len()).map(|stage| self.named_approvers(stage)).collect();
        let approving: Vec<Option<BTreeSet<_>>> = named
            .iter()
            .map(|named| Some(named.as_ref()?.iter().copied().filter(|name| Some(*name) != barred).collect()))
            .collect();
        for (at, (stage, able)) in self.stages.iter().zip(&approving).enumerate() {
            let (Some(able), Some(Some(all))) = (able, named.get(at)) else { continue };
            if let Some(problem) = too_few(stage, all, able) {
                found.push(RuleError::new(format!("stages[{at}].required_approvals"), problem));
            }
        }
        if found.is_empty() && !self.allow_repeat_approvers {
            self.check_seats(&approving, found);
        }
        if !found.is_empty() {
            return;
        }
        let rejecting: Option<BTreeSet<_>> =
            named.into_iter().collect::<Option<Vec<_>>>().map(|all| all.into_iter().flatten().collect());
        if let Some(rejecting) = rejecting
            && count(rejecting.len()) < self.required_rejections
        {
            let problem = format!(
                "{} rejections, but only {} named: it could never be rejected; ask for fewer",
                self.required_rejections,
                people(rejecting.len())
            );
            found.push(RuleError::new("required_rejections", problem));
        }
    }

    /// Whether each seat of all stages can have somebody of its own.
    fn check_seats(&self, approving: &[Option<BTreeSet<&Principal>>], found: &mut Vec<RuleError>) {
        let everybody: BTreeSet<&Principal> = approving.iter().flatten().flatten().copied().collect();
        let may: Vec<BTreeSet<usize>> = everybody
            .iter()
            .map(|who| {
                let sits =
                    |(_, able): &(usize, &Option<BTreeSet<_>>)| able.as_ref().is_some_and(|able| able.contains(who));
                approving.iter().enumerate().filter(sits).map(|(stage, _)| stage).collect()
            })
            .collect();
        let seat = |(stage, able): (&Stage, &Option<_>)| if able.is_some() { stage.required } else { 0 };
        let seats: Vec<u32> = self.stages.iter().zip(approving).map(seat).collect();
        let filled = seated(&may, &seats);
        if let Some(at) = filled.iter().zip(&seats).position(|(filled, seats)| filled < seats) {
            let problem = format!(
                "each person counts once, and {} are too few for all stages together: it could never be met; name more, \
                 ask for fewer, or allow people to repeat",
                people(everybody.len())
            );
            found.push(RuleError::new(format!("stages[{at}].required_approvals"), problem));
        }
    }

    /// Everybody who could ever be an approver of a stage, where all of them are named.
    fn named_approvers(&self, stage: usize) -> Option<BTreeSet<&Principal>> {
        let stage = self.stages.get(stage)?;
        let mut sets = stage.approvers.iter().filter_map(ApproverSet::named);
        let mut named = sets.next()?;
        for set in sets {
            named.retain(|name| set.contains(name));
        }
        for escalation in &self.escalations {
            if escalation.is_of(stage) {
                named.extend(escalation.approvers.named()?);
            }
        }
        Some(named)
    }

    /// Whether somebody may be an approver of a stage, as far as that is known without their groups.
    #[must_use]
    pub fn could_be_approver(&self, stage: usize, who: &Principal, escalations: usize) -> bool {
        let may = |set: &ApproverSet| set.named().is_none_or(|named| named.contains(who));
        stage < self.stages.len() && self.approvers_now(stage, escalations).iter().all(may)
    }

    /// Whether its stages' order means anything.
    pub(super) fn has_order(&self) -> bool {
        self.stages.len() > 1 && self.order == StageOrder::Sequential
    }
}

fn too_few(stage: &Stage, named: &BTreeSet<&Principal>, able: &BTreeSet<&Principal>) -> Option<String> {
    if count(able.len()) >= stage.required {
        return None;
    }
    Some(if able.is_empty() && named.len() == 1 {
        "the only approver is the requester, who may not approve: it could never be met; name somebody else".to_owned()
    } else if named.is_empty() {
        "nobody is in all of the sets: it could never be met; name somebody who is".to_owned()
    } else if able.len() < named.len() {
        format!(
            "{} approvals, but only {} named beside the requester, who may not approve: it could never be met; name more, \
             or ask for fewer",
            stage.required,
            people(able.len())
        )
    } else {
        format!(
            "{} approvals, but only {} named: it could never be met; name more, or ask for fewer",
            stage.required,
            people(able.len())
        )
    })
}

fn people(count: usize) -> String {
    if count == 1 { "1 person".to_owned() } else { format!("{count} people") }
}

fn count(people: usize) -> u32 {
    u32::try_from(people).unwrap_or(u32::MAX)
}

fn set_problem(set: &ApproverSet) -> Option<&'static str> {
    match set.0.len() {
        0 => Some("expected at least one approver: nobody could ever decide"),
        1..=Bounds::APPROVERS => None,
        _ => Some("expected at most 100 approvers"),
    }
}

fn duration_problem(after: SignedDuration) -> Option<&'static str> {
    if after < SignedDuration::from_secs(1) {
        Some("expected at least 1 second")
    } else if after > SignedDuration::from_hours(24 * 366) {
        Some("expected at most 366 days: no execution lives longer")
    } else {
        None
    }
}

/// What a workflow gets where no outcome was named, and what rules and callers say for that.
fn is_reserved(name: &str) -> bool {
    Status::ALL.iter().any(|status| status.name().eq_ignore_ascii_case(name))
        || ["approve", "reject", "expire"].iter().any(|word| word.eq_ignore_ascii_case(name))
}
