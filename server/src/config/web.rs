//! Settings of the web inbox.

use std::{fmt, path::PathBuf, time::Duration};

use http::uri::{Authority, Uri};
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, IdentityMode, value_error};
use crate::approval::ApprovalId;

/// The inbox for approvers, served beside gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Where people reach it: scheme and host, as in `https://approve.example.com`. Absent: the address that is served,
    /// which then is loopback.
    pub public_url: Option<String>,
    /// How long a session lasts, in minutes. 1 to 1,440.
    pub session_minutes: u32,
    /// A file of at least 32 bytes that seals sessions: the same for all servers of one database. Absent: a new key at
    /// every start, which ends all sessions.
    pub session_key_file: Option<PathBuf>,
    /// Where people sign in. Absent: nowhere, they pick a name; only where callers are believed.
    pub oidc: Option<Oidc>,
}

impl Default for Web {
    fn default() -> Self {
        Self { public_url: None, session_minutes: 480, session_key_file: None, oidc: None }
    }
}

/// An OpenID Connect provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Its name: that of one of `[[auth.jwt]]`, whose keys, algorithms and claims hold here, too.
    pub issuer: String,
    /// What it knows this server by: the audience of its ID tokens.
    pub client_id: String,
    /// A file with what this server shows it. Absent: nothing, a public client.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for; "openid" is in any case.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
}

fn default_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}

/// Where people reach the inbox: scheme and authority, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    https: bool,
    authority: Authority,
}

impl PublicUrl {
    /// That of a setting: https, or http on loopback.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| format!("{text:?} is no URL"))?;
        let parts = uri.into_parts();
        let authority = parts.authority.ok_or_else(|| format!("{text:?}: expected a host"))?;
        if parts.path_and_query.is_some_and(|path| path.as_str() != "/") || authority.as_str().contains('@') {
            return Err(format!("{text:?}: expected scheme, host and port alone"));
        }
        let url = |https| Self { https, authority: authority.clone() };
        match parts.scheme.as_ref().map(http::uri::Scheme::as_str) {
            Some("https") => Ok(url(true)),
            Some("http") if is_loopback(authority.host()) => Ok(url(false)),
            _ => Err(format!("{text:?}: expected https://, or http:// on loopback")),
        }
    }

    /// Whether it is encrypted on its way.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The page of an approval.
    #[must_use]
    pub fn approval(&self, id: &ApprovalId) -> String {
        format!("{self}/approvals/{id}")
    }

    /// Whether it leads to this machine alone.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.authority.host())
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Web {
    /// How long a session lasts.
    #[must_use]
    pub fn session(&self) -> Duration {
        Duration::from_secs(u64::from(self.session_minutes) * 60)
    }

    /// Where people reach it, if that is said.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn url(&self) -> Result<Option<PublicUrl>, ConfigError> {
        let read = |text: &String| PublicUrl::read(text).map_err(|problem| value_error("web.public_url", problem));
        self.public_url.as_ref().map(read).transpose()
    }

    /// Reads the key that seals sessions.
    ///
    /// # Errors
    /// Where the file can't be read, or is short.
    pub fn session_key(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(path) = &self.session_key_file else { return Ok(None) };
        let bad = |problem: String| value_error("web.session_key_file", format!("{}: {problem}", path.display()));
        let key = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
        if key.len() < 32 {
            return Err(bad("expected at least 32 bytes, as of: openssl rand -base64 48".to_owned()));
        }
        Ok(Some(key))
    }
}

impl Oidc {
    /// Reads what this server shows the provider.
    ///
    /// # Errors
    /// Where the file can't be read, or is empty.
    pub fn client_secret(&self) -> Result<Option<String>, ConfigError> {
        let Some(path) = &self.client_secret_file else { return Ok(None) };
        let bad = |problem: &str| value_error("web.oidc.client_secret_file", format!("{}: {problem}", path.display()));
        let secret = std::fs::read_to_string(path).map_err(|error| bad(&error.to_string()))?;
        match secret.trim() {
            "" => Err(bad("it is empty")),
            secret => Ok(Some(secret.to_owned())),
        }
    }
}

impl Config {
    pub(super) fn check_web(&self) -> Result<(), ConfigError> {
        let Some(web) = &self.web else { return Ok(()) };
        let url = web.url()?;
        if !(1..=1_440).contains(&web.session_minutes) {
            return Err(value_error("web.session_minutes", "expected 1 to 1,440"));
        }
        if self.store.is_some() && web.session_key_file.is_none() {
            let problem = "expected a file: servers that share a database have to read each other's sessions";
            return Err(value_error("web.session_key_file", problem));
        }
        let Some(oidc) = &web.oidc else {
            if self.identity() != IdentityMode::Trust {
                let problem = "expected [web.oidc] with issuer and client_id: people have to show who they are";
                return Err(value_error("web.oidc", problem));
            }
            if url.is_some_and(|url| !url.is_loopback()) {
                let problem = "callers are believed here, so it is for loopback alone; or set [web.oidc]";
                return Err(value_error("web.public_url", problem));
            }
            return Ok(());
        };
        if url.is_none() {
            return Err(value_error("web.public_url", "expected a URL: the provider sends people back to it"));
        }
        if oidc.client_id.is_empty() {
            return Err(value_error("web.oidc.client_id", "expected a text that is not empty"));
        }
        if !self.auth.jwt.iter().any(|jwt| jwt.issuer == oidc.issuer) {
            let problem = format!("{:?}: expected the issuer of one of [[auth.jwt]]", oidc.issuer);
            return Err(value_error("web.oidc.issuer", problem));
        }
        let issuer = oidc.issuer.parse::<Uri>().ok();
        let loopback = |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some_and(is_loopback);
        if !issuer.is_some_and(|uri| uri.scheme_str() == Some("https") || loopback(&uri)) {
            return Err(value_error("web.oidc.issuer", "expected https://, or http:// on loopback"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_host_and_encrypted_beyond_loopback() {
        assert_eq!(PublicUrl::read("https://a.example:8443/").unwrap().to_string(), "https://a.example:8443");
        assert!(PublicUrl::read("http://127.0.0.1:50051").unwrap().is_loopback());
        for bad in ["http://a.example", "a.example", "https://a.example/inbox", "https://u@a.example", "", "ftp://a"] {
            assert!(PublicUrl::read(bad).is_err(), "{bad}");
        }
    }
}
