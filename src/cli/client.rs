//! A TUF client over HTTP: the strict verification of [`crate::tuf::verify`], and nothing that is not verified.
//!
//! [`Client::new`] begins with a root and forgets what it saw; [`Client::open`] has a directory for what it trusts, where
//! [`Client::keep`] puts it, so that it tells a rollback in the next run, too.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail, ensure};
use jiff::Timestamp;
use thiserror::Error;

use crate::tuf::{
    limits,
    name::{ArtifactPath, RoleName, Version},
    root::Root,
    snapshot::MetaFile,
    targets::TargetFile,
    verify::{Next, Trusted},
    wire::RoleType,
};
use http::{Http, Patience};
use kept::{Kept, Memory};

mod artifact;
mod http;
mod kept;
mod place;

pub use artifact::{ArtifactError, Downloaded, How, Naming, Source};
pub use http::{HttpError, check_base};

/// New roots that are followed in one refresh (TUF §5.3.3).
const MAX_ROOTS: usize = 256;

/// The most that is read of a file whatever length is signed: who signs it may be an attacker.
const MAX_SIGNED_BYTES: u64 = 64 << 20;

/// A client of one repository.
#[derive(Debug)]
pub struct Client {
    http: Http,
    metadata_url: String,
    trusted: Trusted,
    files: BTreeMap<RoleName, Vec<u8>>,
    kept: Option<Kept>,
    origin: Origin,
    passed_over: Vec<String>,
}

/// Where the trust of a client comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// The repository's first root was trusted because nothing else was known: this one.
    FirstUse(Box<Root>),
    /// A root that was given, and nothing was kept of the repository before.
    Given,
    /// What was kept of earlier runs.
    Kept,
}

/// Why what is kept can't be trusted.
#[derive(Debug, Error)]
pub enum KeptError {
    /// The newest root is damaged.
    #[error("the trusted root {file} is damaged: {why}")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another root was given.
    #[error(
        "the root that was given, version {given}, and the trusted one in {directory}, version {kept}, are not of one chain: {why}"
    )]
    Conflict {
        /// What is kept.
        directory: PathBuf,
        /// The version of the root that was given.
        given: Version,
        /// The version of the root that is kept.
        kept: Version,
        /// Where the chain breaks.
        why: String,
    },
}

impl Client {
    /// A client that trusts `root`, which it got from somewhere safe, and asks for metadata below `metadata_url`.
    ///
    /// # Errors
    /// When the root is not signed by its own keys.
    pub fn new(root: &[u8], metadata_url: &str) -> anyhow::Result<Self> {
        let trusted = Trusted::from_root(root).context("the root can't be trusted")?;
        let mut client = Self::with(trusted, Http::new(Patience::default())?, metadata_url);
        client.files.insert(RoleName::root(), root.to_owned());
        Ok(client)
    }

    /// A client that trusts the first root of the repository, whatever it is.
    ///
    /// # Errors
    /// When there is none, or it is not signed by its own keys.
    pub async fn first_use(metadata_url: &str) -> anyhow::Result<Self> {
        let root = first_root(&Http::new(Patience::default())?, metadata_url).await?;
        Self::new(&root, metadata_url)
    }

    /// A client that keeps what it trusts in `directory`. It begins with what is kept there; else with the root that is given;
    /// else it trusts the first root of the repository. Of both, one must follow from the other.
    ///
    /// # Errors
    /// [`KeptError`], and as [`first_use`](Self::first_use).
    pub async fn open(metadata_url: &str, directory: &Path, given: Option<&[u8]>) -> anyhow::Result<Self> {
        http::check_base(metadata_url)?;
        let http = Http::new(Patience::default())?;
        let mut kept = Kept::of(directory, metadata_url)?;
        let given = given.map(|bytes| Ok::<_, anyhow::Error>((trust(bytes)?, bytes.to_owned()))).transpose()?;
        let newest = kept.root()?;
        let (trusted, bytes, origin) = match (given, newest) {
            (None, None) => {
                let bytes = first_root(&http, metadata_url).await?;
                let trusted = trust(&bytes)?;
                let origin = Origin::FirstUse(Box::new(trusted.root().clone()));
                (trusted, bytes, origin)
            }
            (Some((trusted, bytes)), None) => (trusted, bytes, Origin::Given),
            (given, Some(bytes)) => {
                let damaged = |error| KeptError::Damaged { file: directory.join("root.json"), why: format!("{error}") };
                let newest = Trusted::from_root(&bytes).map_err(damaged)?;
                match given {
                    Some((given, given_bytes)) if given.root().version > newest.root().version => {
                        let memory = memory(newest.root(), given.root());
                        kept.keep_root(given.root().version, given_bytes.clone(), memory)?;
                        (given, given_bytes, Origin::Kept)
                    }
                    Some((given, _)) => {
                        (chain(&http, metadata_url, &kept, given, &newest, directory).await?, bytes, Origin::Kept)
                    }
                    None => (newest, bytes, Origin::Kept),
                }
            }
        };
        let mut client = Self::with(trusted, http, metadata_url);
        if origin == Origin::Kept {
            client.remember(&kept);
        } else {
            kept.keep_root(client.trusted.root().version, bytes.clone(), Memory::Stays)?;
        }
        client.files.insert(RoleName::root(), bytes);
        client.origin = origin;
        client.kept = Some(kept);
        Ok(client)
    }

    fn with(trusted: Trusted, http: Http, metadata_url: &str) -> Self {
        Self {
            http,
            metadata_url: metadata_url.trim_end_matches('/').to_owned(),
            trusted,
            files: BTreeMap::new(),
            kept: None,
            origin: Origin::Given,
            passed_over: Vec::new(),
        }
    }

    /// All that is trusted.
    pub fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// The file of a role as it was verified: of root at any time, of the others after they were asked for.
    pub fn file(&self, role: &RoleName) -> Option<&[u8]> {
        self.files.get(role).map(Vec::as_slice)
    }

    /// Where its trust comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What was kept and could not be trusted, and why. It is fetched anew.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Brings root up to date (TUF §5.3). It may be expired.
    ///
    /// # Errors
    /// When a root is refused; the message says why.
    pub async fn follow_roots(&mut self) -> anyhow::Result<()> {
        for _ in 0..MAX_ROOTS {
            let name = RoleName::root().file_name(self.trusted.root().version.next());
            let Some(bytes) = self.get(&name, limits::strictest(&RoleName::root())).await? else { break };
            self.next_root(bytes)?;
        }
        Ok(())
    }

    /// Brings root, timestamp, snapshot and `targets` up to date (TUF §5.3 to §5.6).
    ///
    /// # Errors
    /// When a file is missing, or is refused; the message says which and why.
    pub async fn refresh(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.follow_roots().await?;
        self.trusted.check_root_expiry(now)?;
        let timestamp = RoleName::timestamp();
        let bytes = self.need("timestamp.json", limits::strictest(&timestamp)).await?;
        self.trusted.update_timestamp(&bytes, now)?;
        self.take(&timestamp, bytes);
        let listed = self.trusted.timestamp().map(|timestamp| timestamp.snapshot.clone()).context("no timestamp")?;
        self.update(&RoleName::snapshot(), &listed, |trusted, bytes| trusted.update_snapshot(bytes, now)).await?;
        let targets = RoleName::targets();
        let listed = self.trusted.snapshot().and_then(|snapshot| snapshot.get(&targets)).cloned();
        let listed = listed.context("snapshot does not list targets")?;
        self.update(&targets, &listed, |trusted, bytes| trusted.update_targets(bytes, now)).await
    }

    /// What the repository says about a path, `None` when it does not know it (TUF §5.6.7).
    ///
    /// # Errors
    /// As [`refresh`](Client::refresh), which must come first.
    pub async fn find(
        &mut self,
        path: &ArtifactPath,
        now: Timestamp,
    ) -> anyhow::Result<Option<(RoleName, TargetFile)>> {
        loop {
            match self.trusted.search(path)? {
                Next::Found { role, info } => return Ok(Some((role, info))),
                Next::Absent => return Ok(None),
                Next::Fetch { role, delegator, .. } => {
                    let listed = self.trusted.snapshot().and_then(|snapshot| snapshot.get(&role)).cloned();
                    let listed = listed.with_context(|| format!("snapshot does not list {role}"))?;
                    let update =
                        |trusted: &mut Trusted, bytes: &[u8]| trusted.update_delegated(&role, &delegator, bytes, now);
                    self.update(&role, &listed, update).await?;
                }
            }
        }
    }

    /// Keeps what was verified, after all that was asked for was found or is absent.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep(&mut self) -> anyhow::Result<()> {
        self.kept.as_mut().map_or(Ok(()), |kept| kept.commit(&self.trusted))
    }

    /// Downloads an artifact and makes sure that it is the one that the repository signed.
    ///
    /// # Errors
    /// When it can't be had, or has another length or other digests.
    pub async fn download(&self, url: &str, info: &TargetFile) -> anyhow::Result<Vec<u8>> {
        let bytes = self.http.read(url, info.length).await?.with_context(|| format!("there is no {url}"))?;
        info.check(&bytes)?;
        Ok(bytes)
    }

    /// Downloads an artifact into a directory, unless it is there already; `progress` is told how many bytes there are. It goes on
    /// with what an earlier run has left.
    ///
    /// # Errors
    /// [`ArtifactError`], and when the file can't be written.
    pub async fn fetch(
        &self,
        source: &Source,
        path: &ArtifactPath,
        info: &TargetFile,
        directory: &Path,
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<Downloaded> {
        let naming = match self.trusted.root().consistent_snapshot {
            true => source.naming,
            // Then there is one file of each artifact (TUF §6.2).
            false => Naming::Plain,
        };
        let source = Source { naming, ..source.clone() };
        artifact::fetch(&self.http, &source, path, info, directory, &mut progress).await
    }

    /// Takes the next root and keeps it at once.
    fn next_root(&mut self, bytes: Vec<u8>) -> anyhow::Result<()> {
        let before = self.trusted.root().clone();
        self.trusted.update_root(&bytes)?;
        let after = self.trusted.root();
        if let Some(kept) = &mut self.kept {
            kept.keep_root(after.version, bytes.clone(), memory(&before, after))?;
        }
        self.files.insert(RoleName::root(), bytes);
        Ok(())
    }

    /// Takes timestamp and snapshot of the last run, which tell a rollback.
    fn remember(&mut self, kept: &Kept) {
        let (timestamp, snapshot) = (RoleName::timestamp(), RoleName::snapshot());
        let mut pass_over = |role: &RoleName, error| {
            self.passed_over.push(format!("the {role} of the last run is not trusted, and fetched anew: {error}"));
        };
        if let Some(Err(error)) = kept.role(&timestamp).map(|bytes| self.trusted.remember_timestamp(&bytes)) {
            pass_over(&timestamp, error);
        }
        if let Some(Err(error)) = kept.role(&snapshot).map(|bytes| self.trusted.remember_snapshot(&bytes)) {
            pass_over(&snapshot, error);
        }
    }

    /// Brings a listed role up to date: with what is kept of it, if that is the file that is listed.
    async fn update(
        &mut self,
        role: &RoleName,
        listed: &MetaFile,
        take: impl Fn(&mut Trusted, &[u8]) -> Result<(), crate::tuf::verify::VerifyError>,
    ) -> anyhow::Result<()> {
        let kept = self.kept.as_ref().and_then(|kept| kept.role(role));
        if let Some(bytes) = kept
            && take(&mut self.trusted, &bytes).is_ok()
        {
            self.files.insert(role.clone(), bytes);
            return Ok(());
        }
        let limit = listed.length.map_or_else(|| limits::strictest(role), |length| length.min(MAX_SIGNED_BYTES));
        let bytes = self.need(&self.trusted.file_name(role, listed.version), limit).await?;
        take(&mut self.trusted, &bytes)?;
        self.take(role, bytes);
        Ok(())
    }

    fn take(&mut self, role: &RoleName, bytes: Vec<u8>) {
        if let Some(kept) = &mut self.kept {
            kept.keep(role, bytes.clone());
        }
        self.files.insert(role.clone(), bytes);
    }

    async fn need(&self, name: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
        self.get(name, limit).await?.with_context(|| format!("the repository has no {name}"))
    }

    async fn get(&self, name: &str, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.http.read(&format!("{}/{name}", self.metadata_url), limit).await?)
    }
}

/// Reads a root from a file or from an http(s) URL, and makes sure that it is signed by its own keys.
///
/// # Errors
/// When it can't be read, or is no such root.
pub async fn read_root(from: &str) -> anyhow::Result<Vec<u8>> {
    let limit = limits::strictest(&RoleName::root());
    let bytes = match from.starts_with("http://") || from.starts_with("https://") {
        true => {
            let http = Http::new(Patience::default())?;
            http.read(from, limit).await?.with_context(|| format!("there is no {from}"))?
        }
        false => std::fs::read(from).with_context(|| format!("can't read the root {from}"))?,
    };
    Trusted::from_root(&bytes).with_context(|| format!("{from} is no root that can be trusted"))?;
    Ok(bytes)
}

fn trust(root: &[u8]) -> anyhow::Result<Trusted> {
    Trusted::from_root(root).context("the root can't be trusted")
}

async fn first_root(http: &Http, metadata_url: &str) -> anyhow::Result<Vec<u8>> {
    let url = format!("{}/{}", metadata_url.trim_end_matches('/'), RoleName::root().file_name(Version::FIRST));
    let bytes = http.read(&url, limits::strictest(&RoleName::root())).await?;
    let bytes = bytes.with_context(|| format!("there is no {url}"))?;
    let version = trust(&bytes)?.root().version;
    ensure!(version == Version::FIRST, "{url} is root version {version}");
    Ok(bytes)
}

/// Follows the roots from the given one to the newest that is kept: with those that are kept, else with those of the repository.
async fn chain(
    http: &Http,
    metadata_url: &str,
    kept: &Kept,
    given: Trusted,
    newest: &Trusted,
    directory: &Path,
) -> anyhow::Result<Trusted> {
    let (first, last) = (given.root().version, newest.root().version);
    let conflict = |why: anyhow::Error| KeptError::Conflict {
        directory: directory.to_owned(),
        given: first,
        kept: last,
        why: format!("{why:#}"),
    };
    let mut trusted = given;
    while trusted.root().version < last {
        let next = trusted.root().version.next();
        if let Some(bytes) = kept.past_root(next)
            && trusted.update_root(&bytes).is_ok()
        {
            continue;
        }
        let url = format!("{}/{}", metadata_url.trim_end_matches('/'), RoleName::root().file_name(next));
        let bytes = http.read(&url, limits::strictest(&RoleName::root())).await?;
        let followed = match bytes {
            Some(bytes) => trusted.update_root(&bytes).map_err(|error| anyhow!(error)),
            None => Err(anyhow!("there is no {url}")),
        };
        followed.map_err(conflict)?;
    }
    match trusted.root() == newest.root() {
        true => Ok(trusted),
        false => bail!(conflict(anyhow!("they have different roots of version {last}"))),
    }
}

fn memory(before: &Root, after: &Root) -> Memory {
    let is_same = |role| before.role(role) == after.role(role);
    match is_same(RoleType::Timestamp) && is_same(RoleType::Snapshot) {
        true => Memory::Stays,
        false => Memory::Ends,
    }
}
