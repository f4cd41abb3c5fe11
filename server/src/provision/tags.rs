//! Tags: whose a resource is.

use super::{FieldChange, ProvisionError, Spec, Tags};

/// Marks what this program made.
pub const MANAGED_BY: (&str, &str) = ("approve:managed-by", "approve");
/// Names the workflow that a resource belongs to.
pub const WORKFLOW: &str = "approve:workflow";

/// The tags of each of a workflow's resources.
pub(super) fn desired(spec: &Spec) -> Tags {
    let mut tags = spec.tags.clone();
    tags.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    tags.insert(WORKFLOW.to_owned(), spec.name.clone());
    tags
}

/// Whether a resource belongs to a workflow.
pub(super) fn owned(tags: &Tags, workflow: &str) -> bool {
    tags.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1)
        && tags.get(WORKFLOW).is_some_and(|name| name == workflow)
}

/// Why a resource is not the workflow's, in words; `None` if it is.
pub(super) fn foreign(tags: &Tags, workflow: &str) -> Option<String> {
    match (owned(tags, workflow), tags.get(MANAGED_BY.0), tags.get(WORKFLOW)) {
        (true, _, _) => None,
        (false, Some(by), Some(other)) if by == MANAGED_BY.1 => Some(format!("it belongs to the workflow {other}")),
        _ => Some("it is not ours: it does not carry our tags".to_owned()),
    }
}

/// Refuses what is not the workflow's, unless it is to be adopted.
pub(super) fn check_owner(
    tags: &Tags,
    spec: &Spec,
    adopt: bool,
    resource_type: &str,
    name: &str,
) -> Result<(), ProvisionError> {
    if adopt || owned(tags, &spec.name) { Ok(()) } else { Err(ProvisionError::not_owned(resource_type, name)) }
}

/// Desired tags that are missing or different. Other tags are other people's, and stay.
pub(super) fn missing(observed: &Tags, spec: &Spec) -> Tags {
    desired(spec).into_iter().filter(|(key, value)| observed.get(key) != Some(value)).collect()
}

/// The same, told field by field.
pub(super) fn changes(observed: &Tags, spec: &Spec) -> Vec<FieldChange> {
    let change = |(key, to): (String, String)| FieldChange {
        from: observed.get(&key).map(|value| format!("{value:?}")),
        to: Some(format!("{to:?}")),
        field: format!("tags.{key}"),
    };
    missing(observed, spec).into_iter().map(change).collect()
}
