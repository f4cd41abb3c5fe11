//! Lists of approvals: which, and a page of them.

use form_urlencoded::Serializer;

use super::{Web, fields::Fields, session::Visitor};
use crate::{
    approval::{Approval, ApprovalId, Priority, Status},
    auth::Permission,
    store::{Filter, ListQuery, Order, StoreError},
};

/// The longest text that is looked for, in bytes.
const MAX_TEXT: usize = 256;
/// A page of a list that matches little comes in pieces; after so many of them it is as long as it is.
const MAX_PIECES: usize = 20;

const PRIORITIES: [(Priority, &str, &str); 4] = [
    (Priority::Urgent, "urgent", "Urgent"),
    (Priority::High, "high", "High"),
    (Priority::Normal, "normal", "Normal"),
    (Priority::Low, "low", "Low"),
];

const STATUSES: [(Status, &str, &str); 5] = [
    (Status::Approved, "approved", "Approved"),
    (Status::Rejected, "rejected", "Rejected"),
    (Status::Expired, "expired", "Expired"),
    (Status::Canceled, "canceled", "Canceled"),
    (Status::Invalid, "invalid", "Invalid"),
];

/// Something that can be chosen.
pub(super) struct Offer {
    pub(super) value: String,
    pub(super) text: String,
    pub(super) chosen: bool,
}

/// What somebody looks for.
pub(super) struct Search {
    pub(super) text: String,
    pub(super) workflows: Vec<Offer>,
    pub(super) priorities: Vec<Offer>,
    pub(super) statuses: Vec<Offer>,
    /// All that they see, not only what waits for them.
    pub(super) all: bool,
    workflow: Option<String>,
    priority: Option<(Priority, &'static str)>,
    status: Option<(Status, &'static str)>,
}

impl Search {
    pub(super) fn read(web: &Web, visitor: &Visitor, fields: &Fields) -> Self {
        let scopes = visitor.caller.scopes(Permission::View);
        let sees = |name: &String| scopes.as_ref().is_none_or(|some| some.iter().any(|scope| scope.has_workflow(name)));
        let workflow = fields.some("workflow").map(str::to_owned);
        let names = web.workflows.all();
        let workflows = names.keys().filter(|name| sees(name)).map(|name| Offer {
            value: name.clone(),
            text: super::view::visible(name),
            chosen: workflow.as_ref() == Some(name),
        });
        let priority = PRIORITIES.iter().find(|(_, name, _)| *name == fields.get("priority"));
        let status = STATUSES.iter().find(|(_, name, _)| *name == fields.get("status"));
        let option = |name: &str, text: &str, chosen: bool| Offer { value: name.into(), text: text.into(), chosen };
        let text = fields.some("text").unwrap_or_default();
        Self {
            text: text
                .chars()
                .scan(0, |bytes, c| {
                    *bytes += c.len_utf8();
                    (*bytes <= MAX_TEXT).then_some(c)
                })
                .collect(),
            workflows: workflows.collect(),
            priorities: PRIORITIES
                .iter()
                .map(|(_, name, text)| option(name, text, priority.is_some_and(|(_, known, _)| known == name)))
                .collect(),
            statuses: STATUSES
                .iter()
                .map(|(_, name, text)| option(name, text, status.is_some_and(|(_, known, _)| known == name)))
                .collect(),
            all: fields.get("show") == "all",
            workflow,
            priority: priority.map(|(priority, name, _)| (*priority, *name)),
            status: status.map(|(status, name, _)| (*status, *name)),
        }
    }

    /// What is looked for, of what the visitor sees. `mine`: that waits for them.
    pub(super) fn filter(&self, visitor: &Visitor, mine: bool) -> Filter {
        Filter {
            workflow: self.workflow.clone(),
            priorities: self.priority.map(|(priority, _)| priority).into_iter().collect(),
            text: Some(self.text.clone()).filter(|text| !text.is_empty()),
            awaiting: mine.then(|| visitor.caller.person.clone()),
            visible: visitor.caller.scopes(Permission::View),
            ..Filter::default()
        }
    }

    /// The statuses of what is over.
    pub(super) fn finished(&self) -> Vec<Status> {
        match self.status {
            Some((status, _)) => vec![status],
            None => STATUSES.iter().map(|(status, ..)| *status).collect(),
        }
    }

    /// Whether anything is left out.
    pub(super) fn narrows(&self) -> bool {
        !self.text.is_empty() || self.workflow.is_some() || self.priority.is_some() || self.status.is_some()
    }

    /// The same search as a query, with more to it.
    pub(super) fn query(&self, more: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        let own = [
            ("text", Some(self.text.as_str()).filter(|text| !text.is_empty())),
            ("workflow", self.workflow.as_deref()),
            ("priority", self.priority.map(|(_, name)| name)),
            ("status", self.status.map(|(_, name)| name)),
            ("show", self.all.then_some("all")),
        ];
        for (name, value) in own {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.extend_pairs(more);
        query.finish()
    }
}

/// A page of a list: what `keep` makes of what there is, so that no long input is held on to; and where it goes on.
pub(super) async fn collect<T>(
    web: &Web,
    mut query: ListQuery,
    mut keep: impl FnMut(&Approval) -> T,
) -> Result<(Vec<T>, Option<ApprovalId>), StoreError> {
    let mut found = Vec::new();
    let most = query.limit;
    for _ in 0..MAX_PIECES {
        query.limit = most - found.len();
        let page = web.operations.store.list(query.clone()).await?;
        found.extend(page.approvals.iter().map(|approval| keep(approval)));
        query.after = page.next;
        if query.after.is_none() || found.len() >= most {
            break;
        }
    }
    Ok((found, query.after))
}

/// A query for a page.
pub(super) fn query(filter: Filter, statuses: Vec<Status>, order: Order, after: &str, limit: usize) -> ListQuery {
    ListQuery { filter, statuses, order, after: after.parse().ok(), limit }
}
