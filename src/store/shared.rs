//! The database of settings and results in one process: the part that Redis has in a fleet.
//!
//! Everything in it is a projection of the ledger, so commits don't wait for the disk: the end of the process loses
//! nothing, and what a power cut may lose is projected again.

use std::path::Path;

use crate::store::{
    StoreError,
    sqlite::{Database, Durability},
};

mod schema {
    refinery::embed_migrations!("migrations/shared");
}

/// A handle on the shared database; clones share one connection.
#[derive(Debug, Clone)]
pub struct SharedDatabase(pub(crate) Database);

impl SharedDatabase {
    /// Opens or creates the database in the file `path`. Blocks; for start-up. The caller holds the
    /// [lock](crate::store::lock::DirectoryLock) of its directory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file can't be opened, [`StoreError::Broken`] when it isn't ours.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Database::open(path.as_ref(), Durability::Normal, schema::migrations::runner()).map(Self)
    }
}
