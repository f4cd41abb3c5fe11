//! What would become of each approval.

use std::fmt::Write as _;

use approve_client::{Approval, ApprovalStatus, Client, Decide, Decision, Error, Reason, proto::DecisionEffect};
use futures::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::{Found, Order};
use crate::{commands::needs_comment, failure::Failure};

/// An approval, and what would become of it.
#[derive(Debug)]
pub(crate) struct Planned {
    /// As it was given, where there is no such.
    pub id: String,
    pub approval: Option<Approval>,
    pub fate: Fate,
}

#[derive(Debug)]
pub(crate) enum Fate {
    /// It would be decided: with what effect.
    Open { effect: String },
    /// The caller has decided it so already.
    Done,
    /// It would be refused: why.
    Closed { reason: String, why: String },
}

/// Asks the server about each, in their order. What fails for one that is there fails for all.
pub(super) async fn all(client: &Client, found: Vec<Found>, order: &Order) -> Result<Vec<Planned>, Failure> {
    let me = client.caller().await?.principal;
    let me = me.as_str();
    let plan = |(id, got): Found| async move {
        match got {
            Ok(approval) => {
                let fate = fate(client, &approval, order, me).await?;
                Ok(Planned { id: approval.id.clone(), approval: Some(approval), fate })
            }
            Err(error) => Ok(Planned { fate: closed(error)?, id, approval: None }),
        }
    };
    let planned: Vec<Result<Planned, Error>> = stream::iter(found).map(plan).buffered(order.at_once).collect().await;
    planned.into_iter().map(|planned| planned.map_err(Failure::from)).collect()
}

async fn fate(client: &Client, approval: &Approval, order: &Order, me: &str) -> Result<Fate, Error> {
    if is_done(approval, order.decision, me) {
        return Ok(Fate::Done);
    }
    if approval.status() != ApprovalStatus::Pending {
        let status = approval.status().as_str_name().trim_start_matches("APPROVAL_STATUS_");
        let reason = Reason::AlreadyDecided.as_str().to_owned();
        return Ok(Fate::Closed { reason, why: format!("it is {status} already") });
    }
    if order.comment.is_empty() && needs_comment(approval.rule.as_ref(), order.decision) {
        let reason = Reason::CommentRequired.as_str().to_owned();
        return Ok(Fate::Closed { reason, why: "its rule asks for a comment".to_owned() });
    }
    let explanation = match client.explain(approval.id.as_str(), None).await {
        Ok(explanation) => explanation,
        Err(error) => return closed(error),
    };
    let plain = |effect: &&DecisionEffect| effect.decision() == order.decision && effect.outcome.is_empty();
    // Of what is not explained the server's answer to the decision itself will tell.
    Ok(match explanation.effects.iter().find(plain) {
        Some(effect) if !effect.allowed => {
            Fate::Closed { reason: effect.refusal_reason.clone(), why: effect.effect.clone() }
        }
        Some(effect) => Fate::Open { effect: effect.effect.clone() },
        None => Fate::Open { effect: String::new() },
    })
}

/// An answer about this one approval; any other error is about the server, or the caller.
fn closed(error: Error) -> Result<Fate, Error> {
    let of_this_one = matches!(
        error.reason(),
        Some(Reason::ApprovalNotFound | Reason::AmbiguousId | Reason::InvalidField | Reason::PermissionMissing)
    );
    match (of_this_one, error.reason()) {
        (true, Some(reason)) => Ok(Fate::Closed { reason: reason.as_str().to_owned(), why: error.to_string() }),
        _ => Err(error),
    }
}

/// Whether the caller's own vote says so already.
fn is_done(approval: &Approval, decision: Decision, me: &str) -> bool {
    approval.votes.iter().any(|vote| vote.voter == me && vote.decision() == decision && vote.outcome.is_empty())
}

/// The decision that is sent: for what was seen, and under an id that is the same each time as long as that is the same.
/// So a run that was broken off can be made again, and counts once.
pub(super) fn decide(approval: &Approval, order: &Order) -> Decide {
    let decide = Decide::new(approval.id.as_str(), order.decision)
        .comment(order.comment.as_str())
        .response_json(order.response.as_str())
        .etag(approval.etag.as_str())
        .wait_for_delivery(order.wait);
    decide.with_request_id(request_id(approval, order))
}

fn request_id(approval: &Approval, order: &Order) -> String {
    let decision = order.decision.as_str_name();
    let mut hash = Sha256::new();
    for part in [approval.id.as_str(), &approval.etag, decision, &order.comment, &order.response] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).fold("bulk-".to_owned(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

#[cfg(test)]
mod tests {
    use approve_client::proto::Vote;

    use super::*;

    fn order() -> Order {
        Order { decision: Decision::Approve, comment: "ok".into(), response: String::new(), wait: true, at_once: 1 }
    }

    fn approval(id: &str, etag: &str) -> Approval {
        Approval { id: id.into(), etag: etag.into(), ..Approval::default() }
    }

    #[test]
    fn the_same_decision_has_the_same_request_id_and_another_has_another() {
        let id = |approval: &Approval, order: &Order| decide(approval, order).request_id().to_owned();
        let first = id(&approval("a", "1"), &order());
        assert_eq!(first, id(&approval("a", "1"), &Order { wait: false, at_once: 9, ..order() }));
        let others = [
            id(&approval("b", "1"), &order()),
            id(&approval("a", "2"), &order()),
            id(&approval("a1", ""), &order()),
            id(&approval("a", "1"), &Order { decision: Decision::Reject, ..order() }),
            id(&approval("a", "1"), &Order { comment: "no".into(), ..order() }),
            id(&approval("a", "1"), &Order { response: "{}".into(), ..order() }),
        ];
        assert!(others.iter().all(|other| *other != first), "{others:?}");
    }

    #[test]
    fn only_ones_own_vote_of_the_same_kind_is_done_already() {
        let vote = |voter: &str, decision: Decision, outcome: &str| Approval {
            votes: vec![Vote {
                voter: voter.into(),
                decision: decision.into(),
                outcome: outcome.into(),
                ..Vote::default()
            }],
            ..Approval::default()
        };
        let done = |approval: Approval| is_done(&approval, Decision::Approve, "user:ana");
        assert!(done(vote("user:ana", Decision::Approve, "")));
        assert!(!done(vote("user:bo", Decision::Approve, "")));
        assert!(!done(vote("user:ana", Decision::Reject, "")));
        assert!(!done(vote("user:ana", Decision::Approve, "in_part")));
    }
}
