//! Messages about approvals to the world outside: how far each target was told, and what could not be sent to it.
//!
//! The log says what is to be told. What was sent leaves nothing behind but the place in the log; only a message that
//! failed has a row, so that it holds up no other.

use std::path::PathBuf;

use jiff::Timestamp;

use super::{
    Revision, StoreError,
    postgres::{self, Address},
    sqlite,
};
use crate::approval::ApprovalId;

/// A message that was tried and not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// Its id: the same at each try, and never another message's.
    pub id: String,
    /// The target's name.
    pub target: String,
    /// What it is about.
    pub approval: ApprovalId,
    /// What it says, as JSON; [`crate::notify`] reads it.
    pub notice: String,
    /// Tries so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: String,
    /// When it was first tried.
    pub created: Timestamp,
    /// When it is tried again. `None`: never by itself; it is a dead letter.
    pub due: Option<Timestamp>,
}

/// What became of messages to a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// All that is to be told of the log up to this revision was sent, or is kept as unsent.
    pub revision: Revision,
    /// Messages that were not sent, in place of what was kept of them.
    pub unsent: Vec<Unsent>,
    /// The ids of messages that were kept as unsent, and are sent by now.
    pub sent: Vec<String>,
}

/// Which unsent messages. Fields combine with AND.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnsentQuery {
    /// To this target.
    pub target: Option<String>,
    /// Dead letters alone.
    pub dead: bool,
    /// Strictly after this id, in the order of ids.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// Which dead letters are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revived {
    /// These, by id.
    Ids(Vec<String>),
    /// All to a target.
    Target(String),
    /// All.
    All,
}

/// The unsent messages of a store, for operators: whether a server uses it or not.
#[derive(Debug, Clone)]
pub enum Letters {
    /// Of the embedded store in a folder.
    Folder(PathBuf),
    /// Of a database.
    Database(Box<Address>),
}

impl Letters {
    /// A page of them, by id.
    ///
    /// # Errors
    /// [`StoreError`], also where no server of this version has used the store yet.
    pub async fn list(&self, query: UnsentQuery) -> Result<Vec<Unsent>, StoreError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                let listed = tokio::task::spawn_blocking(move || sqlite::unsent(&folder, &query)).await;
                listed.map_err(StoreError::unavailable)?
            }
            Self::Database(address) => postgres::unsent(address, &query).await,
        }
    }

    /// Makes dead letters due; how many. A server that sends to their target tries them within seconds.
    ///
    /// # Errors
    /// As for [`Letters::list`].
    pub async fn retry(&self, which: Revived, at: Timestamp) -> Result<u64, StoreError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                let revived = tokio::task::spawn_blocking(move || sqlite::revive(&folder, &which, at)).await;
                revived.map_err(StoreError::unavailable)?
            }
            Self::Database(address) => postgres::revive(address, &which, at).await,
        }
    }
}
