//! The config file.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use approve_client::Secret;
use serde::{Deserialize, Deserializer, de};

use super::folders;
use crate::{
    args::{OutputFormat, timeout},
    failure::Failure,
    spec,
};

/// The longest file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub default_profile: Option<String>,
    #[serde(rename = "profile")]
    pub profiles: BTreeMap<String, Profile>,
}

/// One server, and who one is there.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Profile {
    pub server: Option<String>,
    #[serde(rename = "as")]
    pub actor: Option<String>,
    pub groups: Option<Vec<String>>,
    pub on_behalf_of: Option<String>,
    #[serde(deserialize_with = "secret")]
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub server_name: Option<String>,
    pub output: Option<OutputFormat>,
    #[serde(deserialize_with = "time")]
    pub timeout: Option<Duration>,
    pub login: Login,
}

/// How `login` signs in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Login {
    pub issuer: Option<String>,
    pub client_id: Option<String>,
    pub scopes: Option<Vec<String>>,
    pub audience: Option<String>,
    pub token: Option<TokenKind>,
    pub flow: Option<Flow>,
    pub ca: Option<PathBuf>,
}

/// Which of an issuer's tokens the server is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenKind {
    /// The ID token: its audience is the client's id.
    #[default]
    Id,
    /// The access token: where the issuer makes JWTs of them.
    Access,
}

/// How a person signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flow {
    /// In a browser on this computer.
    Browser,
    /// In a browser anywhere, with a code that is printed here.
    Device,
}

impl File {
    /// What is not there is empty, unless it was asked for by name.
    pub(super) fn read(path: &Path, named: bool) -> Result<Self, Failure> {
        let failed = |source| Failure::Read { what: format!("can't read {}", path.display()), source };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
        let place = |what: String| format!("{}: {what}", path.display());
        let mut read: Self = spec::from_toml(&text).map_err(|failure| match failure {
            Failure::Input { what, hint } => Failure::Input { what: place(what), hint },
            other => other,
        })?;
        read.check().map_err(|what| Failure::input(place(what)))?;
        if read.profiles.values().any(|profile| profile.token.is_some()) && folders::is_open_to_others(&metadata) {
            return Err(Failure::Input {
                what: place("it holds a token, and others on this computer may read it".to_owned()),
                hint: Some("make it yours alone with: chmod 600"),
            });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        read.profiles.values_mut().for_each(|profile| profile.resolve_paths(folder));
        Ok(read)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(bad) = self.profiles.keys().find(|name| !is_name(name)) {
            return Err(format!("profile {bad:?}: a name is 1 to 64 letters, digits, and any of . _ -"));
        }
        if let Some(name) = self.default_profile.as_ref().filter(|name| !self.profiles.contains_key(*name)) {
            return Err(format!("default_profile: there is no profile {name:?}"));
        }
        let both = |profile: &Profile| profile.token.is_some() && profile.token_file.is_some();
        match self.profiles.iter().find(|(_, profile)| both(profile)) {
            Some((name, _)) => Err(format!("profile.{name}: token and token_file exclude each other")),
            None => Ok(()),
        }
    }
}

/// Names become those of files.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with('.')
}

impl Profile {
    /// Paths are beside the file; "~/" is the home folder.
    fn resolve_paths(&mut self, folder: &Path) {
        let paths = [&mut self.token_file, &mut self.ca, &mut self.cert, &mut self.key, &mut self.login.ca];
        for path in paths.into_iter().flatten() {
            *path = match (path.strip_prefix("~"), folders::home()) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => folder.join(&*path),
            };
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    String::deserialize(deserializer).map(|text| Some(Secret::new(text)))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    timeout(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}
