//! One HTTP POST to a target: to an address that was checked, without following redirects, bounded in time.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use jiff::SignedDuration;
use rustls::ClientConfig;

use super::{
    address::Reach,
    failure::{Failure, Fault},
};

/// So much of an answer is read, to use the connection again; what is longer ends it.
const MAX_ANSWER: usize = 64 << 10;
/// The longest that a target may ask to be left alone.
const MAX_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// Sends to one URL.
pub(super) struct Poster {
    uri: Uri,
    reach: Reach,
    timeout: Duration,
    refusals: &'static [u16],
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a secret.
        f.debug_struct("Poster").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

/// A target's address must not be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a public address, and its network is not in allow_networks")]
struct OutOfReach(IpAddr);

/// Plain HTTP to an address that was not allowed.
#[derive(Debug, thiserror::Error)]
#[error("plain http is for networks in allow_networks alone")]
struct Plain;

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
struct NoAddress;

impl Poster {
    /// To a URL, with TLS that trusts what `tls` does. `refusals` are the statuses by which it says that it has understood a
    /// message, and will never have it.
    pub(super) fn new(uri: Uri, reach: Reach, timeout: Duration, tls: ClientConfig, refusals: &'static [u16]) -> Self {
        let plain = uri.scheme_str() == Some("http");
        let mut connector = HttpConnector::new_with_resolver(Resolver { reach: reach.clone(), plain });
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(timeout));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .build(connector);
        Self { uri, reach, timeout, refusals, client }
    }

    /// Sends, and is content with any answer of 200 to 299.
    pub(super) async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<(), Failure> {
        // A host that is an address is not resolved, and is checked here.
        let host = self.uri.host().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            let plain = self.uri.scheme_str() == Some("http");
            check(&self.reach, plain, address).map_err(|error| Failure::of_target(&*error))?;
        }
        match tokio::time::timeout(self.timeout, self.try_post(headers, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new(Fault::Target, format!("no answer within {} s", self.timeout.as_secs()))),
        }
    }

    async fn try_post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<(), Failure> {
        let mut request = Request::post(self.uri.clone())
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::of_target(&error))?;
        *request.headers_mut() = headers;
        let response = self.client.request(request).await.map_err(|error| Failure::of_target(&error))?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        // Whether all of what it says came is of no interest.
        let said = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let said = said.map(|body| body.to_bytes()).unwrap_or_default();
        judge(status, wait, self.refusals, &said)
    }
}

fn judge(status: StatusCode, wait: Option<SignedDuration>, refusals: &[u16], said: &[u8]) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    let fault = if refusals.contains(&code) { Fault::Lasting } else { Fault::Target };
    let why = match word(said) {
        _ if status.is_redirection() => ": redirects are not followed".to_owned(),
        Some(word) => format!(": {word}"),
        None => String::new(),
    };
    let mut failure = Failure::new(fault, format!("it answered with status {code}{why}"));
    failure.wait = wait;
    Err(failure)
}

/// What it says, if that is one word, like Slack's "no_service". Anything else may hold what it was sent.
fn word(said: &[u8]) -> Option<&str> {
    let word = std::str::from_utf8(said).ok()?.trim();
    let is_word = (1..=60).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then_some(word)
}

fn retry_after(headers: &HeaderMap) -> Option<SignedDuration> {
    let seconds: i64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(SignedDuration::from_secs(seconds.max(0)).min(MAX_WAIT))
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn check(reach: &Reach, plain: bool, address: IpAddr) -> Result<(), BoxError> {
    if !reach.holds(address) {
        return Err(OutOfReach(address).into());
    }
    if plain && !reach.is_allowed(address) {
        return Err(Plain.into());
    }
    Ok(())
}

/// Resolves names to addresses that may be reached. What it returns is what is connected to: a name can't lead elsewhere
/// between the check and the connection.
#[derive(Debug, Clone)]
struct Resolver {
    reach: Reach,
    plain: bool,
}

impl tower::Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { reach, plain } = self.clone();
        Box::pin(async move {
            // The connector sets the port.
            let mut addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut refused = None;
            addresses.retain(|address| match check(&reach, plain, address.ip()) {
                Ok(()) => true,
                Err(error) => {
                    refused = Some(error);
                    false
                }
            });
            match (addresses.is_empty(), refused) {
                (true, Some(error)) => Err(error),
                (true, None) => Err(NoAddress.into()),
                (false, _) => Ok(addresses.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_to_try_again() {
        let fault = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            judge(status, None, &[400, 410], b"").err().map(|failure| failure.fault)
        };
        for (status, expected) in [
            (200, None),
            (204, None),
            (301, Some(Fault::Target)),
            (400, Some(Fault::Lasting)),
            (401, Some(Fault::Target)),
            (404, Some(Fault::Target)),
            (410, Some(Fault::Lasting)),
            (429, Some(Fault::Target)),
            (503, Some(Fault::Target)),
        ] {
            assert_eq!(fault(status), expected, "{status}");
        }
    }

    #[test]
    fn a_word_of_the_answer_is_told_and_a_page_is_not() {
        let reason = |status, said: &str| judge(status, None, &[], said.as_bytes()).unwrap_err().reason;
        assert_eq!(reason(StatusCode::NOT_FOUND, "no_service\n"), "it answered with status 404: no_service");
        for said in ["", "<html>Not found</html>", "Pay invoice", "{\"amount\":1200}", &"a".repeat(61)] {
            assert_eq!(reason(StatusCode::NOT_FOUND, said), "it answered with status 404", "{said}");
        }
        assert_eq!(judge(StatusCode::OK, None, &[200], b"ok"), Ok(()));
    }

    #[test]
    fn a_target_is_left_alone_as_long_as_it_asks_within_bounds() {
        let wait = |value: &str| retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]));
        assert_eq!(wait("7"), Some(SignedDuration::from_secs(7)));
        assert_eq!(wait("99999999"), Some(MAX_WAIT));
        assert_eq!(wait("-5"), Some(SignedDuration::ZERO));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), None);
    }
}
