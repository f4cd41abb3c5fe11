use std::fmt::Write as _;

use approve_client::{
    Approval, ApprovalStatus, Decision,
    proto::{ExpiryAction, Priority, Rule, Vote},
};
use comfy_table::{Cell, Color};
use serde_json::value::RawValue;

use super::{
    delivery, json_text,
    names::Name,
    progress, rule,
    style::Style,
    table::Columns,
    text,
    time::{self, Now},
};

const INDENT: &str = "    ";

/// A table of approvals, one a line.
pub(crate) fn table(approvals: &[Approval], with_status: bool, now: &Now, style: Style) -> String {
    let noted = approvals.iter().any(|approval| !progress::note(approval, now).is_empty());
    let several_workflows = approvals.windows(2).any(|pair| matches!(pair, [a, b] if a.workflow != b.workflow));
    let mut header = vec!["ID"];
    if with_status {
        header.push("STATUS");
    }
    header.push("TITLE");
    if several_workflows {
        header.push("WORKFLOW");
    }
    header.extend(["REQUESTER", "VOTES", "AGE", "EXPIRES"]);
    let last = header.len() - 1;
    if noted {
        header.push("NOTE");
    }
    let mut columns = Columns::new(style, &header);
    for approval in approvals {
        let mut cells = vec![Cell::new(text::line(&approval.id))];
        if with_status {
            cells.push(status_cell(approval, columns.style()));
        }
        cells.push(Cell::new(text::line(&approval.title)));
        if several_workflows {
            cells.push(Cell::new(text::line(&approval.workflow)));
        }
        cells.extend([
            Cell::new(text::line(&approval.requester)),
            Cell::new(progress::short(approval)),
            Cell::new(now.age(approval.create_time.as_ref())),
            Cell::new(expires(approval, now).unwrap_or_default()),
        ]);
        if noted {
            cells.push(Cell::new(progress::note(approval, now)));
        }
        columns.row(cells);
    }
    columns.keep(&[0, last - 2, last - 1, last]);
    columns.render()
}

fn status_cell(approval: &Approval, style: Style) -> Cell {
    let name = ApprovalStatus::name(approval.status);
    let outcome =
        if approval.outcome.is_empty() { String::new() } else { format!(" ({})", text::line(&approval.outcome)) };
    let cell = Cell::new(format!("{name}{outcome}"));
    if !style.is_enabled() {
        return cell;
    }
    match approval.status() {
        ApprovalStatus::Approved => cell.fg(Color::Green),
        ApprovalStatus::Rejected | ApprovalStatus::Invalid => cell.fg(Color::Red),
        ApprovalStatus::Pending => cell.fg(Color::Yellow),
        _ => cell,
    }
}

pub(crate) fn status(approval: &Approval, style: Style) -> String {
    status_name(approval.status(), style)
}

pub(crate) fn status_name(status: ApprovalStatus, style: Style) -> String {
    let name = ApprovalStatus::name(status.into());
    match status {
        ApprovalStatus::Approved => style.green(name),
        ApprovalStatus::Rejected | ApprovalStatus::Invalid => style.red(name),
        ApprovalStatus::Pending => style.yellow(name),
        _ => name.to_owned(),
    }
}

/// "in 4m 12s", for one that is pending and has a deadline.
pub(crate) fn expires(approval: &Approval, now: &Now) -> Option<String> {
    if approval.status() != ApprovalStatus::Pending {
        return None;
    }
    let time = time::timestamp(approval.expire_time.as_ref()?)?;
    Some(now.relative(time))
}

/// Everything about an approval, for a person.
pub(crate) fn facts(approval: &Approval, now: &Now, style: Style) -> String {
    let mut page = style.bold(&text::line(&approval.title)) + "\n";
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(page, "  {} {value}", style.dim(&format!("{name:<10}")));
        }
    };
    let pending = approval.status() == ApprovalStatus::Pending;
    fact("status", status_line(approval, now, style));
    if !approval.outcome.is_empty() {
        fact("outcome", rule::outcome_label(approval.rule.as_ref(), &approval.outcome));
    }
    fact("on hold", progress::hold(approval, now).map(|hold| style.yellow(&hold)).unwrap_or_default());
    fact("claimed", progress::claim(approval, now).unwrap_or_default());
    fact("id", text::line(&approval.id));
    fact("workflow", text::line(&approval.workflow));
    fact("asked by", text::line(&approval.requester));
    fact("created", now.full(approval.create_time.as_ref()));
    if let (true, Some(at)) = (pending, &approval.expire_time) {
        let then = match approval.rule.as_ref().map(|rule| rule.expiry_action()) {
            Some(ExpiryAction::Approve) => "APPROVED",
            Some(ExpiryAction::Reject) => "REJECTED",
            Some(ExpiryAction::Outcome) => approval.rule.as_ref().map_or("", |rule| rule.expiry_outcome.as_str()),
            _ => "EXPIRED",
        };
        let then = text::line(then);
        fact("deadline", format!("{}, then {then}", now.full(Some(at))));
    }
    if approval.priority() != Priority::Normal {
        fact("priority", Priority::name(approval.priority).to_owned());
    }
    fact("labels", labels(approval));
    if let Some(rule) = &approval.rule {
        for (name, line) in named("rule", rule::in_words(rule, !approval.requester.is_empty(), now)) {
            fact(name, line);
        }
    }
    for (name, line) in named("progress", progress::lines(approval, now)) {
        fact(name, line);
    }
    fact("delivery", delivery::line(approval, now, style));
    fact("task", delivery::task(approval));
    if let Some(source) = &approval.source {
        let attempt = match source.attempt {
            0 => String::new(),
            n => format!(" (retry {n})"),
        };
        fact("state", text::line(&source.state_name) + &attempt);
        fact("key", text::line(&source.key));
        fact("execution", text::line(&source.execution_arn));
        fact("activity", text::line(&source.activity_arn));
    }
    fact("etag", text::line(&approval.etag));
    if !approval.description.is_empty() {
        page += &section("Description", style);
        page += &text::block(&approval.description, INDENT);
    }
    if !approval.votes.is_empty() {
        page += &section("Votes", style);
        for vote in &approval.votes {
            page += &vote_lines(vote, approval.rule.as_ref(), now, style);
        }
    }
    if let Some(rule) = approval.rule.as_ref().filter(|rule| !rule.response_schema_json.is_empty()) {
        page += &section("Response has to fit", style);
        page += &json_block(&rule.response_schema_json);
    }
    page += &section("Input", style);
    page += &json_block(&approval.input_json);
    page
}

/// The first line has the name, those after it have none.
pub(crate) fn named(name: &str, lines: Vec<String>) -> impl Iterator<Item = (&str, String)> {
    std::iter::once(name).chain(std::iter::repeat("")).zip(lines)
}

fn status_line(approval: &Approval, now: &Now, style: Style) -> String {
    let mut line = status(approval, style);
    if !approval.decided_by.is_empty() {
        let by: Vec<_> = approval.decided_by.iter().map(|by| text::line(by)).collect();
        let _ = write!(line, " by {}", by.join(", "));
    }
    if let Some(at) = &approval.decide_time {
        let _ = write!(line, ", {}", now.full(Some(at)));
    }
    if !approval.reason.is_empty() {
        let _ = write!(line, ": {}", text::line(&approval.reason));
    }
    line
}

fn labels(approval: &Approval) -> String {
    let mut labels: Vec<_> =
        approval.labels.iter().map(|(key, value)| format!("{}={}", text::line(key), text::line(value))).collect();
    labels.sort();
    labels.join(" ")
}

fn vote_lines(vote: &Vote, rule: Option<&Rule>, now: &Now, style: Style) -> String {
    let decision = match vote.decision() {
        Decision::Approve => style.green("approve"),
        Decision::Reject => style.red("reject "),
        Decision::Unspecified => "?      ".into(),
    };
    let at = now.full(vote.vote_time.as_ref());
    let outcome = if vote.outcome.is_empty() {
        String::new()
    } else {
        format!(" as {}", rule::outcome_label(rule, &vote.outcome))
    };
    let mut lines = format!("{INDENT}{decision} {}{outcome}, {at}\n", progress::voter(vote));
    if !vote.comment.is_empty() {
        lines += &text::block(&vote.comment, "            ");
    }
    if !vote.response_json.is_empty() {
        lines += &text::block(&format!("response: {}", json_on_a_line(&vote.response_json)), "            ");
    }
    lines
}

pub(crate) fn section(title: &str, style: Style) -> String {
    format!("\n{}\n", style.bold(title))
}

/// JSON text over several lines, indented; any other text as it is.
pub(crate) fn json_block(json: &str) -> String {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(raw) => text::block(&json_text::pretty(raw.get()), INDENT),
        Err(_) if json.is_empty() => format!("{INDENT}(none)\n"),
        Err(_) => text::block(json, INDENT),
    }
}

fn json_on_a_line(json: &str) -> String {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(raw) => json_text::compact(raw.get()),
        Err(_) => json.to_owned(),
    }
}

#[cfg(test)]
#[path = "approval_tests.rs"]
mod tests;
