//! ListExecutions.

use jiff::Timestamp;

use super::{
    ApiError, Engine,
    execution::{ExecutionId, ExecutionStatus},
    executions::ExecutionSummary,
};

/// Which executions to list.
#[derive(Clone, Debug, Default)]
pub struct ExecutionFilter {
    /// The machine whose executions are wanted.
    pub state_machine_arn: String,
    /// Only those that stand so.
    pub status: Option<ExecutionStatus>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<u64>,
}

impl Engine {
    /// The executions of a machine, latest first, at most `limit` of them, from where the last page ended.
    pub fn list_executions(
        &mut self,
        filter: &ExecutionFilter,
        after: Option<u64>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<ExecutionSummary>, ApiError> {
        self.tick(now);
        let known = self.executions.of_machine(&filter.state_machine_arn);
        if known.is_none() {
            self.machine(&filter.state_machine_arn)?;
        }
        let end = ExecutionId(after.unwrap_or(u64::MAX));
        let ids = known.into_iter().flat_map(|ids| ids.range(..end).rev());
        let mut found = ids
            .filter_map(|id| Some((id.0, self.executions.get(*id)?)))
            .filter(|(_, execution)| filter.status.is_none_or(|status| execution.status == status));
        let mut items = Vec::new();
        let mut last = None;
        for (id, execution) in found.by_ref().take(limit) {
            items.push(execution.summary());
            last = Some(id);
        }
        let next = found.next().and(last);
        Ok(Page { items, next })
    }
}
