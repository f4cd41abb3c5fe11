//! What is on the screen. Pure: no clock, no terminal, no server.

use std::collections::HashMap;

use approve_client::{Approval, ApprovalStatus, Decided, Decision, Error, WatchEvent};
use jiff::Timestamp;

use crate::{
    commands::needs_comment,
    failure,
    output::{
        approval, delivery,
        names::Name,
        progress,
        style::Style,
        text,
        time::{self, Now},
    },
};

/// How long a row is marked as new or changed, in seconds.
const MARKED: i64 = 30;

/// Everything that is on the screen, or could be.
pub(super) struct Live {
    pub server: String,
    rows: HashMap<String, Row>,
    /// The ids that match, by deadline. `None`: to be made anew.
    order: Option<Vec<String>>,
    /// By id, so that it stays with its approval whatever comes above it.
    pub selected: Option<String>,
    /// Where the selection was, for when its approval has gone.
    at: usize,
    /// How many rows are above the first that is shown.
    offset: usize,
    pub filter: String,
    pub mode: Mode,
    pub link: Link,
    pub message: Option<Message>,
    synced_once: bool,
}

struct Row {
    approval: Box<Approval>,
    mark: Mark,
    /// Told before the last reset, and not since.
    stale: bool,
}

/// What happened to a row, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    New(Timestamp),
    Changed(Timestamp),
}

/// What keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Table,
    Filter,
    /// One approval's facts, from this line on.
    Facts {
        id: String,
        from: u16,
    },
    Confirm(Confirm),
}

/// A decision that waits for a yes. It is about what was seen: its etag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Confirm {
    pub id: String,
    pub etag: String,
    pub title: String,
    pub decision: Decision,
    pub needs_comment: bool,
    pub comment: String,
    /// It changed since it was asked about.
    pub changed: bool,
}

/// How it stands with the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Loading,
    Live,
    Lost(String),
}

/// The last thing that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub text: String,
    pub is_bad: bool,
}

/// A decision that was answered.
pub(super) struct Sent {
    pub title: String,
    pub result: Result<Decided, Error>,
}

impl Live {
    pub(super) fn new(server: String) -> Self {
        Self {
            server,
            rows: HashMap::new(),
            order: None,
            selected: None,
            at: 0,
            offset: 0,
            filter: String::new(),
            mode: Mode::Table,
            link: Link::Loading,
            message: None,
            synced_once: false,
        }
    }

    pub(super) fn event(&mut self, event: WatchEvent, now: Timestamp) {
        match event {
            WatchEvent::Upserted(approval) => self.upserted(approval, now),
            WatchEvent::Removed { id, status, .. } => self.removed(&id, Some(status)),
            WatchEvent::Synced { .. } => {
                self.link = Link::Live;
                self.synced_once = true;
                let gone: Vec<String> =
                    self.rows.iter().filter(|(_, row)| row.stale).map(|(id, _)| id.clone()).collect();
                gone.iter().for_each(|id| self.removed(id, None));
            }
            WatchEvent::Reset => self.rows.values_mut().for_each(|row| row.stale = true),
            WatchEvent::Disconnected { cause, .. } => self.link = Link::Lost(failure::line(&*cause)),
            _ => {}
        }
    }

    fn upserted(&mut self, approval: Box<Approval>, now: Timestamp) {
        self.order = None;
        let id = approval.id.clone();
        let before = self.rows.get(&id);
        let mark = match before {
            Some(before) if before.approval.etag == approval.etag => before.mark,
            Some(_) => Mark::Changed(now),
            None if self.synced_once => Mark::New(now),
            None => Mark::None,
        };
        if let Mode::Confirm(confirm) = &mut self.mode {
            confirm.changed |= confirm.id == id && confirm.etag != approval.etag;
        }
        self.rows.insert(id, Row { approval, mark, stale: false });
    }

    fn removed(&mut self, id: &str, status: Option<ApprovalStatus>) {
        let Some(row) = self.rows.remove(id) else { return };
        self.order = None;
        let how = match status {
            Some(ApprovalStatus::Pending) => "no longer matches".to_owned(),
            Some(status) => format!("is {}", ApprovalStatus::name(status.into())),
            None => "is no longer pending".to_owned(),
        };
        let looked_at = match &self.mode {
            Mode::Facts { id: shown, .. } => shown == id,
            Mode::Confirm(confirm) => confirm.id == id,
            Mode::Table | Mode::Filter => self.selected.as_deref() == Some(id),
        };
        if looked_at {
            let title = text::line(&row.approval.title);
            self.message = Some(Message { text: format!("\"{title}\" {how}"), is_bad: false });
            if !matches!(self.mode, Mode::Filter) {
                self.mode = Mode::Table;
            }
        }
        if self.selected.as_deref() == Some(id) {
            // Not the neighbour: a key that is on its way is not for that one.
            self.selected = None;
        }
    }

    /// What came of a decision.
    pub(super) fn sent(&mut self, sent: &Sent, now: &Now) {
        self.message = Some(Message { text: told(sent, now), is_bad: sent.result.is_err() });
    }

    pub(super) fn get(&self, id: &str) -> Option<&Approval> {
        self.rows.get(id).map(|row| &*row.approval)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What happened to a row of late.
    pub(super) fn mark(&self, id: &str, now: Timestamp) -> Mark {
        let recent = |at: Timestamp| now.duration_since(at).as_secs() < MARKED;
        match self.rows.get(id).map_or(Mark::None, |row| row.mark) {
            Mark::New(at) | Mark::Changed(at) if !recent(at) => Mark::None,
            mark => mark,
        }
    }

    /// The ids that match the filter, by deadline; what has none comes last, oldest first.
    pub(super) fn order(&mut self) -> &[String] {
        let Self { rows, filter, order, .. } = self;
        order.get_or_insert_with(|| {
            let matching = rows.values().filter(|row| matches(&row.approval, filter));
            let mut keys: Vec<_> = matching
                .map(|row| {
                    let approval = &row.approval;
                    let deadline = approval.expire_time.as_ref().and_then(time::timestamp);
                    let made = approval.create_time.as_ref().and_then(time::timestamp);
                    (deadline.is_none(), deadline, made, approval.id.clone())
                })
                .collect();
            keys.sort();
            keys.into_iter().map(|(.., id)| id).collect()
        })
    }

    /// The ids that fit on so many lines, so that the selected one is among them; and how many match.
    pub(super) fn window(&mut self, height: usize) -> (Vec<String>, usize) {
        let (selected, mut offset) = (self.selected.clone(), self.offset);
        let order = self.order();
        if let Some(at) = selected.and_then(|id| order.iter().position(|other| *other == id)) {
            offset = offset.clamp((at + 1).saturating_sub(height), at);
        }
        offset = offset.min(order.len().saturating_sub(height));
        let shown = order.iter().skip(offset).take(height).cloned().collect();
        let all = order.len();
        self.offset = offset;
        (shown, all)
    }

    pub(super) fn set_filter(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.filter);
        self.order = None;
        let selected = self.selected.take();
        self.selected = selected.filter(|id| self.get(id).is_some_and(|approval| matches(approval, &self.filter)));
    }

    /// Selects another row, so many further down.
    pub(super) fn move_by(&mut self, rows: isize) {
        let selected = self.selected.clone();
        let last_at = self.at;
        let order = self.order();
        let Some(last) = order.len().checked_sub(1) else {
            self.selected = None;
            return;
        };
        let at = match selected.and_then(|id| order.iter().position(|other| *other == id)) {
            Some(at) => at.saturating_add_signed(rows),
            // What was selected has gone: begin where it was.
            None => last_at,
        };
        let at = at.min(last);
        let id = order.get(at).cloned();
        (self.selected, self.at) = (id, at);
    }

    /// Asks whether the approval in view is to be decided so.
    pub(super) fn ask(&mut self, decision: Decision) {
        let id = match &self.mode {
            Mode::Facts { id, .. } => Some(id.clone()),
            _ => self.selected.clone(),
        };
        let Some(approval) = id.as_ref().and_then(|id| self.get(id)) else {
            self.message = Some(Message { text: "select one first, with the arrows".into(), is_bad: false });
            return;
        };
        let rule = approval.rule.as_ref();
        if decision == Decision::Approve && rule.is_some_and(|rule| !rule.response_schema_json.is_empty()) {
            let text = format!("it asks for a response; use: approve-cli decide {}", text::line(&approval.id));
            self.message = Some(Message { text, is_bad: false });
            return;
        }
        let confirm = Confirm {
            id: approval.id.clone(),
            etag: approval.etag.clone(),
            title: approval.title.clone(),
            decision,
            needs_comment: needs_comment(rule, decision),
            comment: String::new(),
            changed: false,
        };
        self.message = None;
        self.mode = Mode::Confirm(confirm);
    }
}

/// Whether a text is in what is shown of an approval, whatever its case.
fn matches(approval: &Approval, filter: &str) -> bool {
    let filter = filter.to_lowercase();
    let holds = |text: &str| text.to_lowercase().contains(&filter);
    let Approval { title, requester, workflow, id, .. } = approval;
    [title, requester, workflow, id].into_iter().any(|text| holds(text))
        || approval.labels.iter().any(|(key, value)| holds(&format!("{key}={value}")))
}

/// What came of a decision, on a line.
pub(super) fn told(sent: &Sent, now: &Now) -> String {
    let title = text::line(&sent.title);
    match &sent.result {
        Ok(decided) if decided.approval.status() == ApprovalStatus::Pending => {
            format!("recorded: \"{title}\", {}", progress::line(&decided.approval))
        }
        Ok(decided) => {
            let status = approval::status(&decided.approval, Style::plain());
            format!("{status}: \"{title}\", {}", delivery::line(&decided.approval, now, Style::plain()))
        }
        Err(error) => format!("\"{title}\" was not decided: {}", text::line(&failure::line(error))),
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
pub(super) mod tests;
