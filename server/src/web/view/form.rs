//! The form that decides: what can be decided, and what is to be said with it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{facts::label, schema};
use crate::{
    approval::{self, Approval, Decision, Explanation, Misfit, Person, StageNeed, Status, explain},
    web::fields,
};

/// Something that can be decided.
pub(crate) struct Choice {
    /// As the form sends it.
    pub(crate) value: String,
    pub(crate) label: String,
    /// What it would do.
    pub(crate) effect: String,
    /// "approve" or "reject".
    pub(crate) kind: &'static str,
    /// Whether it is beside the plain ones.
    pub(crate) own: bool,
}

/// A field of the response.
pub(crate) struct Input {
    /// Of the form.
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) help: String,
    pub(crate) required: bool,
    /// "text", "long", "date", "number", "integer", "choice" or "json".
    pub(crate) kind: &'static str,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) value: String,
    pub(crate) error: Option<String>,
}

/// The form of an approval, for somebody.
pub(crate) struct DecideForm {
    /// Where it is sent.
    pub(crate) action: String,
    pub(crate) etag: String,
    /// Makes it safe to send twice.
    pub(crate) request_id: String,
    pub(crate) choices: Vec<Choice>,
    /// Why nothing can be decided, where there are no choices.
    pub(crate) closed: String,
    /// What they decided before, if they did.
    pub(crate) decided: Option<String>,
    pub(crate) comment: String,
    /// What a comment is for.
    pub(crate) comment_help: &'static str,
    pub(crate) comment_error: Option<String>,
    pub(crate) inputs: Vec<Input>,
    /// What is wrong with the whole.
    pub(crate) error: Option<String>,
}

impl DecideForm {
    /// An empty one.
    pub(crate) fn new(approval: &Approval, person: &Person, action: String, now: Timestamp) -> Self {
        let explanation = explain(approval, Some(person), now);
        let (mut choices, mut closed) = (Vec::new(), String::new());
        for effect in &explanation.effects {
            let kind = if effect.decision == Decision::Approve { "approve" } else { "reject" };
            match &effect.result {
                Ok(status) => choices.push(Choice {
                    value: effect.outcome.as_ref().map_or_else(|| kind.to_owned(), |name| format!("outcome:{name}")),
                    label: effect.outcome.as_ref().map_or_else(|| plain(effect.decision), |name| label(approval, name)),
                    own: effect.outcome.is_some(),
                    effect: consequence(&explanation, effect.decision, status),
                    kind,
                }),
                Err(refusal) if closed.is_empty() => closed = super::refusal(refusal),
                Err(_) => {}
            }
        }
        let rule = &approval.request.rule;
        let comment_help = match rule.comment {
            approval::CommentPolicy::Never => "Optional",
            approval::CommentPolicy::OnReject => "Needed to reject",
            approval::CommentPolicy::Always => "Needed",
        };
        let decided = approval.votes.iter().rev().find(|vote| vote.voter == person.principal);
        Self {
            action,
            etag: approval.etag(),
            request_id: uuid::Uuid::new_v4().to_string(),
            choices,
            closed,
            decided: decided.map(|vote| super::past(vote.decision).to_owned()),
            comment: String::new(),
            comment_help,
            comment_error: None,
            inputs: inputs(rule.response_schema.as_deref()),
            error: None,
        }
    }

    /// With what somebody said in an earlier one, which was not taken.
    pub(crate) fn again(mut self, said: &fields::Fields, errors: &BTreeMap<String, String>) -> Self {
        said.get("comment").clone_into(&mut self.comment);
        self.comment_error = errors.get("comment").cloned();
        for input in &mut self.inputs {
            said.get(&input.name).clone_into(&mut input.value);
            input.error = errors.get(&input.name).cloned();
        }
        self
    }
}

/// What a decision leads to.
pub(crate) fn consequence(explanation: &Explanation, decision: Decision, after: &Status) -> String {
    let missing = |stage: &StageNeed| stage.progress.required.saturating_sub(stage.progress.approvals);
    match (after, decision) {
        (Status::Approved, _) => "settles it: approved".to_owned(),
        (Status::Rejected, _) => "settles it: rejected".to_owned(),
        (_, Decision::Approve) => {
            let more = explanation.stages.iter().map(missing).sum::<u32>().saturating_sub(1).max(1);
            format!("counts; it takes {}", super::count(more, "more approval", "more approvals"))
        }
        (_, Decision::Reject) => {
            let more = explanation.rejections_needed.saturating_sub(1).max(1);
            format!("counts; to reject it takes {}", super::count(more, "more rejection", "more rejections"))
        }
    }
}

fn plain(decision: Decision) -> String {
    match decision {
        Decision::Approve => "Approve".to_owned(),
        Decision::Reject => "Reject".to_owned(),
    }
}

fn inputs(schema: Option<&str>) -> Vec<Input> {
    let Some(schema) = schema else { return Vec::new() };
    let Some(fields) = schema::fields(schema) else {
        return vec![Input {
            name: JSON_INPUT.to_owned(),
            label: "Answer, as JSON".to_owned(),
            help: format!("It has to fit this schema: {}", super::brief(schema, 600)),
            required: true,
            kind: "json",
            options: Vec::new(),
            value: String::new(),
            error: None,
        }];
    };
    let input = |(at, field): (usize, schema::Field)| {
        let (kind, options) = match field.kind {
            schema::Kind::Text { long: true } => ("long", Vec::new()),
            schema::Kind::Text { long: false } => ("text", Vec::new()),
            schema::Kind::Date => ("date", Vec::new()),
            schema::Kind::Number => ("number", Vec::new()),
            schema::Kind::Integer => ("integer", Vec::new()),
            schema::Kind::Boolean => {
                ("choice", [("true", "Yes"), ("false", "No")].map(|(json, text)| (json.into(), text.into())).to_vec())
            }
            schema::Kind::Choice(options) => ("choice", options),
        };
        Input {
            name: input_name(at),
            label: field.label,
            help: field.help,
            required: field.required,
            kind,
            options,
            value: field.default,
            error: None,
        }
    };
    fields.into_iter().enumerate().map(input).collect()
}

/// The field of the form that takes JSON.
const JSON_INPUT: &str = "response_json";

fn input_name(at: usize) -> String {
    format!("response-{at}")
}

/// What a form says is decided.
pub(crate) fn choice_of(approval: &Approval, value: &str) -> Option<(approval::Choice, Decision)> {
    match value {
        "approve" => Some((Decision::Approve.into(), Decision::Approve)),
        "reject" => Some((Decision::Reject.into(), Decision::Reject)),
        value => {
            let name = value.strip_prefix("outcome:")?.to_owned();
            let decision = approval.request.rule.outcome(&name)?.decision;
            Some((approval::Choice::Outcome { name, decision: Some(decision) }, decision))
        }
    }
}

/// The response that a form says, as JSON text; empty where there is none. What does not fit is left out of a rejection,
/// which needs none.
///
/// # Errors
/// What is wrong, by field of the form.
pub(crate) fn response_of(
    approval: &Approval,
    decision: Decision,
    said: &fields::Fields,
) -> Result<String, BTreeMap<String, String>> {
    let Some(schema) = approval.request.rule.response_schema.as_deref() else { return Ok(String::new()) };
    let mut errors = BTreeMap::new();
    let (response, names) = match schema::fields(schema) {
        None => {
            let text = said.get(JSON_INPUT).trim().to_owned();
            if !text.is_empty() && serde_json::from_str::<&serde_json::value::RawValue>(&text).is_err() {
                errors.insert(JSON_INPUT.to_owned(), "Expected JSON.".to_owned());
            }
            (text, Vec::new())
        }
        Some(fields) => {
            let (mut members, mut names) = (Vec::new(), Vec::new());
            for (at, field) in fields.into_iter().enumerate() {
                match field.read(said.get(&input_name(at))) {
                    Ok(Some(json)) => members.push(format!("{}:{json}", serde_json::Value::from(field.name.as_str()))),
                    Ok(None) if field.required && decision == Decision::Approve => {
                        errors.insert(input_name(at), "This is needed.".to_owned());
                    }
                    Ok(None) => {}
                    Err(problem) => {
                        errors.insert(input_name(at), problem);
                    }
                }
                names.push(field.name);
            }
            (format!("{{{}}}", members.join(",")), names)
        }
    };
    if errors.is_empty() {
        let misfits = approval.request.rule.misfits(Some(response.as_str()).filter(|text| !text.is_empty()));
        errors.extend(misfits.into_iter().map(|misfit| by_input(&names, misfit)));
    }
    match (errors.is_empty(), decision) {
        (true, _) => Ok(response),
        (false, Decision::Reject) => Ok(String::new()),
        (false, Decision::Approve) => Err(errors),
    }
}

/// The field of the form that a misfit is about.
fn by_input(names: &[String], misfit: Misfit) -> (String, String) {
    let name = misfit.place.strip_prefix('/').map(|name| name.replace("~1", "/").replace("~0", "~"));
    let at = name.and_then(|name| names.iter().position(|known| *known == name));
    let input = at.map_or_else(|| if names.is_empty() { JSON_INPUT.to_owned() } else { input_name(0) }, input_name);
    (input, super::visible(&misfit.problem))
}
