//! What holds for every page: whom it is asked of, and what a browser may do with it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
        X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{Web, answer::Problem};

/// Nothing but our own files, and nobody around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const FIXED: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not "no-referrer": browsers would say no origin with our own forms, either.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("x-frame-options"), "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
];

/// Turns away what is asked of another host, or posted from another site; says what browsers may do with the answer.
pub(super) async fn guard(State(web): State<Arc<Web>>, request: Request<Body>, next: Next) -> Response {
    let answer = match check(&web, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    secured(&web, answer)
}

fn check(web: &Web, request: &Request<Body>) -> Result<(), Problem> {
    if !is_ours(web, host(request)) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "Not the address of this inbox",
            format!("This inbox is at {}.", web.url),
        ));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) && !is_from_here(web, request) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "Not sent from a page of this inbox",
            "Nothing was done. Open the page here and try again.",
        ));
    }
    Ok(())
}

/// The host that is asked: HTTP/2 has it in the URI.
fn host(request: &Request<Body>) -> Option<&str> {
    let of_uri = request.uri().authority().map(http::uri::Authority::as_str);
    of_uri.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

/// Whether a host is the inbox's. A name that somebody else points to this machine is not. On loopback all names of
/// loopback are.
fn is_ours(web: &Web, host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let authority = web.url.authority();
    if host.eq_ignore_ascii_case(authority.as_str()) {
        return true;
    }
    let Ok(asked) = host.parse::<http::uri::Authority>() else { return false };
    let port =
        |authority: &http::uri::Authority| authority.port_u16().unwrap_or(if web.url.is_https() { 443 } else { 80 });
    let same_name = asked.host().eq_ignore_ascii_case(authority.host())
        || (web.url.is_loopback() && matches!(asked.host(), "localhost" | "127.0.0.1" | "[::1]"));
    same_name && port(&asked) == port(authority)
}

/// Whether a browser sent this from one of our pages. Without its word it did not.
fn is_from_here(web: &Web, request: &Request<Body>) -> bool {
    let headers = request.headers();
    let site = text(headers, &HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match text(headers, &ORIGIN) {
        Some(origin) => {
            let scheme = if web.url.is_https() { "https://" } else { "http://" };
            origin.strip_prefix(scheme).is_some_and(|host| {
                is_ours(web, Some(host)) && self::host(request).is_some_and(|ours| ours.eq_ignore_ascii_case(host))
            })
        }
        None => site.is_some(),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn secured(web: &Web, mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if web.url.is_https() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    answer
}
