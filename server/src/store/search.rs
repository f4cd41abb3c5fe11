//! What lists look for in indexes, beyond an approval's own columns: the same in both stores. An index yields a superset,
//! and [`Filter`] has the last word.

use std::{collections::BTreeSet, sync::Arc};

use super::{Change, Filter, ListQuery, transaction::Written};
use crate::{
    approval::{ApprovalId, Labels, Person, Principal, Request, Status},
    store::Order,
};

/// So many rows are looked at for one page. What fewer approvals have leads to them; what more have does not.
pub(super) const MAX_LOOKED_AT: usize = 2_000;
/// Whoever is in more groups is not looked for by each.
const MAX_MEMBERSHIPS: usize = 64;
/// A rule that names more approvers is found by everybody.
const MAX_NAMED: usize = 16;
/// So many of a text's trigrams are looked for, at most.
const MAX_TRIGRAMS: usize = 32;
/// So many approvals are final and still in the index of those that are pending, at most.
const MAX_SETTLED: usize = 512;

/// The term of an approval that anybody may approve, or too many.
const ANYONE: &str = "a:";

fn approver_term(who: &Principal) -> String {
    format!("a:{}", who.as_str())
}

fn label_term(key: &str, value: &str) -> String {
    format!("l:{key}={value}")
}

/// What an approval is found by while it is pending: who could approve it, and its labels.
pub(super) fn terms(request: &Request) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let rule = &request.rule;
    for stage in &rule.stages {
        // Whoever approves is in each of the sets: the smallest leads to all of them.
        match stage.approvers.iter().min_by_key(|set| set.0.len()) {
            Some(set) => named.extend(set.0.iter().map(approver_term)),
            None => drop(named.insert(ANYONE.to_owned())),
        }
    }
    named.extend(rule.escalations.iter().flat_map(|escalation| &escalation.approvers.0).map(approver_term));
    if named.len() > MAX_NAMED {
        named = BTreeSet::from([ANYONE.to_owned()]);
    }
    named.extend(request.labels.iter().map(|(key, value)| label_term(key, value)));
    named
}

/// What to look for to find all that somebody could approve; `None` where that is too much.
fn terms_of(person: &Person) -> Option<Vec<String>> {
    if person.groups.len() > MAX_MEMBERSHIPS {
        return None;
    }
    let own = std::iter::once(&person.principal).chain(&person.groups).map(approver_term);
    let all: BTreeSet<_> = own.chain([ANYONE.to_owned()]).collect();
    Some(all.into_iter().collect())
}

/// The text that an approval is searched by: lower case, as far as that is ASCII, and without zeros.
pub(super) fn document(id: &ApprovalId, request: &Request) -> String {
    let requester = request.requester.as_ref().map_or("", |who| who.as_str());
    folded(&format!("{}\n{}\n{requester}\n{}", request.title, request.description, id.as_str()))
}

/// A text as it is searched for. What a document held with a zero in it is found without.
pub(super) fn folded(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').map(|c| c.to_ascii_lowercase()).collect()
}

/// The pieces of three characters that a document holds if it holds `text`; empty where it is too short.
pub(super) fn trigrams(text: &str) -> BTreeSet<String> {
    let text: Vec<char> = folded(text).chars().collect();
    text.windows(3).map(String::from_iter).take(MAX_TRIGRAMS).collect()
}

/// Where a list begins to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Driver<'a> {
    /// By execution.
    Execution(&'a str),
    /// By label, whatever its status.
    Label(&'a str, &'a str),
    /// Pending, by one of these terms or another.
    Waiting(Vec<String>),
    /// By text.
    Text(&'a str),
    Workflow(&'a str),
    Status,
    Id,
}

/// Where a list may begin to look.
#[derive(Debug)]
pub(super) struct Drivers<'a> {
    /// Those that may lead to few approvals. The first, where there is but one and it is the broad one, too.
    pub(super) narrow: Vec<Driver<'a>>,
    /// What leads to all of them, should none of those do so.
    pub(super) broad: Driver<'a>,
}

/// Which indexes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Indexes {
    /// Of those that wait, by term.
    pub(super) waiting: bool,
    /// Of texts: whether this one can be looked for.
    pub(super) text: bool,
    /// Whether that of texts yields ids in order, however many there are.
    pub(super) text_in_order: bool,
}

impl<'a> Drivers<'a> {
    pub(super) fn of(query: &'a ListQuery, statuses: &[Status], indexes: Indexes) -> Self {
        let filter = &query.filter;
        if let Some(arn) = &filter.execution_arn {
            return Self { narrow: Vec::new(), broad: Driver::Execution(arn) };
        }
        let all_statuses = statuses.len() == Status::ALL.len();
        let pending_only = indexes.waiting && statuses == [Status::Pending];
        let by_label = |(key, value): (&'a String, &'a String)| {
            if pending_only { Driver::Waiting(vec![label_term(key, value)]) } else { Driver::Label(key, value) }
        };
        let awaiting = filter.awaiting.as_ref().filter(|_| pending_only).and_then(terms_of).map(Driver::Waiting);
        let text = filter.text.as_deref().filter(|_| indexes.text).map(Driver::Text);
        let narrow: Vec<_> =
            labels(filter).into_iter().flatten().map(by_label).chain(awaiting.clone()).chain(text.clone()).collect();
        let only = |driver: &Driver<'a>| narrow.len() == 1 && narrow.first() == Some(driver);
        let broad = match (awaiting, &filter.workflow, text) {
            (Some(awaiting), ..) => awaiting,
            (None, Some(name), _) => Driver::Workflow(name),
            (None, None, Some(text)) if all_statuses && indexes.text_in_order => text,
            // Each of them matches, as far as the index knows.
            (None, None, None) if narrow.len() == 1 && (all_statuses || pending_only) => match narrow.first() {
                Some(label) => label.clone(),
                None => Driver::Id,
            },
            (None, None, _) if all_statuses => Driver::Id,
            (None, None, _) => Driver::Status,
        };
        if only(&broad) { Self { narrow: Vec::new(), broad } } else { Self { narrow, broad } }
    }
}

/// All labels that are asked for: also those without which the caller sees nothing.
fn labels(filter: &Filter) -> [&Labels; 2] {
    const NONE: &Labels = &Labels::new();
    let seen = match filter.visible.as_deref() {
        Some([scope]) => &scope.labels,
        _ => NONE,
    };
    [&filter.labels, seen]
}

/// The id before all others in an order.
pub(super) fn start(order: Order) -> &'static str {
    match order {
        Order::NewestFirst => "{",
        Order::OldestFirst => "",
    }
}

/// Approvals that are pending no more and are still in the index of those that are: lists pass over them. They are taken
/// out where new ones are put in, so that no decision pays for it; and where there are too many. What a stop leaves
/// behind goes with the approval.
#[derive(Debug, Default)]
pub(super) struct Settled(Vec<(ApprovalId, Arc<Request>)>);

impl Settled {
    /// Those that are to be taken out in the transaction that writes these changes: all or none.
    pub(super) fn due(&self, written: &Written) -> &[(ApprovalId, Arc<Request>)] {
        let grows = written.changes.iter().any(|change| change.before.is_none());
        if grows || self.0.len() >= MAX_SETTLED { &self.0 } else { &[] }
    }

    /// After the commit of that transaction.
    pub(super) fn committed(&mut self, were_taken_out: bool, changes: &[Change]) {
        if were_taken_out {
            self.0.clear();
        }
        let settled = changes.iter().filter(|change| {
            change.before.as_ref().is_some_and(|before| before.status == Status::Pending)
                && change.after.status != Status::Pending
        });
        self.0.extend(settled.map(|change| (change.after.id.clone(), Arc::clone(&change.after.request))));
    }
}

/// New approvals of a transaction, in the order of their ids.
pub(super) fn created(changes: &[Change]) -> Vec<&crate::approval::Approval> {
    let mut created: Vec<_> =
        changes.iter().filter(|change| change.before.is_none()).map(|change| &*change.after).collect();
    created.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    created
}
