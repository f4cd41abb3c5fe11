//! What a closed task means. `TaskTimedOut` and its kin only say that the token is of no use any more: the execution
//! and its history tell whether the workflow heard of the decision, waits for a retry, or is gone.

use crate::{
    approval::Approval,
    stepfunctions::{CallError, ExecutionStatus, Failure},
};

use super::Shared;

/// What became of the workflow behind a closed task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its history holds this approval's answer.
    Answered,
    /// It runs on without an answer: a retry may come.
    Running,
    /// It ended without an answer.
    Ended(String),
    /// The task did not say which execution it belongs to.
    Unknown,
}

/// Reads what became of an approval's workflow.
pub(super) async fn fate(shared: &Shared, approval: &Approval) -> Result<Fate, CallError> {
    let Some(execution) = approval.request.source.execution_arn.as_deref() else {
        return Ok(Fate::Unknown);
    };
    let status = match shared.stepfunctions.describe_execution(execution).await {
        Ok(found) => found.status,
        Err(CallError { failure: Failure::Gone, .. }) => return Ok(Fate::Ended("the execution is gone".to_owned())),
        // An ARN that the task made up.
        Err(CallError { failure: Failure::Refused, message, .. }) => {
            return Ok(Fate::Ended(format!("the execution that the task names can't be read: {message}")));
        }
        Err(error) => return Err(error),
    };
    if approval.status.is_final() && has_answer(shared, execution, approval).await? {
        return Ok(Fate::Answered);
    }
    Ok(match status {
        ExecutionStatus::Running | ExecutionStatus::PendingRedrive => Fate::Running,
        ExecutionStatus::Succeeded => Fate::Ended("the execution went on without it and SUCCEEDED".to_owned()),
        ExecutionStatus::Failed => Fate::Ended("the execution FAILED".to_owned()),
        ExecutionStatus::TimedOut => Fate::Ended("the execution TIMED_OUT".to_owned()),
        ExecutionStatus::Aborted => Fate::Ended("the execution was ABORTED".to_owned()),
    })
}

/// Whether an answer that names this approval is in the history: an earlier try arrived, and its answer was lost.
async fn has_answer(shared: &Shared, execution: &str, approval: &Approval) -> Result<bool, CallError> {
    let named = format!("\"approval_id\":\"{}\"", approval.id);
    let is_ours = |text: &Option<String>| text.as_deref().is_some_and(|text| text.starts_with(&format!("{{{named}")));
    let mut page = None;
    loop {
        let (events, next) = shared.stepfunctions.execution_history(execution, true, page).await?;
        for event in &events {
            match event.kind.as_str() {
                "ActivitySucceeded" if is_ours(&event.output) => return Ok(true),
                "ActivityFailed" if is_ours(&event.cause) => return Ok(true),
                _ => {}
            }
        }
        // Nothing that happened before the approval was decided can be its answer.
        let older = |decided| events.last().is_some_and(|event| event.at < decided);
        if next.is_none() || approval.decided.is_some_and(older) {
            return Ok(false);
        }
        page = next;
    }
}
