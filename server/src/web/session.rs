//! Sessions: who signed in, sealed into a cookie. Nothing of them is kept here, so every server of a database knows them
//! by the key alone; what ends one is its time, and whoever signs out forgets it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, RandomizedNonceKey},
    rand,
};
use axum::{extract::FromRequestParts, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::COOKIE, request::Parts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::{Web, answer::Problem, sign_in};
use crate::{
    approval::{Person, Principal},
    auth::{AuthError, Caller, Permission, Place, Seat, Slot},
    clock::SharedClock,
    operations::OperationError,
};

/// How much of a session a cookie holds; with many groups it takes several.
const COOKIE_BYTES: usize = 3_600;
/// How many cookies a session takes at most.
const MAX_COOKIES: usize = 8;
/// How long a sign-in may take.
const SIGN_IN: Duration = Duration::from_mins(10);

/// Who signed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    person: String,
    groups: Vec<String>,
    /// What its forms carry.
    pub(super) csrf: String,
    /// When it ends, in seconds.
    until: i64,
}

impl Session {
    pub(super) fn person(&self) -> Option<Person> {
        let groups = self.groups.iter().filter_map(|group| group.parse().ok());
        Some(Person { principal: self.person.parse().ok()?, groups: groups.collect() })
    }

    /// Refuses a form that is not of this session.
    pub(super) fn check_token(&self, token: &str) -> Result<(), Problem> {
        match aws_lc_rs::constant_time::verify_slices_are_equal(token.as_bytes(), self.csrf.as_bytes()) {
            Ok(()) => Ok(()),
            Err(_) => Err(Problem::new(
                http::StatusCode::FORBIDDEN,
                "This form is of another session",
                "Nothing was done. Load the page again, and send it from there.",
            )),
        }
    }
}

/// Seals sessions, and what a sign-in has to remember.
pub(crate) struct Sessions {
    key: RandomizedNonceKey,
    lifetime: Duration,
    https: bool,
    clock: SharedClock,
}

/// The system has no randomness, or no cipher.
#[derive(Debug, thiserror::Error)]
#[error("sessions can't be sealed")]
pub(crate) struct NoSeal;

impl Sessions {
    /// Sealed with a secret; without one with a new key.
    pub(crate) fn new(
        secret: Option<&[u8]>,
        lifetime: Duration,
        https: bool,
        clock: SharedClock,
    ) -> Result<Self, NoSeal> {
        let mut key = [0_u8; 32];
        match secret {
            // As long as it is, every byte of it counts.
            Some(secret) => {
                key = Sha256::new().chain_update(b"approve web session\0").chain_update(secret).finalize().into()
            }
            None => rand::fill(&mut key).map_err(|_| NoSeal)?,
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| NoSeal)?;
        Ok(Self { key, lifetime, https, clock })
    }

    /// Browsers keep a cookie with this prefix to the very host, and off the wire without TLS.
    fn name(&self, of: &str) -> String {
        if self.https { format!("__Host-approve-{of}") } else { format!("approve-{of}") }
    }

    /// Begins a session: the cookies that hold it.
    pub(super) fn begin(&self, person: &Person) -> Result<Vec<HeaderValue>, NoSeal> {
        let mut csrf = [0_u8; 24];
        rand::fill(&mut csrf).map_err(|_| NoSeal)?;
        let session = Session {
            person: person.principal.to_string(),
            groups: person.groups.iter().map(ToString::to_string).collect(),
            csrf: URL_SAFE_NO_PAD.encode(csrf),
            until: self.clock.now().as_second().saturating_add_unsigned(self.lifetime.as_secs()),
        };
        let sealed = self.seal("session", &session)?;
        let mut parts: Vec<_> = sealed.as_bytes().chunks(COOKIE_BYTES).collect();
        if parts.len() > MAX_COOKIES {
            return Err(NoSeal);
        }
        // An earlier session may have had more.
        parts.resize(MAX_COOKIES, &[]);
        let cookie = |(at, part): (usize, &[u8])| {
            let life = if part.is_empty() { Duration::ZERO } else { self.lifetime };
            self.cookie(&format!("session-{at}"), &String::from_utf8_lossy(part), life)
        };
        parts.into_iter().enumerate().map(cookie).collect()
    }

    /// What makes a browser forget its session.
    pub(super) fn end(&self) -> Result<Vec<HeaderValue>, NoSeal> {
        (0..MAX_COOKIES).map(|at| self.cookie(&format!("session-{at}"), "", Duration::ZERO)).collect()
    }

    /// A cookie for what a sign-in has to remember.
    pub(super) fn remember(&self, value: &impl Serialize) -> Result<HeaderValue, NoSeal> {
        let until = self.clock.now().as_second().saturating_add_unsigned(SIGN_IN.as_secs());
        self.cookie("sign-in", &self.seal("sign-in", &(until, value))?, SIGN_IN)
    }

    /// What a sign-in remembered, if that is not too long ago.
    pub(super) fn remembered<T: DeserializeOwned>(&self, headers: &HeaderMap) -> Option<T> {
        let (until, value): (i64, T) = self.open("sign-in", cookie(headers, &self.name("sign-in"))?)?;
        (self.clock.now().as_second() < until).then_some(value)
    }

    pub(super) fn forget(&self) -> Result<HeaderValue, NoSeal> {
        self.cookie("sign-in", "", Duration::ZERO)
    }

    /// The session of a request.
    pub(super) fn of(&self, headers: &HeaderMap) -> Option<Session> {
        let part = |at: usize| cookie(headers, &self.name(&format!("session-{at}")));
        let sealed: String = (0..MAX_COOKIES).map_while(part).take_while(|part| !part.is_empty()).collect();
        let session: Session = self.open("session", &sealed)?;
        (self.clock.now().as_second() < session.until).then_some(session)
    }

    /// How long a session lasts from now on.
    pub(super) fn left(&self, session: &Session) -> Duration {
        Duration::from_secs(u64::try_from(session.until - self.clock.now().as_second()).unwrap_or(0))
    }

    fn cookie(&self, of: &str, value: &str, life: Duration) -> Result<HeaderValue, NoSeal> {
        let secure = if self.https { "; Secure" } else { "" };
        let text =
            format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}", self.name(of), life.as_secs());
        text.try_into().map_err(|_| NoSeal)
    }

    fn seal(&self, purpose: &str, value: &impl Serialize) -> Result<String, NoSeal> {
        let mut text = serde_json::to_vec(value).map_err(|_| NoSeal)?;
        let nonce = self.key.seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut text).map_err(|_| NoSeal)?;
        let sealed = [nonce.as_ref().as_slice(), &text].concat();
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    fn open<T: DeserializeOwned>(&self, purpose: &str, sealed: &str) -> Option<T> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_first_chunk_mut::<12>()?;
        let nonce = aws_lc_rs::aead::Nonce::from(&*nonce);
        let text = self.key.open_in_place(nonce, Aad::from(purpose.as_bytes()), text).ok()?;
        serde_json::from_slice(text).ok()
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Somebody who is signed in, and asks for a page.
pub(super) struct Visitor {
    pub(super) caller: Caller,
    pub(super) session: Session,
    /// How long their session lasts from now on.
    pub(super) left: Duration,
    /// Theirs while they are answered.
    place: Option<Seat<(Principal, Slot)>>,
}

impl Visitor {
    /// Whether they may read the record of a workflow.
    pub(super) fn may_audit(&self, workflow: &str) -> bool {
        self.caller.may(Permission::Audit, Place::Workflow(workflow))
    }

    /// Counts a call of theirs.
    pub(super) fn count(&self, web: &Web) -> Result<(), AuthError> {
        if web.authenticator.is_checked() { web.limits.call(&self.caller.origin.by) } else { Ok(()) }
    }

    /// Takes another place in place of the one that they have.
    pub(super) fn take(&mut self, web: &Web, slot: Slot) -> Result<(), AuthError> {
        if web.authenticator.is_checked() {
            self.place = Some(web.limits.enter(&self.caller.origin.by, slot)?);
        }
        Ok(())
    }
}

impl FromRequestParts<Arc<Web>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let session = web.sessions.of(&parts.headers);
        let known = session.and_then(|session| Some((session.person()?, session)));
        let Some((person, session)) = known else { return Err(sign_in::required(parts)) };
        let caller = web.authenticator.signed_in(person, address(parts));
        let mut visitor = Self { caller, left: web.sessions.left(&session), session, place: None };
        let counted = visitor.count(web).and_then(|()| visitor.take(web, Slot::Call));
        match counted {
            Ok(()) => Ok(visitor),
            Err(error) => Err(Problem::from(OperationError::Auth(error)).page(Some(&visitor))),
        }
    }
}

/// Where a request comes from.
pub(super) fn address(parts: &Parts) -> Option<SocketAddr> {
    crate::grpc::address(&parts.extensions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn sessions(secret: &[u8], lifetime: Duration) -> Sessions {
        Sessions::new(Some(secret), lifetime, true, Arc::new(SystemClock)).unwrap()
    }

    fn person(groups: usize) -> Person {
        let groups = (0..groups).map(|at| format!("group:{}-{at}", "g".repeat(40)).parse().unwrap()).collect();
        Person { principal: "user:ana".parse().unwrap(), groups }
    }

    fn sent_back(cookies: &[HeaderValue]) -> HeaderMap {
        let pair = |cookie: &HeaderValue| cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let text = cookies.iter().map(pair).collect::<Vec<_>>().join("; ");
        HeaderMap::from_iter([(COOKIE, text.parse().unwrap())])
    }

    #[test]
    fn a_session_comes_back_whole_however_many_groups_there_are() {
        let sessions = sessions(b"one", Duration::from_secs(60));
        for groups in [0, 1, 200] {
            let cookies = sessions.begin(&person(groups)).unwrap();
            assert!(cookies.iter().all(|cookie| cookie.len() < 4_096));
            let session = sessions.of(&sent_back(&cookies)).unwrap();
            assert_eq!(session.person(), Some(person(groups)));
        }
        let first = sessions.begin(&person(0)).unwrap().remove(0).to_str().unwrap().to_owned();
        for expected in ["__Host-approve-session-0=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=60"] {
            assert!(first.contains(expected), "{first}");
        }
    }

    #[test]
    fn a_session_is_of_its_key_its_purpose_and_its_time() {
        let cookies = sessions(b"one", Duration::from_secs(60)).begin(&person(1)).unwrap();
        assert!(sessions(b"two", Duration::from_secs(60)).of(&sent_back(&cookies)).is_none());
        let over = sessions(b"one", Duration::ZERO);
        let cookies = over.begin(&person(1)).unwrap();
        assert!(over.of(&sent_back(&cookies)).is_none());
        let one = sessions(b"one", Duration::from_secs(60));
        let sealed = one
            .seal(
                "sign-in",
                &Session { person: "user:ana".to_owned(), groups: vec![], csrf: String::new(), until: i64::MAX },
            )
            .unwrap();
        assert!(one.open::<Session>("session", &sealed).is_none());
        assert!(one.open::<Session>("sign-in", &sealed).is_some());
        assert!(one.of(&HeaderMap::new()).is_none());
    }
}
