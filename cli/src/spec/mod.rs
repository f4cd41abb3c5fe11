//! The TOML files of `workflow apply` and `rule check`.

mod place;
mod resources;
mod rule;

use std::{collections::BTreeMap, path::Path};

use approve_client::{
    prost_types,
    proto::{Rule, WorkflowSpec},
};
use serde::Deserialize;

use self::{
    place::Place,
    resources::{Encryption, Role, StateMachine},
    rule::RuleTable,
};
use crate::failure::Failure;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    activity_name: String,
    /// Further ones by key; an empty name is the server's to choose.
    #[serde(default)]
    activities: BTreeMap<String, String>,
    state_machine: Option<StateMachine>,
    role: Option<Role>,
    rule: Option<RuleTable>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    encryption: Option<Encryption>,
    #[serde(default)]
    expected_pending: u64,
}

/// Reads a spec and the files that it names.
pub(crate) fn read(path: &Path) -> Result<WorkflowSpec, Failure> {
    with_files(path, parse)
}

/// Reads the rule of a spec, or of a file that is nothing but a rule.
pub(crate) fn read_rule(path: &Path) -> Result<Rule, Failure> {
    with_files(path, parse_rule)
}

/// Reads a file named in another.
type ReadFile<'a> = dyn Fn(&Path) -> Result<String, Failure> + 'a;

fn with_files<T>(path: &Path, parse: impl Fn(&str, &ReadFile<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
    let text = read_text(path)?;
    let beside = |file: &Path| read_text(&path.parent().unwrap_or(Path::new("")).join(file));
    parse(&text, &beside).map_err(|failure| match failure {
        Failure::Input { what, hint } => Failure::Input { what: format!("{}: {what}", path.display()), hint },
        other => other,
    })
}

pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|source| Failure::Read { what: format!("can't read {}", path.display()), source })
}

fn parse(text: &str, read: &ReadFile<'_>) -> Result<WorkflowSpec, Failure> {
    let file: File = from_toml(text)?;
    Ok(WorkflowSpec {
        name: file.name,
        activity_name: file.activity_name,
        more_activities: file.activities.into_iter().collect(),
        state_machine: file.state_machine.map(|table| table.read(read)).transpose()?,
        role: file.role.map(|table| table.read(read)).transpose()?,
        encryption: file.encryption.map(Encryption::read),
        expected_pending: file.expected_pending,
        rule: file.rule.map(|table| table.read(&Place::new(text, "rule."), read)).transpose()?,
        tags: file.tags.into_iter().collect(),
    })
}

fn parse_rule(text: &str, read: &ReadFile<'_>) -> Result<Rule, Failure> {
    let keys: toml::Table = from_toml(text)?;
    if keys.contains_key("rule") || keys.contains_key("name") {
        return Ok(parse(text, read)?.rule.unwrap_or_default());
    }
    from_toml::<RuleTable>(text)?.read(&Place::new(text, ""), read)
}

pub(crate) fn from_toml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| place::line(text, span.start)).unwrap_or_default();
        let message = error.message().trim().replace('\n', "; ");
        Failure::input(format!("{line}{message}"))
    })
}

fn seconds(seconds: u32) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::from(seconds), nanos: 0 }
}

#[cfg(test)]
mod tests;
