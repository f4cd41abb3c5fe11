//! Signing in and out: at the identity provider; where callers are believed, by picking a name.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    response::{AppendHeaders, IntoResponse as _, Redirect, Response},
};
use http::{HeaderValue, Method, StatusCode, header::SET_COOKIE, request::Parts};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{
    Web,
    answer::{Problem, Shell, render},
    fields::{Fields, Posted, read_form},
    session::{NoSeal, address},
};
use crate::{
    approval::{Origin, Person},
    audit::AdminEvent,
    auth::{self, Begun, Provider, SignInError},
};

/// Where the provider sends people back to.
pub(crate) const CALLBACK: &str = "/sign-in/callback";
/// The most groups of somebody who is picked.
const MAX_GROUPS: usize = 50;

/// How people sign in.
pub(crate) enum SignIn {
    /// They are believed who they say they are.
    Picked,
    /// At a provider.
    Oidc(Arc<Provider>),
}

/// Who can be picked with one click: enough to try a rule with two people, and one for somebody else.
const PEOPLE: [(&str, &str); 3] = [("ana", "finance"), ("bo", "finance, legal"), ("cleo", "operations")];

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    picked: bool,
    next: String,
    people: [(&'static str, &'static str); 3],
    name: String,
    groups: String,
    error: Option<String>,
}

/// What a sign-in at the provider remembers.
#[derive(Serialize, Deserialize)]
struct Remembered {
    begun: Begun,
    next: String,
}

/// What whoever is not signed in gets: the way to sign in, which leads back to the page.
pub(super) fn required(parts: &Parts) -> Response {
    let asked = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let is_navigation = !parts.headers.contains_key("hx-request") && parts.uri.path() != "/live";
    if parts.method == Method::GET && is_navigation {
        return Redirect::to(&start_url(asked)).into_response();
    }
    // Back to the page that a form is of, not to where it goes.
    let page = match parts.uri.path().strip_suffix("/decide") {
        Some("/bulk") | None => "/",
        Some(page) => page,
    };
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "Your session has ended",
        "Nothing was decided. Sign in again, and then decide.",
    );
    let mut answer = problem.onward(start_url(page), "Sign in").page(None);
    // A list that would be swapped in has no place for that: it is loaded as a page.
    answer.headers_mut().insert("hx-refresh", HeaderValue::from_static("true"));
    answer
}

fn start_url(next: &str) -> String {
    let next: String = form_urlencoded::byte_serialize(local(next).as_bytes()).collect();
    format!("/sign-in/start?next={next}")
}

/// A path of ours; whatever else is asked for becomes the inbox.
fn local(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/sign-");
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_path && is_plain && next.len() <= 2_000 { next } else { "/" }
}

pub(super) async fn page(State(web): State<Arc<Web>>, fields: Fields) -> Response {
    sign_in_page(&web, StatusCode::OK, &fields, None)
}

fn sign_in_page(web: &Web, status: StatusCode, fields: &Fields, error: Option<String>) -> Response {
    let page = SignInPage {
        shell: Shell::new("Sign in", "", None),
        picked: matches!(web.sign_in, SignIn::Picked),
        next: local(fields.get("next")).to_owned(),
        people: PEOPLE,
        name: fields.get("name").to_owned(),
        groups: fields.get("groups").to_owned(),
        error,
    };
    render(status, &page)
}

/// Picks a name. Only where callers are believed.
pub(super) async fn pick(State(web): State<Arc<Web>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if !matches!(web.sign_in, SignIn::Picked) {
        return Problem::new(StatusCode::NOT_FOUND, "There is no such page", "Sign in at the provider.")
            .into_response();
    }
    if !address(&parts).is_some_and(|address| address.ip().to_canonical().is_loopback()) {
        return Problem::new(StatusCode::FORBIDDEN, "Not from here", "Names are picked on this machine alone.")
            .into_response();
    }
    let fields = match read_form(&web, &parts, body).await {
        Ok(fields) => fields,
        Err(problem) => return problem.into_response(),
    };
    match picked(&fields) {
        Ok(person) => begin(&web, &person, fields.get("next")),
        Err(problem) => sign_in_page(&web, StatusCode::UNPROCESSABLE_ENTITY, &fields, Some(problem)),
    }
}

fn picked(fields: &Fields) -> Result<Person, String> {
    let name = fields.some("name").ok_or("Say who you are.")?;
    let named = |kind, text: &str| auth::principal(kind, text).map_err(|problem| format!("{text:?}: {problem}."));
    let principal = named("user", name.trim_start_matches("user:"))?;
    let groups = fields.get("groups").split(',').map(str::trim).filter(|group| !group.is_empty()).take(MAX_GROUPS);
    let groups = groups.map(|group| named("group", group.trim_start_matches("group:")));
    Ok(Person { principal, groups: groups.collect::<Result<_, _>>()? })
}

/// Sends somebody to where they sign in.
pub(super) async fn start(State(web): State<Arc<Web>>, fields: Fields) -> Response {
    let next = local(fields.get("next"));
    let SignIn::Oidc(provider) = &web.sign_in else {
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        return Redirect::to(&format!("/sign-in?next={next}")).into_response();
    };
    let sent = async {
        let (url, begun) = provider.begin().await.map_err(|error| failed(&error))?;
        let cookie = web.sessions.remember(&Remembered { begun, next: next.to_owned() }).map_err(unsealed)?;
        Ok::<_, Problem>(([(SET_COOKIE, cookie)], Redirect::to(&url)).into_response())
    };
    sent.await.unwrap_or_else(Problem::into_response)
}

/// Takes what the provider says of whoever comes back from it.
pub(super) async fn callback(State(web): State<Arc<Web>>, fields: Fields, parts: Parts) -> Response {
    let signed_in = async {
        let SignIn::Oidc(provider) = &web.sign_in else { return Err(super::answer::no_page().await) };
        let Some(Remembered { begun, next }) = web.sessions.remembered(&parts.headers) else {
            return Err(again("It took too long, or was begun in another browser."));
        };
        let state = fields.get("state").as_bytes();
        if aws_lc_rs::constant_time::verify_slices_are_equal(state, begun.state.as_bytes()).is_err() {
            return Err(again("What came back is the answer to another sign-in."));
        }
        web.limits
            .login(address(&parts).map(|address| address.ip()))
            .map_err(crate::operations::OperationError::Auth)?;
        let person = match fields.some("code") {
            Some(code) => provider.finish(code, &begun).await,
            None => Err(SignInError::Refused),
        };
        match person {
            Ok(person) => Ok((person, next)),
            Err(error) => {
                if !matches!(error, SignInError::Provider(_) | SignInError::Random) {
                    refused(&web, &parts, &error).await;
                }
                Err(failed(&error))
            }
        }
    };
    match signed_in.await {
        Ok((person, next)) => {
            let mut answer = begin(&web, &person, &next);
            if let Ok(cookie) = web.sessions.forget() {
                answer.headers_mut().append(SET_COOKIE, cookie);
            }
            answer
        }
        Err(problem) => problem.into_response(),
    }
}

/// Keeps that somebody was not let in.
async fn refused(web: &Web, parts: &Parts, error: &SignInError) {
    let address = address(parts).map(|address| address.ip().to_string());
    info!(address, reason = error as &dyn std::error::Error, "a sign-in was refused");
    let unknown = Origin { address, ..Origin::system("web") };
    let event = AdminEvent::AuthenticationRefused { method: CALLBACK.to_owned(), problem: error.to_string() };
    let recorded = web.operations.store.record(unknown, None, None, event, web.operations.clock.now()).await;
    if let Err(error) = recorded {
        warn!(error = &error as &dyn std::error::Error, "a refused sign-in was not recorded");
    }
}

fn begin(web: &Web, person: &Person, next: &str) -> Response {
    match web.sessions.begin(person) {
        Ok(cookies) => with_cookies(cookies, local(next)),
        Err(error) => unsealed(error).into_response(),
    }
}

pub(super) async fn out(State(web): State<Arc<Web>>, _: Posted) -> Response {
    match web.sessions.end() {
        Ok(cookies) => with_cookies(cookies, "/sign-in"),
        Err(error) => unsealed(error).into_response(),
    }
}

fn with_cookies(cookies: Vec<HeaderValue>, to: &str) -> Response {
    let cookies = AppendHeaders(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)).collect::<Vec<_>>());
    (cookies, Redirect::to(to)).into_response()
}

fn failed(error: &SignInError) -> Problem {
    match error {
        SignInError::Provider(_) | SignInError::Random => {
            warn!(error = error as &dyn std::error::Error, "nobody can sign in");
            let text = "The identity provider does not answer as it should. Try again in a while.";
            Problem::new(StatusCode::BAD_GATEWAY, "You can't sign in now", text).onward("/sign-in", "Try again")
        }
        SignInError::Refused | SignInError::Token(_) => {
            again("The identity provider did not let you in, or what it says of you is not accepted here.")
        }
    }
}

fn again(text: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "You are not signed in", text).onward("/sign-in", "Try again")
}

fn unsealed(error: NoSeal) -> Problem {
    warn!(error = &error as &dyn std::error::Error, "a session can't begin");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "You can't sign in now", "An operator has to look at it.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comes_back_to_a_page_of_ours_and_to_none_else() {
        for ours in ["/", "/history?text=a%20b", "/approvals/apr_1"] {
            assert_eq!(local(ours), ours);
        }
        for other in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "/sign-out", "javascript:x"]
        {
            assert_eq!(local(other), "/", "{other:?}");
        }
    }
}
