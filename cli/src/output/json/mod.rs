//! The JSON of `--output json`. Names and shapes are stable: keys are only ever added. A key is always there; what is
//! absent is null.

mod access;
mod approval;
mod execution;
mod explain;
mod plan;
mod rule;
mod workflow;

use std::collections::BTreeMap;

use approve_client::prost_types::{self, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::time;

pub(crate) use self::{
    access::{CallerJson, TokenJson},
    approval::ApprovalJson,
    execution::ExecutionJson,
    explain::{CheckJson, ExplanationJson},
    plan::PlanJson,
    rule::RuleJson,
    workflow::{StepJson, WorkflowJson},
};

/// JSON text, embedded as it is; null if empty; a string if it is not JSON.
pub(crate) struct Raw<'a>(pub &'a str);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return serializer.serialize_none();
        }
        match serde_json::from_str::<&RawValue>(self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_str(self.0),
        }
    }
}

/// RFC 3339, UTC.
pub(crate) fn moment(time: Option<&Timestamp>) -> Option<String> {
    time.and_then(time::timestamp).map(|time| time.to_string())
}

fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn sorted(map: &std::collections::HashMap<String, String>) -> BTreeMap<&str, &str> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn whole_seconds(duration: Option<&prost_types::Duration>) -> Option<i64> {
    duration.map(|duration| duration.seconds)
}

#[cfg(test)]
mod tests {
    use approve_client::{
        Approval,
        proto::{Assignment, Hold, Rule, StageProgress, Vote},
    };

    use super::*;

    #[test]
    fn input_is_embedded_as_it_was_written() {
        let approval = Approval {
            input_json: r#"{"amount":1200.50,"big":123456789012345678901234567890,"amount":1}"#.into(),
            ..Approval::default()
        };
        let json = serde_json::to_string(&ApprovalJson::from(&approval)).unwrap();
        assert!(json.contains(&format!(r#""input":{}"#, approval.input_json)), "{json}");
    }

    #[test]
    fn every_key_is_always_there() {
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        let approval = Approval {
            rule: Some(Rule::default()),
            votes: vec![Vote::default()],
            stages: vec![StageProgress::default()],
            hold: Some(Hold::default()),
            assignment: Some(Assignment::default()),
            ..Approval::default()
        };
        let json = serde_json::to_value(ApprovalJson::from(&approval)).unwrap();
        // Scripts rely on these: keys are only ever added, at the end.
        assert_eq!(
            keys(&json),
            "id status title description workflow requester priority labels rule votes input create_time update_time \
             expire_time decide_time decided_by reason delivery source task_state task_count etag revision outcome \
             stages assignment hold rule_version"
        );
        assert_eq!(
            keys(&json["rule"]),
            "stages required_rejections allow_self_approval comment_policy expire_after_seconds expiry_action \
             reject_action stage_order allow_repeat_approvers outcomes response_schema expiry_outcome \
             remind_after_seconds escalations freezes trust_task_input"
        );
        assert_eq!(keys(&json["votes"][0]), "voter decision comment response vote_time outcome cast_by stages");
        assert_eq!(keys(&json["stages"][0]), "name required_approvals approvals open");
        assert_eq!(keys(&json["assignment"]), "assignee assigned_by expire_time");
        assert_eq!(keys(&json["hold"]), "held_by end_time reason");
    }

    #[test]
    fn what_is_not_json_is_a_string_and_nothing_is_null() {
        let json = |text| serde_json::to_string(&Raw(text)).unwrap();
        assert_eq!(json("{oops"), r#""{oops""#);
        assert_eq!(json(""), "null");
    }
}
