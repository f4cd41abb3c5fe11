//! The configurations that are checked, kept and given back, without any effect.

use serde_json::{Value, json};

use crate::engine::ApiError;

const LEVELS: [&str; 4] = ["ALL", "ERROR", "FATAL", "OFF"];

/// The encryption that differs from none: with a key of the customer's.
pub(super) fn encryption(configuration: Option<&Value>) -> Result<Option<Value>, ApiError> {
    let Some(configuration) = configuration else { return Ok(None) };
    let invalid = |why: &str| Err(ApiError::new("InvalidEncryptionConfiguration", why));
    let has_key = configuration.get("kmsKeyId").is_some_and(|key| key.as_str().is_some_and(|key| !key.is_empty()));
    let seconds = configuration.get("kmsDataKeyReusePeriodSeconds");
    match configuration.get("type").and_then(Value::as_str) {
        Some("AWS_OWNED_KEY") if !has_key && seconds.is_none() => Ok(None),
        Some("AWS_OWNED_KEY") => invalid("AWS_OWNED_KEY takes neither kmsKeyId nor kmsDataKeyReusePeriodSeconds"),
        Some("CUSTOMER_MANAGED_KMS_KEY") if !has_key => invalid("CUSTOMER_MANAGED_KMS_KEY needs a kmsKeyId"),
        Some("CUSTOMER_MANAGED_KMS_KEY")
            if !seconds.is_none_or(|value| value.as_u64().is_some_and(|value| (60..=900).contains(&value))) =>
        {
            invalid("kmsDataKeyReusePeriodSeconds is from 60 to 900")
        }
        Some("CUSTOMER_MANAGED_KMS_KEY") => Ok(Some(configuration.clone())),
        _ => invalid("type is AWS_OWNED_KEY or CUSTOMER_MANAGED_KMS_KEY"),
    }
}

/// A level other than OFF wants exactly one destination.
pub(super) fn logging(configuration: Option<&Value>) -> Result<Option<Value>, ApiError> {
    let Some(configuration) = configuration else { return Ok(None) };
    let invalid =
        |why: &str| Err(ApiError::new("InvalidLoggingConfiguration", format!("Invalid Logging Configuration: {why}")));
    let level = match configuration.get("level") {
        None | Some(Value::Null) => "OFF",
        Some(level) => level.as_str().unwrap_or_default(),
    };
    if !LEVELS.contains(&level) {
        let constraint = format!("Member must satisfy enum value set: [{}]", LEVELS.join(", "));
        return Err(ApiError::constraint(&format!("'{level}'"), "loggingConfiguration.level", &constraint));
    }
    let destinations = configuration.get("destinations").and_then(Value::as_array);
    let count = destinations.map_or(0, Vec::len);
    if count > 1 || (count == 0 && level != "OFF") {
        return invalid("Must specify exactly one Log Destination.");
    }
    let group = |destination: &Value| Some(destination.get("cloudWatchLogsLogGroup")?.get("logGroupArn")?.is_string());
    if !destinations.into_iter().flatten().all(|destination| group(destination) == Some(true)) {
        return invalid("A Log Destination has a cloudWatchLogsLogGroup with a logGroupArn.");
    }
    let data = configuration.get("includeExecutionData").and_then(Value::as_bool).unwrap_or(false);
    let mut kept = json!({"level": level, "includeExecutionData": data});
    super::describe::insert(&mut kept, "destinations", destinations.cloned());
    Ok(Some(kept))
}

/// `enabled` has to be there.
pub(super) fn tracing(configuration: Option<&Value>) -> Result<Option<Value>, ApiError> {
    let Some(configuration) = configuration else { return Ok(None) };
    match configuration.get("enabled").and_then(Value::as_bool) {
        Some(enabled) => Ok(Some(json!({"enabled": enabled}))),
        None => Err(ApiError::new(
            "InvalidTracingConfiguration",
            "Invalid Tracing Configuration: enabled has to be true or false.",
        )),
    }
}
