//! Settings of who is told what.

mod developer;
mod hook_url;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use http::Uri;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

pub use self::hook_url::HookUrl;
use super::{ConfigError, value_error};
use crate::{
    approval::{Principal, Scope, WorkflowPattern},
    notify::{
        ChannelSettings, Directory, Encryption, HttpSettings, Include, Kind, MIN_KEY, Reach, Route, Server, Settings,
        Signer, TargetSettings, To,
    },
};

/// Who is told what happens to approvals. Nobody where there are no targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// Files of at least 32 bytes that sign links. The first signs; links of the others are taken, too, so that a key is
    /// changed while both are in use. Absent: one is made in the data folder; with `store` they are needed, the same for
    /// all servers, for links that are signed.
    pub link_key_files: Vec<PathBuf>,
    /// Hours for which a signed link holds. 1 to 720.
    pub link_hours: u32,
    /// Mail addresses of people and groups.
    pub addresses: BTreeMap<String, Vec<String>>,
    /// The domain of the addresses of people who are not in `addresses`. Absent: they get no mail.
    pub domain: Option<String>,
    /// Where messages go.
    pub target: Vec<Target>,
    /// Which messages go where.
    pub route: Vec<NotifyRoute>,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            link_key_files: Vec::new(),
            link_hours: 72,
            addresses: BTreeMap::new(),
            domain: None,
            target: Vec::new(),
            route: Vec::new(),
        }
    }
}

/// Where messages go: one of `webhook`, `slack` and `email`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name: 1 to 40 characters of [A-Za-z0-9_-]. Under another name it is another target, which is told nothing of
    /// before.
    pub name: String,
    /// A webhook.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// A channel of Slack's.
    #[serde(default)]
    pub slack: Option<Slack>,
    /// Mail.
    #[serde(default)]
    pub email: Option<Email>,
    /// What it is told beyond the facts: "description", "comments", "payload".
    #[serde(default)]
    pub include: Vec<Include>,
    /// Seconds that one try may take. 1 to 60.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
    /// Messages under way at once. 1 to 64. Slack gets one at a time.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// Hours after which a message is given up. 1 to 720.
    #[serde(default = "default_give_up")]
    pub give_up_hours: u32,
}

fn default_timeout() -> u32 {
    10
}

fn default_concurrency() -> usize {
    4
}

fn default_give_up() -> u32 {
    72
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its URL: https, or http to `allow_networks`. One that is secret belongs into `url_file`.
    #[serde(default)]
    pub url: Option<HookUrl>,
    /// A file that holds it.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// Files of secrets that sign, "whsec_…". Several while they are changed: each signs. Absent: nothing is signed.
    #[serde(default)]
    pub secret_files: Vec<PathBuf>,
    /// Networks that it may be in although they are not public: "10.1.0.0/16", "127.0.0.1/32".
    #[serde(default)]
    pub allow_networks: Vec<String>,
    /// Roots of its certificate, in PEM. Absent: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// A channel of Slack's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// A file with the URL of an incoming webhook, which is secret.
    pub url_file: PathBuf,
    /// Networks that it may be in although they are not public.
    #[serde(default)]
    pub allow_networks: Vec<String>,
    /// Roots of its certificate, in PEM. Absent: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How a mail server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// TLS after STARTTLS; nothing is sent without.
    Starttls,
    /// TLS from the start.
    Tls,
    /// None: on loopback alone, and without a password.
    None,
}

/// Mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The mail server's name.
    pub server: String,
    /// Its port. Absent: 587 for STARTTLS, 465 for TLS, 25 without.
    #[serde(default)]
    pub port: Option<u16>,
    /// How it is reached.
    #[serde(default = "default_tls")]
    pub tls: MailTls,
    /// Roots of its certificate, in PEM. Absent: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Who signs in. Absent: nobody.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with their password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Who writes: "Approvals <approvals@example.com>".
    pub from: String,
    /// Whom it goes to: "approvers", who are asked; "requester", who hears how it ended; and addresses, of everything.
    #[serde(default = "default_to")]
    pub to: Vec<String>,
}

fn default_tls() -> MailTls {
    MailTls::Starttls
}

fn default_to() -> Vec<String> {
    vec!["approvers".to_owned(), "requester".to_owned()]
}

/// Which messages go where. What is not set holds for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyRoute {
    /// Names of targets.
    pub to: Vec<String>,
    /// What happened: "requested", "reminder", "escalation", "decided", "expired", "canceled".
    #[serde(default)]
    pub on: Vec<Kind>,
    /// To approvals of workflows with one of these names; a "*" at the end matches any rest.
    #[serde(default)]
    pub workflows: Vec<WorkflowPattern>,
    /// With all these labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// That one of these is asked about: "group:finance".
    #[serde(default)]
    pub approvers: Vec<String>,
}

impl Notify {
    /// What is told to whom. Reads the files of secrets.
    ///
    /// # Errors
    /// Where a setting or a file can't be used.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        if !(1..=720).contains(&self.link_hours) {
            return Err(value_error("notify.link_hours", "expected 1 to 720"));
        }
        let mut routes = self.routes()?;
        let mut names = BTreeSet::new();
        let mut targets = Vec::new();
        for (at, target) in self.target.iter().enumerate() {
            let key = |name: &str| format!("notify.target[{at}].{name}");
            if !names.insert(&target.name) {
                return Err(value_error(key("name"), format!("{:?} stands twice", target.name)));
            }
            let Some(routes) = routes.remove(&*target.name) else {
                let problem = format!("no [[notify.route]] leads to {:?}: to = [{:?}]", target.name, target.name);
                return Err(value_error(key("name"), problem));
            };
            targets.push(target.settings(routes, key)?);
        }
        if let Some(name) = routes.into_keys().next() {
            return Err(value_error("notify.route", format!("there is no target {name:?}")));
        }
        Ok(Settings { directory: self.directory()?, targets })
    }

    /// By target.
    fn routes(&self) -> Result<BTreeMap<&str, Vec<Route>>, ConfigError> {
        let mut routes: BTreeMap<&str, Vec<Route>> = BTreeMap::new();
        for (at, route) in self.route.iter().enumerate() {
            if route.to.is_empty() {
                return Err(value_error(format!("notify.route[{at}].to"), "expected the name of a target"));
            }
            let approvers =
                route.approvers.iter().map(|name| principal(&format!("notify.route[{at}].approvers"), name));
            let read = Route {
                on: route.on.clone(),
                scope: Scope { workflows: route.workflows.clone(), labels: route.labels.clone() },
                approvers: approvers.collect::<Result<_, _>>()?,
            };
            for name in &route.to {
                routes.entry(name).or_default().push(read.clone());
            }
        }
        Ok(routes)
    }

    fn directory(&self) -> Result<Directory, ConfigError> {
        let mut addresses = BTreeMap::new();
        for (name, of) in &self.addresses {
            let key = format!("notify.addresses.{name}");
            for text in of {
                address(&key, text)?;
            }
            addresses.insert(principal(&key, name)?, of.clone());
        }
        if let Some(domain) = &self.domain {
            address("notify.domain", &format!("somebody@{domain}"))?;
        }
        Ok(Directory { addresses, domain: self.domain.clone() })
    }

    /// The keys of links, if there are files of them.
    ///
    /// # Errors
    /// Where a file can't be read, or is short.
    pub fn link_keys(&self) -> Result<Vec<Vec<u8>>, ConfigError> {
        let read = |path: &PathBuf| {
            let key = std::fs::read(path).map_err(|source| ConfigError::File { path: path.clone(), source })?;
            if key.len() < MIN_KEY {
                let problem = format!("{}: expected at least {MIN_KEY} bytes", path.display());
                return Err(value_error("notify.link_key_files", problem));
            }
            Ok(key)
        };
        self.link_key_files.iter().map(read).collect()
    }
}

fn principal(key: &str, name: &str) -> Result<Principal, ConfigError> {
    name.parse().map_err(|error| value_error(key, format!("{name:?}: {error}")))
}

fn address(key: &str, text: &str) -> Result<lettre::Address, ConfigError> {
    text.parse().map_err(|_| value_error(key, format!("{text:?} is no mail address")))
}

/// A file's text, without white space around it.
fn secret(path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

impl Target {
    fn settings(&self, routes: Vec<Route>, key: impl Fn(&str) -> String) -> Result<TargetSettings, ConfigError> {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(1..=40).contains(&self.name.len()) || !self.name.chars().all(known) {
            return Err(value_error(key("name"), "expected 1 to 40 characters of [A-Za-z0-9_-]"));
        }
        for (name, value, bounds) in [
            ("timeout_seconds", u64::from(self.timeout_seconds), 1..=60),
            ("concurrency", self.concurrency as u64, 1..=64),
            ("give_up_hours", u64::from(self.give_up_hours), 1..=720),
        ] {
            if !bounds.contains(&value) {
                return Err(value_error(key(name), format!("expected {} to {}", bounds.start(), bounds.end())));
            }
        }
        let channel = match (&self.webhook, &self.slack, &self.email) {
            (Some(webhook), None, None) => webhook.settings(|name| key(&format!("webhook.{name}")))?,
            (None, Some(slack), None) => slack.settings(|name| key(&format!("slack.{name}")))?,
            (None, None, Some(email)) => ChannelSettings::Email(email.settings(|name| key(&format!("email.{name}")))?),
            _ => return Err(value_error(key("name"), "expected one of webhook, slack and email beside the name")),
        };
        if self.slack.is_some() && !self.include.is_empty() {
            return Err(value_error(key("include"), "Slack is told the facts alone"));
        }
        Ok(TargetSettings {
            name: self.name.clone(),
            channel,
            include: self.include.clone(),
            routes,
            timeout: Duration::from_secs(self.timeout_seconds.into()),
            // More than one a second is too much for it.
            concurrency: if self.slack.is_some() { 1 } else { self.concurrency },
            give_up_after: SignedDuration::from_hours(self.give_up_hours.into()),
        })
    }
}

fn reach(key: &str, networks: &[String]) -> Result<Reach, ConfigError> {
    let read = |text: &String| {
        let problem = || value_error(key, format!("{text:?}: expected a network, like \"10.1.0.0/16\""));
        text.parse().map_err(|_| problem())
    };
    Ok(Reach { allowed: networks.iter().map(read).collect::<Result<_, _>>()? })
}

/// A URL that may be posted to, as far as that can be told without its address.
fn hook(key: &str, text: &str, reach: &Reach) -> Result<Uri, ConfigError> {
    let refuse = |problem: &str| Err(value_error(key, problem));
    let Ok(uri) = text.parse::<Uri>() else { return refuse("expected a URL") };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return refuse("expected a URL with scheme and host");
    };
    if authority.as_str().contains('@') {
        return refuse("expected no user and password: a URL is shown to operators");
    }
    match scheme {
        "https" => Ok(uri),
        "http" if !reach.allowed.is_empty() => Ok(uri),
        "http" => refuse("expected https, or allow_networks that the host is in"),
        _ => refuse("expected https"),
    }
}

impl Webhook {
    fn settings(&self, key: impl Fn(&str) -> String) -> Result<ChannelSettings, ConfigError> {
        let reach = reach(&key("allow_networks"), &self.allow_networks)?;
        let url = match (&self.url, &self.url_file) {
            (Some(url), None) => hook(&key("url"), url.reveal(), &reach)?,
            (None, Some(path)) => hook(&key("url_file"), &secret(path)?, &reach)?,
            _ => return Err(value_error(key("url"), "expected either url or url_file")),
        };
        let secrets = self.secret_files.iter().map(|path| secret(path)).collect::<Result<Vec<_>, _>>()?;
        let signer = match secrets.as_slice() {
            [] => None,
            some => {
                let signer = Signer::new(some.iter().map(String::as_str));
                Some(signer.map_err(|error| value_error(key("secret_files"), error.to_string()))?)
            }
        };
        Ok(ChannelSettings::Webhook { http: HttpSettings { url, reach, roots: self.ca_file.clone() }, signer })
    }
}

impl Slack {
    fn settings(&self, key: impl Fn(&str) -> String) -> Result<ChannelSettings, ConfigError> {
        let reach = reach(&key("allow_networks"), &self.allow_networks)?;
        let url = hook(&key("url_file"), &secret(&self.url_file)?, &reach)?;
        Ok(ChannelSettings::Slack { http: HttpSettings { url, reach, roots: self.ca_file.clone() } })
    }
}

impl Email {
    fn settings(&self, key: impl Fn(&str) -> String) -> Result<Server, ConfigError> {
        let loopback = self.server == "localhost"
            || self.server.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let (port, encryption) = match self.tls {
            MailTls::Starttls => (587, Encryption::Starttls),
            MailTls::Tls => (465, Encryption::Tls),
            MailTls::None if loopback && self.username.is_none() => (25, Encryption::None),
            MailTls::None => {
                return Err(value_error(
                    key("tls"),
                    "expected starttls or tls: without, on loopback and without password alone",
                ));
            }
        };
        if self.server.is_empty() {
            return Err(value_error(key("server"), "expected the mail server's name"));
        }
        let credentials = match (&self.username, &self.password_file) {
            (None, None) => None,
            (Some(name), Some(path)) => Some((name.clone(), secret(path)?)),
            _ => return Err(value_error(key("username"), "expected username and password_file, or neither")),
        };
        let roots = match &self.ca_file {
            Some(path) => Some(std::fs::read(path).map_err(|source| ConfigError::File { path: path.clone(), source })?),
            None => None,
        };
        let from =
            self.from.parse().map_err(|_| value_error(key("from"), format!("{:?} is no mail address", self.from)))?;
        let to = |text: &String| match text.as_str() {
            "approvers" => Ok(To::Approvers),
            "requester" => Ok(To::Requester),
            other => address(&key("to"), other).map(|_| To::Address(other.to_owned())),
        };
        let to = self.to.iter().map(to).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(value_error(key("to"), "expected \"approvers\", \"requester\" or an address"));
        }
        Ok(Server {
            host: self.server.clone(),
            port: self.port.unwrap_or(port),
            encryption,
            roots,
            credentials,
            from,
            to,
        })
    }
}
