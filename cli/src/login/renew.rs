//! A session as a bearer token that is renewed when it ends.

use std::sync::{Arc, Mutex, PoisonError};

use approve_client::BearerToken;
use jiff::Timestamp;

use super::{LoginError, Session, SessionFile, http::Http, tokens};

/// The session's token. Asked for another one, it renews it: the server may see an end that our clock does not.
pub(crate) fn bearer(file: SessionFile) -> BearerToken {
    let (file, shown) = (Arc::new(file), Arc::new(Mutex::new(None)));
    BearerToken::from_fn(move || {
        let (file, shown) = (Arc::clone(&file), Arc::clone(&shown));
        async move {
            let refused = take(&shown);
            let token = current(&file, refused.as_deref()).await?;
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
            Ok::<_, LoginError>(token)
        }
    })
}

fn take(shown: &Mutex<Option<String>>) -> Option<String> {
    shown.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A token that has not ended and was not refused.
async fn current(file: &SessionFile, refused: Option<&str>) -> Result<String, LoginError> {
    let usable = |session: &Session| Some(session.token.as_str()) != refused && !session.is_over(Timestamp::now());
    let session = load(file)?;
    if usable(&session) {
        return Ok(session.token);
    }
    let _lock = file.lock().await?;
    // Another process may have been faster.
    let session = load(file)?;
    if usable(&session) {
        return Ok(session.token);
    }
    let renewed = renew(session).await?;
    file.save(&renewed)?;
    Ok(renewed.token)
}

fn load(file: &SessionFile) -> Result<Session, LoginError> {
    file.load()?.ok_or(LoginError::Ended("you are not signed in"))
}

async fn renew(session: Session) -> Result<Session, LoginError> {
    let Some(refresh_token) = &session.refresh_token else {
        return Err(LoginError::Ended("your session has ended"));
    };
    let http = Http::new(session.ca.as_deref())?;
    let tokens = match tokens::refresh(&http, &session, refresh_token).await {
        Ok(tokens) => tokens,
        Err(LoginError::Refused(_)) => return Err(LoginError::Ended("your session has ended")),
        Err(other) => return Err(other),
    };
    // A provider that sends no new one lets the old one be used again.
    let refresh_token = tokens.refresh_token.or_else(|| session.refresh_token.clone());
    Ok(Session { token: tokens.token, expires: tokens.expires, refresh_token, ..session })
}
