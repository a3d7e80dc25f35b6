//! Metadata as it is published, to compare with. Nothing here is verified: whoever compares says by whose signatures it is believed.

use serde_json::Value;

use crate::{
    cli::failure::Failure,
    tuf::{
        limits::strictest,
        name::{RoleName, Version},
        snapshot::Snapshot,
        timestamp::TimestampRole,
    },
};

/// Where metadata is published.
#[derive(Debug, Clone)]
pub struct Published {
    http: reqwest::Client,
    url: String,
}

impl Published {
    /// The metadata below a URL.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn at(url: &str) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().build().map_err(Failure::new)?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned() })
    }

    /// The newest file of a targets role; `None` while there is none.
    ///
    /// # Errors
    /// When something can't be read.
    pub async fn role(&self, role: &RoleName) -> Result<Option<Value>, Failure> {
        let wrong = |name: RoleName| move |error| self.wrong(&name, &error);
        let timestamp = self.need(&RoleName::timestamp(), Version::FIRST).await?;
        let timestamp = TimestampRole::view(&timestamp["signed"]).map_err(wrong(RoleName::timestamp()))?;
        let snapshot = self.need(&RoleName::snapshot(), timestamp.snapshot.version).await?;
        let snapshot = Snapshot::view(&snapshot["signed"]).map_err(wrong(RoleName::snapshot()))?;
        match snapshot.get(role) {
            Some(listed) => self.need(role, listed.version).await.map(Some),
            None => Ok(None),
        }
    }

    fn wrong(&self, role: &RoleName, error: &dyn std::fmt::Display) -> Failure {
        Failure::new(format_args!("{role} below {} can't be read: {error}", self.url))
    }

    async fn need(&self, role: &RoleName, version: Version) -> Result<Value, Failure> {
        let (url, limit) = (format!("{}/{}", self.url, role.file_name(version)), strictest(role));
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new(format_args!("can't read {url}: {why}")).remedy("is --metadata-url where the metadata is?")
        };
        let response = self.http.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        let mut response = response.map_err(|error| failed(&error.without_url()))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error.without_url()))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(failed(&format_args!("it has more than {limit} bytes")));
            }
        }
        serde_json::from_slice(&bytes).map_err(|error| failed(&error))
    }
}
