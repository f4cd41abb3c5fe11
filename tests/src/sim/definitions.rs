//! The workflows of a simulation.

use approve_server::approval::{ApproverSet, Decision, Escalation, Outcome, Rule, Stage, StageOrder};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// A kind of workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// One approval.
    Once,
    /// The same state twice: it asks anew.
    Twice,
    /// Three at once, in a Map, each with its key.
    Each,
    /// One approval that is decided at its deadline, or a moment before or after.
    Late,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Self; 4] = [Self::Once, Self::Twice, Self::Each, Self::Late];

    /// The workflow's name.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Twice => "twice",
            Self::Each => "each",
            Self::Late => "late",
        }
    }

    /// How many questions an execution asks that comes to its end.
    #[must_use]
    pub(super) fn questions(self) -> usize {
        match self {
            Self::Once | Self::Late => 1,
            Self::Twice => 2,
            Self::Each => 3,
        }
    }

    /// The workflow's own rule.
    #[must_use]
    pub(super) fn own_rule(self) -> Rule {
        let stage = |name: &str| Stage { name: name.to_owned(), ..Stage::default() };
        let outcome = |name: &str, decision| Outcome { name: name.to_owned(), label: String::new(), decision };
        let seconds = SignedDuration::from_secs;
        match self {
            Self::Once => Rule {
                outcomes: vec![outcome("LATER", Decision::Reject), outcome("AT_ONCE", Decision::Approve)],
                remind_after: vec![seconds(20), seconds(60), seconds(61)],
                escalations: vec![Escalation {
                    after: seconds(40),
                    approvers: ApproverSet(vec!["user:boss".parse().expect("a principal")]),
                    stage: String::new(),
                }],
                ..Rule::default()
            },
            Self::Twice => Rule { stages: vec![stage("first"), stage("second")], ..Rule::default() },
            Self::Each => Rule { stages: vec![stage("one")], order: StageOrder::Parallel, ..Rule::default() },
            Self::Late => Rule::default(),
        }
    }

    fn rule(self) -> Value {
        if self == Self::Late { json!({"rule": {"expires_after": "100s"}}) } else { json!({}) }
    }

    /// Its definition.
    #[must_use]
    pub(super) fn definition(self, activity_arn: &str) -> Value {
        match self {
            Self::Once | Self::Late => json!({"StartAt": "Ask", "States": {
                "Ask": ask(activity_arn, &self.rule(), &json!({"Next": "Done"})),
                "Done": {"Type": "Pass", "End": true},
            }}),
            Self::Twice => json!({"StartAt": "Ask", "States": {
                "Ask": ask(activity_arn, &json!({}), &json!({"ResultPath": "$.answer", "Next": "Asked"})),
                "Asked": {"Type": "Choice", "Default": "Mark",
                          "Choices": [{"Variable": "$.again", "IsPresent": true, "Next": "Done"}]},
                "Mark": {"Type": "Pass", "Result": true, "ResultPath": "$.again", "Next": "Ask"},
                "Done": {"Type": "Pass", "End": true},
            }}),
            Self::Each => json!({"StartAt": "Each", "States": {"Each": {
                "Type": "Map", "ItemsPath": "$.items", "End": true,
                "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Ask", "States": {
                    "Ask": ask(activity_arn, &json!({"key.$": "$$.Map.Item.Index"}), &json!({"End": true})),
                }},
            }}}),
        }
    }
}

fn ask(activity_arn: &str, approve: &Value, rest: &Value) -> Value {
    let mut block = json!({
        "title": "May it go on?",
        "execution.$": "$$.Execution.Id",
        "state_machine.$": "$$.StateMachine.Id",
        "state.$": "$$.State.Name",
        "entered_at.$": "$$.State.EnteredTime",
        "attempt.$": "$$.State.RetryCount",
    });
    merge(&mut block, approve);
    let mut state = json!({
        "Type": "Task",
        "Resource": activity_arn,
        "Parameters": {"approve": block, "input.$": "$"},
        "TimeoutSeconds": 900,
        "HeartbeatSeconds": 60,
        "Retry": [{
            "ErrorEquals": ["States.HeartbeatTimeout", "States.Timeout"],
            "IntervalSeconds": 1, "MaxAttempts": 99, "BackoffRate": 1.5, "MaxDelaySeconds": 30,
        }],
    });
    merge(&mut state, rest);
    state
}

fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
}
