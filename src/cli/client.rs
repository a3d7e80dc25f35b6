//! A TUF client over HTTP: the strict verification of [`crate::tuf::verify`], and nothing that is not verified.

use anyhow::{Context, bail};
use jiff::Timestamp;
use reqwest::StatusCode;

use crate::tuf::{
    limits,
    name::{ArtifactPath, RoleName},
    snapshot::MetaFile,
    targets::TargetFile,
    verify::{Next, Trusted},
};

/// New roots that are followed in one refresh (TUF §5.3.3).
const MAX_ROOTS: usize = 256;

/// A client of one repository.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    metadata_url: String,
    trusted: Trusted,
}

impl Client {
    /// A client that trusts `root`, which it got from somewhere safe, and asks for metadata below `metadata_url`.
    ///
    /// # Errors
    /// When the root is not signed by its own keys.
    pub fn new(root: &[u8], metadata_url: &str) -> anyhow::Result<Self> {
        let trusted = Trusted::from_root(root).context("the root can't be trusted")?;
        let http = reqwest::Client::builder().build()?;
        Ok(Self { http, metadata_url: metadata_url.trim_end_matches('/').to_owned(), trusted })
    }

    /// Brings root, timestamp, snapshot and `targets` up to date (TUF §5.3 to §5.6).
    ///
    /// # Errors
    /// When a file is missing, or is refused; the message says which and why.
    pub async fn refresh(&mut self, now: Timestamp) -> anyhow::Result<()> {
        for _ in 0..MAX_ROOTS {
            let name = RoleName::root().file_name(self.trusted.root().version.next());
            let Some(bytes) = self.get(&name, limits::strictest(&RoleName::root())).await? else { break };
            self.trusted.update_root(&bytes)?;
        }
        self.trusted.check_root_expiry(now)?;
        let bytes = self.need("timestamp.json", limits::strictest(&RoleName::timestamp())).await?;
        self.trusted.update_timestamp(&bytes, now)?;
        let listed = self.trusted.timestamp().map(|timestamp| timestamp.snapshot.clone()).context("no timestamp")?;
        let bytes = self.listed(&RoleName::snapshot(), &listed).await?;
        self.trusted.update_snapshot(&bytes, now)?;
        let targets = RoleName::targets();
        let listed = self.trusted.snapshot().and_then(|snapshot| snapshot.get(&targets)).cloned();
        let bytes = self.listed(&targets, &listed.context("snapshot does not list targets")?).await?;
        self.trusted.update_targets(&bytes, now)?;
        Ok(())
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
                Next::Fetch { role, delegator, file } => {
                    let bytes = self.need(&file, limits::strictest(&role)).await?;
                    self.trusted.update_delegated(&role, &delegator, &bytes, now)?;
                }
            }
        }
    }

    /// Downloads an artifact and makes sure that it is the one that the repository signed.
    ///
    /// # Errors
    /// When it can't be had, or has another length or other digests.
    pub async fn download(&self, url: &str, info: &TargetFile) -> anyhow::Result<Vec<u8>> {
        let bytes = read(&self.http, url, info.length).await?.with_context(|| format!("there is no {url}"))?;
        info.check(&bytes)?;
        Ok(bytes)
    }

    async fn listed(&self, role: &RoleName, listed: &MetaFile) -> anyhow::Result<Vec<u8>> {
        let limit = listed.length.unwrap_or_else(|| limits::strictest(role));
        self.need(&role.file_name(listed.version), limit).await
    }

    async fn need(&self, name: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
        self.get(name, limit).await?.with_context(|| format!("the repository has no {name}"))
    }

    async fn get(&self, name: &str, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        read(&self.http, &format!("{}/{name}", self.metadata_url), limit).await
    }
}

/// Reads at most `limit` bytes, `None` when there is no such file.
async fn read(http: &reqwest::Client, url: &str, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let mut response = http.get(url).send().await.with_context(|| format!("can't read {url}"))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => return Ok(None),
        status => bail!("{url} answers {status}"),
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.with_context(|| format!("can't read {url}"))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > limit {
            bail!("{url} has more than the {limit} bytes that may be read");
        }
    }
    Ok(Some(bytes))
}
