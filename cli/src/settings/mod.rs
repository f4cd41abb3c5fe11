//! What holds for a run: flags before the environment before the profile before the defaults.

mod file;
mod folders;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use approve_client::Secret;

use self::file::{File, Profile};
pub(crate) use self::file::{Flow, Login, TokenKind};
pub(crate) use self::folders::is_open_to_others;
use crate::{
    args::{Global, OutputFormat},
    failure::Failure,
    login::SessionFile,
};

const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

/// The name of the profile that needs no naming.
const DEFAULT_PROFILE: &str = "default";

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment,
    Profile,
    /// What `login` left.
    Login,
    Default,
}

impl Origin {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::Login => "login",
            Self::Default => "default",
        }
    }
}

/// A value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub value: T,
    pub from: Origin,
}

/// How the caller shows who they are, apart from a certificate.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    File(PathBuf),
    Text(Secret),
    Session(SessionFile),
}

/// What holds for a run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The config file, whether it exists or not; `None` where there is no place for one.
    pub file: Option<PathBuf>,
    /// The names in it.
    pub profiles: Vec<String>,
    /// The one that is used.
    pub profile: Option<String>,
    pub server: Setting<String>,
    pub actor: Option<Setting<String>>,
    pub groups: Setting<Vec<String>>,
    pub on_behalf_of: Option<Setting<String>>,
    pub token: Option<Setting<Token>>,
    pub ca: Option<Setting<PathBuf>>,
    pub cert: Option<Setting<PathBuf>>,
    pub key: Option<Setting<PathBuf>>,
    pub server_name: Option<Setting<String>>,
    pub output: Setting<OutputFormat>,
    pub timeout: Option<Setting<Duration>>,
    pub login: Login,
    /// Whether the profile's tokens and certificates are left out: they are for its own server.
    pub withheld: bool,
}

impl Settings {
    /// # Errors
    /// Where the config file can't be read, or has no such profile.
    pub(crate) fn resolve(global: &Global) -> Result<Self, Failure> {
        let path = match &global.config_file {
            Some(path) => Some(path.clone()),
            None => folders::config_file(),
        };
        let file = match &path {
            Some(path) => File::read(path, global.config_file.is_some())?,
            None => File::default(),
        };
        let token = std::env::var("APPROVE_TOKEN").ok().filter(|token| !token.trim().is_empty());
        Self::merge(global, path, file, token)
    }

    fn merge(
        global: &Global,
        path: Option<PathBuf>,
        mut file: File,
        environment_token: Option<String>,
    ) -> Result<Self, Failure> {
        let profiles: Vec<_> = file.profiles.keys().cloned().collect();
        let name = chosen(global, path.as_deref(), &file)?;
        let mut profile = name.as_ref().and_then(|name| file.profiles.remove(name)).unwrap_or_default();
        let given = |id| if global.flags.contains(id) { Origin::Flag } else { Origin::Environment };
        let server = pick(
            global.server.clone().filter(|server| !server.trim().is_empty()),
            given("server"),
            profile.server.clone(),
        )
        .unwrap_or_else(|| Setting { value: DEFAULT_SERVER.to_owned(), from: Origin::Default });
        let own = profile.server.as_deref().is_none_or(|own| is_same(own, &server.value));
        let withheld = !own && profile.has_credentials();
        if !own {
            profile.forget_server();
        }
        let ca = pick(global.ca.clone(), given("ca"), profile.ca);
        let cert = pick(global.cert.clone(), given("cert"), profile.cert);
        let key = pick(global.key.clone(), given("key"), profile.key);
        let server_name = pick(global.server_name.clone(), given("server_name"), profile.server_name);
        let groups =
            pick(Some(global.groups.clone()).filter(|groups| !groups.is_empty()), given("groups"), profile.groups)
                .unwrap_or(Setting { value: Vec::new(), from: Origin::Default });
        let output = pick(global.output, given("output"), profile.output)
            .unwrap_or(Setting { value: OutputFormat::Table, from: Origin::Default });
        let by_hand = global.token_file.clone().map(Token::File);
        let from = if by_hand.is_some() { given("token_file") } else { Origin::Environment };
        let by_hand = by_hand.or_else(|| environment_token.map(|token| Token::Text(Secret::new(token))));
        let in_profile = profile.token_file.map(Token::File).or_else(|| profile.token.map(Token::Text));
        let mut settings = Self {
            file: path,
            profiles,
            profile: name,
            server,
            actor: pick(global.actor.clone().filter(|actor| !actor.is_empty()), given("actor"), profile.actor),
            groups,
            on_behalf_of: pick(global.on_behalf_of.clone(), given("on_behalf_of"), profile.on_behalf_of),
            token: pick(by_hand, from, in_profile),
            ca,
            cert,
            key,
            server_name,
            output,
            timeout: pick(global.timeout, given("timeout"), profile.timeout),
            login: profile.login,
            withheld,
        };
        if settings.token.is_none() {
            let session = settings.session().filter(|session| session.is_for(&settings.url()));
            settings.token = session.map(|session| Setting { value: Token::Session(session), from: Origin::Login });
        }
        Ok(settings)
    }

    /// Where `login` keeps what it gets, for this profile.
    pub(crate) fn session(&self) -> Option<SessionFile> {
        let name = self.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        folders::sessions().map(|folder| SessionFile::new(&folder, name))
    }

    /// The server's URL, or those of several, separated by commas: `host:port` is enough. Where certificates are at hand
    /// it is TLS.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.ca.is_some() || self.cert.is_some() { "https" } else { "http" };
        let url = |server: &str| {
            let server = server.trim();
            if server.contains("://") { server.to_owned() } else { format!("{scheme}://{server}") }
        };
        self.server.value.split(',').map(url).collect::<Vec<_>>().join(",")
    }
}

/// The profile that is meant, if any.
fn chosen(global: &Global, path: Option<&Path>, file: &File) -> Result<Option<String>, Failure> {
    let named = global.profile.clone().filter(|name| !name.is_empty()).or_else(|| file.default_profile.clone());
    let Some(name) = named else {
        return Ok(file.profiles.contains_key(DEFAULT_PROFILE).then(|| DEFAULT_PROFILE.to_owned()));
    };
    if file.profiles.contains_key(&name) {
        return Ok(Some(name));
    }
    let place = path.map_or_else(|| "the config file".to_owned(), |path| path.display().to_string());
    let known: Vec<_> = file.profiles.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "has none".to_owned() } else { format!("has {}", known.join(", ")) };
    Err(Failure::Usage(format!("there is no profile {name:?}: {place} {known}")))
}

fn pick<T>(given: Option<T>, from: Origin, profile: Option<T>) -> Option<Setting<T>> {
    given.map(|value| Setting { value, from }).or_else(|| profile.map(|value| Setting { value, from: Origin::Profile }))
}

/// Whether two ways to name a server name the same.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let bare = |url: &str| url.trim().trim_end_matches('/').to_ascii_lowercase();
    one.split(',').map(bare).eq(other.split(',').map(bare))
}

impl Profile {
    fn has_credentials(&self) -> bool {
        self.token.is_some() || self.token_file.is_some() || self.cert.is_some()
    }

    /// Drops what is for the profile's own server alone.
    fn forget_server(&mut self) {
        (self.token, self.token_file, self.cert, self.key) = (None, None, None, None);
        (self.ca, self.server_name) = (None, None);
    }
}

#[cfg(test)]
mod tests;
