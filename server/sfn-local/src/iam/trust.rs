//! Trust policies: their form, and whether one lets a service in.

use serde_json::Value;

use super::one_or_many;
use crate::engine::ApiError;

/// A policy document is a JSON object with statements.
pub(super) fn check_json(policy: &str) -> Result<Value, ApiError> {
    let malformed = |why: &str| ApiError::new("MalformedPolicyDocument", why);
    let document: Value = serde_json::from_str(policy).map_err(|_| malformed("This policy contains invalid Json"))?;
    if !document.is_object() || document.get("Statement").is_none() {
        return Err(malformed("Syntax errors in policy: a policy is an object with a Statement."));
    }
    Ok(document)
}

/// A trust policy names principals and actions, and no resources.
pub(super) fn check(policy: &str) -> Result<(), ApiError> {
    let malformed = |why: &str| Err(ApiError::new("MalformedPolicyDocument", why));
    let document = check_json(policy)?;
    super::checks::trust_size(policy)?;
    for statement in one_or_many(document.get("Statement").unwrap_or(&Value::Null)) {
        if statement.get("Resource").is_some() {
            return malformed("Has prohibited field Resource");
        }
        if statement.get("Principal").is_none() {
            return malformed("Missing required field Principal");
        }
        if statement.get("Action").is_none() {
            return malformed("Missing required field Action");
        }
        if !matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
            return malformed("Missing required field Effect");
        }
    }
    Ok(())
}

/// Whether the policy allows `service`, or its regional form, to assume the role, and no statement denies it.
pub(super) fn allows(policy: &str, service: &str) -> bool {
    let Ok(document) = serde_json::from_str::<Value>(policy) else { return false };
    let statements = one_or_many(document.get("Statement").unwrap_or(&Value::Null));
    let applies = |effect: &str| {
        statements.iter().any(|statement| {
            statement.get("Effect").and_then(Value::as_str) == Some(effect)
                && names_action(statement)
                && names_service(statement, service)
        })
    };
    applies("Allow") && !applies("Deny")
}

fn names_action(statement: &Value) -> bool {
    let actions = one_or_many(statement.get("Action").unwrap_or(&Value::Null));
    actions
        .iter()
        .filter_map(|action| action.as_str())
        .any(|action| ["sts:assumerole", "sts:*", "*"].contains(&action.to_ascii_lowercase().as_str()))
}

fn names_service(statement: &Value, service: &str) -> bool {
    let principal = statement.get("Principal").unwrap_or(&Value::Null);
    if principal.as_str() == Some("*") {
        return true;
    }
    let services = one_or_many(principal.get("Service").unwrap_or(&Value::Null));
    services.iter().filter_map(|name| name.as_str()).any(|name| name == service || is_regional(name, service))
}

/// `states.eu-west-1.amazonaws.com` is the regional form of `states.amazonaws.com`.
fn is_regional(name: &str, service: &str) -> bool {
    let (Some((head, tail)), Some((prefix, rest))) = (service.split_once('.'), name.split_once('.')) else {
        return false;
    };
    head == prefix && rest.strip_suffix(tail).is_some_and(|region| region.len() > 1 && region.ends_with('.'))
}
