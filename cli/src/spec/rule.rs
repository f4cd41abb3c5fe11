//! The `[rule]` of a spec.

use std::path::PathBuf;

use approve_client::{
    Decision, prost_types,
    proto::{
        ApproverSet, CommentPolicy, Escalation, ExpiryAction, Freeze, Outcome, RejectAction, Rule, Stage, StageOrder,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;
use toml::Spanned;

use super::{ReadFile, place::Place};
use crate::{failure::Failure, when};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleTable {
    approvers: Option<Spanned<Approvers>>,
    required: Option<Spanned<u32>>,
    #[serde(default)]
    stage: Vec<StageTable>,
    order: Option<Order>,
    #[serde(default)]
    allow_repeat_approvers: bool,
    #[serde(default)]
    rejections: u32,
    #[serde(default)]
    allow_self_approval: bool,
    comment: Option<Comment>,
    #[serde(default)]
    outcome: Vec<OutcomeTable>,
    response_schema: Option<Spanned<String>>,
    /// Relative to the file.
    response_schema_file: Option<Spanned<PathBuf>>,
    expires_after: Option<Spanned<String>>,
    on_expiry: Option<Spanned<String>>,
    on_reject: Option<OnReject>,
    #[serde(default)]
    remind_after: Vec<Spanned<String>>,
    #[serde(default)]
    escalation: Vec<EscalationTable>,
    #[serde(default)]
    freeze: Vec<FreezeTable>,
    #[serde(default)]
    trust_task_input: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageTable {
    #[serde(default)]
    name: String,
    approvers: Option<Approvers>,
    #[serde(default)]
    required: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeTable {
    name: String,
    #[serde(default)]
    label: String,
    decision: OutcomeDecision,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EscalationTable {
    after: Spanned<String>,
    approvers: Vec<String>,
    #[serde(default)]
    stage: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FreezeTable {
    from: Spanned<toml::Value>,
    until: Spanned<toml::Value>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    reason: String,
}

/// Names, of which a person must be one; or several such lists, in each of which they must be.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "approvers is a list of names, such as [\"group:finance\", \"user:ana\"], or a list of such lists"
)]
enum Approvers {
    Names(Vec<String>),
    Sets(Vec<Vec<String>>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Sequential,
    Parallel,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeDecision {
    Approve,
    Reject,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Comment {
    Never,
    OnReject,
    Always,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnReject {
    Fail,
    Output,
}

impl RuleTable {
    pub(super) fn read(self, place: &Place<'_>, read: &ReadFile<'_>) -> Result<Rule, Failure> {
        let response_schema_json = self.response_schema(place, read)?;
        let (expiry_action, expiry_outcome) = self.on_expiry(place)?;
        let expire_after =
            self.expires_after.as_ref().map(|text| duration(place, "expires_after", text)).transpose()?;
        let remind_after =
            self.remind_after.iter().map(|text| duration(place, "remind_after", text)).collect::<Result<_, _>>()?;
        let stages = stages(self.approvers, self.required, self.stage, place)?;
        Ok(Rule {
            stages,
            stage_order: match self.order {
                None => StageOrder::Unspecified,
                Some(Order::Sequential) => StageOrder::Sequential,
                Some(Order::Parallel) => StageOrder::Parallel,
            }
            .into(),
            required_rejections: self.rejections,
            allow_self_approval: self.allow_self_approval,
            comment_policy: match self.comment {
                None => CommentPolicy::Unspecified,
                Some(Comment::Never) => CommentPolicy::Never,
                Some(Comment::OnReject) => CommentPolicy::OnReject,
                Some(Comment::Always) => CommentPolicy::Always,
            }
            .into(),
            expire_after,
            expiry_action: expiry_action.into(),
            reject_action: match self.on_reject {
                None => RejectAction::Unspecified,
                Some(OnReject::Fail) => RejectAction::Fail,
                Some(OnReject::Output) => RejectAction::Output,
            }
            .into(),
            allow_repeat_approvers: self.allow_repeat_approvers,
            outcomes: self.outcome.into_iter().map(Outcome::from).collect(),
            response_schema_json,
            expiry_outcome,
            remind_after,
            escalations: self.escalation.into_iter().map(|table| escalation(table, place)).collect::<Result<_, _>>()?,
            freezes: self.freeze.into_iter().map(|table| freeze(table, place)).collect::<Result<_, _>>()?,
            trust_task_input: self.trust_task_input,
        })
    }

    fn response_schema(&self, place: &Place<'_>, read: &ReadFile<'_>) -> Result<String, Failure> {
        let is_json = |text: &str| serde_json::from_str::<&RawValue>(text).map(|_| ());
        match (&self.response_schema, &self.response_schema_file) {
            (None, None) => Ok(String::new()),
            (Some(text), None) => {
                let json = text.get_ref();
                is_json(json)
                    .map_err(|error| place.wrong("response_schema", text, "", format!("not JSON: {error}")))?;
                Ok(json.clone())
            }
            (None, Some(file)) => {
                let json = read(file.get_ref())?;
                is_json(&json).map_err(|error| {
                    let name = file.get_ref().display().to_string();
                    place.wrong("response_schema_file", file, &name, format!("not JSON: {error}"))
                })?;
                Ok(json)
            }
            (Some(_), Some(file)) => {
                Err(place.wrong("response_schema_file", file, "", "the schema is given twice: leave one out"))
            }
        }
    }

    fn on_expiry(&self, place: &Place<'_>) -> Result<(ExpiryAction, String), Failure> {
        let Some(text) = &self.on_expiry else { return Ok((ExpiryAction::Unspecified, String::new())) };
        match text.get_ref().as_str() {
            "expire" => Ok((ExpiryAction::Expire, String::new())),
            "reject" => Ok((ExpiryAction::Reject, String::new())),
            "approve" => Ok((ExpiryAction::Approve, String::new())),
            name if self.outcome.iter().any(|outcome| outcome.name == name) => {
                Ok((ExpiryAction::Outcome, name.to_owned()))
            }
            name => {
                let why = "it is expire, reject, approve, or the name of one of the rule's outcomes";
                Err(place.wrong("on_expiry", text, name, why))
            }
        }
    }
}

impl From<OutcomeTable> for Outcome {
    fn from(table: OutcomeTable) -> Self {
        let decision = match table.decision {
            OutcomeDecision::Approve => Decision::Approve,
            OutcomeDecision::Reject => Decision::Reject,
        };
        Self { name: table.name, label: table.label, decision: decision.into() }
    }
}

impl Approvers {
    fn into_sets(self) -> Vec<ApproverSet> {
        match self {
            Self::Names(names) if names.is_empty() => Vec::new(),
            Self::Names(any_of) => vec![ApproverSet { any_of }],
            Self::Sets(sets) => sets.into_iter().map(|any_of| ApproverSet { any_of }).collect(),
        }
    }
}

/// The stages of a rule, or the only one of a rule in short form.
fn stages(
    approvers: Option<Spanned<Approvers>>,
    required: Option<Spanned<u32>>,
    tables: Vec<StageTable>,
    place: &Place<'_>,
) -> Result<Vec<Stage>, Failure> {
    if tables.is_empty() {
        let approver_sets = approvers.map(Spanned::into_inner).map(Approvers::into_sets).unwrap_or_default();
        let required_approvals = required.map(Spanned::into_inner).unwrap_or_default();
        return Ok(vec![Stage { name: String::new(), approver_sets, required_approvals }]);
    }
    let why = "where there are stages, each says its own";
    if let Some(approvers) = &approvers {
        return Err(place.wrong("approvers", approvers, "", why));
    }
    if let Some(required) = &required {
        return Err(place.wrong("required", required, "", why));
    }
    let stage = |table: StageTable| Stage {
        name: table.name,
        approver_sets: table.approvers.map(Approvers::into_sets).unwrap_or_default(),
        required_approvals: table.required,
    };
    Ok(tables.into_iter().map(stage).collect())
}

fn escalation(table: EscalationTable, place: &Place<'_>) -> Result<Escalation, Failure> {
    Ok(Escalation {
        after: Some(duration(place, "escalation.after", &table.after)?),
        approvers: Some(ApproverSet { any_of: table.approvers }),
        stage: table.stage,
    })
}

fn freeze(table: FreezeTable, place: &Place<'_>) -> Result<Freeze, Failure> {
    Ok(Freeze {
        start_time: Some(moment(place, "freeze.from", &table.from)?),
        end_time: Some(moment(place, "freeze.until", &table.until)?),
        except: (!table.except.is_empty()).then_some(ApproverSet { any_of: table.except }),
        reason: table.reason,
    })
}

fn duration(place: &Place<'_>, key: &str, text: &Spanned<String>) -> Result<prost_types::Duration, Failure> {
    let value = text.get_ref();
    let duration = when::duration(value).map_err(|why| place.wrong(key, text, value, why))?;
    prost_types::Duration::try_from(duration).map_err(|_| place.wrong(key, text, value, "too long"))
}

/// A date and time of TOML, or as a string; with an offset, so that it means the same everywhere.
fn moment(place: &Place<'_>, key: &str, at: &Spanned<toml::Value>) -> Result<prost_types::Timestamp, Failure> {
    let text = match at.get_ref() {
        toml::Value::Datetime(datetime) => datetime.to_string(),
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| place.wrong(key, at, &text, "not a time with an offset, such as 2026-12-24T00:00:00Z"))?;
    Ok(prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() })
}
