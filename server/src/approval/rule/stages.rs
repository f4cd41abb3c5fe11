//! How votes count in stages.
//!
//! A vote names the stages that it may count in: those that its voter could approve in when it was cast. What a stage
//! has, and which one is open, is computed from the votes and never stored.

use std::collections::{BTreeMap, BTreeSet};

use super::{ApproverSet, Escalation, Person, Rule, Stage, StageOrder};
use crate::approval::{Decision, Principal, Vote};

/// How the votes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// More is needed.
    Open,
    /// The rule is met: approved.
    Approved,
    /// The rule is met: rejected.
    Rejected,
}

impl Rule {
    /// The approvals that each stage has, of those that count in it.
    ///
    /// In parallel stages, where one person counts once, as many seats as possible are filled: a maximum matching of
    /// voters and seats. It depends neither on the order of the votes nor on which stage one was meant for.
    #[must_use]
    pub fn counts(&self, votes: &[Vote]) -> Vec<u32> {
        self.counted(approving(votes))
    }

    /// Whether one more approval, in these stages, would be one more that is needed.
    #[must_use]
    pub fn would_count(&self, votes: &[Vote], voter: &Principal, stages: &[usize]) -> bool {
        let needed = |counts: Vec<u32>| -> u32 {
            self.stages.iter().zip(counts).map(|(stage, count)| count.min(stage.required)).sum()
        };
        let now = approving(votes);
        let mut then = now.clone();
        then.entry(voter).or_default().extend(stages);
        needed(self.counted(then)) > needed(self.counted(now))
    }

    fn counted(&self, of: BTreeMap<&Principal, BTreeSet<usize>>) -> Vec<u32> {
        if self.one_seat_each() {
            let stages: Vec<_> = of.into_values().collect();
            let seats: Vec<_> = self.stages.iter().map(|stage| stage.required).collect();
            return seated(&stages, &seats);
        }
        let count = |stage: usize| of.values().filter(|stages| stages.contains(&stage)).count();
        (0..self.stages.len()).map(|stage| u32::try_from(count(stage)).unwrap_or(u32::MAX)).collect()
    }

    /// Whether a voter may have several stages to count in, and counts in one of them.
    fn one_seat_each(&self) -> bool {
        self.order == StageOrder::Parallel && !self.allow_repeat_approvers && self.stages.len() > 1
    }

    /// The stages that take votes.
    #[must_use]
    pub fn open(&self, votes: &[Vote]) -> Vec<usize> {
        match self.order {
            StageOrder::Parallel => (0..self.stages.len()).collect(),
            StageOrder::Sequential => {
                let counts = self.counts(votes);
                self.stages.iter().zip(counts).position(|(stage, count)| count < stage.required).into_iter().collect()
            }
        }
    }

    /// How `votes` stand. Rejections win where both are met at once.
    #[must_use]
    pub fn verdict(&self, votes: &[Vote]) -> Verdict {
        let rejecting: BTreeSet<_> =
            votes.iter().filter(|vote| vote.decision == Decision::Reject).map(|vote| &vote.voter).collect();
        if u32::try_from(rejecting.len()).unwrap_or(u32::MAX) >= self.required_rejections {
            return Verdict::Rejected;
        }
        let counts = self.counts(votes);
        let met = self.stages.iter().zip(counts).all(|(stage, count)| count >= stage.required);
        if met { Verdict::Approved } else { Verdict::Open }
    }

    /// The sets that whoever approves in a stage must be in, once so many escalations, earliest first, have come: those
    /// that an escalation names are in each. Empty: anyone.
    #[must_use]
    pub fn approvers_now(&self, stage: usize, escalations: usize) -> Vec<ApproverSet> {
        let Some(stage) = self.stages.get(stage) else { return Vec::new() };
        let mut sets = stage.approvers.clone();
        for escalation in self.escalated(stage, escalations) {
            for set in &mut sets {
                set.0.extend(escalation.approvers.0.iter().cloned());
            }
        }
        sets
    }

    /// Whether somebody is an approver of a stage, once so many escalations have come.
    #[must_use]
    pub fn is_approver(&self, stage: usize, who: &Person, escalations: usize) -> bool {
        let Some(stage) = self.stages.get(stage) else { return false };
        stage.approvers.iter().all(|set| set.holds(who))
            || self.escalated(stage, escalations).any(|escalation| escalation.approvers.holds(who))
    }

    /// Of the first so many escalations, those of a stage.
    fn escalated(&self, stage: &Stage, escalations: usize) -> impl Iterator<Item = &Escalation> {
        let come = if escalations == 0 { Vec::new() } else { self.escalations_in_order() };
        come.into_iter().take(escalations).filter(|escalation| escalation.is_of(stage))
    }

    /// The stages that somebody is an approver of.
    #[must_use]
    pub fn stages_of(&self, who: &Person, escalations: usize) -> Vec<usize> {
        (0..self.stages.len()).filter(|stage| self.is_approver(*stage, who, escalations)).collect()
    }

    /// Whether somebody is an approver of some stage, or will be once all escalations have come.
    #[must_use]
    pub fn could_approve(&self, who: &Person) -> bool {
        (0..self.stages.len()).any(|stage| self.is_approver(stage, who, self.escalations.len()))
    }
}

/// Who approves, each with the stages that they may count in.
fn approving(votes: &[Vote]) -> BTreeMap<&Principal, BTreeSet<usize>> {
    let mut of: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for vote in votes.iter().filter(|vote| vote.decision == Decision::Approve) {
        of.entry(&vote.voter).or_default().extend(&vote.stages);
    }
    of
}

/// How many seats of each stage can be filled, each by another one of those who may sit in several: `may[person]` are the
/// stages of a person. As many as possible in all.
pub(super) fn seated(may: &[BTreeSet<usize>], seats: &[u32]) -> Vec<u32> {
    let mut seating = Seating { may, seats, taken: vec![Vec::new(); seats.len()] };
    for person in 0..may.len() {
        seating.seat(person, &mut vec![false; seats.len()]);
    }
    seating.taken.iter().map(|taken| u32::try_from(taken.len()).unwrap_or(u32::MAX)).collect()
}

/// Augmenting paths over stages: each is looked at once for each person, so that a path is no longer than there are
/// stages.
struct Seating<'a> {
    may: &'a [BTreeSet<usize>],
    seats: &'a [u32],
    taken: Vec<Vec<usize>>,
}

impl Seating<'_> {
    fn seat(&mut self, person: usize, seen: &mut [bool]) -> bool {
        let may = self.may;
        let Some(stages) = may.get(person) else { return false };
        for &stage in stages {
            match seen.get_mut(stage) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            let room = usize::try_from(self.seats.get(stage).copied().unwrap_or(0)).unwrap_or(usize::MAX);
            let taken = self.taken.get(stage).cloned().unwrap_or_default();
            let place = if taken.len() < room {
                Some(taken.len())
            } else {
                taken.iter().position(|other| self.seat(*other, seen))
            };
            if let Some(place) = place
                && let Some(now) = self.taken.get_mut(stage)
            {
                match now.get_mut(place) {
                    Some(seat) => *seat = person,
                    None => now.push(person),
                }
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(all: &[&[usize]]) -> Vec<BTreeSet<usize>> {
        all.iter().map(|stages| stages.iter().copied().collect()).collect()
    }

    #[test]
    fn nobody_takes_a_seat_that_only_another_could() {
        assert_eq!(seated(&may(&[&[0, 1], &[0]]), &[1, 1]), [1, 1]);
        assert_eq!(seated(&may(&[&[0, 1, 2], &[0, 1], &[0]]), &[1, 1, 1]), [1, 1, 1]);
        assert_eq!(seated(&may(&[&[0], &[0]]), &[1, 1]), [1, 0]);
        assert_eq!(seated(&may(&[&[0, 1], &[0, 1], &[1]]), &[2, 1]), [2, 1]);
        assert_eq!(seated(&may(&[&[]]), &[1]), [0]);
    }
}
