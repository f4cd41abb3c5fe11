//! API tokens, as the record tells of them.

use serde_json::value::RawValue;

use super::{ApiTokenRecord, StoreError};
use crate::{approval::Principal, audit::AdminEvent};

/// For the record: it was made.
pub(super) fn created(token: &ApiTokenRecord) -> Result<AdminEvent, StoreError> {
    let grants: Vec<&RawValue> = serde_json::from_str(&token.grants).map_err(StoreError::corrupt)?;
    let scopes = grants.iter().map(|grant| grant.get().to_owned()).collect();
    Ok(AdminEvent::TokenCreated {
        token: id(token),
        principal: principal(token)?,
        scopes,
        expires: Some(token.expires),
    })
}

/// For the record: it was revoked.
pub(super) fn revoked(token: &ApiTokenRecord) -> Result<AdminEvent, StoreError> {
    Ok(AdminEvent::TokenRevoked { token: id(token), principal: principal(token)? })
}

fn principal(token: &ApiTokenRecord) -> Result<Principal, StoreError> {
    format!("service:{}", token.name).parse().map_err(StoreError::corrupt)
}

/// Tells tokens of the same name apart, and says nothing of the secret.
fn id(token: &ApiTokenRecord) -> String {
    token.digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
