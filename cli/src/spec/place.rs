use std::fmt::Display;

use toml::Spanned;

use crate::failure::Failure;

/// Where in a file something is wrong.
pub(super) struct Place<'a> {
    text: &'a str,
    /// What goes before the names of keys.
    prefix: &'static str,
}

impl<'a> Place<'a> {
    pub(super) fn new(text: &'a str, prefix: &'static str) -> Self {
        Self { text, prefix }
    }

    /// "line 3: rule.on_expiry "never": why".
    pub(super) fn wrong<T>(&self, key: &str, at: &Spanned<T>, value: &str, why: impl Display) -> Failure {
        let value = if value.is_empty() { String::new() } else { format!(" {value:?}") };
        Failure::input(format!("{}{}{key}{value}: {why}", line(self.text, at.span().start), self.prefix))
    }
}

/// "line 3: ".
pub(super) fn line(text: &str, offset: usize) -> String {
    text.get(..offset).map(|before| format!("line {}: ", before.matches('\n').count() + 1)).unwrap_or_default()
}
