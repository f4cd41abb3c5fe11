//! The chain of hashes.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::store::Revision;

/// A SHA-256. Shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Before the first event.
    pub const ZERO: Self = Self([0; 32]);

    /// That of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// That of an event with this record, whose predecessor has this hash: of the hexadecimal digits, a line feed and the
    /// record.
    #[must_use]
    pub fn then(self, record: &str) -> Self {
        let digits = self.digits();
        let sum = Sha256::new().chain_update(digits).chain_update(b"\n").chain_update(record);
        Self(sum.finalize().into())
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn digits(&self) -> [u8; 64] {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            let both = [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)] as u8);
            pair.copy_from_slice(&both);
        }
        digits
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().iter().try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The newest event's place and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Its revision; 0 before the first event.
    pub revision: Revision,
    /// Its hash.
    pub hash: Hash,
}

impl ChainHead {
    /// Before the first event.
    pub const START: Self = Self { revision: 0, hash: Hash::ZERO };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_sha256sum_says() {
        // printf '%064d\n{"a":1}' 0 | sha256sum
        let first = Hash::ZERO.then(r#"{"a":1}"#);
        assert_eq!(first.to_string(), "f21735afd2cd6af4fc5804b0045cebfd545aef8396d29d030c39cb8880b45b7f");
        // printf '%s\n{"a":2}' <the one above> | sha256sum
        let second = first.then(r#"{"a":2}"#);
        assert_eq!(second.to_string(), "74860491e228ca61080512f45d5e8f90d3f673c11f490f722840205e845beb41");
        // printf abc | sha256sum
        assert_eq!(Hash::of("abc").to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
