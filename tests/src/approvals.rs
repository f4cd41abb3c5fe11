//! Waiting for approvals and executions.

use std::collections::VecDeque;

use approve_client::{
    Approval, ApprovalStatus, Client, Filter, StartExecution, View, Watch, WatchEvent, WatchStream,
    proto::{DeliveryState, Execution, ExecutionStatus},
};
use futures::StreamExt;

use crate::wait::{wait_for, within};

/// A watch with everything that it has told.
pub struct Watching {
    stream: WatchStream,
    /// What it has told, oldest first.
    pub events: VecDeque<WatchEvent>,
    /// What is pending by what it has told.
    pub view: View,
}

impl Watching {
    /// Starts watching and waits for the end of the snapshot.
    pub async fn synced(client: &Client, watch: Watch) -> Self {
        let mut watching = Self { stream: client.watch(watch), events: VecDeque::new(), view: View::new() };
        watching.until("the end of the snapshot", |event| matches!(event, WatchEvent::Synced { .. })).await;
        watching
    }

    /// The next event.
    pub async fn next(&mut self) -> WatchEvent {
        let event = within("an event of the watch", self.stream.next()).await;
        let event = event.expect("a watch does not end").unwrap();
        self.view.apply(event.clone());
        self.events.push_back(event.clone());
        event
    }

    /// Takes events until it ends with an error.
    pub async fn ended(&mut self) -> approve_client::Error {
        loop {
            match self.stream.next().await.expect("a watch ends with an error") {
                Ok(event) => self.events.push_back(event),
                Err(error) => return error,
            }
        }
    }

    /// Takes events until one fits.
    pub async fn until(&mut self, what: &str, mut fits: impl FnMut(&WatchEvent) -> bool) -> WatchEvent {
        let found = async {
            loop {
                let event = self.next().await;
                if fits(&event) {
                    return event;
                }
            }
        };
        within(what, found).await
    }

    /// Takes events until an approval is told that fits.
    pub async fn upserted(&mut self, what: &str, mut fits: impl FnMut(&Approval) -> bool) -> Approval {
        match self.until(what, |event| matches!(event, WatchEvent::Upserted(approval) if fits(approval))).await {
            WatchEvent::Upserted(approval) => *approval,
            other => panic!("{other:?}"),
        }
    }

    /// Takes events until an approval is taken back; returns its status.
    pub async fn removed(&mut self, id: &str) -> ApprovalStatus {
        let what = format!("{id} to be removed");
        match self.until(&what, |event| matches!(event, WatchEvent::Removed { id: removed, .. } if removed == id)).await
        {
            WatchEvent::Removed { status, .. } => status,
            other => panic!("{other:?}"),
        }
    }

    /// Where to resume after the event that was taken last.
    pub fn resume_token(&self) -> &str {
        self.stream.resume_token().expect("it is synced")
    }
}

/// Starts an execution; returns its ARN.
pub async fn start(client: &Client, workflow: &str, input: &str) -> String {
    let start = StartExecution::new().workflow(workflow).input_json(input);
    client.start_execution(start).await.unwrap().execution_arn
}

/// Starts an execution and waits for its approval, which must be the workflow's next one.
pub async fn ask(client: &Client, workflow: &str, input: &str) -> (String, Approval) {
    let watch = Watch::new().filter(Filter::new().workflow(workflow));
    let mut watching = Watching::synced(client, watch).await;
    let arn = start(client, workflow, input).await;
    let approval = watching.upserted("the approval", |approval| approval.workflow == workflow).await;
    (arn, approval)
}

/// Waits for the end of an execution.
pub async fn ended(client: &Client, arn: &str) -> Execution {
    wait_for("the end of the execution", async || {
        let execution = client.get_execution(arn, "").await.unwrap();
        (execution.status() != ExecutionStatus::Running).then_some(execution)
    })
    .await
}

/// Waits until an approval fits.
pub async fn becomes(client: &Client, id: &str, what: &str, fits: impl Fn(&Approval) -> bool) -> Approval {
    wait_for(what, async || Some(client.get(id).await.unwrap()).filter(|approval| fits(approval))).await
}

/// Waits until the workflow has heard of the decision.
pub async fn delivered(client: &Client, id: &str) -> Approval {
    becomes(client, id, "the delivery", |approval| delivery_state(approval) == DeliveryState::Delivered).await
}

/// How far the delivery is.
pub fn delivery_state(approval: &Approval) -> DeliveryState {
    approval.delivery.as_ref().map_or(DeliveryState::Unspecified, |delivery| delivery.state())
}

/// The names of the states that an execution entered.
pub fn states(execution: &Execution) -> Vec<&str> {
    execution.states.iter().map(|state| state.name.as_str()).collect()
}
