//! The stores: each folder has the trait with its promise, a file per backend, and the suite that all backends pass.

use thiserror::Error;

pub mod bucket;
pub mod keys;
pub mod ledger;
pub mod lock;
pub mod postgres;
pub mod redis;
pub mod results;
pub mod settings;
pub mod shared;
pub(crate) mod sqlite;

/// What went wrong in a store, by what its caller must do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Not now: try again, with back-off. Nothing is known to have happened.
    #[error("{store} is unavailable: {cause}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What it said.
        cause: String,
    },
    /// Another worker was first: read again and start over. Nothing was changed.
    #[error("lost a race: {0}")]
    Lost(String),
    /// What is stored contradicts itself or this process: stop, and let a person look.
    #[error("cannot go on: {0}")]
    Broken(String),
}

impl StoreError {
    /// An [`StoreError::Unavailable`] of `store`.
    pub fn unavailable(store: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Unavailable { store, cause: cause.to_string() }
    }
}
