//! What time does to a rule: reminders, escalations, freezes.

use jiff::{SignedDuration, Timestamp};

use super::{Escalation, Freeze, Person, Rule, Stage};

impl Freeze {
    /// Whether it is now.
    #[must_use]
    pub fn covers(&self, now: Timestamp) -> bool {
        self.start <= now && now < self.end
    }

    /// Whether it keeps somebody from deciding now.
    #[must_use]
    pub fn stops(&self, who: &Person, now: Timestamp) -> bool {
        self.covers(now) && self.except.as_ref().is_none_or(|except| !except.holds(who))
    }
}

impl Escalation {
    /// Whether it is of a stage.
    #[must_use]
    pub fn is_of(&self, stage: &Stage) -> bool {
        self.stage.is_empty() || self.stage == stage.name
    }
}

impl Rule {
    /// The freeze that keeps somebody from deciding now: of several, the one that ends last.
    #[must_use]
    pub fn frozen(&self, who: &Person, now: Timestamp) -> Option<&Freeze> {
        self.freezes.iter().filter(|freeze| freeze.stops(who, now)).max_by_key(|freeze| freeze.end)
    }

    /// The reminders, earliest first.
    #[must_use]
    pub fn reminders_in_order(&self) -> Vec<SignedDuration> {
        let mut reminders = self.remind_after.clone();
        reminders.sort_unstable();
        reminders
    }

    /// The escalations, earliest first.
    #[must_use]
    pub fn escalations_in_order(&self) -> Vec<&Escalation> {
        let mut escalations: Vec<_> = self.escalations.iter().collect();
        escalations.sort_by_key(|escalation| escalation.after);
        escalations
    }
}
