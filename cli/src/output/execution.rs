use std::fmt::Write as _;

use approve_client::proto::{Execution, ExecutionStatus};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    approval::{json_block, section},
    names::Name,
    style::Style,
    text,
    time::{self, Now},
};

/// What a rejected or expired approval leaves as the cause of a failure.
#[derive(Deserialize)]
struct Cause<'a> {
    approval_id: Option<String>,
    outcome: Option<String>,
    #[serde(default)]
    decided_by: Names,
    comment: Option<String>,
    decided_at: Option<String>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Names {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

/// Everything about an execution, for a person.
pub(crate) fn facts(execution: &Execution, now: &Now, style: Style) -> String {
    let mut page = style.bold(&text::line(&execution.name)) + "\n";
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(page, "  {} {value}", style.dim(&format!("{name:<10}")));
    };
    fact("status", status(execution, style));
    fact("arn", text::line(&execution.arn));
    fact("started", now.full(execution.start_time.as_ref()));
    if let Some(stop) = &execution.stop_time {
        fact("ended", now.full(Some(stop)));
    }
    if !execution.error.is_empty() {
        fact("error", style.red(&text::line(&execution.error)));
    }
    if !execution.states.is_empty() {
        page += &section("States", style);
        page += &states(execution, now);
    }
    page += &section("Input", style);
    page += &json_block(&execution.input_json);
    if !execution.output_json.is_empty() {
        page += &section("Output", style);
        page += &json_block(&execution.output_json);
    }
    if !execution.cause.is_empty() {
        page += &section("Cause", style);
        page += &cause(&execution.cause, style);
    }
    page
}

fn status(execution: &Execution, style: Style) -> String {
    let name = ExecutionStatus::name(execution.status);
    match execution.status() {
        ExecutionStatus::Succeeded => style.green(name),
        ExecutionStatus::Running => style.yellow(name),
        ExecutionStatus::Failed | ExecutionStatus::TimedOut | ExecutionStatus::Aborted => style.red(name),
        _ => name.to_owned(),
    }
}

fn states(execution: &Execution, now: &Now) -> String {
    let width = execution.states.iter().map(|state| text::line(&state.name).chars().count()).max().unwrap_or(0);
    let mut lines = String::new();
    for state in &execution.states {
        let enter = state.enter_time.as_ref().and_then(time::timestamp);
        let exit = state.exit_time.as_ref().and_then(time::timestamp);
        let how_long = match (enter, exit) {
            (Some(enter), Some(exit)) => took(exit.duration_since(enter)),
            (Some(enter), None) if execution.status() == ExecutionStatus::Running => {
                format!("for {} now", time::span(now.at.duration_since(enter)))
            }
            _ => "not left".to_owned(),
        };
        let _ = writeln!(lines, "    {:<width$}  {how_long}", text::line(&state.name));
    }
    lines
}

fn took(duration: SignedDuration) -> String {
    if duration.as_secs() == 0 { format!("{} ms", duration.as_millis().max(0)) } else { time::span(duration) }
}

/// The decision in a cause that holds one; else the cause as it is.
fn cause(cause: &str, style: Style) -> String {
    let decision = serde_json::from_str::<Cause<'_>>(cause).ok();
    let Some((decision, outcome)) =
        decision.and_then(|decision| Some((decision.outcome.clone()?, decision)).map(|(o, d)| (d, o)))
    else {
        return json_block(cause);
    };
    let mut line = style.red(&text::line(&outcome));
    let by = match decision.decided_by {
        Names::None => Vec::new(),
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    };
    if !by.is_empty() {
        let _ = write!(line, " by {}", text::line(&by.join(", ")));
    }
    if let Some(at) = decision.decided_at.filter(|at| !at.is_empty()) {
        let _ = write!(line, " at {}", text::line(&at));
    }
    let mut lines = format!("    {line}\n");
    if let Some(comment) = decision.comment.filter(|comment| !comment.is_empty()) {
        lines += &text::block(&comment, "      ");
    }
    if let Some(id) = decision.approval_id {
        let _ = writeln!(lines, "    approval: {}", text::line(&id));
    }
    for (name, json) in [("response", decision.response), ("input", decision.input)] {
        if let Some(json) = json.filter(|json| json.get() != "null") {
            let _ = writeln!(lines, "    {name}:");
            lines += &json_block(json.get());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_told_as_a_decision() {
        let text = cause(
            r#"{"approval_id":"apr_1","outcome":"REJECTED","decided_by":["user:ana"],"comment":"too\u001b[2J much",
               "decided_at":"2026-03-01T12:00:00Z","response":null,"input":{"amount":1200.50}}"#,
            Style::plain(),
        );
        assert_eq!(
            text,
            "    REJECTED by user:ana at 2026-03-01T12:00:00Z\n      too\\u{1b}[2J much\n    approval: apr_1\n    \
             input:\n    {\n      \"amount\": 1200.50\n    }\n"
        );
    }

    #[test]
    fn any_other_cause_is_shown_as_it_is() {
        assert_eq!(cause("it broke\n\x07", Style::plain()), "    it broke\n    \\u{7}\n");
        assert_eq!(cause(r#"{"a":1.0}"#, Style::plain()), "    {\n      \"a\": 1.0\n    }\n");
    }
}
