use approve_client::{BearerToken, Client, Config, Credentials, Tls, proto::Person};

use crate::{args::Global, args::OutputFormat, failure::Failure, output::Out, spec};

/// What every command works with.
pub(crate) struct Context {
    pub global: Global,
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
    pub(crate) fn new(global: Global) -> Self {
        Self { out: Out::new(), global }
    }

    pub(crate) fn json(&self) -> bool {
        self.global.output == OutputFormat::Json
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

    /// Who is asked about: whoever the command line names. The environment names only the caller.
    pub(crate) fn subject(&self) -> Option<Person> {
        let actor = self.global.actor.as_deref().filter(|_| self.global.actor_is_flag)?;
        let groups = self.groups().map(|group| format!("group:{group}")).collect();
        Some(Person { principal: principal(actor), groups })
    }

    async fn connect_with(&self, flag: AsFlag) -> Result<Client, Failure> {
        let credentials = self.credentials(flag)?;
        let asks = flag == AsFlag::Subject && !matches!(credentials, Credentials::Asserted { .. });
        let mut config = Config::new(self.url())
            .credentials(credentials)
            .user_agent(concat!("approve-cli/", env!("CARGO_PKG_VERSION")));
        if let Some(person) = &self.global.on_behalf_of {
            let groups = if asks { Vec::new() } else { self.groups().collect() };
            config = config.on_behalf_of(principal(person), groups);
        }
        if let Some(tls) = self.tls()? {
            config = config.tls(tls);
        }
        if let Some(timeout) = self.global.timeout {
            config = config.request_timeout(timeout).connect_timeout(timeout).provisioning_timeout(timeout);
        }
        Ok(Client::connect(config).await?)
    }

    fn credentials(&self, flag: AsFlag) -> Result<Credentials, Failure> {
        let token = std::env::var("APPROVE_TOKEN").ok().filter(|token| !token.trim().is_empty());
        let proven = match (&self.global.token_file, token) {
            (Some(path), _) => Some(Credentials::Bearer(BearerToken::from_file(path))),
            (None, Some(token)) => Some(Credentials::bearer(token)),
            (None, None) if self.global.cert.is_some() => Some(Credentials::None),
            (None, None) => None,
        };
        match proven {
            Some(_) if flag == AsFlag::Caller && self.global.actor_is_flag => Err(Failure::Usage(
                "--as is for servers that take your word; with a token or certificate the server knows who you are, \
                 and --on-behalf-of says for whom you act"
                    .into(),
            )),
            Some(proven) => Ok(proven),
            None => {
                // Groups are those of whom it is done for.
                let groups: Vec<_> =
                    if self.global.on_behalf_of.is_some() { Vec::new() } else { self.groups().collect() };
                Ok(Credentials::asserted(self.actor()?, groups))
            }
        }
    }

    fn tls(&self) -> Result<Option<Tls>, Failure> {
        let Global { ca, cert, key, server_name, .. } = &self.global;
        let mut tls = Tls::new();
        if let Some(ca) = ca {
            tls = tls.ca_pem(spec::read_text(ca)?);
        }
        match (cert, key) {
            (Some(cert), Some(key)) => tls = tls.client_pem(spec::read_text(cert)?, spec::read_text(key)?),
            (None, None) => {}
            _ => return Err(Failure::Usage("--cert and --key go together".into())),
        }
        if let Some(name) = server_name {
            tls = tls.server_name(name);
        }
        let any = ca.is_some() || cert.is_some() || server_name.is_some();
        Ok(any.then_some(tls))
    }

    /// Who the caller claims to be: a principal.
    fn actor(&self) -> Result<String, Failure> {
        let name = self
            .global
            .actor
            .clone()
            .filter(|name| !name.is_empty())
            .or_else(user_name)
            .ok_or_else(|| Failure::Usage("it is not known who you are: use --as USER or APPROVE_ACTOR".into()))?;
        Ok(principal(&name))
    }

    /// Names of groups, without "group:".
    fn groups(&self) -> impl Iterator<Item = String> {
        let groups = self.global.groups.iter().map(|group| group.trim().trim_start_matches("group:"));
        groups.filter(|group| !group.is_empty()).map(str::to_owned)
    }

    /// `host:port` is enough. Where certificates are at hand it is TLS.
    fn url(&self) -> String {
        let scheme = if self.global.ca.is_some() || self.global.cert.is_some() { "https" } else { "http" };
        let url = |server: &str| {
            let server = server.trim();
            if server.contains("://") { server.to_owned() } else { format!("{scheme}://{server}") }
        };
        self.global.server.split(',').map(url).collect::<Vec<_>>().join(",")
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
