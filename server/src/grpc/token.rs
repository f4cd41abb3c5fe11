//! Opaque tokens: where to go on, and in what. They hold no secret; the digest keeps a token from being used with
//! another query by mistake.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{
    approval::ApprovalId,
    store::{EventQuery, Filter, Order, Revision},
};

/// A digest of a query.
pub(super) type QueryDigest = [u8; 8];

/// The digest of a query for events.
pub(super) fn digest_of(query: &EventQuery) -> QueryDigest {
    short(&format!("events\u{1f}{query:?}"))
}

/// The digest of a filter and whatever else makes up a query.
pub(super) fn digest(filter: &Filter, rest: &str) -> QueryDigest {
    short(&format!("{filter:?}\u{1f}{rest}"))
}

fn short(query: &str) -> QueryDigest {
    let hash = Sha256::digest(query);
    let mut digest = QueryDigest::default();
    digest.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    digest
}

/// The rest of a list's query: everything but its filter.
pub(super) fn list_rest(statuses: &[crate::approval::Status], order: Order) -> String {
    format!("{statuses:?}{order:?}")
}

/// A token that stands for a revision of a stream.
pub(super) fn resume(digest: QueryDigest, revision: Revision) -> String {
    encode(b'r', digest, &revision.to_be_bytes())
}

/// The revision of a resume token.
pub(super) fn read_resume(token: &str, digest: QueryDigest) -> Option<Revision> {
    let revision = Revision::from_be_bytes(decode(b'r', token, digest)?.try_into().ok()?);
    (revision >= 0).then_some(revision)
}

/// A token that stands for a place in a list.
pub(super) fn page(digest: QueryDigest, after: &ApprovalId) -> String {
    encode(b'p', digest, after.as_str().as_bytes())
}

/// The place of a page token.
pub(super) fn read_page(token: &str, digest: QueryDigest) -> Option<ApprovalId> {
    String::from_utf8(decode(b'p', token, digest)?).ok()?.parse().ok()
}

/// A token that stands for a place in a list of events.
pub(super) fn events_page(digest: QueryDigest, before: Revision) -> String {
    encode(b'e', digest, &before.to_be_bytes())
}

/// The place of such a token.
pub(super) fn read_events_page(token: &str, digest: QueryDigest) -> Option<Revision> {
    decode(b'e', token, digest)?.try_into().ok().map(Revision::from_be_bytes)
}

fn encode(kind: u8, digest: QueryDigest, place: &[u8]) -> String {
    let mut bytes = vec![kind];
    bytes.extend(digest);
    bytes.extend(place);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(kind: u8, token: &str, digest: QueryDigest) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let rest = bytes.strip_prefix(&[kind])?;
    rest.strip_prefix(&digest).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_only_of_its_own_query() {
        let one = digest(&Filter::default(), "");
        let other = digest(&Filter { workflow: Some("pay".to_owned()), ..Filter::default() }, "");
        let token = resume(one, 4711);
        assert_eq!(read_resume(&token, one), Some(4711));
        assert_eq!(read_resume(&token, other), None);
        assert_eq!(read_page(&token, one), None);
        assert_eq!(read_resume("", one), None);
        assert_eq!(read_resume("%%", one), None);
        assert_eq!(read_resume(&resume(one, -1), one), None);
    }
}
