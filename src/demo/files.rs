//! The files of a directory as artifacts.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::tuf::name::ArtifactPath;

/// The most files that the demonstration adds.
const MOST: usize = 10_000;

/// Lists the files below `directory`, sorted, but for hidden ones and those whose name can't be a path: path, length and SHA-256 as
/// `POST /artifacts` takes them.
///
/// # Errors
/// When a file can't be read, or there is none.
pub(super) fn artifacts(directory: &Path) -> anyhow::Result<Vec<(ArtifactPath, Value)>> {
    let mut artifacts = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("can't read {}", next.display()))? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file()
                && let Some(path) = relative(directory, &entry.path())
            {
                let bytes =
                    std::fs::read(entry.path()).with_context(|| format!("can't read {}", entry.path().display()))?;
                let sha256 = hex::encode(digest(&SHA256, &bytes));
                let info = json!({ "length": bytes.len(), "hashes": { "sha256": sha256 } });
                artifacts.push((path.clone(), json!({ "path": path, "info": info })));
            }
            if artifacts.len() == MOST {
                waiting.clear();
                break;
            }
        }
    }
    if artifacts.is_empty() {
        bail!("there is no file in {}; name another directory with --files", directory.display());
    }
    artifacts.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(artifacts)
}

fn relative(directory: &Path, file: &Path) -> Option<ArtifactPath> {
    let relative: PathBuf = file.strip_prefix(directory).ok()?.into();
    ArtifactPath::parse(relative.to_str()?).ok()
}
