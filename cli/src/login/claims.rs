//! What a JWT says, unverified.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::LoginError;

pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// `None` where it is no JWT.
    pub(super) fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok().map(Self)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// When it ends, in seconds since 1970.
    pub(super) fn expires(&self) -> Option<i64> {
        let text = self.0.get("exp")?.as_number()?.to_string();
        text.split_once('.').map_or(text.as_str(), |(whole, _)| whole).parse().ok()
    }

    /// Whom it is of, as a person would call them.
    pub(super) fn subject(&self) -> String {
        let names = ["preferred_username", "email", "sub"];
        names.iter().find_map(|name| self.text(name)).unwrap_or_default().to_owned()
    }

    /// Whether an ID token answers our question: of this issuer, for this client, with this nonce.
    pub(super) fn check(&self, issuer: &str, client_id: &str, nonce: Option<&str>) -> Result<(), LoginError> {
        let wrong = |what: &str| Err(LoginError::Answer(format!("has an ID token {what}")));
        let audience = match self.0.get("aud") {
            Some(Value::String(one)) => one == client_id,
            Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(client_id)),
            _ => false,
        };
        if self.text("iss") != Some(issuer) {
            return wrong("of another issuer");
        }
        if !audience {
            return wrong("for another client");
        }
        if nonce.is_some() && self.text("nonce") != nonce {
            return wrong("that answers another question");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Claims {
        Claims::of(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))).unwrap()
    }

    #[test]
    fn an_id_token_has_to_answer_our_question() {
        let claims = token(r#"{"iss": "i", "aud": ["x", "c"], "nonce": "n", "exp": 1700000000.5, "sub": "ana"}"#);
        assert!(claims.check("i", "c", Some("n")).is_ok() && claims.check("i", "c", None).is_ok());
        for (issuer, client, nonce) in [("j", "c", "n"), ("i", "d", "n"), ("i", "c", "m")] {
            assert!(claims.check(issuer, client, Some(nonce)).is_err());
        }
        assert!(token(r#"{"iss": "i", "aud": "c"}"#).check("i", "c", Some("n")).is_err());
        assert_eq!((claims.expires(), claims.subject().as_str()), (Some(1_700_000_000), "ana"));
    }

    #[test]
    fn what_is_no_jwt_says_nothing() {
        for opaque in ["", "abc", "a.b", "a.!.c", "e30.bm8.c"] {
            assert!(Claims::of(opaque).is_none(), "{opaque}");
        }
    }
}
