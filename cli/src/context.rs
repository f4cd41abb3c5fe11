use approve_client::{Client, Config, Credentials};

use crate::{args::Global, args::OutputFormat, failure::Failure, output::Out};

/// What every command works with.
pub(crate) struct Context {
    pub global: Global,
    pub out: Out,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Self { out: Out::new(), global }
    }

    pub(crate) fn json(&self) -> bool {
        self.global.output == OutputFormat::Json
    }

    /// Who the caller claims to be: a principal.
    pub(crate) fn actor(&self) -> Result<String, Failure> {
        let name = self
            .global
            .actor
            .clone()
            .filter(|name| !name.is_empty())
            .or_else(user_name)
            .ok_or_else(|| Failure::Usage("it is not known who you are: use --as USER or APPROVE_ACTOR".into()))?;
        Ok(principal(&name))
    }

    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let groups = self
            .global
            .groups
            .iter()
            .map(|group| group.trim().trim_start_matches("group:"))
            .filter(|group| !group.is_empty());
        let credentials = Credentials::asserted(self.actor()?, groups);
        let mut config = Config::new(self.url())
            .credentials(credentials)
            .user_agent(concat!("approve-cli/", env!("CARGO_PKG_VERSION")));
        if let Some(timeout) = self.global.timeout {
            config = config.request_timeout(timeout).connect_timeout(timeout).provisioning_timeout(timeout);
        }
        Ok(Client::connect(config).await?)
    }

    /// `host:port` is enough.
    fn url(&self) -> String {
        let server = self.global.server.trim();
        if server.contains("://") { server.to_owned() } else { format!("http://{server}") }
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
fn principal(name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { format!("user:{name}") }
}
