//! Decides, so many at once, and tells each result as it comes.

use approve_client::{Client, Decided, Error, proto::DeliveryState};
use futures::{StreamExt as _, stream};

use super::{
    Order,
    plan::{self, Fate, Planned},
};
use crate::{
    context::Context,
    exit::Exit,
    failure::{self, Failure},
    output::bulk::{self, Ended, Summary},
};

/// How one ended, and the request id under which it was sent.
struct Done {
    planned: Planned,
    request_id: Option<String>,
    decided: Option<Result<Decided, Error>>,
}

pub(super) async fn all(
    context: &Context,
    client: &Client,
    planned: Vec<Planned>,
    order: &Order,
) -> Result<Exit, Failure> {
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let total = planned.len();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut summary = Summary::default();
    let one = |planned: Planned| {
        let stopped = stopped.clone();
        async move {
            // What is under way is ended; nothing new is begun.
            let stopped = *stopped.borrow();
            one(client, planned, order, stopped).await
        }
    };
    let mut running = std::pin::pin!(stream::iter(planned).map(one).buffer_unordered(order.at_once));
    loop {
        let done = tokio::select! {
            signal = &mut interrupted, if !*stop.borrow() => {
                signal.map_err(Failure::Runtime)?;
                stop.send_replace(true);
                context.out.note("stopping: what is under way is ended, the rest is left");
                continue;
            }
            done = running.next() => done,
        };
        let Some(done) = done else { break };
        tell(context, &done, &mut summary)?;
    }
    let was_stopped = *stop.borrow();
    if context.json() {
        context.out.print_json_line(&summary.json())?;
    } else {
        context.out.note(&format!("{} of {total}", summary.line()));
    }
    Ok(if was_stopped {
        Exit::Interrupted
    } else if summary.all_is_done() {
        Exit::Ok
    } else {
        Exit::Partly
    })
}

async fn one(client: &Client, planned: Planned, order: &Order, stopped: bool) -> Done {
    let open = matches!(planned.fate, Fate::Open { .. }) && !stopped;
    match planned.approval.as_ref().filter(|_| open) {
        Some(approval) => {
            let decide = plan::decide(approval, order);
            let request_id = Some(decide.request_id().to_owned());
            let decided = Some(client.decide(decide).await);
            Done { planned, request_id, decided }
        }
        None => Done { planned, request_id: None, decided: None },
    }
}

fn tell(context: &Context, done: &Done, summary: &mut Summary) -> Result<(), Failure> {
    let ended = match (&done.decided, &done.planned.fate) {
        (Some(Ok(decided)), _) => {
            let state = decided.approval.delivery.as_ref().map(|delivery| delivery.state());
            if state == Some(DeliveryState::Undeliverable) {
                Ended::Undeliverable(&decided.approval)
            } else {
                Ended::Decided(&decided.approval)
            }
        }
        (Some(Err(error)), _) => {
            Ended::Failed { reason: error.reason().map(|reason| reason.as_str().to_owned()), why: failure::line(error) }
        }
        (None, Fate::Done) => Ended::DoneBefore,
        (None, Fate::Closed { reason, why }) => Ended::Failed { reason: Some(reason.clone()), why: why.clone() },
        (None, Fate::Open { .. }) => Ended::Left,
    };
    summary.count(&ended);
    if context.json() {
        let json = bulk::result(&done.planned, &ended, done.request_id.as_deref());
        context.out.print_json_line(&json)
    } else {
        context.out.print(&bulk::line(&done.planned, &ended, &context.out.now(), context.out.style))
    }
}
