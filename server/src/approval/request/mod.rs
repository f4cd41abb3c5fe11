//! The request, parsed from a task's input.
//!
//! A task's input is an approval's payload as it is, or an object with an `approve` member that says what to ask, of
//! whom. What is beside `approve` is the payload: the value of `input` where that is all, else the object without
//! `approve`. Payloads keep their exact text.

use std::sync::Arc;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, value::RawValue};

use super::{Labels, Members, Principal, Priority, Rule, Source};

mod rule;

use self::rule::RuleBlock;

/// Bounds of what a task may say, in bytes unless they are counts.
pub struct Limits;

impl Limits {
    /// A title.
    pub const TITLE: usize = 256;
    /// A description.
    pub const DESCRIPTION: usize = 8_192;
    /// A comment.
    pub const COMMENT: usize = 4_096;
    /// A response.
    pub const RESPONSE: usize = 65_536;
    /// A key of a task's own.
    pub const KEY: usize = 256;
    /// How many labels.
    pub const LABELS: usize = 50;
    /// A label's key.
    pub const LABEL_KEY: usize = 128;
    /// A label's value.
    pub const LABEL_VALUE: usize = 256;
    /// An ARN.
    pub const ARN: usize = 2_048;
    /// A state's name.
    pub const STATE_NAME: usize = 80;
}

/// What does not change over an approval's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// One line for people.
    pub title: String,
    /// More for people.
    pub description: String,
    /// Who asked.
    pub requester: Option<Principal>,
    /// The effective rule.
    pub rule: Rule,
    /// Tells versions of the rule apart: [`Rule::version`].
    #[serde(default)]
    pub rule_version: String,
    /// Where it comes from.
    pub source: Source,
    /// Free labels.
    pub labels: Labels,
    /// How urgent it is.
    pub priority: Priority,
}

/// What the server knows of a task before it has read its input.
#[derive(Debug, Clone)]
pub struct StepDefaults {
    /// The workflow's name here.
    pub workflow: String,
    /// The activity's ARN.
    pub activity_arn: String,
    /// The workflow's own rule.
    pub rule: Rule,
    /// TimeoutSeconds by state, where the definition is known.
    pub timeouts: Vec<(String, SignedDuration)>,
}

impl StepDefaults {
    /// The TimeoutSeconds of a state; of the only one there is, where the task does not name its state.
    fn timeout(&self, state: Option<&str>) -> Option<SignedDuration> {
        match (state, self.timeouts.as_slice()) {
            (Some(state), all) => all.iter().find(|(name, _)| name == state).map(|(_, timeout)| *timeout),
            (None, [(_, only)]) => Some(*only),
            (None, _) => None,
        }
    }

    fn bare(&self) -> Request {
        let activity = self.activity_arn.rsplit(':').next().unwrap_or(&self.activity_arn);
        Request {
            title: format!("{activity} of {}", self.workflow),
            description: String::new(),
            requester: None,
            rule: self.rule.clone(),
            rule_version: String::new(),
            source: Source {
                workflow: self.workflow.clone(),
                activity_arn: self.activity_arn.clone(),
                execution_arn: None,
                state_machine_arn: None,
                state_name: None,
                state_entered: None,
                key: None,
            },
            labels: Labels::new(),
            priority: Priority::default(),
        }
    }
}

/// A field of a task's input that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The path of the field, from the top of the input.
    pub field: String,
    /// What is wrong, and what is expected.
    pub problem: String,
}

impl FieldError {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// What was understood of a task's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskInput {
    /// The request. Where `error` is set: as far as it goes, for the record.
    pub request: Request,
    /// The payload's exact text. Where `error` is set: the whole input.
    pub input: Arc<str>,
    /// The state's retry count.
    pub attempt: u32,
    /// Why the task is to be failed.
    pub error: Option<FieldError>,
}

/// Reads a task's input.
#[must_use]
pub fn parse_task_input(text: &str, defaults: &StepDefaults) -> TaskInput {
    match understand(text, defaults) {
        Ok(task) => task,
        Err(error) => {
            let mut request = defaults.bare();
            request.rule_version = request.rule.version();
            TaskInput { request, input: text.into(), attempt: 0, error: Some(error) }
        }
    }
}

fn understand(text: &str, defaults: &StepDefaults) -> Result<TaskInput, FieldError> {
    let members = match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) => members,
        // Not an object, so there is no block: the text is the payload, if it is JSON at all.
        Err(_) if !text.trim_start().starts_with('{') => {
            serde_json::from_str::<&RawValue>(text).map_err(|error| FieldError::new("$", error.to_string()))?;
            Members(Vec::new())
        }
        Err(error) => return Err(FieldError::new("$", error.to_string())),
    };
    let mut blocks = members.0.iter().filter(|(name, _)| name == "approve").map(|(_, block)| block);
    let Some(block) = blocks.next() else {
        let mut request = defaults.bare();
        settle_rule(&mut request, defaults);
        return Ok(TaskInput { request, input: text.into(), attempt: 0, error: None });
    };
    if blocks.next().is_some() {
        return Err(FieldError::new("approve", "there twice"));
    }
    let mut reader = serde_json::Deserializer::from_str(block.get());
    let block: Block = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "approve".to_owned() } else { format!("approve.{path}") };
        FieldError::new(field, without_position(&error.into_inner().to_string()))
    })?;
    let attempt = block.attempt.unwrap_or(0);
    let mut request = block.into_request(defaults)?;
    settle_rule(&mut request, defaults);
    Ok(TaskInput { request, input: payload(&members).into(), attempt, error: None })
}

fn settle_rule(request: &mut Request, defaults: &StepDefaults) {
    bound_by_timeout(request, defaults);
    request.rule_version = request.rule.version();
}

/// A person has to decide slightly before Step Functions gives up, so that the answer still arrives.
fn bound_by_timeout(request: &mut Request, defaults: &StepDefaults) {
    let Some(timeout) = defaults.timeout(request.source.state_name.as_deref()) else {
        return;
    };
    let margin = (timeout / 20).clamp(SignedDuration::from_millis(500), SignedDuration::from_secs(5));
    let bound = (timeout - margin).max(timeout / 2);
    let rule = &mut request.rule;
    rule.expire_after = Some(rule.expire_after.map_or(bound, |after| after.min(bound)));
}

fn payload(members: &Members<'_>) -> String {
    let rest: Vec<_> = members.0.iter().filter(|(name, _)| name != "approve").collect();
    if let [(name, value)] = rest.as_slice()
        && name == "input"
    {
        return value.get().to_owned();
    }
    let mut text = String::from("{");
    for (at, (name, value)) in rest.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name.as_str()).to_string());
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    text
}

/// serde_json names a line and column within the block, which nobody can look up.
fn without_position(message: &str) -> String {
    message.rfind(" at line ").and_then(|end| message.get(..end)).unwrap_or(message).to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    title: Option<String>,
    description: Option<String>,
    requester: Option<PrincipalText>,
    rule: Option<RuleBlock>,
    labels: Option<Labels>,
    priority: Option<Priority>,
    key: Option<KeyText>,
    execution: Option<String>,
    state_machine: Option<String>,
    state: Option<String>,
    entered_at: Option<Timestamp>,
    attempt: Option<u32>,
}

impl Block {
    fn into_request(self, defaults: &StepDefaults) -> Result<Request, FieldError> {
        let bare = defaults.bare();
        let text = |field: &str, value: Option<String>, max: usize| -> Result<Option<String>, FieldError> {
            match value {
                Some(value) if value.len() > max => {
                    let problem = format!("expected at most {max} bytes, found {}", value.len());
                    Err(FieldError::new(format!("approve.{field}"), problem))
                }
                value => Ok(value),
            }
        };
        let requester = self.requester.map(|text| text.0);
        if requester.as_ref().is_some_and(|who| !who.is_actor()) {
            return Err(FieldError::new("approve.requester", "expected a user or a service, found a group"));
        }
        let rule = self.rule.unwrap_or_default().effective(&defaults.rule, requester.as_ref())?;
        let title = text("title", self.title, Limits::TITLE)?;
        if title.as_ref().is_some_and(|title| title.trim().is_empty()) {
            return Err(FieldError::new("approve.title", "expected some text, or no title at all"));
        }
        let labels = self.labels.unwrap_or_default();
        check_labels(&labels)?;
        Ok(Request {
            title: title.unwrap_or(bare.title),
            description: text("description", self.description, Limits::DESCRIPTION)?.unwrap_or_default(),
            requester,
            rule,
            rule_version: bare.rule_version,
            source: Source {
                execution_arn: text("execution", self.execution, Limits::ARN)?,
                state_machine_arn: text("state_machine", self.state_machine, Limits::ARN)?,
                state_name: text("state", self.state, Limits::STATE_NAME * 4)?,
                state_entered: self.entered_at.map(crate::clock::whole_millis),
                key: text("key", self.key.map(|key| key.0), Limits::KEY)?,
                ..bare.source
            },
            labels,
            priority: self.priority.unwrap_or_default(),
        })
    }
}

fn check_labels(labels: &Labels) -> Result<(), FieldError> {
    if labels.len() > Limits::LABELS {
        return Err(FieldError::new("approve.labels", format!("expected at most {}", Limits::LABELS)));
    }
    for (key, value) in labels {
        if key.is_empty() || key.len() > Limits::LABEL_KEY || value.len() > Limits::LABEL_VALUE {
            let problem = format!(
                "expected a key of 1 to {} bytes and a value of at most {}",
                Limits::LABEL_KEY,
                Limits::LABEL_VALUE
            );
            let shown: String = key.chars().take(40).collect();
            return Err(FieldError::new(format!("approve.labels.{shown}"), problem));
        }
    }
    Ok(())
}

struct PrincipalText(Principal);

impl<'de> Deserialize<'de> for PrincipalText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A key may be a number: an index of a Map, say.
struct KeyText(String);

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(de::Error::custom("expected a string or a number")),
        }
    }
}

/// "2h 30m", "PT2H30M", "7d", or whole seconds.
struct DurationText(SignedDuration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let duration = match Value::deserialize(deserializer)? {
            Value::String(text) => parse_duration(&text),
            Value::Number(number) => number
                .as_u64()
                .and_then(|seconds| u32::try_from(seconds).ok())
                .map(|seconds| SignedDuration::from_secs(seconds.into())),
            _ => None,
        };
        duration.map(Self).ok_or_else(|| de::Error::custom("expected a duration like \"2h 30m\", or whole seconds"))
    }
}

fn parse_duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (!span.is_negative()).then_some(span)
}
