//! The page on loopback to which a browser comes back.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

use super::LoginError;

pub(super) const PATH: &str = "/callback";

/// How long a browser may take to say what it wants.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What a browser brought: a code, or why there is none.
type Brought = Result<String, LoginError>;

/// Waits for the browser that brings the code. Whoever comes without our state is sent away.
pub(super) async fn wait(listener: &TcpListener, state: &str, issuer: &str) -> Result<String, LoginError> {
    let expected = Arc::new((state.to_owned(), issuer.to_owned()));
    let (bring, mut brought) = mpsc::channel::<Brought>(1);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(brought) = brought.recv() => {
                drain(connections).await;
                return brought;
            }
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // One that failed says nothing about the next.
                let Ok((stream, _)) = accepted else { continue };
                let (expected, bring) = (Arc::clone(&expected), bring.clone());
                let service = service_fn(move |request| {
                    let (expected, bring) = (Arc::clone(&expected), bring.clone());
                    async move { Ok::<_, Infallible>(answer(&request, &expected, &bring)) }
                });
                connections.spawn(async move {
                    let mut server = http1::Builder::new();
                    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).keep_alive(false);
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }
    }
}

/// The browser has yet to read the page.
async fn drain(mut connections: JoinSet<()>) {
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
}

fn answer(
    request: &Request<Incoming>,
    expected: &(String, String),
    bring: &mpsc::Sender<Brought>,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET || request.uri().path() != PATH {
        return page(StatusCode::NOT_FOUND, "There is nothing here.");
    }
    match read(request.uri().query().unwrap_or_default(), expected) {
        None => page(StatusCode::BAD_REQUEST, "This is not the answer that is waited for."),
        Some(brought) => {
            let said = match &brought {
                Ok(_) => "You are signed in. You may close this window, and go back to the terminal.",
                Err(_) => "You are not signed in. The terminal says why.",
            };
            // A second answer is one too many.
            let _ = bring.try_send(brought);
            page(StatusCode::OK, said)
        }
    }
}

/// `None` where it is not about our question.
fn read(query: &str, (state, issuer): &(String, String)) -> Option<Brought> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let field = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if field("state") != Some(state) || field("iss").is_some_and(|iss| iss != issuer) {
        return None;
    }
    match (field("code"), field("error")) {
        (Some(code), None) => Some(Ok(code.to_owned())),
        (_, Some(error)) => {
            let why = field("error_description").map(|why| format!(": {why}")).unwrap_or_default();
            Some(Err(LoginError::Refused(format!("{error}{why}"))))
        }
        (None, None) => None,
    }
}

fn page(status: StatusCode, said: &'static str) -> Response<Full<Bytes>> {
    let html =
        format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>approve</title><p>{said}</p>\n");
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_our_question_counts() {
        let expected = ("s".to_owned(), "https://i".to_owned());
        let read = |query| read(query, &expected);
        assert!(matches!(read("code=c%2B1&state=s"), Some(Ok(code)) if code == "c+1"));
        assert!(matches!(read("code=c&state=s&iss=https%3A%2F%2Fi"), Some(Ok(_))));
        assert!(matches!(read("error=access_denied&state=s"), Some(Err(LoginError::Refused(_)))));
        for other in ["", "code=c", "code=c&state=t", "state=s", "code=c&state=s&iss=https%3A%2F%2Fj", "error=x"] {
            assert!(read(other).is_none(), "{other}");
        }
    }
}
