//! Signatures of webhooks, as <https://www.standardwebhooks.com> has them: HMAC-SHA256 of the message's id, the time and
//! the body, in a header, one for each secret. A receiver takes the message if one of them is right, so that a secret is
//! changed while both are in use.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};

const PREFIX: &str = "whsec_";

/// Secrets that sign for one target, at least one.
pub struct Signer(Vec<hmac::Key>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

/// A text is no secret.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("expected \"whsec_\" and 24 to 64 random bytes in base 64; `echo whsec_$(openssl rand -base64 32)` makes one")]
pub struct NotASecret;

impl Signer {
    /// Of the texts of secrets.
    ///
    /// # Errors
    /// Where one is none, or there is none.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, NotASecret> {
        let read = |text: &str| {
            let bytes = text.trim().strip_prefix(PREFIX).and_then(|text| BASE64_STANDARD.decode(text).ok());
            let bytes = bytes.filter(|bytes| (24..=64).contains(&bytes.len())).ok_or(NotASecret)?;
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        };
        let keys = secrets.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(NotASecret) } else { Ok(Self(keys)) }
    }

    /// The value of `webhook-signature` for a message at a time, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, at: i64, body: &[u8]) -> String {
        let signed = [format!("{id}.{at}.").as_bytes(), body].concat();
        let one = |key| format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(key, &signed)));
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_example_comes_out() {
        let signer = Signer::new([SECRET]).unwrap();
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs() {
        let other = format!("whsec_{}", BASE64_STANDARD.encode([7; 32]));
        let both = Signer::new([&*format!("{SECRET}\n"), &other]).unwrap().sign("1", 2, b"{}");
        let alone = |secret: &str| Signer::new([secret]).unwrap().sign("1", 2, b"{}");
        assert_eq!(both, format!("{} {}", alone(SECRET), alone(&other)));
        assert_ne!(alone(SECRET), Signer::new([SECRET]).unwrap().sign("1", 3, b"{}"));
        assert_ne!(alone(SECRET), Signer::new([SECRET]).unwrap().sign("2", 2, b"{}"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in ["", "hunter2", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!", "whsec_c2hvcnQ="] {
            assert_eq!(Signer::new([text]).err(), Some(NotASecret), "{text}");
        }
        assert_eq!(Signer::new([]).err(), Some(NotASecret));
        assert!(!format!("{:?}", Signer::new([SECRET]).unwrap()).contains("MfKQ"));
    }
}
