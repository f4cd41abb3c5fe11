use approve_client::{Approval, ApprovalStatus, Decision};
use comfy_table::Cell;
use serde::Serialize;

use super::{
    approval, delivery, json::ApprovalJson, names::Name, progress, style::Style, table::Columns, text, time::Now,
};
use crate::commands::{Fate, Planned};

/// How one approval of several ended.
pub(crate) enum Ended<'a> {
    Decided(&'a Approval),
    /// Recorded, but the workflow can't be told.
    Undeliverable(&'a Approval),
    DoneBefore,
    Failed {
        reason: Option<String>,
        why: String,
    },
    /// Not begun.
    Left,
}

impl Ended<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Decided(_) => "decided",
            Self::Undeliverable(_) => "undeliverable",
            Self::DoneBefore => "unchanged",
            Self::Failed { .. } => "failed",
            Self::Left => "left",
        }
    }
}

/// How many ended how.
#[derive(Default)]
pub(crate) struct Summary {
    decided: usize,
    undeliverable: usize,
    unchanged: usize,
    failed: usize,
    left: usize,
}

impl Summary {
    pub(crate) fn count(&mut self, ended: &Ended<'_>) {
        *match ended {
            Ended::Decided(_) => &mut self.decided,
            Ended::Undeliverable(_) => &mut self.undeliverable,
            Ended::DoneBefore => &mut self.unchanged,
            Ended::Failed { .. } => &mut self.failed,
            Ended::Left => &mut self.left,
        } += 1;
    }

    pub(crate) fn all_is_done(&self) -> bool {
        self.undeliverable + self.failed + self.left == 0
    }

    /// "3 decided, 1 failed".
    pub(crate) fn line(&self) -> String {
        let parts = [
            (self.decided, "decided"),
            (self.undeliverable, "undeliverable"),
            (self.unchanged, "so before"),
            (self.failed, "failed"),
            (self.left, "left"),
        ];
        let told: Vec<_> = parts
            .iter()
            .filter(|(n, what)| *n > 0 || *what == "decided")
            .map(|(n, what)| format!("{n} {what}"))
            .collect();
        told.join(", ")
    }

    pub(crate) fn json(&self) -> impl Serialize + use<> {
        SummaryJson {
            event: "summary",
            decided: self.decided,
            undeliverable: self.undeliverable,
            unchanged: self.unchanged,
            failed: self.failed,
            left: self.left,
        }
    }
}

#[derive(Serialize)]
struct SummaryJson {
    event: &'static str,
    decided: usize,
    undeliverable: usize,
    unchanged: usize,
    failed: usize,
    left: usize,
}

#[derive(Serialize)]
struct ResultJson<'a> {
    event: &'static str,
    id: &'a str,
    result: &'static str,
    reason: Option<&'a str>,
    message: Option<&'a str>,
    request_id: Option<&'a str>,
    approval: Option<Box<ApprovalJson<'a>>>,
}

/// One result; the approval is as it is now, or was when it was looked at.
pub(crate) fn result<'a>(
    planned: &'a Planned,
    ended: &'a Ended<'a>,
    request_id: Option<&'a str>,
) -> impl Serialize + use<'a> {
    let (reason, message) = match ended {
        Ended::Failed { reason, why } => (reason.as_deref(), Some(why.as_str())),
        _ => (None, None),
    };
    let now = match ended {
        Ended::Decided(approval) | Ended::Undeliverable(approval) => Some(*approval),
        _ => planned.approval.as_ref(),
    };
    ResultJson {
        event: "result",
        id: &planned.id,
        result: ended.name(),
        reason,
        message,
        request_id,
        approval: now.map(|approval| Box::new(ApprovalJson::from(approval))),
    }
}

/// A result on a line.
pub(crate) fn line(planned: &Planned, ended: &Ended<'_>, now: &Now, style: Style) -> String {
    let title = planned.approval.as_ref().map(|approval| text::line(&approval.title)).unwrap_or_default();
    let (sign, what) = match ended {
        Ended::Decided(approval) => (style.green("ok  "), told(approval, now, style)),
        Ended::Undeliverable(approval) => (style.red("fail"), told(approval, now, style)),
        Ended::DoneBefore => (style.dim("same"), "you have decided so before".to_owned()),
        Ended::Failed { why, .. } => (style.red("fail"), text::line(why)),
        Ended::Left => (style.yellow("left"), "not begun".to_owned()),
    };
    format!("{sign} {}  {title}  {what}\n", text::line(&planned.id))
}

fn told(approval: &Approval, now: &Now, style: Style) -> String {
    let status = approval::status(approval, style);
    if approval.status() == ApprovalStatus::Pending {
        format!("{status}  recorded; {}", progress::line(approval))
    } else {
        format!("{status}  {}", delivery::line(approval, now, style))
    }
}

/// What would happen, for whoever is asked.
pub(crate) fn plan(planned: &[Planned], decision: Decision, now: &Now) -> String {
    let style = Style::for_stderr();
    let mut columns = Columns::new(style, &["ID", "TITLE", "REQUESTER", "VOTES", "EXPIRES", "WHAT WOULD HAPPEN"]);
    let name = Decision::lower(decision.into());
    for each in planned {
        let what = match &each.fate {
            Fate::Open { effect } if effect.is_empty() => name.clone(),
            Fate::Open { effect } => text::line(effect),
            Fate::Done => "nothing: you have decided so before".to_owned(),
            Fate::Closed { why, .. } => format!("nothing: {}", text::line(why)),
        };
        let of = each.approval.as_ref();
        columns.row(vec![
            Cell::new(text::line(&each.id)),
            Cell::new(of.map(|approval| text::line(&approval.title)).unwrap_or_default()),
            Cell::new(of.map(|approval| text::line(&approval.requester)).unwrap_or_default()),
            Cell::new(of.map(progress::short).unwrap_or_default()),
            Cell::new(of.and_then(|approval| approval::expires(approval, now)).unwrap_or_default()),
            Cell::new(what),
        ]);
    }
    columns.keep(&[0, 3, 4]);
    columns.render()
}
