use std::path::Path;

use approve_client::{BearerToken, Client, Config, Credentials, Tls, proto::Person};

use crate::{
    args::{Global, OutputFormat},
    failure::Failure,
    login,
    output::Out,
    settings::{Origin, Setting, Settings, Token},
    spec,
};

/// What every command works with.
pub(crate) struct Context {
    pub settings: Settings,
    pub out: Out,
}

/// What `--as` on the command line means to a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AsFlag {
    /// Who the caller is.
    Caller,
    /// About whom it asks, where the server knows who the caller is.
    Subject,
}

impl Context {
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        Ok(Self { out: Out::new(), settings: Settings::resolve(global)? })
    }

    pub(crate) fn json(&self) -> bool {
        self.settings.output.value == OutputFormat::Json
    }

    /// Connects as the caller.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        self.connect_with(AsFlag::Caller).await
    }

    /// Connects for a question about a person; `None`: about the caller.
    pub(crate) async fn connect_to_ask(&self) -> Result<(Client, Option<Person>), Failure> {
        let client = self.connect_with(AsFlag::Subject).await?;
        Ok((client, self.subject()))
    }

    /// Who is asked about: whoever the command line names. The environment and the profile name only the caller.
    pub(crate) fn subject(&self) -> Option<Person> {
        let actor = self.settings.actor.as_ref().filter(|actor| actor.from == Origin::Flag)?;
        let groups = self.groups().map(|group| format!("group:{group}")).collect();
        Some(Person { principal: principal(&actor.value), groups })
    }

    async fn connect_with(&self, flag: AsFlag) -> Result<Client, Failure> {
        let credentials = self.credentials(flag)?;
        let asks = flag == AsFlag::Subject && !matches!(credentials, Credentials::Asserted { .. });
        self.connect_as(credentials, asks).await
    }

    /// Connects with these credentials; `asks` where the groups are those of somebody who is asked about.
    pub(crate) async fn connect_as(&self, credentials: Credentials, asks: bool) -> Result<Client, Failure> {
        let mut config = Config::new(self.settings.url())
            .credentials(credentials)
            .user_agent(concat!("approve-cli/", env!("CARGO_PKG_VERSION")));
        if let Some(person) = &self.settings.on_behalf_of {
            let groups = if asks { Vec::new() } else { self.groups().collect() };
            config = config.on_behalf_of(principal(&person.value), groups);
        }
        if let Some(tls) = self.tls()? {
            config = config.tls(tls);
        }
        if let Some(Setting { value: timeout, .. }) = self.settings.timeout {
            config = config.connect_timeout(timeout).request_timeout(timeout).provisioning_timeout(timeout);
        }
        Ok(Client::connect(config).await?)
    }

    fn credentials(&self, flag: AsFlag) -> Result<Credentials, Failure> {
        let proven = match self.settings.token.as_ref().map(|token| &token.value) {
            Some(Token::File(path)) => Some(Credentials::Bearer(BearerToken::from_file(path))),
            Some(Token::Text(token)) => Some(Credentials::bearer(token.expose())),
            Some(Token::Session(session)) => Some(Credentials::Bearer(login::bearer(session.clone()))),
            None if self.settings.cert.is_some() => Some(Credentials::None),
            None => None,
        };
        let named = self.settings.actor.as_ref().is_some_and(|actor| actor.from == Origin::Flag);
        match proven {
            Some(_) if flag == AsFlag::Caller && named => Err(Failure::Usage(
                "--as is for servers that take your word; with a token or certificate the server knows who you are, \
                 and --on-behalf-of says for whom you act"
                    .into(),
            )),
            Some(proven) => Ok(proven),
            None => {
                // Groups are those of whom it is done for.
                let groups: Vec<_> =
                    if self.settings.on_behalf_of.is_some() { Vec::new() } else { self.groups().collect() };
                Ok(Credentials::asserted(self.actor()?, groups))
            }
        }
    }

    fn tls(&self) -> Result<Option<Tls>, Failure> {
        let Settings { ca, cert, key, server_name, .. } = &self.settings;
        let read = |file: &Setting<std::path::PathBuf>| spec::read_text(Path::new(&file.value));
        let mut tls = Tls::new();
        if let Some(ca) = ca {
            tls = tls.ca_pem(read(ca)?);
        }
        match (cert, key) {
            (Some(cert), Some(key)) => tls = tls.client_pem(read(cert)?, read(key)?),
            (None, None) => {}
            _ => return Err(Failure::Usage("--cert and --key go together".into())),
        }
        if let Some(name) = server_name {
            tls = tls.server_name(&name.value);
        }
        let any = ca.is_some() || cert.is_some() || server_name.is_some();
        Ok(any.then_some(tls))
    }

    /// Who the caller claims to be: a principal.
    pub(crate) fn actor(&self) -> Result<String, Failure> {
        let given = self.settings.actor.as_ref().map(|actor| actor.value.clone());
        let name = given
            .or_else(user_name)
            .ok_or_else(|| Failure::Usage("it is not known who you are: use --as USER or APPROVE_ACTOR".into()))?;
        Ok(principal(&name))
    }

    /// Names of groups, without "group:".
    fn groups(&self) -> impl Iterator<Item = String> {
        let groups = self.settings.groups.value.iter().map(|group| group.trim().trim_start_matches("group:"));
        groups.filter(|group| !group.is_empty()).map(str::to_owned)
    }
}

/// The person's name on this computer.
fn user_name() -> Option<String> {
    let variables = ["USER", "LOGNAME", "USERNAME"].iter().filter_map(|name| std::env::var(name).ok());
    let id = || {
        // Containers often have none of the variables.
        let output = std::process::Command::new("id").arg("-un").output().ok()?;
        String::from_utf8(output.stdout).ok().map(|name| name.trim().to_owned())
    };
    variables.chain(std::iter::once_with(id).flatten()).find(|name| !name.is_empty())
}

/// "ana" is "user:ana".
pub(crate) fn principal(name: &str) -> String {
    let name = name.trim();
    if name.contains(':') { name.to_owned() } else { format!("user:{name}") }
}
