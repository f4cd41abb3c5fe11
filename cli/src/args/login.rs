use std::path::PathBuf;

use clap::Args;

use crate::settings::{Flow, TokenKind};

/// Each of these comes before the profile's `[profile.<name>.login]`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The provider: its issuer URL, exactly as it calls itself. https, or http on loopback.
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// The id under which this program is known to it: a public client, without a secret.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// What to ask for; may be repeated, or separated by commas. Default: openid, profile and offline_access, the last
    /// so that it can be renewed.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    pub scopes: Vec<String>,
    /// Whom an access token should be for, where the provider wants to be told.
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// Which token the server is shown. Default: id.
    #[arg(long, value_name = "KIND")]
    pub token: Option<TokenKind>,
    /// How to sign in. Default: browser, or device where this computer has no display and the provider knows it.
    #[arg(long, value_name = "FLOW")]
    pub flow: Option<Flow>,
    /// The certificates of the authorities to trust for the provider, PEM. Default: those that this computer trusts.
    #[arg(long, value_name = "FILE")]
    pub issuer_ca: Option<PathBuf>,
    /// Only print the address: don't open a browser.
    #[arg(long)]
    pub no_browser: bool,
}
