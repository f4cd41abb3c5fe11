//! Who is behind a command, for the record.

use serde::{Deserialize, Serialize};

use super::Principal;

/// How it is known who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The server itself.
    System,
    /// The caller's own word, on loopback.
    Asserted,
    /// A client certificate.
    Certificate,
    /// A JWT.
    Jwt,
    /// An API token.
    ApiToken,
    /// A session of the web inbox, which began with a sign-in at the issuer; where callers are believed, with a name
    /// that was picked.
    Web,
}

/// Who is behind a command, and from where it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Who called: the one whose credentials were checked.
    pub by: Principal,
    /// The person that they acted for, where they did not act for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Principal>,
    /// How it is known who called.
    pub via: Via,
    /// The address that the call came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Origin {
    /// A part of the server itself.
    #[must_use]
    pub fn system(part: &str) -> Self {
        Self { by: Principal::system(part), on_behalf_of: None, via: Via::System, address: None }
    }
}
