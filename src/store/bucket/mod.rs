//! The bucket: the public metadata files, which any static web server or mirror hands to clients.

use async_trait::async_trait;

use crate::store::StoreError;

#[cfg(test)]
pub(crate) mod contract;
pub mod directory;

/// The public metadata files.
///
/// What a backend promises:
///
/// - **Create only.** A versioned file never changes. [`create`](Bucket::create) of a name that exists with the same
///   bytes succeeds and changes nothing; with other bytes it is [`StoreError::Broken`] and changes nothing.
/// - **Durable.** When a call has returned `Ok`, its files survive a power cut.
/// - **Whole.** A reader sees all bytes of a file or no file, at every moment, also while the process is killed. What
///   a killed write left behind is invisible to readers and does no harm to later writes.
/// - **Atomic pointer.** [`point`](Bucket::point) replaces `timestamp.json` if it is what the caller has seen, compared
///   and replaced in one step against every other process: a reader sees the old or the new, and a writer that was
///   paused for a minute undoes nothing.
/// - **Guarded names.** [`create`](Bucket::create) of `timestamp.json`, or of a name that is no plain file name, is
///   [`StoreError::Broken`]; to [`read`](Bucket::read) such a name finds nothing.
/// - **Unknown outcome.** A call that returned an error may have taken effect; to call it again is safe.
///
/// Names are made by [`RoleName::file_name`](crate::tuf::name::RoleName::file_name) alone. There is no listing: no
/// round may cost time in the number of files that are stored.
#[async_trait]
pub trait Bucket: Send + Sync {
    /// Writes versioned files, in any order among themselves; all are durable when this returns.
    async fn create(&self, files: Vec<File>) -> Result<(), StoreError>;

    /// Replaces `timestamp.json` if it is `seen` now (`None`: there is none), and says whether it did.
    async fn point(&self, seen: Option<Vec<u8>>, timestamp: Vec<u8>) -> Result<bool, StoreError>;

    /// Reads a file, `None` when there is none.
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
}

/// A file that is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Its name, without directory.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}
