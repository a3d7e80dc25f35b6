//! The request that begins a repository with throw-away keys.

use std::{fs, path::Path};

use rstuf::{clock::Clock, demo::ceremony, tuf::bins::Layout};

/// The body of a bootstrap with `bins` bins in the succinct layout. The online key is put into the new directory `key_dir`.
pub(crate) fn bootstrap(key_dir: &Path, bins: u32) -> anyhow::Result<Vec<u8>> {
    fs::create_dir_all(key_dir)?;
    let body = ceremony::hold(key_dir, bins, Layout::Succinct, Clock::system().now())?;
    Ok(serde_json::to_vec(&body)?)
}
