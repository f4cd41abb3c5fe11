//! Keeps a task that was taken. Persist first: only then is the task ours.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::SystemTime,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Shared, backoff::Backoff, heartbeat};
use crate::{
    approval::{Approval, Request, Status, TaskInput, TaskState, TaskToken, parse_task_input},
    entropy,
    stepfunctions::{ActivityTask, CallError, ExecutionStatus, Failure},
    store::{Admission, Admitted, DEFAULT_HEARTBEAT, IdentityUse},
    workflows::Workflow,
};

/// Whether the store is away, as far as is known: then no more tasks are taken.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: AtomicUsize,
    opened: Notify,
}

impl Gate {
    /// Returns when nothing waits for the store.
    pub(super) async fn ready(&self) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            if self.waiting.load(Ordering::Acquire) == 0 {
                return;
            }
            opened.await;
        }
    }

    /// No task is taken until what is returned is dropped; it is counted there.
    pub(super) fn close<'a>(&'a self, counted: Option<&'a Gauge>) -> Closed<'a> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Some(gauge) = counted {
            gauge.inc();
        }
        Closed(self, counted)
    }
}

pub(super) struct Closed<'a>(&'a Gate, Option<&'a Gauge>);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        if let Some(gauge) = self.1 {
            gauge.dec();
        }
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.opened.notify_waiters();
        }
    }
}

/// Keeps a task, however long the store takes; meanwhile it is kept open by heartbeats. Gives up only when told to
/// abandon: then Step Functions hands it out again after a heartbeat interval.
pub(super) async fn take(shared: &Shared, activity_arn: &str, task: ActivityTask, abandon: &CancellationToken) {
    let workflows = shared.workflows.all();
    let Some(workflow) =
        workflows.values().find(|workflow| workflow.activity_arns.iter().any(|arn| arn == activity_arn))
    else {
        // The workflow was destroyed while the poll was open.
        warn!(activity = activity_arn, "took a task of an activity that no workflow has; leaving it to time out");
        return;
    };
    let input = parse_task_input(&task.input, &workflow.step_defaults(activity_arn));
    let heartbeat = workflow.heartbeat(activity_arn, input.request.source.state_name.as_deref());
    let beats = async {
        loop {
            let interval = heartbeat.unwrap_or(DEFAULT_HEARTBEAT) / 2;
            shared.clock.sleep_until(shared.clock.now() + interval).await;
            if let Err(error) = shared.stepfunctions.send_task_heartbeat(&task.token).await {
                warn!(%error, "heartbeat of a task that is not stored yet failed");
            }
        }
    };
    tokio::select! {
        biased;
        () = keep(shared, workflow, &task, input, heartbeat) => {}
        () = beats => {}
        () = abandon.cancelled() => warn!("told to stop before a task was stored; leaving it to its retry"),
    }
}

async fn keep(
    shared: &Shared,
    workflow: &Workflow,
    task: &ActivityTask,
    input: TaskInput,
    heartbeat: Option<jiff::SignedDuration>,
) {
    let vouched = workflow.vouches_for_identity(input.request.source.state_name.as_deref());
    let from = SystemTime::now();
    let at = shared.clock.now();
    let mut admission = Admission {
        uuid: entropy::uuid_v7(&*shared.entropy, at),
        token: task.token.clone(),
        task: input,
        heartbeat,
        identity: if vouched { IdentityUse::Trusted { checked: None } } else { IdentityUse::Distrusted },
        at,
    };
    let mut closed = None;
    let mut failures = 0;
    loop {
        match shared.store.admit(admission.clone()).await {
            Ok(Admitted::Check(known)) => match check(shared, &known, &admission).await {
                Some(identity) => admission.identity = identity,
                None => {
                    info!(approval = %known.id, "dropped a task that was closed before it could be bound");
                    return;
                }
            },
            Ok(Admitted::Created(approval)) => {
                match approval.status {
                    Status::Invalid => {
                        shared.metrics.tasks_invalid.inc();
                        warn!(
                            approval = %approval.id,
                            workflow = approval.request.source.workflow,
                            reason = approval.reason,
                            "refused a task"
                        );
                    }
                    _ => info!(approval = %approval.id, workflow = approval.request.source.workflow, "asked"),
                }
                shared.metrics.created.inc();
                shared.options.tracer.stored(&approval, from);
                shared.count(&approval, at);
                heartbeat::spread(shared, &approval);
                return shared.schedule(&approval);
            }
            Ok(Admitted::Bound(approval)) => {
                shared.metrics.tasks_bound.inc();
                info!(approval = %approval.id, attempt = approval.task.attempt, "bound to a retry's task");
                shared.options.tracer.stored(&approval, from);
                heartbeat::spread(shared, &approval);
                return shared.schedule(&approval);
            }
            Ok(Admitted::Known(approval)) => return shared.schedule(&approval),
            Err(error) => {
                closed.get_or_insert_with(|| shared.intake.close(Some(&shared.metrics.tasks_waiting)));
                failures += 1;
                warn!(error = &error as &dyn std::error::Error, failures, "cannot store a task yet");
                shared.pause(Backoff::STORE, failures).await;
            }
        }
    }
}

/// Whether a task may take the place of the one that `known` is bound to: it has to be the same question, of a workflow
/// that is running, whose earlier task is closed. Otherwise whoever makes up an identity would inherit a decision. `None`
/// for a task that is closed itself: it waited too long to be stored, and its retry has come or will.
async fn check(shared: &Shared, known: &Approval, admission: &Admission) -> Option<IdentityUse> {
    let task = &admission.task;
    if !same_question(known, &task.request, &task.input) {
        warn!(approval = %known.id, "a task claims an approval's identity with another question; asking anew");
        return Some(IdentityUse::Distrusted);
    }
    let Some(execution) = &task.request.source.execution_arn else {
        return Some(IdentityUse::Distrusted);
    };
    let running = persist(shared, || shared.stepfunctions.describe_execution(execution)).await;
    let running = matches!(running, Ok(execution) if execution.status == ExecutionStatus::Running);
    let replaces = running && (known.task.state != TaskState::Open || !is_open(shared, &known.task.token).await);
    // Last, as the answers to the others may have taken long.
    if !is_open(shared, &admission.token).await {
        return None;
    }
    if !replaces {
        warn!(approval = %known.id, running, "a task claims the identity of an approval that has one; asking anew");
        return Some(IdentityUse::Distrusted);
    }
    Some(IdentityUse::Trusted { checked: Some((known.id.clone(), known.task.token.clone())) })
}

async fn is_open(shared: &Shared, token: &TaskToken) -> bool {
    persist(shared, || shared.stepfunctions.send_task_heartbeat(token)).await.is_ok()
}

fn same_question(known: &Approval, request: &Request, input: &str) -> bool {
    let (ours, theirs) = (&known.request.source, &request.source);
    ours.activity_arn == theirs.activity_arn && ours.workflow == theirs.workflow && *known.input == *input
}

/// Repeats a call until its answer means something.
async fn persist<T, W>(shared: &Shared, call: impl Fn() -> W) -> Result<T, CallError>
where
    W: Future<Output = Result<T, CallError>>,
{
    let mut failures = 0;
    loop {
        match call().await {
            Err(CallError { failure: Failure::Throttled | Failure::Unknown | Failure::Denied, .. }) => {
                failures += 1;
                shared.pause(Backoff::CALLS, failures).await;
            }
            answer => return answer,
        }
    }
}
