//! What comes with a request: in its query, or in the form that it posts.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Request},
    response::Response,
};
use http::{StatusCode, header::CONTENT_TYPE, request::Parts};

use super::{Web, answer::Problem, session::Visitor};

/// The longest form: a response of 64 KiB, encoded, or the marks of many approvals.
const MAX_FORM_BYTES: usize = 512 * 1024;
/// The most fields of a form.
const MAX_FIELDS: usize = 1_000;

/// Names and values, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn read(encoded: &[u8]) -> Self {
        Self(
            form_urlencoded::parse(encoded).take(MAX_FIELDS).map(|(name, value)| (name.into(), value.into())).collect(),
        )
    }

    /// These.
    pub(super) fn of<const N: usize>(fields: [(&str, &str); N]) -> Self {
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    /// The first value of a name; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The value of a name, unless it is empty.
    pub(super) fn some(&self, name: &str) -> Option<&str> {
        Some(self.get(name).trim()).filter(|value| !value.is_empty())
    }

    /// All values of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::read(parts.uri.query().unwrap_or_default().as_bytes()))
    }
}

/// Reads a form.
pub(super) async fn read_form(web: &Web, parts: &Parts, body: Body) -> Result<Fields, Problem> {
    let kind = parts.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/x-www-form-urlencoded")) {
        return Err(Problem::bad("Expected a form."));
    }
    let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, "It took too long", "Nothing was done. Try again.");
    let bytes = tokio::time::timeout(web.request_time, to_bytes(body, MAX_FORM_BYTES)).await.map_err(|_| late())?;
    let long = |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Too long", "Nothing was done. Say it in fewer words.");
    Ok(Fields::read(&bytes.map_err(long)?))
}

/// A form that somebody posted who is signed in, from a page of their session.
pub(super) struct Posted {
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

impl FromRequest<Arc<Web>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, web).await?;
        let form = async {
            let fields = read_form(web, &parts, body).await?;
            visitor.session.check_token(fields.get("csrf"))?;
            Ok::<_, Problem>(fields)
        };
        match form.await {
            Ok(fields) => Ok(Self { visitor, fields }),
            Err(problem) => Err(problem.page(Some(&visitor))),
        }
    }
}
