//! A workflow's stack as code, for those who provision by it. What is exported carries no tags of ours: it belongs to
//! whoever deploys it, and the server is pointed at it afterwards.

mod cloudformation;
mod pulumi;
mod terraform;
#[cfg(test)]
mod tests;
mod yaml;

use serde_json::{Map, Value, json};

use super::{Spec, policy};

/// What the code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An AWS CloudFormation template, in YAML.
    CloudFormation,
    /// A Terraform configuration, in its JSON syntax.
    Terraform,
    /// A Pulumi program, in YAML.
    Pulumi,
}

/// The stack of a spec that is well formed.
#[must_use]
pub fn export(spec: &Spec, format: Format) -> String {
    match format {
        Format::CloudFormation => yaml::document(&cloudformation::template(spec)),
        Format::Terraform => format!("{:#}\n", terraform::configuration(spec)),
        Format::Pulumi => yaml::document(&pulumi::program(spec)),
    }
}

/// An object of those that are there.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

/// Keys of further activities, with names for their resources: `LegalActivity`, `legal_activity`.
fn further(spec: &Spec) -> impl Iterator<Item = (&str, &str)> {
    spec.more_activities.iter().map(|(key, name)| (key.as_str(), name.as_str()))
}

/// A key as a name: other characters than letters and digits begin a new word, which is written large.
fn camel(key: &str) -> String {
    let words = key.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let large = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + rest
    };
    words.map(large).collect()
}

/// The trust policy, for an account that goes by `account` in the code.
fn trust_policy(account: Value) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        }],
    })
}

/// The name of a policy of AWS's own, which has another ARN in each partition.
fn of_aws(arn: &str) -> Option<&str> {
    arn.strip_prefix(policy::AWS_MANAGED)
}

/// Tags, if there are any.
fn tags(spec: &Spec) -> Option<Value> {
    (!spec.tags.is_empty()).then(|| json!(spec.tags))
}
