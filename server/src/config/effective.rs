//! The settings as they hold, and where each comes from.

use std::{fmt::Write as _, path::Path};

use figment::{Figment, Metadata};
use serde_json::Value;

use super::{Config, ConfigError, ENVIRONMENT_PREFIX, Overrides};

impl Config {
    /// All settings as TOML, a line each, with where it comes from: "default", a file, an environment variable, a flag.
    /// Secrets are not told: passwords in URLs are `***`, and of files there is the path. What is not set is a comment.
    ///
    /// # Errors
    /// Where they can't be used: as [`Config::load`].
    pub fn effective(file: Option<&Path>, flags: &Overrides) -> Result<String, ConfigError> {
        let figment = Self::figment(file, flags)?;
        let config = Self::load(file, flags)?;
        let value = serde_json::to_value(config).map_err(|error| ConfigError::Value {
            key: "the config".to_owned(),
            problem: error.to_string(),
            origin: String::new(),
        })?;
        let mut lines = Vec::new();
        collect(&figment, "", &value, &mut lines);
        let width = lines.iter().map(|(text, _)| text.chars().count()).filter(|width| *width <= 60).max().unwrap_or(0);
        let mut text = String::new();
        for (line, origin) in lines {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{line:<width$}  # {origin}");
        }
        Ok(text)
    }
}

fn collect(figment: &Figment, key: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if key.is_empty() || has_own_origins(key) => {
            for (name, member) in members {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                collect(figment, &key, member, lines);
            }
        }
        Value::Null => lines.push((format!("# {key}"), "not set".to_owned())),
        value => lines.push((format!("{key} = {}", toml(value)), origin(figment, key))),
    }
}

/// Tables whose keys are settings of their own. The others are values as a whole.
fn has_own_origins(key: &str) -> bool {
    !key.starts_with("role") && key != "notify.addresses"
}

fn origin(figment: &Figment, key: &str) -> String {
    let Some(metadata) = figment.find_metadata(key) else { return "default".to_owned() };
    match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        _ if is_environment(metadata) => {
            format!("environment {ENVIRONMENT_PREFIX}{}", key.replace('.', "__").to_uppercase())
        }
        _ if metadata.name.contains("Overrides") => "flag".to_owned(),
        _ => "default".to_owned(),
    }
}

fn is_environment(metadata: &Metadata) -> bool {
    metadata.name.contains("environment")
}

/// A key in TOML, quoted where it has to be.
fn toml_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { Value::from(name).to_string() }
}

/// A value in TOML, on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                (!value.is_null()).then(|| format!("{} = {}", toml_key(name), toml(value)))
            };
            format!("{{ {} }}", members.iter().filter_map(member).collect::<Vec<_>>().join(", "))
        }
        // Its escapes are TOML's, too.
        scalar => scalar.to_string(),
    }
}
