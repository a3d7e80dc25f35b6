//! What the service has published, read as a client reads it: timestamp, snapshot, and what it lists.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context;
use rstuf::tuf::name::{RoleName, Version};
use serde_json::Value;

/// A directory of published files.
pub(crate) struct Published {
    pub(crate) directory: PathBuf,
}

/// The version of every role but timestamp.
pub(crate) type Versions = BTreeMap<RoleName, Version>;

/// What became new from one state to another.
pub(crate) struct Publication {
    /// Everything but the timestamp.
    pub(crate) files: Vec<Versioned>,
    pub(crate) timestamp: Vec<u8>,
}

pub(crate) struct Versioned {
    pub(crate) role: RoleName,
    pub(crate) version: i64,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Published {
    /// The version of the timestamp, 0 for none. Cheap, because it is asked again and again.
    pub(crate) fn timestamp(&self) -> anyhow::Result<u64> {
        match fs::read(self.directory.join("timestamp.json")) {
            Ok(bytes) => version(&serde_json::from_slice(&bytes)?).map(Version::get),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn versions(&self) -> anyhow::Result<Versions> {
        let timestamp: Value = serde_json::from_slice(&self.read("timestamp.json")?)?;
        let snapshot = version(&serde_json::json!({ "signed": timestamp["signed"]["meta"]["snapshot.json"] }))?;
        let file: Value = serde_json::from_slice(&self.read(&RoleName::snapshot().file_name(snapshot))?)?;
        let listed = file["signed"]["meta"].as_object().context("a snapshot that lists nothing")?;
        let role = |(name, meta): (&String, &Value)| {
            let role = RoleName::parse(name.trim_end_matches(".json"))?;
            Ok((role, version(&serde_json::json!({ "signed": meta }))?))
        };
        let mut versions = listed.iter().map(role).collect::<anyhow::Result<Versions>>()?;
        versions.insert(RoleName::snapshot(), snapshot);
        Ok(versions)
    }

    /// What is published now and was not in the state `before`.
    pub(crate) fn since(&self, before: &Versions) -> anyhow::Result<(Publication, Versions)> {
        let now = self.versions()?;
        let new = now.iter().filter(|(role, version)| before.get(*role) != Some(version));
        let file = |(role, version): (&RoleName, &Version)| {
            let name = role.file_name(*version);
            let bytes = self.read(&name)?;
            Ok(Versioned { role: role.clone(), version: version.get().cast_signed(), name, bytes })
        };
        let files = new.map(file).collect::<anyhow::Result<_>>()?;
        Ok((Publication { files, timestamp: self.read("timestamp.json")? }, now))
    }

    fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        fs::read(self.directory.join(name)).with_context(|| format!("{name} can't be read"))
    }
}

fn version(file: &Value) -> anyhow::Result<Version> {
    Ok(Version::new(file["signed"]["version"].as_u64().context("metadata without a version")?)?)
}
