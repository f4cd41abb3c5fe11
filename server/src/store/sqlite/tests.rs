//! The conformance suite on the embedded store, and what it promises beyond.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{Options, SqliteStore};
use crate::store::{
    SharedStore,
    conformance::{Bed, conformance},
};

/// A store in a folder that goes with it.
struct Folder {
    folder: TempDir,
    options: Options,
}

impl Folder {
    fn new(options: Options) -> Self {
        Self { folder: TempDir::new().unwrap(), options }
    }
}

#[async_trait]
impl Bed for Folder {
    async fn open(&self) -> SharedStore {
        Arc::new(SqliteStore::open(self.folder.path(), self.options).unwrap())
    }
}

mod as_it_is {
    use super::*;

    conformance!(Folder::new(Options::default()));
}

/// Nothing in memory, one write for each transaction.
mod from_disk {
    use super::*;

    conformance!(Folder::new(Options { tail_changes: 0, batch: 1, readers: 1, queue: 1, ..Options::default() }));
}
