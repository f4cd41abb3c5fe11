//! Names of things, as types.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

const PREFIX: &str = "apr_";
const LENGTH: usize = PREFIX.len() + 26;
/// Crockford's alphabet in lower case: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An approval's id: `apr_` and a UUIDv7 in base 32, sorted by creation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApprovalId(Arc<str>);

impl ApprovalId {
    /// The id of a UUID.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        let mut bits = uuid.as_u128();
        let mut text = [0_u8; 26];
        for place in text.iter_mut().rev() {
            let digit = usize::try_from(bits & 31).unwrap_or(0);
            *place = ALPHABET.get(digit).copied().unwrap_or(b'0');
            bits >>= 5;
        }
        Self(format!("{PREFIX}{}", String::from_utf8_lossy(&text)).into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id before all those that begin with `prefix`, and none of an approval; `None` where no id begins so.
    #[must_use]
    pub fn first_of(prefix: &str) -> Option<Self> {
        format!("{prefix:0<LENGTH$}").parse().ok()
    }

    /// Whether `text` could begin an id: `apr_` and at least four of its characters.
    #[must_use]
    pub fn is_prefix(text: &str) -> bool {
        (PREFIX.len() + 4..=LENGTH).contains(&text.len()) && has_shape(text)
    }
}

fn has_shape(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| rest.bytes().all(|byte| IS_DIGIT[usize::from(byte)]))
}

/// Which bytes are of the alphabet: ids are read by the hundred thousand.
const IS_DIGIT: [bool; 256] = {
    let mut is_digit = [false; 256];
    let mut place = 0;
    while place < ALPHABET.len() {
        is_digit[ALPHABET[place] as usize] = true;
        place += 1;
    }
    is_digit
};

/// `text` is no approval id.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("expected \"apr_\" and 26 characters of [0-9a-hjkmnp-tv-z]")]
pub struct NotAnId;

impl FromStr for ApprovalId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() == LENGTH && has_shape(text) { Ok(Self(text.into())) } else { Err(NotAnId) }
    }
}

impl TryFrom<String> for ApprovalId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl From<ApprovalId> for String {
    fn from(id: ApprovalId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret with which a task is answered. Never leaves the server, never reaches a log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskToken(Arc<str>);

impl TaskToken {
    /// The token as Step Functions wants it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A digest that tells tokens apart and gives nothing away.
    #[must_use]
    pub fn digest(&self) -> String {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digest = Sha256::digest(self.0.as_bytes());
        let halves = digest.iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]);
        halves.map(|half| DIGITS[usize::from(half)]).collect()
    }
}

impl From<&str> for TaskToken {
    fn from(token: &str) -> Self {
        Self(token.into())
    }
}

impl From<String> for TaskToken {
    fn from(token: String) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskToken(…)")
    }
}

/// Somebody: `user:<name>`, `group:<name>`, `service:<name>` for a program, or `system:<part>` for the server itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal(Arc<str>);

impl Principal {
    /// The longest principal, in bytes.
    pub const MAX: usize = 256;

    /// A part of the server, as the one who acts.
    #[must_use]
    pub fn system(part: &str) -> Self {
        Self(format!("system:{part}").into())
    }

    /// The principal as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this names somebody who can act: a person or a service, not a group.
    #[must_use]
    pub fn is_actor(&self) -> bool {
        self.is_user() || self.0.starts_with("service:")
    }

    /// Whether this names a person.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.0.starts_with("user:")
    }
}

/// `text` is no principal.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum NotAPrincipal {
    /// There is no name in it.
    #[error("expected \"user:<name>\", \"group:<name>\" or \"service:<name>\", found no name")]
    Empty,
    /// It is over [`Principal::MAX`].
    #[error("expected at most 256 bytes")]
    TooLong,
    /// It is of a kind that there is not.
    #[error("expected \"user:<name>\", \"group:<name>\" or \"service:<name>\", found another kind")]
    Kind,
    /// It holds white space at an end, or control characters.
    #[error("expected no control characters and no white space around it")]
    Characters,
}

impl FromStr for Principal {
    type Err = NotAPrincipal;

    /// A bare name is a user's.
    fn from_str(text: &str) -> Result<Self, NotAPrincipal> {
        if text.len() > Self::MAX {
            return Err(NotAPrincipal::TooLong);
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(NotAPrincipal::Characters);
        }
        let (kind, name) = text.split_once(':').unwrap_or(("user", text));
        if name.is_empty() {
            return Err(NotAPrincipal::Empty);
        }
        match kind {
            "user" | "group" | "service" => Ok(Self(format!("{kind}:{name}").into())),
            _ => Err(NotAPrincipal::Kind),
        }
    }
}

impl TryFrom<String> for Principal {
    type Error = NotAPrincipal;

    fn try_from(text: String) -> Result<Self, NotAPrincipal> {
        match text.strip_prefix("system:") {
            Some(part) if !part.is_empty() => Ok(Self::system(part)),
            _ => text.parse(),
        }
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.0.as_ref().to_owned()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_their_uuids_do() {
        let early = ApprovalId::from_uuid(Uuid::from_u128(0x0190_0000 << 96));
        let late = ApprovalId::from_uuid(Uuid::from_u128(0x0190_0001 << 96));
        assert!(early < late);
        assert_eq!(early.as_str().len(), LENGTH);
        assert_eq!(early.as_str().parse(), Ok(early));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "apr_", "apr_l0000000000000000000000000", "4711", "apr_0"] {
            assert_eq!(text.parse::<ApprovalId>(), Err(NotAnId), "{text}");
        }
        assert!(ApprovalId::is_prefix("apr_0000"));
        assert!(!ApprovalId::is_prefix("apr_00"));
        assert!(!ApprovalId::is_prefix("apr_00%0"));
    }

    #[test]
    fn a_bare_name_is_a_user() {
        assert_eq!("ana".parse::<Principal>().unwrap().as_str(), "user:ana");
        assert_eq!("system:expiry".parse::<Principal>(), Err(NotAPrincipal::Kind));
        assert_eq!("group:".parse::<Principal>(), Err(NotAPrincipal::Empty));
        assert_eq!("a\nb".parse::<Principal>(), Err(NotAPrincipal::Characters));
    }

    #[test]
    fn a_token_does_not_show() {
        let token = TaskToken::from("secret");
        assert!(!format!("{token:?}").contains("secret"));
        assert!(!token.digest().contains("secret"));
    }
}
