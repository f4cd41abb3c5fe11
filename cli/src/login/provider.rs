//! What a provider says about itself.

use http::Uri;
use serde::Deserialize;

use super::{
    LoginError, Wanted,
    http::{Http, HttpError},
};
use crate::settings::Flow;

/// A provider's addresses: its OpenID discovery document.
#[derive(Debug, Deserialize)]
pub(super) struct Provider {
    pub issuer: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: String,
    pub device_authorization_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
}

impl Provider {
    pub(super) async fn discover(http: &Http, issuer: &str) -> Result<Self, LoginError> {
        check("the issuer", issuer).map_err(LoginError::Settings)?;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let request = http::Request::get(&url).header("accept", "application/json").body(Vec::new());
        let request = request.map_err(|error| LoginError::Settings(format!("issuer {issuer:?}: {error}")))?;
        let response = http.send(request).await.map_err(LoginError::Unavailable)?;
        if response.status() != http::StatusCode::OK {
            return Err(LoginError::Unavailable(HttpError::Status(response.status())));
        }
        let provider: Self = serde_json::from_slice(response.body())
            .map_err(|error| LoginError::Answer(format!("to what it is can't be read: {error}")))?;
        // Else whoever answers here could send us anywhere in another's name.
        if provider.issuer != issuer {
            let other = &provider.issuer;
            return Err(LoginError::Settings(format!("it calls itself {other:?}; the issuer has to be just that")));
        }
        provider.check()?;
        Ok(provider)
    }

    fn check(&self) -> Result<(), LoginError> {
        let named = [
            ("token_endpoint", Some(&self.token_endpoint)),
            ("authorization_endpoint", self.authorization_endpoint.as_ref()),
            ("device_authorization_endpoint", self.device_authorization_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
        ];
        for (name, url) in named {
            if let Some(url) = url {
                check(name, url).map_err(LoginError::Answer)?;
            }
        }
        Ok(())
    }

    /// The way to sign in: the one that is wanted, else the one that can be gone.
    pub(super) fn flow(&self, wanted: &Wanted) -> Flow {
        let device = !wanted.has_display && self.device_authorization_endpoint.is_some();
        wanted.flow.unwrap_or(if device { Flow::Device } else { Flow::Browser })
    }
}

/// Tokens are not sent in the clear beyond this computer.
fn check(what: &str, url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("{what} {url:?} is not a URL"))?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let near = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if near => Ok(()),
        _ => Err(format!("{what} {url:?} does not begin with https://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(device: bool) -> Provider {
        Provider {
            issuer: "https://login.example.com".into(),
            authorization_endpoint: Some("https://login.example.com/a".into()),
            token_endpoint: "https://login.example.com/t".into(),
            device_authorization_endpoint: device.then(|| "https://login.example.com/d".into()),
            revocation_endpoint: None,
        }
    }

    fn wanted(flow: Option<Flow>, has_display: bool) -> Wanted {
        Wanted {
            issuer: String::new(),
            client_id: String::new(),
            scopes: Vec::new(),
            audience: None,
            kind: crate::settings::TokenKind::Id,
            flow,
            ca: None,
            open_browser: false,
            has_display,
        }
    }

    #[test]
    fn a_device_code_is_for_where_there_is_no_display() {
        assert_eq!(provider(true).flow(&wanted(None, true)), Flow::Browser);
        assert_eq!(provider(true).flow(&wanted(None, false)), Flow::Device);
        assert_eq!(provider(false).flow(&wanted(None, false)), Flow::Browser);
        assert_eq!(provider(true).flow(&wanted(Some(Flow::Device), true)), Flow::Device);
    }

    #[test]
    fn nothing_goes_in_the_clear_beyond_this_computer() {
        assert!(provider(true).check().is_ok());
        for near in ["http://127.0.0.1:1/t", "http://localhost/t", "http://[::1]:1/t", "https://x/t"] {
            assert_eq!(check("it", near), Ok(()), "{near}");
        }
        for far in ["http://login.example.com/t", "ftp://127.0.0.1/t", "file:///t", "login", ""] {
            assert!(check("it", far).is_err(), "{far}");
        }
    }
}
