//! Sets of approvals, by workflow and labels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A workflow's name, or the beginning of one with a `*` behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkflowPattern(String);

/// `text` is no pattern of workflows' names.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("expected a workflow's name, 1 to 80 characters of [A-Za-z0-9_-], or the beginning of one and a \"*\"")]
pub struct NotAPattern;

impl TryFrom<String> for WorkflowPattern {
    type Error = NotAPattern;

    fn try_from(text: String) -> Result<Self, NotAPattern> {
        let name = text.strip_suffix('*').unwrap_or(&text);
        let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() || text.len() > 81 || !name.chars().all(known) {
            return Err(NotAPattern);
        }
        Ok(Self(text))
    }
}

impl From<WorkflowPattern> for String {
    fn from(pattern: WorkflowPattern) -> Self {
        pattern.0
    }
}

impl WorkflowPattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a workflow's name fits.
    #[must_use]
    pub fn fits(&self, workflow: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => workflow.starts_with(beginning),
            None => self.0 == workflow,
        }
    }

    /// Whether every name that fits `other` fits this one.
    fn covers(&self, other: &Self) -> bool {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(beginning), Some(other)) => other.starts_with(beginning),
            (Some(beginning), None) => other.0.starts_with(beginning),
            (None, Some(_)) => false,
            (None, None) => self == other,
        }
    }
}

/// The approvals of some workflows that have some labels. The default is all approvals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Of a workflow that fits one of these. Empty: of any.
    pub workflows: Vec<WorkflowPattern>,
    /// With all these labels. Empty: with any.
    pub labels: BTreeMap<String, String>,
}

impl Scope {
    /// Whether an approval of this workflow with these labels is one of them.
    #[must_use]
    pub fn holds(&self, workflow: &str, labels: &BTreeMap<String, String>) -> bool {
        self.has_workflow(workflow) && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Whether it is of this workflow, among others.
    #[must_use]
    pub fn has_workflow(&self, workflow: &str) -> bool {
        self.workflows.is_empty() || self.workflows.iter().any(|pattern| pattern.fits(workflow))
    }

    /// Whether it is all approvals.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && (self.workflows.is_empty() || self.workflows.iter().any(|each| each.0 == "*"))
    }

    /// Whether every approval of `other` is one of this. May be `false` where only the approvals that there are say so.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let workflows = self.workflows.is_empty()
            || (!other.workflows.is_empty()
                && other.workflows.iter().all(|theirs| self.workflows.iter().any(|own| own.covers(theirs))))
            || self.workflows.iter().any(|own| own.0 == "*");
        workflows && self.labels.iter().all(|(key, value)| other.labels.get(key) == Some(value))
    }

    /// The approvals that are of both; `None` where there can be none.
    #[must_use]
    pub fn both(&self, other: &Self) -> Option<Self> {
        let workflows = match (self.workflows.as_slice(), other.workflows.as_slice()) {
            ([], any) | (any, []) => any.to_vec(),
            (own, theirs) => {
                let mut both = Vec::new();
                for one in own {
                    for two in theirs {
                        if one.covers(two) {
                            both.push(two.clone());
                        } else if two.covers(one) {
                            both.push(one.clone());
                        }
                    }
                }
                both.sort_unstable();
                both.dedup();
                if both.is_empty() {
                    return None;
                }
                both
            }
        };
        let mut labels = self.labels.clone();
        for (key, value) in &other.labels {
            if labels.insert(key.clone(), value.clone()).is_some_and(|known| known != *value) {
                return None;
            }
        }
        Some(Self { workflows, labels })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope(workflows: &[&str], labels: &[(&str, &str)]) -> Scope {
        Scope {
            workflows: workflows.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect(),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "a*b", "**", "a b", "ä", "*a"] {
            assert_eq!(WorkflowPattern::try_from(text.to_owned()), Err(NotAPattern), "{text}");
        }
    }

    #[test]
    fn a_star_is_everything() {
        assert!(scope(&["*"], &[]).is_everything());
        assert!(scope(&["pay", "*"], &[]).covers(&Scope::default()));
        assert!(!scope(&["*"], &[("env", "prod")]).is_everything());
        assert!(!scope(&["pay-*"], &[]).covers(&Scope::default()));
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        let pattern = prop::sample::select(vec!["*", "a", "a*", "ab", "ab*", "abc", "b*"]);
        let labels = prop::collection::btree_map("[xy]", "[12]", 0..3);
        (prop::collection::vec(pattern, 0..3), labels).prop_map(|(workflows, labels)| Scope {
            workflows: workflows.into_iter().map(|text| text.to_owned().try_into().unwrap()).collect(),
            labels,
        })
    }

    proptest! {
        #[test]
        fn covering_and_both_are_what_holding_says(
            one in scopes(),
            two in scopes(),
            workflow in prop::sample::select(vec!["a", "ab", "abc", "b", "ba", "c"]),
            labels in prop::collection::btree_map("[xy]", "[12]", 0..3),
        ) {
            let (in_one, in_two) = (one.holds(workflow, &labels), two.holds(workflow, &labels));
            if one.covers(&two) {
                prop_assert!(in_one || !in_two);
            }
            let in_both = one.both(&two).is_some_and(|both| both.holds(workflow, &labels));
            prop_assert_eq!(in_both, in_one && in_two);
            prop_assert!(!one.is_everything() || in_one);
        }
    }
}
