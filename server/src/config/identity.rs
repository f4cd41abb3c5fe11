//! Settings of TLS, of who callers are, and of what they may do.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value},
};

use super::{Config, ConfigError, value_error};
use crate::{
    approval::{Scope, WorkflowPattern},
    auth::{Permission, check_member},
};

/// How the API is encrypted. All files are PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate, and those between it and its root.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// The roots of clients' certificates. Absent: none are asked for.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    #[serde(default)]
    pub require_client_cert: bool,
}

/// How callers show who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Whether callers are believed who they say they are. Absent: on loopback, where nothing else says who they are.
    pub trust_callers: Option<bool>,
    /// Whether API tokens are taken. Absent: where callers are not believed.
    pub api_tokens: Option<bool>,
    /// Issuers of JWTs.
    #[serde(deserialize_with = "one_or_several")]
    pub jwt: Vec<Jwt>,
    /// How a client's certificate names them. Absent: it does not.
    pub certificates: Option<Certificates>,
}

/// What signs a JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum JwtAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Whether somebody is a person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// `user:<name>`
    User,
    /// `service:<name>`
    Service,
}

impl PrincipalKind {
    /// As it begins a principal.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
        }
    }
}

/// An issuer of JWTs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// Its name, exactly as in `iss`.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// Where its keys are, as a JWK set. https, or http on loopback.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Roots of the URL's certificate, in PEM. Absent: the system's.
    #[serde(default)]
    pub jwks_ca_file: Option<PathBuf>,
    /// A file with its keys, in place of the URL. Read again when it changes.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// The algorithms that are taken.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<JwtAlgorithm>,
    /// The claim that names the caller.
    #[serde(default = "default_user_claim")]
    pub user_claim: String,
    /// The claim with their groups: an array, or a text with spaces or commas. Dots lead into objects.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// What its callers are.
    #[serde(default = "default_kind")]
    pub principal: PrincipalKind,
    /// Put before names of callers and groups, so that those of several issuers never meet.
    #[serde(default)]
    pub name_prefix: String,
    /// How far clocks may be apart, in seconds. At most 300.
    #[serde(default = "default_leeway")]
    pub leeway_seconds: u32,
    /// How often its keys are read again, in seconds. 1 to 86,400.
    #[serde(default = "default_refresh")]
    pub refresh_seconds: u32,
}

fn default_algorithms() -> Vec<JwtAlgorithm> {
    vec![JwtAlgorithm::RS256, JwtAlgorithm::ES256]
}

fn default_user_claim() -> String {
    "sub".to_owned()
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

fn default_kind() -> PrincipalKind {
    PrincipalKind::User
}

fn default_leeway() -> u32 {
    30
}

fn default_refresh() -> u32 {
    300
}

/// Which part of a certificate names its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateName {
    /// A URI among the subject's alternative names, such as a SPIFFE id.
    Uri,
    /// A DNS name among them.
    Dns,
    /// An email address among them.
    Email,
    /// The subject's common name.
    Cn,
}

/// How a client's certificate names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificates {
    /// Which part of it does.
    pub principal: CertificateName,
    /// What names become, by their beginning; the longest that fits counts, and a name that fits none is refused.
    /// Empty: URIs and DNS names are services, email addresses and common names are users.
    #[serde(default)]
    pub map: Vec<CertificateMap>,
}

/// What a certificate's name becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateMap {
    /// How the name begins; left out of the caller's.
    pub prefix: String,
    /// What such callers are.
    pub kind: PrincipalKind,
}

/// What some callers may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Names it, for people.
    pub name: String,
    /// Who has it: "user:…", "group:…", "service:…", or "anyone" who shows who they are.
    pub members: Vec<String>,
    /// What they may do.
    pub permissions: Vec<Permission>,
    /// In which workflows; a "*" at the end matches any rest. Empty: in all.
    #[serde(default)]
    pub workflows: Vec<WorkflowPattern>,
    /// For approvals with all these labels. Empty: for all.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Role {
    /// Where it holds.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope { workflows: self.workflows.clone(), labels: self.labels.clone() }
    }
}

/// How the server knows who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityMode {
    /// By their own word.
    Trust,
    /// By what they show.
    Checked {
        /// Whether API tokens are taken.
        api_tokens: bool,
    },
}

const EXAMPLE_IDENTITY: &str = "set [tls] cert_file and key_file, and one of [[auth.jwt]] (issuer, audience, jwks_url), \
                                [auth.certificates] (with tls.client_ca_file) or [auth] api_tokens = true";

const EXAMPLE_ROLE: &str = "there is no [[role]], so nobody could do anything; for example:\n\n  [[role]]\n  \
                            name = \"approvers\"\n  members = [\"group:finance\"]\n  \
                            permissions = [\"view\", \"decide\"]\n  workflows = [\"pay-*\"]\n";

impl Config {
    /// How the server knows who calls.
    #[must_use]
    pub fn identity(&self) -> IdentityMode {
        let shown = !self.auth.jwt.is_empty() || self.auth.certificates.is_some() || self.auth.api_tokens == Some(true);
        if self.auth.trust_callers.unwrap_or(!shown && self.listen.ip().is_loopback()) {
            IdentityMode::Trust
        } else {
            IdentityMode::Checked { api_tokens: self.auth.api_tokens.unwrap_or(true) }
        }
    }

    pub(super) fn check_identity(&self) -> Result<(), ConfigError> {
        let shown = !self.auth.jwt.is_empty() || self.auth.certificates.is_some() || self.auth.api_tokens == Some(true);
        let loopback = self.listen.ip().is_loopback();
        let beyond = || format!("{} is not a loopback address", self.listen);
        match self.identity() {
            IdentityMode::Trust if shown => {
                return Err(value_error(
                    "auth.trust_callers",
                    "callers are either trusted to say who they are, or show it: leave this out, or the rest of [auth]",
                ));
            }
            IdentityMode::Trust if !loopback => {
                let problem = format!(
                    "{}, where callers are not trusted to say who they are: {EXAMPLE_IDENTITY}; or serve loopback",
                    beyond()
                );
                return Err(value_error("auth.trust_callers", problem));
            }
            IdentityMode::Checked { .. } if !shown => {
                let problem = if loopback {
                    format!("nothing else says who callers are: {EXAMPLE_IDENTITY}")
                } else {
                    format!(
                        "{}, and nothing says who callers are: {EXAMPLE_IDENTITY}; or set listen = \"127.0.0.1:{}\"",
                        beyond(),
                        self.listen.port()
                    )
                };
                return Err(value_error(if loopback { "auth.trust_callers" } else { "listen" }, problem));
            }
            IdentityMode::Trust | IdentityMode::Checked { .. } => {}
        }
        if !loopback && self.tls.is_none() {
            return Err(value_error("tls", format!("{}, which needs TLS: set cert_file and key_file", beyond())));
        }
        self.check_certificates()?;
        for (at, jwt) in self.auth.jwt.iter().enumerate() {
            jwt.check(&format!("auth.jwt[{at}]"))?;
            let same = |other: &Jwt| other.issuer == jwt.issuer && other.audience == jwt.audience;
            if self.auth.jwt.iter().take(at).any(same) {
                return Err(value_error(format!("auth.jwt[{at}].issuer"), "stands twice with the same audience"));
            }
        }
        self.check_roles()
    }

    fn check_certificates(&self) -> Result<(), ConfigError> {
        let roots = self.tls.as_ref().and_then(|tls| tls.client_ca_file.as_ref());
        if let Some(certificates) = &self.auth.certificates {
            if roots.is_none() {
                let problem = "certificates can't be checked without [tls] client_ca_file";
                return Err(value_error("auth.certificates", problem));
            }
            for (at, map) in certificates.map.iter().enumerate() {
                if certificates.map.iter().take(at).any(|other| other.prefix == map.prefix) {
                    return Err(value_error(format!("auth.certificates.map[{at}].prefix"), "stands twice"));
                }
            }
        }
        match &self.tls {
            Some(tls) if tls.require_client_cert && roots.is_none() => {
                Err(value_error("tls.require_client_cert", "there is no client_ca_file to check them with"))
            }
            Some(tls) if roots.is_some() && !tls.require_client_cert && self.auth.certificates.is_none() => Err(
                value_error("tls.client_ca_file", "is of no use without [auth.certificates] or require_client_cert"),
            ),
            _ => Ok(()),
        }
    }

    fn check_roles(&self) -> Result<(), ConfigError> {
        let needs_roles = !self.auth.jwt.is_empty() || self.auth.certificates.is_some();
        if needs_roles && self.role.is_empty() {
            return Err(value_error("role", EXAMPLE_ROLE));
        }
        for (at, role) in self.role.iter().enumerate() {
            let key = |name: &str| format!("role[{at}].{name}");
            for (of, member) in role.members.iter().enumerate() {
                check_member(member).map_err(|problem| value_error(key(&format!("members[{of}]")), problem))?;
            }
            if role.members.is_empty() {
                return Err(value_error(key("members"), "expected somebody, or \"anyone\""));
            }
            if role.permissions.is_empty() {
                return Err(value_error(key("permissions"), "expected at least one"));
            }
        }
        Ok(())
    }
}

impl Jwt {
    fn check(&self, key: &str) -> Result<(), ConfigError> {
        let below = |name: &str| format!("{key}.{name}");
        for (name, text) in [("issuer", &self.issuer), ("audience", &self.audience), ("user_claim", &self.user_claim)] {
            if text.is_empty() {
                return Err(value_error(below(name), "expected a text that is not empty"));
            }
        }
        if self.algorithms.is_empty() {
            return Err(value_error(below("algorithms"), "expected at least one"));
        }
        if self.leeway_seconds > 300 {
            return Err(value_error(below("leeway_seconds"), "expected at most 300"));
        }
        if !(1..=86_400).contains(&self.refresh_seconds) {
            return Err(value_error(below("refresh_seconds"), "expected 1 to 86,400"));
        }
        match (&self.jwks_url, &self.jwks_file) {
            (Some(_), Some(_)) => Err(value_error(below("jwks_file"), "expected either this or jwks_url")),
            (None, None) => Err(value_error(below("jwks_url"), "expected this or jwks_file: where the keys are")),
            (None, Some(_)) => Ok(()),
            (Some(url), None) => {
                let uri: http::Uri =
                    url.parse().map_err(|_| value_error(below("jwks_url"), format!("{url:?} is no URL")))?;
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
                let loopback =
                    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                match uri.scheme_str() {
                    Some("https") => Ok(()),
                    Some("http") if loopback => Ok(()),
                    _ => Err(value_error(below("jwks_url"), format!("{url:?}: expected https://"))),
                }
            }
        }
    }
}

/// One table, or an array of tables.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Jwt>, D::Error> {
    struct OneOrSeveral;

    impl<'de> Visitor<'de> for OneOrSeveral {
        type Value = Vec<Jwt>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table [auth.jwt], or several [[auth.jwt]]")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Jwt>, A::Error> {
            Ok(vec![Jwt::deserialize(value::MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<Jwt>, A::Error> {
            Vec::deserialize(value::SeqAccessDeserializer::new(seq))
        }
    }

    deserializer.deserialize_any(OneOrSeveral)
}
