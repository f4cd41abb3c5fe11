//! Changes for streams to tell: votes that come and go, ends, new requests.

use approve_client::{Client, Filter, List, StartExecution};
use approve_proto::v1::{
    DecideRequest, Decision, Rule, Stage, WithdrawVoteRequest, approval_service_client::ApprovalServiceClient,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::connect;
use crate::{
    server::request_as,
    wait_for,
    workflows::{apply, ask_for_a_day, spec, with_rule},
};

/// Values of the label that most filters ask for.
pub(super) const LANES: usize = 40;
const WORKFLOW: &str = "crowd";
/// Calls in flight.
const CALLERS: usize = 16;
/// One change of so many is the last one of its approval…
const LAST_OF: usize = 50;
/// …but so many are left to be voted on.
const LEFT: usize = 4;

/// Approvals to make changes of.
pub struct Changes {
    url: String,
    client: Client,
    ids: Vec<String>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Votes and their withdrawals.
    pub votes: usize,
    /// Approvals that were ended.
    pub ended: usize,
    /// Executions that were started, each of which asks.
    pub asked: usize,
}

impl Changes {
    /// Starts so many executions, and waits for their approvals.
    pub async fn prepare(url: &str, client: Client, approvals: usize) -> Self {
        let stage = Stage { required_approvals: 3, ..Stage::default() };
        let anybody = Rule { stages: vec![stage], ..Rule::default() };
        apply(&client, with_rule(spec(WORKFLOW, &ask_for_a_day()), anybody)).await;
        stream::iter(0..approvals)
            .map(|number| ask(&client, number))
            .buffer_unordered(CALLERS)
            .for_each(|()| async {})
            .await;
        let ids = pending(&client, approvals).await;
        Self { url: url.to_owned(), client, ids }
    }

    /// Makes so many changes, as fast as they can be; returns once nothing that is pending changes any more.
    pub async fn make(self, count: usize) -> Made {
        let approvals = self.ids.len();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let ids: Vec<_> = self.ids.iter().skip(caller).step_by(CALLERS).cloned().collect();
            let calls = ApprovalServiceClient::new(connect(&self.url).await);
            callers.spawn(change(calls, self.client.clone(), ids, count / CALLERS, caller));
        }
        let made = callers.join_all().await;
        // As many were asked for as were ended; the last of them may be on their way.
        pending(&self.client, approvals).await;
        made.into_iter().fold(Made::default(), |all, one| Made {
            votes: all.votes + one.votes,
            ended: all.ended + one.ended,
            asked: all.asked + one.asked,
        })
    }
}

/// The ids of what is pending, once there are so many.
async fn pending(client: &Client, approvals: usize) -> Vec<String> {
    let all = wait_for("all to be pending", async || {
        let filter = Filter::new().workflow(WORKFLOW);
        let all: Vec<_> = client.list_all(List::pending().filter(filter)).try_collect().await.unwrap();
        (all.len() == approvals).then_some(all)
    })
    .await;
    all.into_iter().map(|approval| approval.id).collect()
}

/// Whether Ana has voted goes to and fro; once in a while an approval ends and another one is asked for.
async fn change(
    mut calls: ApprovalServiceClient<Channel>,
    client: Client,
    mut ids: Vec<String>,
    count: usize,
    caller: usize,
) -> Made {
    let mut voted = vec![false; ids.len()];
    let mut made = Made::default();
    for number in 0..count {
        let at = number % ids.len();
        if number % LAST_OF == LAST_OF - 1 && ids.len() > LEFT {
            voted.swap_remove(at);
            decide(&mut calls, "zoe", &ids.swap_remove(at), Decision::Reject).await;
            ask(&client, caller * count + number).await;
            made.ended += 1;
            made.asked += 1;
        } else if voted[at] {
            voted[at] = false;
            let request = WithdrawVoteRequest { approval_id: ids[at].clone(), ..WithdrawVoteRequest::default() };
            calls.withdraw_vote(request_as("ana", request)).await.unwrap();
            made.votes += 1;
        } else {
            voted[at] = true;
            decide(&mut calls, "ana", &ids[at], Decision::Approve).await;
            made.votes += 1;
        }
    }
    made
}

async fn decide(calls: &mut ApprovalServiceClient<Channel>, who: &str, id: &str, decision: Decision) {
    let request = DecideRequest { approval_id: id.to_owned(), decision: decision.into(), ..DecideRequest::default() };
    calls.decide(request_as(who, request)).await.unwrap();
}

async fn ask(client: &Client, number: usize) {
    let input = serde_json::json!({
        "title": format!("Pay invoice {number}"),
        "requester": "user:req",
        "labels": {"lane": (number % LANES).to_string()},
    });
    let start = StartExecution::new().workflow(WORKFLOW).input_json(input.to_string());
    client.start_execution(start).await.unwrap();
}
