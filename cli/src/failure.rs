use std::io;

use approve_client::{Error, audit::ExportError};

use crate::{
    exit::Exit,
    hint,
    login::LoginError,
    output::{style::Style, text},
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    /// What the person gave is not valid, as can be told without the server.
    #[error("{what}")]
    Input { what: String, hint: Option<&'static str> },
    #[error("{what}")]
    Precondition { what: String },
    #[error("{what}")]
    Read { what: String, source: io::Error },
    #[error(transparent)]
    Export(ExportError),
    #[error(transparent)]
    Client(#[from] Error),
    /// A call that failed, with a hint that only its command knows.
    #[error("{source}")]
    Explained { source: Error, hint: String },
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error("can't write to stdout")]
    Output(#[source] io::Error),
    #[error("can't start")]
    Runtime(#[source] io::Error),
}

impl Failure {
    pub(crate) fn input(what: impl Into<String>) -> Self {
        Self::Input { what: what.into(), hint: None }
    }

    pub(crate) fn export(error: ExportError) -> Self {
        match error {
            ExportError::Call(error) => Self::Client(error),
            other => Self::Export(other),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Input { .. } => Exit::InvalidInput,
            Self::Precondition { .. } => Exit::Precondition,
            Self::Read { .. } => Exit::InvalidInput,
            Self::Client(error) | Self::Explained { source: error, .. } => {
                hint::login_error(error).map_or_else(|| Exit::from(error), LoginError::exit)
            }
            Self::Login(error) => error.exit(),
            // Whoever read our output has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Export(_) | Self::Output(_) | Self::Runtime(_) => Exit::Other,
        }
    }

    /// Tells the person on stderr: one line, then the fields, then what to do.
    pub(crate) fn report(&self) {
        if self.exit() == Exit::Ok {
            return;
        }
        let style = Style::for_stderr();
        let line = line(self);
        let mut lines = vec![format!("{} {}", style.red("error:"), text::line(&line))];
        let client = match self {
            Self::Client(error) | Self::Explained { source: error, .. } => Some(error),
            _ => None,
        };
        for violation in client.map(Error::field_violations).unwrap_or_default() {
            // A server that names one field often says no more than its message.
            if !line.contains(&violation.description) {
                let (field, what) = (text::line(&violation.field), text::line(&violation.description));
                lines.push(format!("  {field}: {what}"));
            }
        }
        let hints = match self {
            Self::Explained { hint, .. } => vec![hint.clone()],
            Self::Client(error) => hint::for_error(error),
            Self::Login(error) => error.hint().map(str::to_owned).into_iter().collect(),
            Self::Input { hint, .. } => hint.iter().map(|hint| (*hint).to_owned()).collect(),
            Self::Usage(_) => vec!["see approve-cli --help".to_owned()],
            _ => Vec::new(),
        };
        for hint in hints {
            lines.push(format!("  {} {}", style.dim("hint:"), text::line(&hint)));
        }
        // If stderr is gone too, there is nobody left to tell.
        let _ = io::Write::write_all(&mut io::stderr(), (lines.join("\n") + "\n").as_bytes());
    }
}

/// An error and what it comes from, on one line.
pub(crate) fn line(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    // Of a transport's chain of causes only the last says something to a person.
    let root = std::iter::successors(error.source(), |cause| cause.source()).last().map(ToString::to_string);
    match root {
        Some(root) if !text.contains(&root) => format!("{text}: {root}"),
        _ => text,
    }
}
