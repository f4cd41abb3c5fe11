//! What names, ARNs, documents and tags may look like, and how large they may be.

use crate::engine::{ApiError, Tags};

const MAX_ROLE_NAME: usize = 64;
const MAX_POLICY_NAME: usize = 128;
const ARN_LENGTH: std::ops::RangeInclusive<usize> = 20..=2048;
const MAX_TRUST: usize = 2048;
const MAX_INLINE: usize = 10_240;
const MAX_MANAGED: usize = 6144;

pub(super) fn role_name(name: &str) -> Result<(), ApiError> {
    check_name(name, "roleName", MAX_ROLE_NAME)
}

pub(super) fn policy_name(name: &str) -> Result<(), ApiError> {
    check_name(name, "policyName", MAX_POLICY_NAME)
}

fn check_name(name: &str, field: &str, longest: usize) -> Result<(), ApiError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if (1..=longest).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(ApiError::new(
        "ValidationError",
        format!("The specified value for {field} is invalid: '{name}'. 1 to {longest} of A-Z a-z 0-9 + = , . @ _ -"),
    ))
}

/// `/`, or names between slashes.
pub(super) fn path(path: &str) -> Result<(), ApiError> {
    let legal = path.starts_with('/') && path.ends_with('/') && path.len() <= 512;
    if legal && path.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Ok(());
    }
    Err(ApiError::new(
        "ValidationError",
        format!("The specified value for path is invalid: '{path}'. It must begin and end with /"),
    ))
}

/// `arn:<partition>:iam::<account or aws>:policy/…`
pub(super) fn policy_arn(arn: &str) -> Result<(), ApiError> {
    if !ARN_LENGTH.contains(&arn.len()) {
        return Err(ApiError::new(
            "ValidationError",
            format!("The specified value for policyArn is invalid: '{arn}'. 20 to 2048 characters"),
        ));
    }
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, resource]
            if partition.starts_with("aws") && !account.is_empty() && resource.starts_with("policy/") =>
        {
            Ok(())
        }
        _ => Err(ApiError::new("InvalidInput", format!("ARN {arn} is not valid."))),
    }
}

/// White space does not count, here and below.
pub(super) fn trust_size(document: &str) -> Result<(), ApiError> {
    quota("ACLSizePerRole", size(document), MAX_TRUST)
}

pub(super) fn managed_size(document: &str) -> Result<(), ApiError> {
    quota("PolicySize", size(document), MAX_MANAGED)
}

/// All inline policies of one role together.
pub(super) fn inline_size<'d>(role: &str, documents: impl Iterator<Item = &'d str>) -> Result<(), ApiError> {
    if documents.map(size).sum::<usize>() <= MAX_INLINE {
        return Ok(());
    }
    Err(limit_exceeded(format!("Maximum policy size of {MAX_INLINE} bytes exceeded for role {role}")))
}

fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

/// Refuses what goes beyond `most`.
pub(super) fn quota(name: &str, count: usize, most: usize) -> Result<(), ApiError> {
    if count <= most {
        return Ok(());
    }
    Err(limit_exceeded(format!("Cannot exceed quota for {name}: {most}")))
}

fn limit_exceeded(message: String) -> ApiError {
    ApiError::new("LimitExceeded", message)
}

/// All tags of one role.
pub(super) fn tags(tags: &Tags) -> Result<(), ApiError> {
    let mut keys: Vec<String> = tags.keys().map(|key| key.to_lowercase()).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() < tags.len() {
        return Err(duplicate_tags());
    }
    crate::engine::check_tags(tags).map_err(|error| {
        let code = if error.code == "TooManyTags" { "LimitExceeded" } else { "ValidationError" };
        ApiError::new(code, error.message)
    })
}

pub(crate) fn duplicate_tags() -> ApiError {
    ApiError::new("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
}
