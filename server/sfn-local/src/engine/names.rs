//! Names, ARNs and tags: their form and their limits.

use std::collections::BTreeMap;

use super::ApiError;

const MAX_NAME: usize = 80;
const MAX_ARN: usize = 256;
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// 1–80 characters, none of those that the service forbids.
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME {
        let bound = if length == 0 { "greater than or equal to 1" } else { "less than or equal to 80" };
        return Err(ApiError::constraint(&format!("'{name}'"), "name", &format!("Member must have length {bound}")));
    }
    if name.chars().any(is_forbidden) {
        return Err(ApiError::new("InvalidName", format!("Invalid Name: '{name}'")));
    }
    Ok(())
}

fn is_forbidden(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || "?*<>{}[]\"#%\\^|~`$&,;:/".contains(c)
        || matches!(c, '\u{fffe}' | '\u{ffff}')
}

pub(crate) fn check_tags(tags: &Tags) -> Result<(), ApiError> {
    if tags.len() > MAX_TAGS {
        return Err(ApiError::new("TooManyTags", format!("More than {MAX_TAGS} tags on one resource")));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > MAX_TAG_KEY || value.chars().count() > MAX_TAG_VALUE {
            return Err(ApiError::validation(format!(
                "Tag '{key}': keys have 1 to {MAX_TAG_KEY} characters, values up to {MAX_TAG_VALUE}"
            )));
        }
        let legal = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
        if !key.chars().chain(value.chars()).all(legal) {
            return Err(ApiError::validation(format!(
                "Tag '{key}': tags have Unicode letters, digits, white space, and _ . : / = + - @ only"
            )));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ApiError::validation(format!("Tag '{key}': the prefix aws: is reserved")));
        }
    }
    Ok(())
}

/// The parts of `arn:<partition>:<service>:<region>:<account>:<resource>`.
fn split(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (prefix, partition) = (parts.next()?, parts.next()?);
    let (service, _region, account) = (parts.next()?, parts.next()?, parts.next()?);
    let resource = parts.next()?;
    (prefix == "arn" && partition.starts_with("aws")).then_some((service, account, resource))
}

/// Checks that `arn` names a Step Functions resource of the given kind (`activity`, `stateMachine`, `execution`).
pub(crate) fn check_arn(arn: &str, kind: &str) -> Result<(), ApiError> {
    let invalid = |why: String| Err(ApiError::new("InvalidArn", format!("Invalid Arn: '{why}'")));
    check_arn_length(arn)?;
    if !arn.starts_with("arn:") {
        return invalid(format!("Invalid ARN prefix: {arn}"));
    }
    match split(arn) {
        Some(("states", _, resource)) => match resource.split_once(':') {
            Some((found, name)) if found == kind && kind == "stateMachine" && name.contains('/') => Err(
                ApiError::validation(format!("The ARN of a Map state within a state machine is not valid here: {arn}")),
            ),
            Some((found, name)) if found == kind && !name.is_empty() => Ok(()),
            _ => invalid(format!("Resource type not valid in this context: {arn}")),
        },
        _ => invalid(format!("Invalid ARN: {arn}")),
    }
}

/// 1–256 characters.
pub(crate) fn check_arn_length(arn: &str) -> Result<(), ApiError> {
    let length = arn.chars().count();
    if length == 0 || length > MAX_ARN {
        let bound = if length == 0 { "greater than or equal to 1" } else { "less than or equal to 256" };
        return Err(ApiError::constraint(&format!("'{arn}'"), "arn", &format!("Member must have length {bound}")));
    }
    Ok(())
}

/// Whether `resource` is the ARN of an activity, in any account and region.
pub(crate) fn is_activity_arn(resource: &str) -> bool {
    let Some(("states", account, rest)) = split(resource) else { return false };
    let name = rest.strip_prefix("activity:");
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    digits && name.is_some_and(|name| check_name(name).is_ok())
}

/// The name in a role's ARN (paths are dropped), or `None` when it is none.
pub(crate) fn role_name(arn: &str) -> Option<&str> {
    let ("iam", account, resource) = split(arn)? else { return None };
    let path = resource.strip_prefix("role/")?;
    let name = path.rsplit('/').next()?;
    (account.len() == 12 && !name.is_empty()).then_some(name)
}
