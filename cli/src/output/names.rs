//! The enums of the API as they are printed: the enum's name without its prefix.

use approve_client::proto::{
    ApprovalStatus, CommentPolicy, Decision, DeliveryState, ExecutionStatus, ExpiryAction, Permission, PlannedAction,
    Priority, RejectAction, ResourceAction, StageOrder, TaskState,
};

/// The name of a value, in upper case; "UNKNOWN" for one that this version does not know.
pub(crate) trait Name: TryFrom<i32> {
    const PREFIX: &'static str;
    fn full(&self) -> &'static str;

    fn name(value: i32) -> &'static str {
        match Self::try_from(value) {
            Ok(value) => {
                let full = value.full();
                full.strip_prefix(Self::PREFIX).unwrap_or(full)
            }
            Err(_) => "UNKNOWN",
        }
    }

    /// For JSON.
    fn lower(value: i32) -> String {
        Self::name(value).to_lowercase()
    }
}

macro_rules! names {
    ($($type:ty, $prefix:literal;)*) => {
        $(impl Name for $type {
            const PREFIX: &'static str = $prefix;
            fn full(&self) -> &'static str {
                self.as_str_name()
            }
        })*
    };
}

names! {
    ApprovalStatus, "APPROVAL_STATUS_";
    CommentPolicy, "COMMENT_POLICY_";
    Decision, "DECISION_";
    DeliveryState, "DELIVERY_STATE_";
    ExecutionStatus, "EXECUTION_STATUS_";
    ExpiryAction, "EXPIRY_ACTION_";
    Permission, "PERMISSION_";
    PlannedAction, "PLANNED_ACTION_";
    Priority, "PRIORITY_";
    RejectAction, "REJECT_ACTION_";
    ResourceAction, "RESOURCE_ACTION_";
    StageOrder, "STAGE_ORDER_";
    TaskState, "TASK_STATE_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_prefix() {
        assert_eq!(ApprovalStatus::name(2), "APPROVED");
        assert_eq!(ExecutionStatus::lower(4), "timed_out");
        assert_eq!(Priority::name(99), "UNKNOWN");
    }
}
