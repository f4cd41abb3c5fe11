//! Links that are signed, for one approval and one person, and end. A link says for whom it was made: what it is worth is
//! for whoever serves its page to say.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use crate::approval::{ApprovalId, Principal};

/// What is signed begins with this: the keys sign nothing else that does.
const PURPOSE: &str = "approve link v1\n";

/// Fewest bytes of a key.
pub const MIN_KEY: usize = 32;

/// For what and whom a link was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The approval.
    pub approval: ApprovalId,
    /// Who got it.
    pub person: Principal,
    /// When it ends, to the second.
    pub expires: Timestamp,
}

/// Why a link is worth nothing.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum BadLink {
    /// It was not made here, or was changed.
    #[error("the link is not one of this server's")]
    Forged,
    /// It was, and has ended.
    #[error("the link has expired")]
    Expired,
}

/// Makes links and reads them.
pub struct Links {
    base: String,
    signing: RwLock<Arc<Signing>>,
}

/// How links are signed, and how long they hold.
struct Signing {
    keys: Vec<hmac::Key>,
    life: SignedDuration,
}

impl Signing {
    fn new(keys: &[Vec<u8>], life: SignedDuration) -> Arc<Self> {
        let keys = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect();
        Arc::new(Self { keys, life })
    }

    /// The last part of a link.
    fn token(&self, link: &Link) -> String {
        let person = BASE64_URL_SAFE_NO_PAD.encode(link.person.as_str());
        let said = format!("{}.{}.{person}", link.approval, link.expires.as_second());
        let Some(key) = self.keys.first() else { return said };
        let tag = hmac::sign(key, format!("{PURPOSE}{said}").as_bytes());
        format!("{said}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Links {
    /// Links below a URL, signed with the first key; those that any of them signed are taken.
    #[must_use]
    pub fn new(base: &str, keys: &[Vec<u8>], life: SignedDuration) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), signing: RwLock::new(Signing::new(keys, life)) }
    }

    /// Goes by other keys, and another life of new links, from here on.
    pub fn replace(&self, keys: &[Vec<u8>], life: SignedDuration) {
        *self.signing.write().unwrap_or_else(PoisonError::into_inner) = Signing::new(keys, life);
    }

    fn signing(&self) -> Arc<Signing> {
        Arc::clone(&self.signing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where all of them begin.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The approval's page, for whoever signs in there.
    #[must_use]
    pub fn page(&self, approval: &ApprovalId) -> String {
        format!("{}/approvals/{approval}", self.base)
    }

    /// Whether there is a key that signs.
    #[must_use]
    pub fn are_signed(&self) -> bool {
        !self.signing().keys.is_empty()
    }

    /// A link for somebody, made at `at`.
    #[must_use]
    pub fn for_person(&self, approval: &ApprovalId, person: &Principal, at: Timestamp) -> String {
        let signing = self.signing();
        let expires = at.checked_add(signing.life).unwrap_or(Timestamp::MAX);
        let link = Link { approval: approval.clone(), person: person.clone(), expires };
        format!("{}/link/{}", self.base, signing.token(&link))
    }

    /// What the last part of a link says, if one of the keys signed it and it has not ended.
    ///
    /// # Errors
    /// [`BadLink`].
    pub fn read(&self, token: &str, now: Timestamp) -> Result<Link, BadLink> {
        let (said, tag) = token.rsplit_once('.').ok_or(BadLink::Forged)?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).map_err(|_| BadLink::Forged)?;
        let signed = format!("{PURPOSE}{said}");
        if !self.signing().keys.iter().any(|key| hmac::verify(key, signed.as_bytes(), &tag).is_ok()) {
            return Err(BadLink::Forged);
        }
        let link = read_said(said).ok_or(BadLink::Forged)?;
        if link.expires <= now { Err(BadLink::Expired) } else { Ok(link) }
    }
}

fn read_said(said: &str) -> Option<Link> {
    let mut parts = said.split('.');
    let approval = parts.next()?.parse().ok()?;
    let expires = Timestamp::from_second(parts.next()?.parse().ok()?).ok()?;
    let person = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()?;
    let link = Link { approval, person: person.try_into().ok()?, expires };
    parts.next().is_none().then_some(link)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn links(keys: &[u8]) -> Links {
        let keys: Vec<_> = keys.iter().map(|key| vec![*key; MIN_KEY]).collect();
        Links::new("https://approve.example.com/", &keys, SignedDuration::from_hours(1))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(NOW + second).unwrap()
    }

    fn made(links: &Links) -> String {
        let id = ApprovalId::from_uuid(Uuid::from_u128(7));
        let link = links.for_person(&id, &"user:ana.b@example.com".parse().unwrap(), at(0));
        link.strip_prefix("https://approve.example.com/link/").unwrap().to_owned()
    }

    #[test]
    fn a_link_says_what_it_was_made_for_until_it_ends() {
        let token = made(&links(&[1]));
        let link = links(&[1]).read(&token, at(3_599)).unwrap();
        assert_eq!((link.person.as_str(), link.expires), ("user:ana.b@example.com", at(3_600)));
        assert_eq!(link.approval, ApprovalId::from_uuid(Uuid::from_u128(7)));
        assert_eq!(links(&[1]).read(&token, at(3_600)), Err(BadLink::Expired));
    }

    #[test]
    fn an_older_key_is_taken_and_another_is_not() {
        let token = made(&links(&[1]));
        assert!(links(&[2, 1]).read(&token, at(0)).is_ok());
        assert_eq!(links(&[2]).read(&token, at(0)), Err(BadLink::Forged));
        assert_eq!(links(&[]).read(&token, at(0)), Err(BadLink::Forged));
        assert_eq!(links(&[2]).read(&made(&links(&[2, 1])), at(0)).map(|link| link.expires), Ok(at(3_600)));
    }

    #[test]
    fn keys_are_replaced_while_links_are_made() {
        let links = links(&[1]);
        let token = made(&links);
        links.replace(&[vec![2; MIN_KEY], vec![1; MIN_KEY]], SignedDuration::from_hours(2));
        assert_eq!(links.read(&token, at(0)).map(|link| link.expires), Ok(at(3_600)));
        let newer = made(&links);
        links.replace(&[vec![2; MIN_KEY]], SignedDuration::from_hours(2));
        assert_eq!(links.read(&newer, at(0)).map(|link| link.expires), Ok(at(7_200)));
        assert_eq!(links.read(&token, at(0)), Err(BadLink::Forged));
    }

    #[test]
    fn a_link_without_keys_is_worth_nothing() {
        let unsigned = made(&links(&[]));
        assert_eq!(links(&[1]).read(&unsigned, at(0)), Err(BadLink::Forged));
        assert_eq!(links(&[]).read(&unsigned, at(0)), Err(BadLink::Forged));
    }

    proptest! {
        #[test]
        fn a_link_that_was_changed_anywhere_is_worth_nothing(place in 0_usize..200, other in "[A-Za-z0-9._-]") {
            let links = links(&[1]);
            let token = made(&links);
            let place = place % token.len();
            let mut changed = token.clone();
            changed.replace_range(place..=place, &other);
            let read = links.read(&changed, at(0));
            // The last digit of base 64 holds bits that mean nothing; those that do are zero.
            prop_assert!(changed == token || read == Err(BadLink::Forged), "{changed}");
        }

        #[test]
        fn nothing_that_is_read_panics(token in ".{0,200}") {
            prop_assert_eq!(links(&[1]).read(&token, at(0)), Err(BadLink::Forged));
        }
    }
}
