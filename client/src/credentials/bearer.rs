use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::Mutex;

use crate::{Error, Secret, error::Source};

/// The longest file that is read as a token.
const MAX_FILE_BYTES: u64 = 64 * 1024;

type Ask = dyn Fn() -> BoxFuture<'static, Result<Secret, Source>> + Send + Sync;

/// Where a bearer token comes from: an API token of the server, or a JWT of an issuer that it trusts. Clones share what
/// they have fetched.
#[derive(Clone)]
pub struct BearerToken(Arc<Origin>);

enum Origin {
    Memory(Secret),
    File { path: PathBuf, read: Mutex<Option<(Stamp, Secret)>> },
    Callback { ask: Box<Ask>, got: Mutex<Option<Secret>> },
}

/// Tells versions of a file apart.
type Stamp = (Option<SystemTime>, u64);

impl BearerToken {
    /// This token, for as long as it lives.
    pub fn new(token: impl AsRef<str>) -> Self {
        Self(Arc::new(Origin::Memory(Secret::new(token))))
    }

    /// What is in this file, read again when the file has changed, and when the server no longer takes what was read.
    /// At most 64 KiB; white space around it is left out.
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Origin::File { path: path.into(), read: Mutex::new(None) }))
    }

    /// What this returns. It is asked before the first call, and once more when the server no longer takes what it
    /// returned; one call at a time.
    pub fn from_fn<F, E>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let ask = move || {
            let asked = ask();
            async move { asked.await.map(Secret::new).map_err(Into::into) }.boxed()
        };
        Self(Arc::new(Origin::Callback { ask: Box::new(ask), got: Mutex::new(None) }))
    }

    /// The token to send now.
    pub(crate) async fn get(&self) -> Result<Secret, Error> {
        match &*self.0 {
            Origin::Memory(secret) => Ok(secret.clone()),
            Origin::File { path, read } => {
                let mut read = read.lock().await;
                let stamp = stamp(path).await?;
                match &*read {
                    Some((seen, secret)) if *seen == stamp => Ok(secret.clone()),
                    _ => Ok(read.insert((stamp, load(path).await?)).1.clone()),
                }
            }
            Origin::Callback { ask, got } => {
                let mut got = got.lock().await;
                match &*got {
                    Some(secret) => Ok(secret.clone()),
                    None => Ok(got.insert(fetch(ask).await?).clone()),
                }
            }
        }
    }

    /// Another token than this one, which the server did not take; `None` if there is none.
    pub(crate) async fn renew(&self, refused: &Secret) -> Result<Option<Secret>, Error> {
        let fresh = match &*self.0 {
            Origin::Memory(secret) => secret.clone(),
            Origin::File { path, read } => {
                let mut read = read.lock().await;
                let stamp = stamp(path).await?;
                read.insert((stamp, load(path).await?)).1.clone()
            }
            Origin::Callback { ask, got } => {
                let mut got = got.lock().await;
                match &*got {
                    // Another call was faster.
                    Some(secret) if secret != refused => secret.clone(),
                    _ => got.insert(fetch(ask).await?).clone(),
                }
            }
        };
        Ok(Some(fresh).filter(|fresh| fresh != refused))
    }

    /// Whether there may be another token later.
    pub(crate) fn is_renewable(&self) -> bool {
        !matches!(*self.0, Origin::Memory(_))
    }
}

async fn fetch(ask: &Ask) -> Result<Secret, Error> {
    ask().await.map_err(|source| Error::Credentials { what: "can't get a bearer token".into(), source })
}

async fn stamp(path: &Path) -> Result<Stamp, Error> {
    let metadata = tokio::fs::metadata(path).await.map_err(|error| unreadable(path, error))?;
    if metadata.len() > MAX_FILE_BYTES {
        let error = std::io::Error::other(format!("it is longer than {MAX_FILE_BYTES} bytes"));
        return Err(unreadable(path, error));
    }
    Ok((metadata.modified().ok(), metadata.len()))
}

async fn load(path: &Path) -> Result<Secret, Error> {
    let text = tokio::fs::read_to_string(path).await.map_err(|error| unreadable(path, error))?;
    Ok(Secret::new(text))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::Credentials { what: format!("can't read the token file {}", path.display()), source: error.into() }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Origin::Memory(secret) => f.debug_tuple("BearerToken").field(secret).finish(),
            Origin::File { path, .. } => f.debug_tuple("BearerToken").field(path).finish(),
            Origin::Callback { .. } => f.write_str("BearerToken(callback)"),
        }
    }
}

#[cfg(test)]
#[path = "bearer_tests.rs"]
mod tests;
