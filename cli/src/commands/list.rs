use approve_client::{Approval, ApprovalStatus, List};
use futures::{StreamExt, TryStreamExt};

use crate::{
    args::{ListArgs, StatusArg},
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{approval, json::ApprovalJson},
};

const PAGE: u32 = 100;

pub(crate) async fn run(context: &Context, args: ListArgs) -> Result<Exit, Failure> {
    let statuses = statuses(&args.statuses);
    let with_status = statuses != [ApprovalStatus::Pending];
    let filtered = args.filter.is_set();
    let limit = args.limit as usize;
    let mut list = List::new()
        .filter(super::filter(args.filter))
        // One more than is shown tells whether there are more.
        .page_size(args.limit.saturating_add(1).min(PAGE));
    for status in statuses {
        list = list.status(status);
    }
    if args.oldest_first {
        list = list.oldest_first();
    }
    let client = context.connect().await?;
    let mut approvals: Vec<Approval> = client.list_all(list).take(limit.saturating_add(1)).try_collect().await?;
    let more = approvals.len() > limit;
    approvals.truncate(limit);
    if context.json() {
        let approvals: Vec<_> = approvals.iter().map(ApprovalJson::from).collect();
        context.out.print_json(&approvals)?;
    } else if approvals.is_empty() {
        let filtered = if filtered { " that matches" } else { "" };
        let what = if with_status { "" } else { " pending" };
        context.out.note(&format!("no{what} approval{filtered}"));
    } else {
        let now = context.out.now();
        let table = approval::table(&approvals, with_status, &now, context.out.style);
        context.out.print(&table)?;
    }
    if more {
        context.out.note(&format!("there are more than {limit}; see them with --limit"));
    }
    Ok(Exit::Ok)
}

/// The statuses to ask for; empty: any.
fn statuses(args: &[StatusArg]) -> Vec<ApprovalStatus> {
    if args.contains(&StatusArg::All) {
        return Vec::new();
    }
    args.iter()
        .filter_map(|status| match status {
            StatusArg::Pending => Some(ApprovalStatus::Pending),
            StatusArg::Approved => Some(ApprovalStatus::Approved),
            StatusArg::Rejected => Some(ApprovalStatus::Rejected),
            StatusArg::Expired => Some(ApprovalStatus::Expired),
            StatusArg::Canceled => Some(ApprovalStatus::Canceled),
            StatusArg::Invalid => Some(ApprovalStatus::Invalid),
            StatusArg::All => None,
        })
        .collect()
}
