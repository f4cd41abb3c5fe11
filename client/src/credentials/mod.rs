mod bearer;

use approve_proto::{ACTOR_METADATA, GROUPS_METADATA, ON_BEHALF_OF_METADATA};
use http::Uri;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};

use crate::{Error, Secret};

pub use bearer::BearerToken;

/// How the caller shows who they are. A client certificate is part of [`Tls`](crate::Tls), and goes with
/// [`None`](Self::None) or [`Bearer`](Self::Bearer).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Not at all, or by the client certificate alone.
    #[default]
    None,
    /// By their own word: for servers that trust it (development, on loopback).
    Asserted {
        /// A principal, `user:<name>`.
        actor: String,
        /// Names of groups, without `group:`.
        groups: Vec<String>,
    },
    /// By a token, which is sent only over TLS, or to loopback.
    Bearer(BearerToken),
}

impl Credentials {
    /// The caller's own word: a principal `user:<name>`, and names of groups.
    pub fn asserted<G: Into<String>>(actor: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Self {
        Self::Asserted { actor: actor.into(), groups: groups.into_iter().map(Into::into).collect() }
    }

    /// This API token or JWT.
    pub fn bearer(token: impl AsRef<str>) -> Self {
        Self::Bearer(BearerToken::new(token))
    }
}

/// Whom a service acts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnBehalfOf {
    pub person: String,
    pub groups: Vec<String>,
}

/// The caller's identity, as it goes with every request.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    metadata: Vec<(&'static str, MetadataValue<Ascii>)>,
    bearer: Option<BearerToken>,
}

impl Identity {
    pub(crate) fn new(credentials: &Credentials, on_behalf_of: Option<&OnBehalfOf>) -> Result<Self, Error> {
        let mut metadata = Vec::new();
        let mut bearer = None;
        match credentials {
            Credentials::None => {}
            Credentials::Asserted { actor, groups } => {
                metadata.push((ACTOR_METADATA, header("actor", actor)?));
                if on_behalf_of.is_some() && !groups.is_empty() {
                    return Err(Error::config("who acts for a person has no groups of their own"));
                }
                metadata.extend(groups_metadata(groups)?);
            }
            Credentials::Bearer(token) => bearer = Some(token.clone()),
        }
        if let Some(OnBehalfOf { person, groups }) = on_behalf_of {
            metadata.push((ON_BEHALF_OF_METADATA, header("person", person)?));
            metadata.extend(groups_metadata(groups)?);
        }
        Ok(Self { metadata, bearer })
    }

    /// The token to send now, if one is to be sent.
    pub(crate) async fn token(&self) -> Result<Option<Secret>, Error> {
        match &self.bearer {
            Some(bearer) => bearer.get().await.map(Some),
            None => Ok(None),
        }
    }

    /// Another token than the one that was refused, if there is one.
    pub(crate) async fn renew(&self, refused: &Secret) -> Result<Option<Secret>, Error> {
        match &self.bearer {
            Some(bearer) => bearer.renew(refused).await,
            None => Ok(None),
        }
    }

    pub(crate) fn is_renewable(&self) -> bool {
        self.bearer.as_ref().is_some_and(BearerToken::is_renewable)
    }

    pub(crate) fn put_on<M>(&self, request: &mut Request<M>, token: Option<&Secret>) -> Result<(), Error> {
        let metadata = request.metadata_mut();
        for (key, value) in &self.metadata {
            metadata.insert(*key, value.clone());
        }
        if let Some(token) = token {
            let mut value: MetadataValue<Ascii> = Some(token.expose())
                .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
                .and_then(|token| format!("Bearer {token}").parse().ok())
                .ok_or_else(|| Error::config("the bearer token is empty, or not one word of printable ASCII"))?;
            value.set_sensitive(true);
            metadata.insert("authorization", value);
        }
        Ok(())
    }
}

fn header(what: &str, value: &str) -> Result<MetadataValue<Ascii>, Error> {
    value.parse().map_err(|_| Error::config(format!("{what} {value:?}: not printable ASCII")))
}

fn groups_metadata(groups: &[String]) -> Result<Option<(&'static str, MetadataValue<Ascii>)>, Error> {
    if let Some(bad) = groups.iter().find(|group| group.contains(',')) {
        return Err(Error::config(format!("group {bad:?}: holds a comma")));
    }
    if groups.is_empty() {
        return Ok(None);
    }
    Ok(Some((GROUPS_METADATA, header("groups", &groups.join(","))?)))
}

/// Whether what is sent to this URL stays on this computer.
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
