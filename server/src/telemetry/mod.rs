//! Logs and metrics. No secret, token or payload is ever part of a line.

pub(crate) mod http;
pub mod metrics;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// A log filter that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("log.level: expected a filter like \"info\" or \"approve_server=debug,info\"")]
pub struct BadLevel(#[from] tracing_subscriber::filter::ParseError);

/// Sends log lines to stderr from here on.
pub fn init(log: &Log) -> Result<(), BadLevel> {
    let filter = EnvFilter::builder().parse(&log.level)?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => {
            let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(colours).with_target(false).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
