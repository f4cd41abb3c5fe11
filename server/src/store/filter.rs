//! Which approvals a filter is for: the same for a list and for a watch.

use super::{Filter, ListQuery};
use crate::approval::{Approval, ApprovalId, Request, Status};

impl ListQuery {
    /// The statuses that can be in the page, each once. Nothing that is final awaits anybody.
    pub(super) fn statuses_asked(&self) -> Vec<Status> {
        let asked = |status: &Status| self.statuses.is_empty() || self.statuses.contains(status);
        let awaits = |status: &Status| self.filter.awaiting.is_none() || *status == Status::Pending;
        Status::ALL.into_iter().filter(asked).filter(awaits).collect()
    }
}

impl Filter {
    /// Whether `approval` is one of those that are asked for. Looks at nothing but the approval as it stands.
    #[must_use]
    pub fn matches(&self, approval: &Approval) -> bool {
        self.may_match(&approval.id, &approval.request) && self.matches_as_it_stands(approval)
    }

    /// Whether one that [may match](Self::may_match) is one of them.
    pub(crate) fn matches_as_it_stands(&self, approval: &Approval) -> bool {
        self.awaiting.as_ref().is_none_or(|person| approval.awaits(person))
    }

    /// Whether an approval with this request could be one of them, however it stands.
    pub(crate) fn may_match(&self, id: &ApprovalId, request: &Request) -> bool {
        self.workflow.as_ref().is_none_or(|name| *name == request.source.workflow)
            && (self.priorities.is_empty() || self.priorities.contains(&request.priority))
            && self.execution_arn.as_ref().is_none_or(|arn| request.source.execution_arn.as_ref() == Some(arn))
            && self.labels.iter().all(|(key, value)| request.labels.get(key) == Some(value))
            && self.awaiting.as_ref().is_none_or(|person| request.rule.could_approve(person))
            && self.text.as_ref().is_none_or(|text| mentions(id, request, text))
            && self
                .visible
                .as_ref()
                .is_none_or(|scopes| scopes.iter().any(|scope| scope.holds(&request.source.workflow, &request.labels)))
    }
}

fn mentions(id: &ApprovalId, request: &Request, text: &str) -> bool {
    [request.title.as_str(), &request.description, id.as_str()]
        .into_iter()
        .chain(request.requester.as_ref().map(|who| who.as_str()))
        .any(|place| holds(place, text))
}

/// Whether `text` is somewhere in `place`, whatever the case of its ASCII letters.
fn holds(place: &str, text: &str) -> bool {
    text.is_empty() || place.as_bytes().windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_whatever_its_case() {
        assert!(holds("Pay Invoice 4711", "INVOICE"));
        assert!(holds("Pay", ""));
        assert!(!holds("Pay", "Pay invoice"));
        assert!(!holds("", "x"));
        assert!(holds("Größe", "größe"));
    }
}
