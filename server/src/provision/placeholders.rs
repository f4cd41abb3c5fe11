//! What stands in a user's definition for something that is known only once it is applied.

use std::collections::BTreeMap;

use super::Spec;

/// What stands for the activity's ARN in a user's definition.
pub const ACTIVITY_ARN: &str = "${activity_arn}";

/// The outputs of a workflow, which stand in a definition as `${name}`.
///
/// | placeholder | is |
/// |---|---|
/// | `${activity_arn}` | the ARN of the activity |
/// | `${activity_arn.<key>}` | the ARN of the further activity of that key |
/// | `${role_arn}` | the ARN of the execution role |
/// | `${state_machine_arn}` | the ARN of the state machine itself |
/// | `${workflow}` | the workflow's name |
/// | `${account_id}`, `${region}`, `${partition}` | where it is |
///
/// Anything else in `${}` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholders(BTreeMap<String, String>);

impl Placeholders {
    /// Those of a spec, by the ARN of its activity.
    #[must_use]
    pub fn new(spec: &Spec, activity_arn: &str) -> Self {
        let part = |at: usize| activity_arn.split(':').nth(at).unwrap_or_default();
        let (partition, region, account) = (part(1), part(3), part(4));
        let (path, role) = (&spec.role.path, &spec.role.name);
        let machine = &spec.state_machine.name;
        let mut all: BTreeMap<String, String> = [
            ("activity_arn", activity_arn.to_owned()),
            ("role_arn", format!("arn:{partition}:iam::{account}:role{path}{role}")),
            ("state_machine_arn", format!("arn:{partition}:states:{region}:{account}:stateMachine:{machine}")),
            ("workflow", spec.name.clone()),
            ("account_id", account.to_owned()),
            ("region", region.to_owned()),
            ("partition", partition.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let further = spec.activity_arns(activity_arn).into_iter().skip(1);
        all.extend(spec.more_activities.keys().map(|key| format!("activity_arn.{key}")).zip(further));
        Self(all)
    }

    /// Those of a spec in no account in particular, for looking at its definition before anything is there.
    #[must_use]
    pub fn anywhere(spec: &Spec) -> Self {
        Self::new(spec, &format!("arn:aws:states:us-east-1:000000000000:activity:{}", spec.activity_name))
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The text with each replaced by what `value` makes of its name and value, every other `${` by `other`, and what is
    /// between them by what `between` makes of it.
    pub(super) fn translate(
        &self,
        text: &str,
        value: impl Fn(&str, &str) -> String,
        other: &str,
        between: impl Fn(&str) -> String,
    ) -> String {
        let mut translated = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, inside)) = rest.split_once("${") {
            translated.push_str(&between(before));
            let known = inside.split_once('}').and_then(|(name, after)| Some((name, self.get(name)?, after)));
            rest = match known {
                Some((name, known, after)) => {
                    translated.push_str(&value(name, known));
                    after
                }
                None => {
                    translated.push_str(other);
                    inside
                }
            };
        }
        translated.push_str(&between(rest));
        translated
    }

    /// The text with the values in their places.
    #[must_use]
    pub fn substitute(&self, text: &str) -> String {
        self.translate(text, |_, value| value.to_owned(), "${", str::to_owned)
    }

    /// What looks like one and is none.
    pub(super) fn unknown(&self, text: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        for inside in text.split("${").skip(1) {
            let Some((name, _)) = inside.split_once('}') else { continue };
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if !name.is_empty() && name.chars().all(plain) && self.get(name).is_none() {
                unknown.push(format!("${{{name}}}"));
            }
        }
        unknown.sort();
        unknown.dedup();
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws-cn:states:cn-north-1:123456789012:activity:HumanApprovalActivity";

    #[test]
    fn every_output_has_its_place_and_the_rest_of_the_text_stays() {
        let mut spec = Spec::reference();
        spec.more_activities.insert("legal".to_owned(), "Legal".to_owned());
        spec.role.path = "/team/".to_owned();
        let outputs = Placeholders::new(&spec, ARN);
        for (placeholder, value) in [
            ("${activity_arn}", ARN),
            ("${activity_arn.legal}", "arn:aws-cn:states:cn-north-1:123456789012:activity:Legal"),
            ("${role_arn}", "arn:aws-cn:iam::123456789012:role/team/HumanApprovalRole"),
            (
                "${state_machine_arn}",
                "arn:aws-cn:states:cn-north-1:123456789012:stateMachine:HumanApprovalStateMachine",
            ),
            ("${workflow}/${region}/${account_id}/${partition}", "HumanApproval/cn-north-1/123456789012/aws-cn"),
        ] {
            assert_eq!(outputs.substitute(placeholder), value);
        }
        let text = r#"{ "A": "${activity_arn}", "n": 1.50, "B": "${other}", "C": "$${region", "D": "${" }"#;
        let expected = text.replace("${activity_arn}", ARN);
        assert_eq!(outputs.substitute(text), expected);
        assert_eq!(outputs.unknown(text), ["${other}"]);
    }
}
