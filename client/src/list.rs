use approve_proto::v1::{Approval, ApprovalFilter, ApprovalOrder, ApprovalStatus, ListApprovalsRequest, Priority};

/// Which approvals: everything that is set must hold. [`Filter::new`] matches all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(ApprovalFilter);

impl Filter {
    /// Matches all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this workflow.
    pub fn workflow(mut self, name: impl Into<String>) -> Self {
        self.0.workflow = name.into();
        self
    }

    /// With this label. May be repeated for other keys, at most 10.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.labels.insert(key.into(), value.into());
        self
    }

    /// Of this priority. May be repeated: any of them.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.0.priorities.push(priority.into());
        self
    }

    /// Only those that the caller could decide now.
    pub fn awaiting_me(mut self, awaiting_me: bool) -> Self {
        self.0.awaiting_me = awaiting_me;
        self
    }

    /// With this text in title, description, requester or id, whatever its case (ASCII). At most 256 bytes.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.0.text = text.into();
        self
    }

    /// Of this execution, by ARN.
    pub fn execution_arn(mut self, arn: impl Into<String>) -> Self {
        self.0.execution_arn = arn.into();
        self
    }
}

impl From<Filter> for ApprovalFilter {
    fn from(filter: Filter) -> Self {
        filter.0
    }
}

impl From<ApprovalFilter> for Filter {
    fn from(filter: ApprovalFilter) -> Self {
        Self(filter)
    }
}

/// Asks for approvals, finished ones included; newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List(ListApprovalsRequest);

impl List {
    /// All approvals.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those that are pending.
    pub fn pending() -> Self {
        Self::new().status(ApprovalStatus::Pending)
    }

    /// Those that the filter matches.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.0.filter = Some(filter.into());
        self
    }

    /// Of this status. May be repeated: any of them.
    pub fn status(mut self, status: ApprovalStatus) -> Self {
        self.0.statuses.push(status.into());
        self
    }

    /// Oldest first.
    pub fn oldest_first(mut self) -> Self {
        self.0.order = ApprovalOrder::OldestFirst.into();
        self
    }

    /// How many a page holds at most. Default 50, at most 1,000.
    pub fn page_size(mut self, size: u32) -> Self {
        self.0.page_size = size;
        self
    }

    /// Starts at the page that this token of [`Page::next`] names; everything else must be as it was.
    pub fn page_token(mut self, token: impl Into<String>) -> Self {
        self.0.page_token = token.into();
        self
    }
}

impl From<List> for ListApprovalsRequest {
    fn from(list: List) -> Self {
        list.0
    }
}

/// A page of approvals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The approvals. There may be fewer than a page holds although more follow.
    pub approvals: Vec<Approval>,
    /// For the page after this one; `None` if this is the last.
    pub next: Option<String>,
}
