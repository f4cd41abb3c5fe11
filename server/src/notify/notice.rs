//! What is told of a change: the facts, as they were right after it. Payloads, descriptions and comments are not among
//! them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    approval::{Approval, ApprovalId, Labels, Principal, Priority, Status},
    store::{Change, Revision},
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// People are asked: it is new, a stage has come to its turn, or somebody gave it to them.
    Requested,
    /// They are reminded.
    Reminder,
    /// More people are asked.
    Escalation,
    /// People decided.
    Decided,
    /// Its deadline passed, whatever that did.
    Expired,
    /// Nobody is to decide any more.
    #[serde(alias = "cancelled")]
    Canceled,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Requested, Self::Reminder, Self::Escalation, Self::Decided, Self::Expired, Self::Canceled];

    /// Its name, in config and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Reminder => "reminder",
            Self::Escalation => "escalation",
            Self::Decided => "decided",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }

    /// Whether it asks people to decide. The others tell how it ended.
    #[must_use]
    pub fn asks(self) -> bool {
        matches!(self, Self::Requested | Self::Reminder | Self::Escalation)
    }
}

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageFacts {
    /// Its name; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Approvals that it takes.
    pub required: u32,
    /// Approvals that it has.
    pub approvals: u32,
    /// Whether it takes votes.
    pub open: bool,
}

/// What is told of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// The change's revision.
    pub revision: Revision,
    /// When.
    pub at: Timestamp,
    /// The approval.
    pub approval: ApprovalId,
    /// Its workflow.
    pub workflow: String,
    /// Its title.
    pub title: String,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Principal>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// How urgent it is.
    pub priority: Priority,
    /// Where it stands.
    pub status: Status,
    /// Its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// How far its stages are.
    pub stages: Vec<StageFacts>,
    /// Who made it final.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided_by: Vec<Principal>,
    /// The outcome of its own that was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Who is asked, as far as the rule names them: people and groups. Empty: anyone, or nobody any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Principal>,
}

/// What is to be told of a change: mostly nothing.
#[must_use]
pub fn notices(change: &Change) -> Vec<Notice> {
    let after = &*change.after;
    let tell = |kind, asked| Notice::of(kind, change.revision, after, asked);
    let Some(before) = change.before.as_deref() else {
        let is_asked = after.status == Status::Pending;
        return is_asked.then(|| tell(Kind::Requested, asked(after, &open(after)))).into_iter().collect();
    };
    if before.status != Status::Pending {
        return Vec::new();
    }
    let by_time = after.decided_by.as_slice() == [Principal::system("expiry")];
    let ended = match after.status {
        Status::Pending => None,
        Status::Approved | Status::Rejected if !by_time => Some(Kind::Decided),
        Status::Approved | Status::Rejected | Status::Expired => Some(Kind::Expired),
        Status::Canceled => Some(Kind::Canceled),
        Status::Invalid => return Vec::new(),
    };
    if let Some(kind) = ended {
        return vec![tell(kind, Vec::new())];
    }
    let mut told = Vec::new();
    if let Some(assignee) = given(before, after) {
        told.push(tell(Kind::Requested, vec![assignee]));
    }
    let earlier: BTreeSet<_> = open(before).into_iter().collect();
    let opened: Vec<_> = open(after).into_iter().filter(|stage| !earlier.contains(stage)).collect();
    if !opened.is_empty() {
        told.push(tell(Kind::Requested, asked(after, &opened)));
    }
    if after.reminders > before.reminders {
        told.push(tell(Kind::Reminder, asked(after, &open(after))));
    }
    if after.escalations > before.escalations {
        let came = after.request.rule.escalations_in_order();
        let came = came.into_iter().take(after.escalations).skip(before.escalations);
        let more = came.flat_map(|escalation| escalation.approvers.0.iter().cloned());
        told.push(tell(Kind::Escalation, waited_for(after, more.collect())));
    }
    told
}

/// Whom somebody else gave it to. Whoever takes it themselves knows.
fn given(before: &Approval, after: &Approval) -> Option<Principal> {
    let had = before.assignment.as_ref().map(|assignment| &assignment.assignee);
    let has = after.assignment.as_ref().filter(|assignment| !assignment.by.is_empty())?;
    (had != Some(&has.assignee)).then(|| has.assignee.clone())
}

fn open(approval: &Approval) -> Vec<usize> {
    approval.request.rule.open(&approval.votes)
}

/// Who is asked in these stages. Who must be in several sets is looked for in those that name people alone, as the
/// members of groups are not known here.
fn asked(approval: &Approval, stages: &[usize]) -> Vec<Principal> {
    let mut all = BTreeSet::new();
    for stage in stages {
        let sets = approval.request.rule.approvers_now(*stage, approval.escalations);
        let named: Vec<BTreeSet<_>> = sets.iter().filter_map(|set| set.named()).collect();
        match named.split_first() {
            Some((first, rest)) => {
                let in_all = first.iter().filter(|one| rest.iter().all(|set| set.contains(*one)));
                all.extend(in_all.map(|one| (**one).clone()));
            }
            None => all.extend(sets.iter().flat_map(|set| set.0.iter().cloned())),
        }
    }
    waited_for(approval, all)
}

/// Without those who have voted, and the requester where they can't approve.
fn waited_for(approval: &Approval, who: BTreeSet<Principal>) -> Vec<Principal> {
    let request = &approval.request;
    let waits = |one: &Principal| {
        let voted = approval.votes.iter().any(|vote| vote.voter == *one);
        let own = request.requester.as_ref() == Some(one) && !request.rule.allow_self_approval;
        !voted && !own
    };
    who.into_iter().filter(waits).collect()
}

impl Notice {
    fn of(kind: Kind, revision: Revision, approval: &Approval, asked: Vec<Principal>) -> Self {
        let request = &approval.request;
        let stages = approval.progress().into_iter().map(|stage| StageFacts {
            name: stage.name,
            required: stage.required,
            approvals: stage.approvals,
            open: stage.open,
        });
        Self {
            kind,
            revision,
            at: approval.updated,
            approval: approval.id.clone(),
            workflow: request.source.workflow.clone(),
            title: request.title.clone(),
            requester: request.requester.clone(),
            labels: request.labels.clone(),
            priority: request.priority,
            status: approval.status,
            expires: approval.expires,
            stages: stages.collect(),
            decided_by: approval.decided_by.clone(),
            outcome: approval.outcome.clone(),
            asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::approval::{
        ApproverSet, Command, Decision, Escalation, Person, Request, Rule, Stage, apply,
        arbitrary::{new_approval, requests, seconds},
    };

    fn request(rule: Rule) -> Request {
        Request { rule, ..crate::notify::test_request("Pay") }
    }

    fn set(names: &[&str]) -> ApproverSet {
        ApproverSet(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    fn vote(name: &str, decision: Decision) -> Command {
        Command::Vote {
            by: Person { principal: name.parse().unwrap(), groups: Vec::new() },
            choice: decision.into(),
            comment: "because".to_owned(),
            response: None,
            etag: None,
            cast_by: None,
        }
    }

    fn step(before: &Approval, command: &Command, second: i64) -> (Approval, Vec<Notice>) {
        let after = apply(before, command, seconds(second)).unwrap().approval;
        let change = Change { revision: 7, before: Some(Arc::new(before.clone())), after: Arc::new(after.clone()) };
        (after, notices(&change))
    }

    fn told(notices: &[Notice]) -> Vec<(Kind, Vec<&str>)> {
        notices.iter().map(|notice| (notice.kind, notice.asked.iter().map(Principal::as_str).collect())).collect()
    }

    fn created(rule: Rule) -> (Approval, Vec<Notice>) {
        let approval = new_approval(request(rule), "{}");
        let told = notices(&Change { revision: 7, before: None, after: Arc::new(approval.clone()) });
        (approval, told)
    }

    #[test]
    fn whoever_is_asked_is_told_and_the_requester_is_not_asked() {
        let rule = Rule::single(vec![set(&["user:ana", "user:bob", "user:rita"]), set(&["group:finance"])], 2);
        let (_, first) = created(rule);
        assert_eq!(told(&first), [(Kind::Requested, vec!["user:ana", "user:bob"])]);
        assert_eq!(first[0].revision, 7);
        assert_eq!(first[0].stages[0].required, 2);
        assert_eq!(created(Rule::single(vec![set(&["group:finance"])], 1)).1[0].asked, set(&["group:finance"]).0);
        assert_eq!(told(&created(Rule::default()).1), [(Kind::Requested, vec![])]);
    }

    #[test]
    fn a_vote_that_decides_nothing_is_not_told_and_one_that_does_is() {
        let (approval, _) = created(Rule::single(vec![set(&["user:ana", "user:bob"])], 2));
        let (approval, none) = step(&approval, &vote("ana", Decision::Approve), 1);
        assert_eq!(none, []);
        let (_, decided) = step(&approval, &vote("bob", Decision::Approve), 2);
        assert_eq!(told(&decided), [(Kind::Decided, vec![])]);
        assert_eq!((decided[0].status, decided[0].decided_by.len()), (Status::Approved, 2));
    }

    #[test]
    fn a_stage_whose_turn_has_come_is_asked() {
        let stage = |name: &str, who: &str| Stage { name: name.to_owned(), approvers: vec![set(&[who])], required: 1 };
        let rule = Rule { stages: vec![stage("legal", "user:ana"), stage("money", "user:bob")], ..Rule::default() };
        let (approval, first) = created(rule);
        assert_eq!(told(&first), [(Kind::Requested, vec!["user:ana"])]);
        let (_, second) = step(&approval, &vote("ana", Decision::Approve), 1);
        assert_eq!(told(&second), [(Kind::Requested, vec!["user:bob"])]);
    }

    #[test]
    fn whoever_it_is_given_to_is_asked_and_whoever_takes_it_is_not() {
        let person = |name: &str| Person { principal: name.parse().unwrap(), groups: Vec::new() };
        let until = seconds(1_000);
        let (approval, _) = created(Rule::single(vec![set(&["user:ana", "user:bob", "user:cy"])], 1));
        let claim = |name: &str| Command::Claim { by: person(name), until };
        let (taken, none) = step(&approval, &claim("ana"), 1);
        assert_eq!(none, []);
        let give = |from: &str, to: &str| Command::Reassign {
            by: person(from),
            operator: false,
            to: to.parse().unwrap(),
            comment: String::new(),
            until,
        };
        let (given, told_bob) = step(&taken, &give("ana", "user:bob"), 2);
        assert_eq!(told(&told_bob), [(Kind::Requested, vec!["user:bob"])]);
        assert_eq!(step(&given, &claim("bob"), 3).1, [], "he knows");
        let (_, told_cy) = step(&given, &give("bob", "user:cy"), 4);
        assert_eq!(told(&told_cy), [(Kind::Requested, vec!["user:cy"])]);
    }

    #[test]
    fn time_reminds_those_who_have_not_voted_escalates_and_expires() {
        let rule = Rule {
            remind_after: vec![SignedDuration::from_secs(10)],
            escalations: vec![Escalation {
                after: SignedDuration::from_secs(10),
                approvers: set(&["user:boss"]),
                stage: String::new(),
            }],
            expire_after: Some(SignedDuration::from_secs(100)),
            ..Rule::single(vec![set(&["user:ana", "user:bob"])], 2)
        };
        let mut request = request(rule);
        request.source.state_entered = None;
        let approval = new_approval(request, "{}");
        let (approval, _) = step(&approval, &vote("ana", Decision::Approve), 1);
        let (approval, both) = step(&approval, &Command::Timer, 11);
        assert_eq!(
            told(&both),
            [(Kind::Reminder, vec!["user:bob", "user:boss"]), (Kind::Escalation, vec!["user:boss"])]
        );
        let (_, expired) = step(&approval, &Command::Timer, 200);
        assert_eq!(told(&expired), [(Kind::Expired, vec![])]);
    }

    #[test]
    fn what_was_canceled_is_told_and_what_was_delivered_is_not() {
        let (approval, _) = created(Rule::default());
        let cancel = Command::Cancel { by: "user:ops".parse().unwrap(), operator: true, reason: "no".to_owned() };
        let (approval, canceled) = step(&approval, &cancel, 1);
        assert_eq!(told(&canceled), [(Kind::Canceled, vec![])]);
        let delivered = Command::Delivered { token: approval.task.token.clone(), attempts: 1 };
        assert_eq!(step(&approval, &delivered, 2).1, []);
    }

    proptest! {
        #[test]
        fn a_notice_survives_being_kept(request in requests()) {
            let approval = new_approval(request, "{}");
            let change = Change { revision: 3, before: None, after: Arc::new(approval) };
            for notice in notices(&change) {
                let text = serde_json::to_string(&notice).unwrap();
                prop_assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), notice);
            }
        }
    }
}
