//! Settings of gRPC-Web.

use http::Uri;
use serde::{Deserialize, Serialize};

/// gRPC-Web, on the API's port, over HTTP/2 and HTTP/1.1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcWeb {
    /// Whose pages may call. Callers that name no origin are no pages, and may. Empty: no pages.
    pub allowed_origins: Vec<WebOrigin>,
}

impl GrpcWeb {
    /// For pages that this computer serves, at any port.
    #[must_use]
    pub fn local() -> Self {
        let local = |host: &str| WebOrigin { start: format!("http://{host}"), any_port: true };
        Self { allowed_origins: ["localhost", "127.0.0.1", "[::1]"].map(local).to_vec() }
    }

    /// Whether pages of an origin may call, as a browser names it.
    pub(crate) fn allows(&self, origin: &[u8]) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed.is(origin))
    }
}

/// Where a page comes from: `https://inbox.example.com`, with a port where it is not the scheme's own; `:*` is any port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebOrigin {
    start: String,
    any_port: bool,
}

impl WebOrigin {
    fn is(&self, origin: &[u8]) -> bool {
        let Some(rest) = origin.strip_prefix(self.start.as_bytes()) else { return false };
        match rest {
            [] => true,
            [b':', port @ ..] => self.any_port && !port.is_empty() && port.iter().all(u8::is_ascii_digit),
            _ => false,
        }
    }
}

impl TryFrom<String> for WebOrigin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?}: expected an origin like \"https://inbox.example.com\", without a path; \":*\" is any port"
            )
        };
        let start = text.strip_suffix(":*").unwrap_or(&text);
        let any_port = start.len() < text.len();
        let uri: Uri = start.parse().map_err(|_| refused())?;
        let host = uri.authority().filter(|authority| !authority.as_str().contains(['@', '*']));
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        match (scheme, host) {
            // What is left out of the text, a path, would be there.
            (Some(scheme), Some(host)) if start.len() == scheme.len() + "://".len() + host.as_str().len() => {
                if any_port && host.port().is_some() {
                    return Err(refused());
                }
                Ok(Self { start: start.to_ascii_lowercase(), any_port })
            }
            _ => Err(refused()),
        }
    }
}

impl From<WebOrigin> for String {
    fn from(origin: WebOrigin) -> Self {
        if origin.any_port { origin.start + ":*" } else { origin.start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(origins: &[&str]) -> GrpcWeb {
        let allowed = origins.iter().map(|origin| WebOrigin::try_from((*origin).to_owned()).unwrap());
        GrpcWeb { allowed_origins: allowed.collect() }
    }

    #[test]
    fn an_origin_is_its_scheme_host_and_port() {
        let web = allowing(&["https://Inbox.example.com", "http://a.example:8080"]);
        for origin in ["https://inbox.example.com", "http://a.example:8080"] {
            assert!(web.allows(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "http://inbox.example.com",
            "https://inbox.example.com:8443",
            "https://inbox.example.com.evil.example",
            "https://inbox.example.com@evil.example",
            "https://evil.example",
            "http://a.example",
            "http://a.example:80801",
            "null",
            "",
        ] {
            assert!(!web.allows(origin.as_bytes()), "{origin}");
        }
        assert!(!GrpcWeb::default().allows(b"http://localhost"));
    }

    #[test]
    fn any_port_is_a_port_and_nothing_else() {
        let web = GrpcWeb::local();
        for origin in ["http://localhost", "http://localhost:5173", "http://127.0.0.1:1", "http://[::1]:8080"] {
            assert!(web.allows(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "https://localhost:5173",
            "http://localhost.evil.example",
            "http://localhost:",
            "http://localhost:80.evil.example",
            "http://localhost:80@evil.example",
        ] {
            assert!(!web.allows(origin.as_bytes()), "{origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "*",
            "null",
            "",
            "inbox.example.com",
            "https://",
            "https://*",
            "https://*.example.com",
            "https://inbox.example.com/",
            "https://inbox.example.com/page",
            "https://ana@inbox.example.com",
            "https://inbox.example.com:80:*",
            "ftp://inbox.example.com",
        ] {
            assert!(WebOrigin::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        for text in ["https://inbox.example.com", "http://localhost:*", "http://[::1]:8080"] {
            assert_eq!(String::from(WebOrigin::try_from(text.to_owned()).unwrap()), text);
        }
    }
}
