//! The root that people trust now: what the next one follows.

use std::path::Path;

use anyhow::Context;

use crate::{
    cli::{client::Client, failure::Failure},
    tuf::{name::RoleName, root::Root, verify::Trusted, wire::Metadata},
};

/// A root that was verified.
#[derive(Debug, Clone)]
pub(super) struct TrustedRoot {
    /// The file, with all members.
    pub(super) metadata: Metadata,
    /// What it says.
    pub(super) root: Root,
}

/// Reads the root of a file, or follows the roots below a URL from the first to the newest.
///
/// # Errors
/// When there is none, or one of them is not signed as it must be.
pub(super) async fn find(place: &str) -> Result<TrustedRoot, Failure> {
    match place.starts_with("http://") || place.starts_with("https://") {
        true => from_url(place).await,
        false => from_file(Path::new(place)),
    }
}

/// Reads a file. Its signatures must be those of its own keys; whether it is the newest is not known.
///
/// # Errors
/// When it can't be read, or is no such root.
pub(super) fn from_file(path: &Path) -> Result<TrustedRoot, Failure> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| Failure::new(format_args!("can't read {name}: {error}")))?;
    opened(&bytes).map_err(|error| {
        Failure::new(format_args!("{name} is no root that can be trusted: {error:#}"))
            .remedy("give the newest N.root.json of the repository, or --metadata-url URL")
    })
}

/// Takes `1.root.json` below `url` on trust, and follows the roots after it as a client does (TUF §5.3). Expired ones are taken too: they
/// are what is to be replaced.
///
/// # Errors
/// When a file can't be had, or a client would refuse it.
pub(super) async fn from_url(url: &str) -> Result<TrustedRoot, Failure> {
    follow(url).await.map_err(|error| {
        Failure::new(format_args!("can't trust the root below {url}: {error:#}"))
            .remedy("is it the address of the metadata, where 1.root.json is? the newest root can also be given as a file, with --in")
    })
}

async fn follow(url: &str) -> anyhow::Result<TrustedRoot> {
    let mut client = Client::first_use(url).await?;
    client.follow_roots().await?;
    let bytes = client.file(&RoleName::root()).context("there is no root")?;
    Ok(TrustedRoot { metadata: Metadata::parse(bytes)?, root: client.trusted().root().clone() })
}

fn opened(bytes: &[u8]) -> anyhow::Result<TrustedRoot> {
    let root = Trusted::from_root(bytes)?.root().clone();
    Ok(TrustedRoot { metadata: Metadata::parse(bytes)?, root })
}
