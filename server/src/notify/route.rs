//! Who is told of what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::notice::{Kind, Notice};
use crate::approval::{Approval, Principal, Scope};

/// What goes to a target. Fields combine with AND.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// What happened; empty: anything.
    pub on: Vec<Kind>,
    /// To which approvals.
    pub scope: Scope,
    /// One of these is asked, or was; empty: whoever is.
    pub approvers: Vec<Principal>,
}

impl Route {
    /// Whether a notice takes it.
    #[must_use]
    pub fn takes(&self, notice: &Notice, approval: &Approval) -> bool {
        let named = |asked: &[Principal]| asked.iter().any(|one| self.approvers.contains(one));
        (self.on.is_empty() || self.on.contains(&notice.kind))
            && self.scope.holds(&notice.workflow, &notice.labels)
            && (self.approvers.is_empty()
                || if notice.kind.asks() { named(&notice.asked) } else { named(&approvers(approval)) })
    }
}

/// All whom the rule names, once the escalations that have come are counted.
fn approvers(approval: &Approval) -> Vec<Principal> {
    let rule = &approval.request.rule;
    let sets = (0..rule.stages.len()).flat_map(|stage| rule.approvers_now(stage, approval.escalations));
    sets.flat_map(|set| set.0).collect()
}

/// Where people and groups get their mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// Addresses of a person, or of a group.
    pub addresses: BTreeMap<Principal, Vec<String>>,
    /// The domain of people without an entry: their name is the part before it, or their whole address, if it is of this
    /// domain. Absent: they get none.
    pub domain: Option<String>,
}

impl Directory {
    /// The addresses of somebody; none where they are not known. A requester's name is what a task says: nothing of it
    /// leads to an address outside of the domain.
    #[must_use]
    pub fn addresses(&self, who: &Principal) -> Vec<String> {
        if let Some(known) = self.addresses.get(who) {
            return known.clone();
        }
        let Some(domain) = &self.domain else { return Vec::new() };
        let Some(name) = who.as_str().strip_prefix("user:") else { return Vec::new() };
        let local = match name.rsplit_once('@') {
            Some((local, of)) if of.eq_ignore_ascii_case(domain) => local,
            Some(_) => return Vec::new(),
            None => name,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        let is_local = !local.is_empty() && local.len() <= 64 && local.chars().all(plain);
        is_local.then(|| format!("{local}@{domain}")).into_iter().collect()
    }
}

/// Whom mail goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Those who are asked.
    Approvers,
    /// The requester, of how it ended.
    Requester,
    /// An address, of everything.
    Address(String),
}

/// An address, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// The person who gets a link of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Principal>,
}

/// Whom a notice goes to, each address once.
#[must_use]
pub(super) fn recipients(notice: &Notice, to: &[To], directory: &Directory) -> Vec<Recipient> {
    let mut found: Vec<Recipient> = Vec::new();
    for to in to {
        match to {
            To::Approvers if notice.kind.asks() => {
                for asked in &notice.asked {
                    let addresses = directory.addresses(asked);
                    // A link is for one person: what several get is for none of them.
                    let person = (asked.is_user() && addresses.len() == 1).then(|| asked.clone());
                    found.extend(addresses.into_iter().map(|address| Recipient { address, person: person.clone() }));
                }
            }
            // Who canceled it themselves need not be told.
            To::Requester if !notice.kind.asks() && !notice.decided_by.iter().eq(&notice.requester) => {
                let addresses = notice.requester.iter().flat_map(|requester| directory.addresses(requester));
                found.extend(addresses.map(|address| Recipient { address, person: None }));
            }
            To::Address(address) => found.push(Recipient { address: address.clone(), person: None }),
            To::Approvers | To::Requester => {}
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|recipient| seen.insert(recipient.address.to_ascii_lowercase()));
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        approval::{ApproverSet, Labels, Request, Rule, arbitrary::new_approval},
        notify::{notice::notices, test_request},
        store::Change,
    };

    fn principals(names: &[&str]) -> Vec<Principal> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn asked(of: &[&str]) -> (Notice, Approval) {
        let any = test_request("Pay");
        let mut source = any.source.clone();
        source.workflow = "pay-out".to_owned();
        let request = Request {
            rule: Rule::single(vec![ApproverSet(principals(of))], 1),
            labels: Labels::from([("env".to_owned(), "prod".to_owned())]),
            source,
            ..any
        };
        let approval = new_approval(request, "{}");
        let change = Change { revision: 1, before: None, after: Arc::new(approval.clone()) };
        (notices(&change).remove(0), approval)
    }

    fn directory() -> Directory {
        let entry = |name: &str, to: &[&str]| (name.parse().unwrap(), to.iter().map(|&to| to.to_owned()).collect());
        Directory {
            addresses: [
                entry("group:finance", &["finance@example.com", "books@example.com"]),
                entry("user:bob", &["robert@example.org"]),
            ]
            .into(),
            domain: Some("example.com".to_owned()),
        }
    }

    #[test]
    fn a_route_is_by_what_happened_workflow_label_and_approver() {
        let (notice, approval) = asked(&["user:ana", "group:finance"]);
        let takes = |route: &Route| route.takes(&notice, &approval);
        assert!(takes(&Route::default()));
        assert!(takes(&Route { on: vec![Kind::Decided, Kind::Requested], ..Route::default() }));
        assert!(!takes(&Route { on: vec![Kind::Decided], ..Route::default() }));
        let workflow = |pattern: &str| Route {
            scope: Scope { workflows: vec![pattern.to_owned().try_into().unwrap()], ..Scope::default() },
            ..Route::default()
        };
        assert!(takes(&workflow("pay-*")) && !takes(&workflow("ship")));
        let label = |value: &str| Route {
            scope: Scope { labels: Labels::from([("env".to_owned(), value.to_owned())]), ..Scope::default() },
            ..Route::default()
        };
        assert!(takes(&label("prod")) && !takes(&label("test")));
        let approver = |name: &str| Route { approvers: principals(&[name]), ..Route::default() };
        assert!(takes(&approver("group:finance")) && !takes(&approver("user:bob")));
        // How it ended goes where the question went.
        let ended = Notice { kind: Kind::Decided, asked: Vec::new(), ..notice };
        assert!(approver("group:finance").takes(&ended, &approval) && !approver("user:bob").takes(&ended, &approval));
    }

    #[test]
    fn approvers_are_asked_and_the_requester_hears_the_outcome() {
        let (notice, _) = asked(&["user:ana", "group:finance", "user:bob", "group:unknown", "user:rita"]);
        let both = [To::Approvers, To::Requester, To::Address("ops@example.com".to_owned())];
        let told = |notice: &Notice| -> Vec<_> {
            let found = recipients(notice, &both, &directory());
            found.into_iter().map(|one| (one.address, one.person.map(|person| person.to_string()))).collect()
        };
        let entry = |address: &str, person: Option<&str>| (address.to_owned(), person.map(str::to_owned));
        assert_eq!(
            told(&notice),
            [
                entry("finance@example.com", None),
                entry("books@example.com", None),
                entry("ana@example.com", Some("user:ana")),
                entry("robert@example.org", Some("user:bob")),
                entry("ops@example.com", None),
            ]
        );
        let ended = Notice { kind: Kind::Expired, asked: Vec::new(), ..notice };
        assert_eq!(told(&ended), [entry("rita@example.com", None), entry("ops@example.com", None)]);
        let canceled = |by| Notice { kind: Kind::Canceled, decided_by: principals(&[by]), ..ended.clone() };
        assert_eq!(told(&canceled("user:boss")).len(), 2);
        assert_eq!(told(&canceled("user:rita")), [entry("ops@example.com", None)]);
    }

    #[test]
    fn a_name_leads_to_no_address_outside_of_the_domain() {
        let directory = directory();
        let found = |name: &str| directory.addresses(&name.parse().unwrap()).concat();
        assert_eq!(found("user:ana@Example.com"), "ana@example.com");
        for name in [
            "user:ana@evil.example",
            "user:ana@evil.example@example.com",
            "user:a b",
            "user:<x>",
            "user:a,b",
            "user:a@b@example.com",
            "group:ops",
            "service:bot",
            "user:@example.com",
            "user:x\u{e9}",
        ] {
            assert_eq!(found(name), "", "{name}");
        }
        assert_eq!(Directory::default().addresses(&"user:ana".parse().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn an_address_is_told_once() {
        let (notice, _) = asked(&["user:ana"]);
        let to = [To::Approvers, To::Address("Ana@Example.com".to_owned())];
        assert_eq!(recipients(&notice, &to, &directory()).len(), 1);
    }
}
