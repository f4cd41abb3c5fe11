//! Settings of the record of events.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, value_error};

/// How the record of events is anchored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// PEM of an Ed25519 private key (PKCS #8) that signs heads of the record. Absent: they are not signed.
    pub signing_key_file: Option<PathBuf>,
    /// A file to which a head is appended now and then, as a line of JSON. Absent: none.
    pub anchor_file: Option<PathBuf>,
    /// How often, in seconds. At least 1.
    pub anchor_interval_seconds: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self { signing_key_file: None, anchor_file: None, anchor_interval_seconds: 300 }
    }
}

impl Audit {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.anchor_interval_seconds == 0 {
            return Err(value_error("audit.anchor_interval_seconds", "expected at least 1"));
        }
        Ok(())
    }

    /// Reads the key.
    ///
    /// # Errors
    /// Where the file can't be read, or holds no key.
    pub fn signing_key(&self) -> Result<Option<crate::audit::SigningKey>, ConfigError> {
        let Some(path) = &self.signing_key_file else { return Ok(None) };
        let bad = |problem: String| value_error("audit.signing_key_file", format!("{}: {problem}", path.display()));
        let pem = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        crate::audit::SigningKey::from_pem(&pem).map(Some).map_err(|error| bad(error.to_string()))
    }
}
