//! Artifacts as a registry has them: a path of some fifty characters, a length, a SHA-256.

use rstuf::tuf::{bins::Bins, name::ArtifactPath, name::RoleName};
use serde_json::{Value, json};

/// An artifact that nobody has added yet.
pub(crate) struct Artifact {
    /// The bin that will list it.
    pub(crate) role: RoleName,
    pub(crate) path: ArtifactPath,
    pub(crate) info: Value,
}

/// The next `count` artifacts, with paths that were never used.
pub(crate) fn fresh(bins: Bins, count: usize) -> anyhow::Result<Vec<Artifact>> {
    let artifact = |_| {
        let unique = fastrand::u64(..);
        let path = format!("packages/{:02x}/package-{unique:016x}/package-1.0.tar.gz", unique % 256);
        let path = ArtifactPath::parse(&path)?;
        let sha256 = hex::encode(std::array::from_fn::<u8, 32, _>(|_| fastrand::u8(..)));
        let info = json!({ "hashes": { "sha256": sha256 }, "length": fastrand::u32(..) });
        Ok(Artifact { role: bins.role_for(&path), path, info })
    };
    (0..count).map(artifact).collect()
}

/// The body of the request that adds them.
pub(crate) fn body(artifacts: &[Artifact]) -> anyhow::Result<Vec<u8>> {
    let list: Vec<_> = artifacts.iter().map(|a| json!({ "path": a.path, "info": a.info })).collect();
    Ok(serde_json::to_vec(&json!({ "artifacts": list }))?)
}
