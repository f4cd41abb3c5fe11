//! The TOML files of `workflow apply` and `rule check`.

mod place;
mod rule;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use approve_client::{
    prost_types,
    proto::{RoleSpec, Rule, StateMachineSpec, WorkflowSpec},
};
use serde::Deserialize;

use self::{place::Place, rule::RuleTable};
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
        state_machine: file
            .state_machine
            .map(|table| {
                Ok::<_, Failure>(StateMachineSpec {
                    name: table.name,
                    definition: table.definition_file.as_deref().map(read).transpose()?.unwrap_or_default(),
                    timeout: table.timeout_seconds.map(seconds),
                    heartbeat: table.heartbeat_seconds.map(seconds),
                })
            })
            .transpose()?,
        role: file.role.map(|table| RoleSpec { name: table.name, managed_policy_arns: table.managed_policies }),
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

fn from_toml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failure> {
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
