use std::{fmt, io};

use approve_proto::v1::AuditHead;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::line::hex;

/// A place in the record, what it was, and when: what `GetAuditHead` answers, and what the server appends to its anchor
/// file, a JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The revision; 0 before the first event.
    pub revision: i64,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
    /// When this was made, to the millisecond.
    #[serde(with = "rfc3339")]
    pub create_time: Timestamp,
    /// Ed25519, in base64. Empty where the server had no key.
    #[serde(default)]
    pub signature: String,
    /// Of the key that signed it. Empty where there was none.
    #[serde(default)]
    pub key_id: String,
}

/// Anchors that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("anchor {number} can't be read")]
pub struct AnchorError {
    /// Which, counted from 1.
    number: usize,
    /// Why.
    source: serde_json::Error,
}

impl Anchor {
    /// Reads anchors, one after the other: a file of them, or a single one.
    ///
    /// # Errors
    /// Where one can't be read.
    pub fn read_all(reader: impl io::Read) -> Result<Vec<Self>, AnchorError> {
        let anchors = serde_json::Deserializer::from_reader(io::BufReader::new(reader)).into_iter();
        (1..).zip(anchors).map(|(number, anchor)| anchor.map_err(|source| AnchorError { number, source })).collect()
    }

    /// Whether one of these keys signed it.
    #[must_use]
    pub fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        let Self { revision, hash, create_time, .. } = self;
        let message = format!("approve audit head\n{revision}\n{hash}\n{}\n", millis(create_time));
        keys.iter().any(|key| {
            key.id() == self.key_id
                && UnparsedPublicKey::new(&ED25519, &key.0).verify(message.as_bytes(), &signature).is_ok()
        })
    }
}

impl From<AuditHead> for Anchor {
    fn from(head: AuditHead) -> Self {
        let AuditHead { revision, hash, create_time, signature, key_id } = head;
        Self { revision, hash, create_time: create_time.unwrap_or_default(), signature, key_id }
    }
}

/// A time as RFC 3339 with milliseconds.
fn millis(time: &Timestamp) -> String {
    let whole = Timestamp { seconds: time.seconds, nanos: 0 }.to_string();
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), time.nanos / 1_000_000)
}

mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{Timestamp, millis};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&millis(time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format!("create_time: {error}")))
    }
}

/// What an anchor's signature is checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A public key that can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one PEM block BEGIN PUBLIC KEY with an Ed25519 key, as `approve-server audit-key` prints it")]
pub struct PublicKeyError;

impl PublicKey {
    /// Reads a public key: PEM.
    ///
    /// # Errors
    /// Where it is none, or not of Ed25519.
    pub fn from_pem(pem: &str) -> Result<Self, PublicKeyError> {
        /// What DER says before the 32 bytes of the key.
        const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----").ok_or(PublicKeyError)?;
        let body = body.strip_suffix("-----END PUBLIC KEY-----").ok_or(PublicKeyError)?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| PublicKeyError)?;
        let key = der.strip_prefix(&PREFIX).ok_or(PublicKeyError)?;
        key.try_into().map(Self).map_err(|_| PublicKeyError)
    }

    /// The first 16 hexadecimal digits of the SHA-256 of its 32 bytes.
    #[must_use]
    pub fn id(&self) -> String {
        hex(Sha256::digest(self.0).get(..8).unwrap_or_default())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8032, test 1.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
    /// What the server signs with it, checked with OpenSSL.
    const ANCHOR: &str = concat!(
        r#"{"revision":7,"hash":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","#,
        r#""create_time":"2026-01-02T03:04:05.000Z","#,
        r#""signature":"tIJRbv9UnRkAblqUPNLPAIa4B0F5Cb0JSuqIOX4JhzoHozIbGkN4MBZLBRYKOSJcw3XIQWbU6/GmJr81UNqkCg==","#,
        r#""key_id":"21fe31dfa154a261"}"#,
    );

    #[test]
    fn an_anchor_of_the_server_is_signed_by_its_key_alone() {
        let key = PublicKey::from_pem(PUBLIC).unwrap();
        assert_eq!(key.id(), "21fe31dfa154a261");
        let [anchor] = &Anchor::read_all(ANCHOR.as_bytes()).unwrap()[..] else { panic!() };
        assert!(anchor.is_signed_by(&[PublicKey([7; 32]), key.clone()]));
        assert!(!anchor.is_signed_by(&[PublicKey([7; 32])]));
        assert!(!anchor.is_signed_by(&[]));
        let later = Timestamp { nanos: 1_000_000, ..anchor.create_time };
        for forged in [
            Anchor { revision: 8, ..anchor.clone() },
            Anchor { hash: super::super::line::ZERO.to_owned(), ..anchor.clone() },
            Anchor { create_time: later, ..anchor.clone() },
            Anchor { signature: String::new(), ..anchor.clone() },
            Anchor { signature: "%".to_owned(), ..anchor.clone() },
        ] {
            assert!(!forged.is_signed_by(std::slice::from_ref(&key)), "{forged:?}");
        }
    }

    #[test]
    fn anchors_are_read_from_lines_and_from_what_people_print() {
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(ANCHOR).unwrap()).unwrap();
        let anchors = Anchor::read_all(format!("{ANCHOR}\n{ANCHOR}\n{pretty}\n").as_bytes()).unwrap();
        assert_eq!(anchors.len(), 3);
        assert_eq!(anchors[0], anchors[2]);
        assert_eq!(serde_json::to_string(&anchors[0]).unwrap(), ANCHOR);
        let error = Anchor::read_all(format!("{ANCHOR}\n{{}}").as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "anchor 2 can't be read");
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let cut = PUBLIC.replace("URo=", "");
        for bad in ["", "key", &cut, &PUBLIC.replace("PUBLIC", "PRIVATE"), &PUBLIC.replace("MCow", "MCow0")] {
            assert_eq!(PublicKey::from_pem(bad), Err(PublicKeyError), "{bad}");
        }
    }
}
