//! What an execution role has to be allowed beside what its states call: for logs, traces and a customer's key, as AWS
//! documents it.

use serde_json::Value;

use super::{Spec, policy};

/// One thing that a role needs permissions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// The field of the spec that asks for it.
    pub(super) field: &'static str,
    /// What it is for.
    pub(super) purpose: &'static str,
    /// The actions.
    pub(super) actions: &'static [&'static str],
    /// Whether AWS takes no narrower resource than `*`.
    on_everything: bool,
    /// AWS's own policies that allow them.
    managed: &'static [&'static str],
}

/// Everything is in here.
const ADMINISTRATOR: &str = "AdministratorAccess";

const LOGGING: Need = Need {
    field: "state_machine.logging",
    purpose: "to deliver logs",
    actions: &[
        "logs:CreateLogDelivery",
        "logs:CreateLogStream",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutLogEvents",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    ],
    on_everything: true,
    managed: &["CloudWatchLogsFullAccess", "CloudWatchFullAccess", "CloudWatchFullAccessV2"],
};

const TRACING: Need = Need {
    field: "state_machine.tracing",
    purpose: "to send traces",
    actions: &["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"],
    on_everything: true,
    managed: &["AWSXRayDaemonWriteAccess", "AWSXrayFullAccess"],
};

const ENCRYPTION: Need = Need {
    field: "encryption",
    purpose: "to use the key",
    actions: &["kms:Decrypt", "kms:GenerateDataKey"],
    on_everything: false,
    managed: &[],
};

/// What the role of a spec needs and is not seen to have: neither its inline policies allow it, nor one of AWS's own that
/// is known to. What is in other managed policies is not known.
pub(super) fn lacking(spec: &Spec) -> Vec<Need> {
    let wanted = [
        (spec.state_machine.logging.is_some(), LOGGING),
        (spec.state_machine.tracing, TRACING),
        (spec.encryption.is_some(), ENCRYPTION),
    ];
    let wanted = wanted.into_iter().filter_map(|(wanted, need)| wanted.then_some(need));
    wanted.filter(|need| !need.is_met(spec)).collect()
}

impl Need {
    fn is_met(&self, spec: &Spec) -> bool {
        let known = |name: &str| {
            let arn = format!("{}{name}", policy::AWS_MANAGED);
            spec.role.managed_policy_arns.iter().any(|attached| policy::same_managed(attached, &arn))
        };
        let managed = known(ADMINISTRATOR) || self.managed.iter().any(|name| known(name));
        managed || self.actions.iter().all(|action| self.inline_allows(spec, action))
    }

    fn inline_allows(&self, spec: &Spec, action: &str) -> bool {
        let documents = spec.role.inline_policies.values().filter_map(|text| serde_json::from_str::<Value>(text).ok());
        documents.into_iter().any(|document| {
            let statements = document.get("Statement").map(listed).unwrap_or_default();
            statements.into_iter().any(|statement| {
                let texts = |field: &str| statement.get(field).map(listed).unwrap_or_default();
                let has = |field: &str, fits: &dyn Fn(&str) -> bool| {
                    texts(field).into_iter().filter_map(Value::as_str).any(fits)
                };
                statement.get("Effect").and_then(Value::as_str) == Some("Allow")
                    && has("Action", &|pattern| fits(pattern, action))
                    && (!self.on_everything || has("Resource", &|resource| resource == "*"))
            })
        })
    }
}

/// A policy has one thing where there is one.
fn listed(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |all| all.iter().collect())
}

/// Whether an action is one of a pattern, in which `*` is any text. Neither minds case.
fn fits(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provision::{Encryption, LogLevel, Logging};

    fn watched() -> Spec {
        let mut spec = Spec::reference();
        spec.role.managed_policy_arns.clear();
        spec.state_machine.tracing = true;
        spec.state_machine.logging = Some(Logging {
            level: LogLevel::All,
            log_group_arn: "arn:aws:logs:eu-west-1:123456789012:log-group:g:*".to_owned(),
            include_execution_data: false,
        });
        let data_key_reuse = jiff::SignedDuration::from_secs(300);
        spec.encryption = Some(Encryption { kms_key_id: "alias/a".to_owned(), data_key_reuse });
        spec
    }

    fn fields(spec: &Spec) -> Vec<&'static str> {
        lacking(spec).into_iter().map(|need| need.field).collect()
    }

    fn with_policy(statement: &Value) -> Spec {
        let mut spec = watched();
        let policy = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        spec.role.inline_policies.insert("own".to_owned(), policy);
        spec
    }

    #[test]
    fn a_role_needs_what_the_state_machine_is_set_to() {
        assert_eq!(fields(&Spec::reference()), [""; 0]);
        assert_eq!(fields(&watched()), ["state_machine.logging", "state_machine.tracing", "encryption"]);
    }

    #[test]
    fn an_inline_policy_that_allows_all_of_it_is_enough() {
        let all = json!([
            {"Effect": "Allow", "Action": LOGGING.actions, "Resource": "*"},
            {"Effect": "Allow", "Action": ["xray:*"], "Resource": ["*"]},
            {"Effect": "Allow", "Action": ["kms:decrypt", "kms:Generate*Key"], "Resource": "arn:aws:kms:a:b:key/c"},
        ]);
        assert_eq!(fields(&with_policy(&all)), [""; 0]);
        assert_eq!(fields(&with_policy(&json!({"Effect": "Allow", "Action": "*", "Resource": "*"}))), [""; 0]);
    }

    #[test]
    fn what_allows_only_some_of_it_is_not() {
        let refused = json!({"Effect": "Deny", "Action": "*", "Resource": "*"});
        assert_eq!(fields(&with_policy(&refused)).len(), 3);
        let narrow = json!({"Effect": "Allow", "Action": "*", "Resource": "arn:aws:logs:eu-west-1:123456789012:*"});
        assert_eq!(fields(&with_policy(&narrow)), ["state_machine.logging", "state_machine.tracing"]);
        let some = json!({"Effect": "Allow", "Action": &LOGGING.actions[1..], "Resource": "*"});
        assert!(fields(&with_policy(&some)).contains(&"state_machine.logging"));
    }

    #[test]
    fn managed_policies_that_are_known_to_allow_it_are_enough() {
        let mut spec = watched();
        spec.role.managed_policy_arns = vec!["arn:aws-cn:iam::aws:policy/AWSXRayDaemonWriteAccess".to_owned()];
        assert_eq!(fields(&spec), ["state_machine.logging", "encryption"]);
        spec.role.managed_policy_arns = vec!["arn:aws:iam::aws:policy/AdministratorAccess".to_owned()];
        assert_eq!(fields(&spec), [""; 0]);
    }

    #[test]
    fn stars_are_any_text() {
        for (pattern, yes) in [
            ("kms:Decrypt", true),
            ("kms:*", true),
            ("*", true),
            ("k*:*crypt", true),
            ("kms:De", false),
            ("s3:*", false),
            ("*Key", false),
        ] {
            assert_eq!(fits(pattern, "kms:Decrypt"), yes, "{pattern}");
        }
    }
}
