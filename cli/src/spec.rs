//! The TOML file of `workflow apply`.

use std::{collections::BTreeMap, path::Path, path::PathBuf, time::Duration};

use approve_client::{
    prost_types,
    proto::{
        ApproverSet, CommentPolicy, ExpiryAction, RejectAction, RoleSpec, Rule, Stage, StateMachineSpec, WorkflowSpec,
    },
};
use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;

use crate::failure::Failure;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    activity_name: String,
    state_machine: Option<StateMachine>,
    role: Option<Role>,
    rule: Option<RuleTable>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateMachine {
    #[serde(default)]
    name: String,
    /// Relative to the spec file.
    definition_file: Option<PathBuf>,
    timeout_seconds: Option<u32>,
    heartbeat_seconds: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    #[serde(default)]
    name: String,
    #[serde(default)]
    managed_policies: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    #[serde(default)]
    approvers: Vec<String>,
    #[serde(default)]
    required: u32,
    #[serde(default)]
    rejections: u32,
    #[serde(default)]
    allow_self_approval: bool,
    comment: Option<Comment>,
    expires_after: Option<String>,
    on_expiry: Option<OnExpiry>,
    on_reject: Option<OnReject>,
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
enum OnExpiry {
    Expire,
    Reject,
    Approve,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnReject {
    Fail,
    Output,
}

/// Reads a spec and the definition that it names.
pub(crate) fn read(path: &Path) -> Result<WorkflowSpec, Failure> {
    let text = read_text(path)?;
    parse(&text, |file| read_text(&path.parent().unwrap_or(Path::new("")).join(file))).map_err(
        |failure| match failure {
            Failure::Input { what, hint } => Failure::Input { what: format!("{}: {what}", path.display()), hint },
            other => other,
        },
    )
}

fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|source| Failure::Read { what: format!("can't read {}", path.display()), source })
}

fn parse(text: &str, definition: impl Fn(&Path) -> Result<String, Failure>) -> Result<WorkflowSpec, Failure> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map(|before| format!("line {}: ", before.matches('\n').count() + 1))
            .unwrap_or_default();
        let message = error.message().trim().replace('\n', "; ");
        Failure::input(format!("{line}{message}"))
    })?;
    Ok(WorkflowSpec {
        name: file.name,
        activity_name: file.activity_name,
        state_machine: file
            .state_machine
            .map(|table| {
                Ok::<_, Failure>(StateMachineSpec {
                    name: table.name,
                    definition: table.definition_file.as_deref().map(definition).transpose()?.unwrap_or_default(),
                    timeout: table.timeout_seconds.map(seconds),
                    heartbeat: table.heartbeat_seconds.map(seconds),
                })
            })
            .transpose()?,
        role: file.role.map(|table| RoleSpec { name: table.name, managed_policy_arns: table.managed_policies }),
        rule: file.rule.map(rule).transpose()?,
        tags: file.tags.into_iter().collect(),
    })
}

fn rule(table: RuleTable) -> Result<Rule, Failure> {
    let approver_sets =
        if table.approvers.is_empty() { Vec::new() } else { vec![ApproverSet { any_of: table.approvers }] };
    let expire_after = table
        .expires_after
        .map(|text| {
            let bad = |why| Failure::input(format!("rule.expires_after {text:?}: {why}"));
            let duration = parse_duration(&text).map_err(bad)?;
            prost_types::Duration::try_from(duration).map_err(|_| bad("too long".into()))
        })
        .transpose()?;
    Ok(Rule {
        stages: vec![Stage { name: String::new(), approver_sets, required_approvals: table.required }],
        required_rejections: table.rejections,
        allow_self_approval: table.allow_self_approval,
        comment_policy: match table.comment {
            None => CommentPolicy::Unspecified,
            Some(Comment::Never) => CommentPolicy::Never,
            Some(Comment::OnReject) => CommentPolicy::OnReject,
            Some(Comment::Always) => CommentPolicy::Always,
        }
        .into(),
        expire_after,
        expiry_action: match table.on_expiry {
            None => ExpiryAction::Unspecified,
            Some(OnExpiry::Expire) => ExpiryAction::Expire,
            Some(OnExpiry::Reject) => ExpiryAction::Reject,
            Some(OnExpiry::Approve) => ExpiryAction::Approve,
        }
        .into(),
        reject_action: match table.on_reject {
            None => RejectAction::Unspecified,
            Some(OnReject::Fail) => RejectAction::Fail,
            Some(OnReject::Output) => RejectAction::Output,
        }
        .into(),
        ..Rule::default()
    })
}

fn seconds(seconds: u32) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::from(seconds), nanos: 0 }
}

/// "2h", "1h 30m", "2 days" (of 24 hours), "PT90S".
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let not_one = || "not a time such as 90s, 15m, 2h or 3d".to_owned();
    let span: Span = text.trim().parse().map_err(|_| not_one())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| not_one())?;
    Duration::try_from(duration).map_err(|_| "it must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
        name = "invoices"
        activity_name = "InvoiceApproval"
        [state_machine]
        name = "Invoices"
        definition_file = "invoices.asl.json"
        timeout_seconds = 3600
        heartbeat_seconds = 60
        [role]
        name = "invoices-role"
        managed_policies = []
        [rule]
        approvers = ["group:finance"]
        required = 2
        rejections = 1
        allow_self_approval = false
        comment = "on_reject"
        expires_after = "1h 30m"
        on_expiry = "reject"
        on_reject = "output"
        [tags]
        team = "billing"
    "#;

    fn parse_text(text: &str) -> Result<WorkflowSpec, String> {
        parse(text, |file| Ok(format!("<{}>", file.display()))).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_reaches_the_spec() {
        let spec = parse_text(FULL).unwrap();
        assert_eq!(spec.name, "invoices");
        assert_eq!(spec.activity_name, "InvoiceApproval");
        assert_eq!(spec.tags["team"], "billing");
        let machine = spec.state_machine.unwrap();
        assert_eq!(machine.name, "Invoices");
        assert_eq!(machine.definition, "<invoices.asl.json>");
        assert_eq!(machine.timeout.unwrap().seconds, 3600);
        assert_eq!(machine.heartbeat.unwrap().seconds, 60);
        let role = spec.role.unwrap();
        assert_eq!((role.name.as_str(), role.managed_policy_arns.len()), ("invoices-role", 0));
        let rule = spec.rule.unwrap();
        assert_eq!(rule.stages[0].approver_sets[0].any_of, ["group:finance"]);
        assert_eq!((rule.stages[0].required_approvals, rule.required_rejections), (2, 1));
        assert_eq!(rule.comment_policy(), CommentPolicy::OnReject);
        assert_eq!(rule.expire_after.unwrap().seconds, 5400);
        assert_eq!(rule.expiry_action(), ExpiryAction::Reject);
        assert_eq!(rule.reject_action(), RejectAction::Output);
    }

    #[test]
    fn what_is_left_out_is_left_to_the_server() {
        let spec = parse_text("name = 'a'").unwrap();
        assert_eq!((spec.role, spec.rule, spec.state_machine), (None, None, None));
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line() {
        let error = parse_text("name = 'a'\n[rule]\napprover = ['x']\n").unwrap_err();
        assert!(error.starts_with("line 3: unknown field `approver`"), "{error}");
        let error = parse_text("name = 'a'\n[rule]\ncomment = 'maybe'\n").unwrap_err();
        assert!(error.contains("maybe") && error.contains("on_reject"), "{error}");
        let error = parse_text("name = 'a'\n[rule]\nexpires_after = 'soon'\n").unwrap_err();
        assert!(error.starts_with("rule.expires_after \"soon\""), "{error}");
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("90s", 90), ("2h", 7200), ("1d", 86400), ("PT5M", 300)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "5", "-2h", "1 month", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
