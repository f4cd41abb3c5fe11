use std::io;

use oauth2::{ErrorResponse, RequestTokenError};

use super::http::HttpError;
use crate::exit::Exit;

/// Why somebody could not sign in, or why their session is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// It can't work with these settings.
    #[error("{0}")]
    Settings(String),
    #[error("the provider can't be asked")]
    Unavailable(#[source] HttpError),
    #[error("the provider says: {0}")]
    Refused(String),
    #[error("nobody signed in within {minutes} minutes")]
    Late { minutes: u64 },
    /// The provider's answer is not one that there can be.
    #[error("the provider's answer {0}")]
    Answer(String),
    #[error("{what}")]
    File { what: String, source: io::Error },
    #[error("{0}")]
    Open(String),
    /// There is no session, or no way to go on with it.
    #[error("{0}")]
    Ended(&'static str),
}

impl LoginError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) => Exit::Usage,
            Self::Unavailable(_) => Exit::Unavailable,
            Self::Refused(_) | Self::Ended(_) => Exit::Refused,
            Self::Late { .. } => Exit::Timeout,
            Self::Open(_) => Exit::InvalidInput,
            Self::Answer(_) | Self::File { .. } => Exit::Other,
        }
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Ended(_) => Some("sign in with: approve-cli login"),
            Self::Open(_) => Some("make it yours alone with: chmod 600"),
            Self::Unavailable(_) => Some("try again in a moment; whom to trust for it, --issuer-ca says"),
            _ => None,
        }
    }
}

impl<T: ErrorResponse> From<RequestTokenError<HttpError, T>> for LoginError {
    fn from(error: RequestTokenError<HttpError, T>) -> Self {
        match error {
            RequestTokenError::ServerResponse(response) => Self::Refused(response.to_string()),
            RequestTokenError::Request(error) => Self::Unavailable(error),
            // What was answered may hold a token.
            RequestTokenError::Parse(error, _) => Self::Answer(format!("can't be read: at {}", error.path())),
            RequestTokenError::Other(what) => Self::Answer(format!("is of no use: {what}")),
        }
    }
}
