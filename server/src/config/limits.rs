//! Settings of what a caller may take of the server.

use serde::{Deserialize, Serialize};

use super::{ConfigError, value_error};

/// What one caller may take of the server. Callers are told apart where they show who they are; what is said of
/// connections and unknown callers holds for an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls per second, in the long run. At least 1.
    pub requests_per_second: u32,
    /// Calls at once after a pause. At least 1.
    pub burst: u32,
    /// Calls under way at once, without streams. At least 1.
    pub concurrent_calls: u32,
    /// Lists under way at once: they take the longest, and the store has few readers. At least 1.
    pub concurrent_lists: u32,
    /// Streams open at once. At least 1.
    pub streams: u32,
    /// Credentials per second that an address may show which were not seen before, valid or not. At least 1.
    pub logins_per_second: u32,
    /// Connections of an address. At least 1.
    pub connections_per_address: u32,
    /// Connections of all. At least 1.
    pub connections: u32,
    /// Calls and streams under way at once on a connection. At least 1.
    pub streams_per_connection: u32,
    /// Seconds that a TLS handshake, or the rest of a request that has begun, may take. At least 1.
    pub request_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 200,
            burst: 400,
            concurrent_calls: 100,
            concurrent_lists: 2,
            streams: 50,
            logins_per_second: 200,
            connections_per_address: 1_000,
            connections: 10_000,
            streams_per_connection: 200,
            request_seconds: 20,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (name, value) in [
            ("requests_per_second", self.requests_per_second),
            ("burst", self.burst),
            ("concurrent_calls", self.concurrent_calls),
            ("concurrent_lists", self.concurrent_lists),
            ("streams", self.streams),
            ("logins_per_second", self.logins_per_second),
            ("connections_per_address", self.connections_per_address),
            ("connections", self.connections),
            ("streams_per_connection", self.streams_per_connection),
            ("request_seconds", self.request_seconds),
        ] {
            if value == 0 {
                return Err(value_error(format!("limits.{name}"), "expected at least 1"));
            }
        }
        Ok(())
    }
}
