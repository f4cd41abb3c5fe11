//! Takes tasks from Step Functions: open polls per activity, as many as there is demand for.
//!
//! A poll is opened only while every task that was taken is stored or about to be: with the store away, polling stops.
//! Dropping an open poll may lose a task for a heartbeat interval, so polls are never dropped: they are let end.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{Shared, backoff::Backoff, intake};
use crate::{stepfunctions::Failure, workflows::WorkflowMap};

/// One activity's polls.
struct Activity {
    arn: String,
    open: AtomicUsize,
    stop: CancellationToken,
}

pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken, abandon: CancellationToken) {
    let mut workflows = shared.workflows.subscribe();
    let mut active: BTreeMap<String, Arc<Activity>> = BTreeMap::new();
    let polls = TaskTracker::new();
    loop {
        let wanted = Arc::clone(&workflows.borrow_and_update());
        follow(&shared, &wanted, &mut active, &polls, &stop, &abandon);
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            changed = workflows.changed() => if changed.is_err() { break },
        }
    }
    polls.close();
    polls.wait().await;
}

/// Starts and ends polling so that it fits the workflows there are.
fn follow(
    shared: &Arc<Shared>,
    wanted: &WorkflowMap,
    active: &mut BTreeMap<String, Arc<Activity>>,
    polls: &TaskTracker,
    stop: &CancellationToken,
    abandon: &CancellationToken,
) {
    active.retain(|arn, activity| {
        let keep = wanted.values().any(|workflow| workflow.activity_arns.contains(arn));
        if !keep {
            activity.stop.cancel();
        }
        keep
    });
    for arn in wanted.values().flat_map(|workflow| &workflow.activity_arns) {
        if active.contains_key(arn) {
            continue;
        }
        let activity = Arc::new(Activity { arn: arn.clone(), open: AtomicUsize::new(0), stop: stop.child_token() });
        for _ in 0..shared.share(shared.options.min_polls) {
            open(shared, &activity, polls, abandon);
        }
        active.insert(arn.clone(), activity);
    }
}

/// Opens one more poll, if there may be one more.
fn open(shared: &Arc<Shared>, activity: &Arc<Activity>, polls: &TaskTracker, abandon: &CancellationToken) {
    let limit = shared.share(shared.options.max_polls);
    let more = |open: usize| (open < limit).then_some(open + 1);
    if activity.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok() {
        let poll = poll(Arc::clone(shared), Arc::clone(activity), polls.clone(), abandon.clone());
        polls.spawn(poll);
    }
}

/// One less than `open`, if that is more than `kept`.
fn above(kept: usize) -> impl Fn(usize) -> Option<usize> {
    move |open| (open > kept).then(|| open - 1)
}

/// Polls until told to stop, or until there is less demand than polls.
async fn poll(shared: Arc<Shared>, activity: Arc<Activity>, polls: TaskTracker, abandon: CancellationToken) {
    let mut failures = 0;
    loop {
        tokio::select! {
            biased;
            () = activity.stop.cancelled() => break,
            () = shared.intake.ready() => {}
        }
        if activity.stop.is_cancelled() {
            break;
        }
        shared.metrics.open_polls.inc();
        let polled = shared.stepfunctions.get_activity_task(&activity.arn, &shared.options.name).await;
        shared.metrics.open_polls.dec();
        match polled {
            Ok(Some(task)) => {
                shared.metrics.tasks_taken.inc();
                failures = 0;
                if !activity.stop.is_cancelled() {
                    open(&shared, &activity, &polls, &abandon);
                }
                intake::take(&shared, &activity.arn, task, &abandon).await;
                // Another server may have come, which polls as well.
                let limit = shared.share(shared.options.max_polls);
                if activity.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, above(limit)).is_ok() {
                    return;
                }
            }
            Ok(None) => {
                failures = 0;
                let kept = shared.share(shared.options.min_polls);
                if activity.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, above(kept)).is_ok() {
                    return;
                }
            }
            Err(error) => {
                failures += 1;
                match error.failure {
                    Failure::Throttled | Failure::Unknown => debug!(%error, failures, "poll failed"),
                    Failure::Gone | Failure::TimedOut | Failure::Denied | Failure::Refused => {
                        warn!(%error, failures, activity = activity.arn, "poll failed");
                    }
                }
                tokio::select! {
                    biased;
                    () = activity.stop.cancelled() => break,
                    () = shared.pause(Backoff::CALLS, failures) => {}
                }
            }
        }
    }
    activity.open.fetch_sub(1, Ordering::AcqRel);
}
